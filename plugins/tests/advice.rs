//! Suggestions and examples are advice: what makes no sense of them is dropped.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{Asked, Guest, text, write};
use narrowgate_core::vocabulary::{Label, LabelValue};

#[test]
fn suggestions_keep_to_the_vocabulary() {
    let glob = || write(vec![text("path", "docs/**")]);
    let named = |action: &str| Label { action: action.to_owned(), ..glob() };
    let with = |name: &str, value| write(vec![(name.to_owned(), value)]);
    let suggests = vec![
        (glob(), "All of\n docs.".to_owned()),
        (named("page.burn"), String::new()),
        (with("owner", LabelValue::Text("*".to_owned())), String::new()),
        (with("path", LabelValue::Flag(true)), String::new()),
        (with("path", LabelValue::Text("a\u{0}".to_owned())), String::new()),
        (write(vec![]), "Any.".to_owned()),
    ];
    let plugin = Guest { suggests, ..Guest::new() }.load();
    let asked = Asked::put();
    let denied = plugin.classify(&asked.facts()).unwrap();
    let got: Vec<_> = plugin.suggest(&asked.facts(), &denied).into_iter().map(|one| (one.operation, one.doc)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let later = runtime.block_on(plugin.suggest_async(&asked.facts(), denied));
    assert_eq!(later.len(), got.len());
    assert_eq!(got, [(glob(), "All of  docs.".to_owned()), (write(vec![]), "Any.".to_owned())]);
}

#[test]
fn an_example_is_a_canonical_request_that_means_what_it_stands_for() {
    let good = || write(vec![text("path", "a.md")]);
    let check = |example, label: Label, expect: Option<&str>| {
        let plugin = Guest { example, ..Guest::new() }.load();
        let request = plugin.example(&label);
        let shown = request.map(|it| format!("{} {}:{}{}", it.method, it.host, it.port, it.target.to_uri_string()));
        assert_eq!(shown.as_deref(), expect, "{example:?}");
    };
    let acme = "api.acme.example";
    check(Some(["PUT", acme, "/pages/a.md", "q"]), good(), Some("PUT api.acme.example:443/pages/a.md?q=1"));
    check(None, good(), None);
    check(Some(["put", acme, "/pages/a.md", "q"]), good(), None);
    check(Some(["PUT", acme, "/pages//a.md", "q"]), good(), None);
    check(Some(["PUT", acme, "/pages/a.md", "\n"]), good(), None);
    check(Some(["PUT", "other.example", "/pages/a.md", "q"]), good(), None);
    // The guest reads everything as `a.md`, so this example would show another operation.
    check(Some(["PUT", acme, "/pages/b.md", "q"]), write(vec![text("path", "b.md")]), None);
}

#[test]
fn advice_of_a_guest_that_fails_is_none() {
    let functions = "(func $suggest (param i32) (result i32) unreachable)
        (func $example (param i32 i32 i32 i32 i32 i32) (result i32) (loop $again (br $again)) unreachable)";
    let plugin = Guest { functions: functions.to_owned(), ..Guest::new() }.load();
    assert!(plugin.suggest(&Asked::put().facts(), &[]).is_empty());
    assert!(plugin.example(&write(vec![text("path", "a.md")])).is_none());
}
