//! Guests that do what no plugin should: each ends in a denial, in time, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Answer, Asked, Guest, HOST, manifest, text, with_section, write};
use narrowgate_core::vocabulary::{Label, LabelValue, Value};
use narrowgate_plugins::{Body, Cause, RefusalKind};

/// Twice the deadline of a call.
const IN_TIME: Duration = Duration::from_millis(400);

#[track_caller]
fn check_denied(guest: &Guest, asked: &Asked, expect: &str) -> Cause {
    let plugin = guest.load();
    let begun = Instant::now();
    let failure = plugin.classify(&asked.facts()).unwrap_err();
    let took = begun.elapsed();
    assert!(took < IN_TIME, "{expect}: took {took:?}");
    let text = failure.to_string();
    assert!(text.starts_with("plugin acme@sha256:") && text.contains(expect), "{text:?} lacks {expect:?}");
    failure.cause
}

#[test]
fn what_runs_away_is_ended() {
    let cases = [
        ("endless_loop", "used up its 5000000 units of fuel"),
        ("memory_bomb", "needs more than the 16777216 bytes of memory"),
        ("deep_recursion", "trapped: call stack exhausted"),
        ("trap", "trapped: integer divide by zero"),
        ("large_output", "answered with more than 262144 bytes"),
        ("aliased_strings", "answered with more than 262144 bytes"),
        ("out_of_bounds", "trapped: "),
    ];
    for (guest, expect) in cases {
        check_denied(&Guest::file(guest), &Asked::put(), expect);
    }
    // With enough of a body there is more fuel than time.
    let asked = Asked { body: Body::Complete(Bytes::from(vec![b'x'; 4_194_304])), ..Asked::put() };
    check_denied(&Guest::file("endless_loop"), &asked, "ran for more than 200 ms");
}

#[test]
fn what_no_vocabulary_admits_is_denied() {
    let path = || text("path", "a.md");
    let labels = |attributes| vec![write(attributes)];
    let named = |action: &str| vec![Label { action: action.to_owned(), attributes: vec![path()] }];
    let with = |name: &str, value| labels(vec![path(), (name.to_owned(), value)]);
    let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    let cases = [
        (named("page.burn"), "the action \"page.burn\" is not declared"),
        (named("other::page.write"), "is not declared"),
        (named("page.read"), "acme::page.read is not carried by PUT"),
        (labels(vec![]), "comes without its attribute \"path\""),
        (with("owner", LabelValue::Text("x".to_owned())), "\"owner\" is not declared"),
        (with("path", LabelValue::Text("b.md".to_owned())), "has the attribute \"path\" twice"),
        (with("count", LabelValue::Text("3".to_owned())), "\"count\" is not of its kind, integer"),
        (with("count", LabelValue::Integer("03".to_owned())), "not a whole number"),
        (with("count", LabelValue::Integer("9223372036854775808".to_owned())), "not a whole number"),
        (with("force", LabelValue::Integer("1".to_owned())), "\"force\" is not of its kind, flag"),
        (with("labels", LabelValue::Texts(many(65))), "\"labels\" has too many elements"),
        (
            with(
                "arguments",
                LabelValue::Fields(vec![("a".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())]),
            ),
            "\"arguments\" has a field twice",
        ),
        (labels(vec![text("path", "a\nb")]), "has a control character"),
        (labels(vec![text("path", &"x".repeat(4097))]), "more than 4096 bytes"),
        (vec![write(vec![path()]); 17], "named 17 operations; at most 16"),
        (vec![], "named no operation"),
    ];
    for (labels, expect) in cases {
        check_denied(&Guest::answering(labels), &Asked::put(), expect);
    }
    let elsewhere = Asked::new("PUT", "api.other.example", "/pages/a.md");
    check_denied(&Guest::new(), &elsewhere, "acme does not speak for the host api.other.example");
}

#[test]
fn one_bad_operation_spoils_all() {
    let good = write(vec![text("path", "a.md")]);
    let bad = write(vec![text("path", "\u{7f}")]);
    check_denied(&Guest::answering(vec![good, bad]), &Asked::put(), "has a control character");
}

#[test]
fn refusals_are_told_apart_and_told_on_one_line() {
    let long = format!("a\nb\u{1b}[31m{}", "x".repeat(300));
    let cases = [
        (0, "why", RefusalKind::NotUnderstood, false, "does not understand the request: why"),
        (1, "why", RefusalKind::Ambiguous, true, "reads the request in two ways: why"),
        (2, "why", RefusalKind::NeedsBody, false, "needs the whole body: why"),
        (3, &long, RefusalKind::Malformed, false, "finds the request malformed: a b [31mxxx"),
    ];
    for (number, why, expected, ambiguous, expect) in cases {
        let guest = Guest { answers: Answer::Refusal(number, why.to_owned()), ..Guest::new() };
        let cause = check_denied(&guest, &Asked::put(), expect);
        let Cause::Refused { kind, detail } = cause else { panic!("{cause:?}") };
        assert!(kind == expected && detail.chars().count() <= 200 && !detail.chars().any(char::is_control), "{detail}");
        let failure = guest.load().classify(&Asked::put().facts()).unwrap_err();
        assert_eq!(failure.is_ambiguous(), ambiguous);
    }
}

#[test]
fn what_cannot_be_told_is_ambiguous() {
    let plugin = Guest::new().load();
    let odd_path = Asked::new("PUT", "api.acme.example", "/pages/%80");
    let odd_header = Asked { headers: vec![("X-Acme", b"\xfe")], ..Asked::put() };
    let unnamed = Asked { headers: vec![("x-other", b"\xfe")], ..Asked::put() };
    for asked in [odd_path, odd_header] {
        assert!(plugin.classify(&asked.facts()).unwrap_err().is_ambiguous());
    }
    assert!(plugin.classify(&unnamed.facts()).is_ok(), "a header that it is not shown");
}

#[test]
fn nothing_is_kept_between_requests() {
    let plugin = Guest::file("state").load();
    for _ in 0..50 {
        let asked = Asked::new("GET", "api.acme.example", "/pages");
        let operations = plugin.classify(&asked.facts()).unwrap();
        assert_eq!(operations[0].attributes()["count"], Value::Integer(1));
    }
}

#[test]
fn flooding_leaves_memory_flat() {
    let guests = ["aliased_strings", "large_output", "memory_bomb"].map(|name| Guest::file(name).load());
    let asked = Asked::put();
    let flood = || {
        for plugin in &guests {
            assert!(plugin.classify(&asked.facts()).is_err());
        }
    };
    flood();
    let before = resident();
    for _ in 0..20 {
        flood();
    }
    let after = resident();
    assert!(after < before + 32 * 1024 * 1024, "from {before} to {after} bytes");
}

/// The memory that this process has, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

#[test]
fn the_largest_body_is_told_and_paid_for() {
    let plugin = Guest::new().load();
    let whole = |length: usize| Asked { body: Body::Complete(Bytes::from(vec![b'x'; length])), ..Asked::put() };
    for length in [0, 1, 65_536, 4_194_304, 5_000_000] {
        let asked = whole(length);
        let classified = plugin.measure(&asked.facts());
        assert!(classified.operations.is_ok() && classified.fuel > 0, "{classified:?}");
        assert_eq!(classified, plugin.measure(&asked.facts()), "the same fuel twice");
    }
}

#[test]
fn what_is_wrong_at_install_is_refused_there() {
    let good = serde_json::to_vec(&manifest()).unwrap();
    for (guest, expect) in [
        ("trap_in_describe", "describe: trapped: wasm `unreachable` instruction executed"),
        ("loop_in_describe", "describe: used up its 20000000 units of fuel"),
        ("loop_at_start", "describe: used up its 20000000 units of fuel"),
    ] {
        let file = narrowgate_plugins::PluginFile::parse(Guest::file(guest).with_manifest(&good)).unwrap();
        let begun = Instant::now();
        assert_eq!(HOST.load(&file).unwrap_err().to_string(), expect);
        assert!(begun.elapsed() < Duration::from_secs(2), "{guest}");
    }
    let mut other = manifest();
    other.actions[1].group = narrowgate_core::vocabulary::Group::Admin;
    let file = narrowgate_plugins::PluginFile::parse(with_section(Guest::new().component(), &other.to_json())).unwrap();
    let expect =
        "describe differs from the manifest at /actions/1/group: the manifest has \"admin\", describe says \"write\"";
    assert_eq!(HOST.load(&file).unwrap_err().to_string(), expect);
}
