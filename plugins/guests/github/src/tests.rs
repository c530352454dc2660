//! The table against itself, and rows of requests against what they mean.

use crate::attributes::Form;
use crate::route::Route;
use crate::{GitHub, topics};
use narrowgate_plugin::{Operation, Plugin, Value, testing};
use std::collections::BTreeSet;

#[test]
fn vocabulary_is_loadable() {
    testing::check_vocabulary::<GitHub>();
}

#[test]
fn every_action_has_a_route_and_every_route_an_action() {
    let declared: BTreeSet<&str> =
        topics::TOPICS.iter().flat_map(|topic| topic.actions).map(|action| action.name).collect();
    let routed: BTreeSet<&str> = topics::routes().map(|route| route.row.action).collect();
    assert_eq!(declared, routed);
}

#[test]
fn every_route_reads_its_own_example_and_no_other_route_reads_it() {
    for route in topics::routes() {
        let operation = operation_of(route);
        let name = format!("{} {}{}", route.row.method, route.section.prefix, route.row.pattern);
        let request = route.example(&operation).unwrap_or_else(|| panic!("{name}: no example"));
        let read = GitHub::classify(&request);
        assert_eq!(testing::brief(&read), testing::brief(&Ok(vec![operation.clone()])), "{name}");
        assert!(GitHub::example(&narrowgate_plugin::Suggestion::new(operation, "")).is_some(), "{name}");
    }
}

#[test]
fn all_advice_has_an_example() {
    let denied = narrowgate_plugin::Request::https("GET", crate::API);
    for route in topics::routes() {
        for advice in GitHub::suggest(&denied, &[operation_of(route)]) {
            assert!(GitHub::example(&advice).is_some(), "{advice:?}");
        }
    }
}

#[test]
fn no_example_rather_than_a_wrong_one() {
    let file = Operation::new("contents.read").text("owner", "acme").text("repo", "site");
    for path in ["docs/../secret", "docs//a", "docs/"] {
        let advice = narrowgate_plugin::Suggestion::new(file.clone().text("path", path), "");
        assert_eq!(GitHub::example(&advice), None, "{path}");
    }
}

fn operation_of(route: Route) -> Operation {
    route.attributes().fold(Operation::new(route.row.action), |operation, (attribute, _)| {
        operation.with(
            attribute.name,
            match attribute.form {
                Form::Integer => Value::Integer(7),
                Form::Flag => Value::Flag(true),
                Form::Reference => Value::Text("refs/heads/bot/x".into()),
                Form::Path => Value::Text("docs/a b.md".into()),
                Form::Name => Value::Text("acme".into()),
                Form::Text | Form::Ref => Value::Text("example-1".into()),
            },
        )
    })
}

const REPO: &str = "https://api.github.com/repos/acme/site";

#[track_caller]
fn check(request: &str, expect: &str) {
    let (line, body) = request.split_once(" <- ").unwrap_or((request, ""));
    let (method, path) = line.split_once(' ').unwrap();
    let path = path.strip_prefix('~').map_or_else(|| path.to_owned(), |rest| format!("{REPO}{rest}"));
    let case = format!("{method} {path} HTTP/1.1\ncontent-type: application/json\n\n{body}");
    testing::check::<GitHub>(case, expect);
}

#[test]
fn contents() {
    let at = "owner=acme repo=site path=docs/a.md";
    check("GET ~/contents/docs/a.md", &format!("contents.read {at}"));
    check("HEAD ~/contents/docs/a.md", &format!("contents.read {at}"));
    check("GET ~/contents/docs/a.md?ref=v1.2", &format!("contents.read {at} ref=v1.2"));
    check("GET ~/contents", "contents.read owner=acme repo=site path=");
    check("GET ~/contents/", "contents.read owner=acme repo=site path=");
    check("GET ~/contents/a%20b/%C3%BC.md", "contents.read owner=acme repo=site path=a b/ü.md");
    check(r#"PUT ~/contents/docs/a.md <- {"message":"m","content":"eA=="}"#, &format!("contents.write {at}"));
    check(r#"PUT ~/contents/docs/a.md <- {"branch":"bot/x"}"#, &format!("contents.write {at} ref=bot/x"));
    check(r#"PUT ~/contents/docs/a.md <- {"branch":"refs/heads/main"}"#, &format!("contents.write {at} ref=main"));
    check(r#"DELETE ~/contents/docs/a.md <- {"sha":"1","branch":"main"}"#, &format!("contents.delete {at} ref=main"));
    check("GET https://api.github.com/repos/ACME/Site/contents/docs/a.md", &format!("contents.read {at}"));
}

#[test]
fn contents_that_two_could_read_two_ways() {
    check(r#"PUT ~/contents/docs/a.md <- {"branch":"bot/x","branch":"main"}"#, "ambiguous");
    check(r#"PUT ~/contents/docs/a.md <- {"branch":"bot/x","Branch":"main"}"#, "ambiguous");
    check(r#"PUT ~/contents/docs/a.md <- {"branch":"bot/x","br\u0061nch":"main"}"#, "ambiguous");
    check(r#"PUT ~/contents/docs/a.md?branch=main <- {"branch":"bot/x"}"#, "ambiguous");
    check(r#"PUT ~/contents/docs/a.md?branch=main <- {}"#, "ambiguous");
    check(r#"PUT ~/contents/docs/a.md <- {"branch":"heads/main"}"#, "ambiguous");
    check(r#"PUT ~/contents/docs/a.md <- {"branch":7}"#, "malformed");
    check(r#"PUT ~/contents/docs/a.md <- {"branch":""}"#, "malformed");
    check("PUT ~/contents/docs/a.md <- [1]", "malformed");
    check("PUT ~/contents/docs/a.md <- branch=main", "malformed");
    check("PUT ~/contents/docs/a.md", "needs-body");
    let charset = |name: &str| format!("PUT {REPO}/contents/a\ncontent-type: application/json; charset={name}\n\n{{}}");
    testing::check::<GitHub>(charset("utf-8"), "contents.write owner=acme repo=site path=a");
    testing::check::<GitHub>(charset("utf-7"), "ambiguous");
    check(&format!(r#"PUT ~/contents/a.md <- {{"content":"{}"}}"#, "A".repeat(1 << 20)), "needs-body");
    check("GET ~/contents/docs/a.md?ref=main&ref=x", "ambiguous");
    check("GET ~/contents/docs/a.md?ref=", "malformed");
    check("GET ~/contents/docs/", "ambiguous");
    check("GET ~/contents/docs%2F..%2Fsecret", "ambiguous");
    check("GET ~/contents/%2Fetc", "ambiguous");
    check(r#"GET ~/contents/docs/a.md <- {"ref":"other"}"#, "ambiguous");
    check("GET https://api.github.com/repos/acme/site.git/contents/a", "ambiguous");
    check("GET https://api.github.com/repos/acme/si%2Fte/contents/a", "not-understood");
    check("POST ~/contents/docs/a.md <- {}", "not-understood");
    check("GET https://uploads.github.com/repos/acme/site/contents/a.md", "not-understood");
}

#[test]
fn overridden_methods() {
    let post = |headers: &str, body: &str| format!("POST {REPO}/issues/1/comments HTTP/1.1\n{headers}\n{body}");
    let written = "issue_comments.write owner=acme repo=site number=1";
    let check = |headers: &str, body: &str, expect: &str| testing::check::<GitHub>(post(headers, body), expect);
    check("content-type: application/json\n", r#"{"body":"about _method"}"#, written);
    check("", r#"{"body":"x"}"#, written);
    check("", r#"{"body":"x&_method=DELETE"}"#, "ambiguous");
    check("content-type: application/x-www-form-urlencoded\n", "%5fmethod=DELETE", "ambiguous");
    check("content-type: application/x-www-form-urlencoded\n", &"x".repeat(1 << 21), "needs-body");
    check("content-type: multipart/form-data; boundary=x\n", "--x", "not-understood");
    check("content-type: text/plain\ncontent-type: application/json\n", "{}", "ambiguous");
    check("content-type: application/json\nX-HTTP-Method-Override: DELETE\n", "{}", "ambiguous");
    testing::check::<GitHub>(format!("GET {REPO}?_method=DELETE"), "ambiguous");
}

#[test]
fn git_references() {
    let refs = "owner=acme repo=site reference=refs/heads/bot/x";
    check("GET ~/git/ref/heads/bot/x", &format!("git.refs.read {refs}"));
    check(r#"POST ~/git/refs <- {"ref":"refs/heads/bot/x","sha":"1"}"#, &format!("git.refs.create {refs}"));
    check(r#"PATCH ~/git/refs/heads/bot/x <- {"sha":"1"}"#, &format!("git.refs.update {refs}"));
    check(r#"PATCH ~/git/refs/heads/bot/x <- {"force":true}"#, &format!("git.refs.update {refs} force=true"));
    check("DELETE ~/git/refs/heads/bot/x", &format!("git.refs.delete {refs}"));
    check(r#"POST ~/git/refs <- {"ref":"main"}"#, "ambiguous");
    check(r#"POST ~/git/refs <- {"sha":"1"}"#, "malformed");
    check("DELETE ~/git/refs/heads%2F..%2Fheads%2Fmain", "ambiguous");
    check("DELETE ~/git/refs/refs/heads/main", "git.refs.delete owner=acme repo=site reference=refs/heads/main");
    check("DELETE ~/git/refs/refs/refs/heads/main", "ambiguous");
    check("POST ~/git/blobs <- {}", "git.objects.write owner=acme repo=site");
}

#[test]
fn pulls_and_issues() {
    check(
        r#"POST ~/pulls <- {"title":"t","head":"acme:bot/x","base":"main"}"#,
        "pulls.create owner=acme repo=site base=main head=acme:bot/x",
    );
    check(r#"POST ~/pulls <- {"title":"t","head":"x"}"#, "malformed");
    check("PUT ~/pulls/12/merge <- {}", "pulls.merge owner=acme repo=site number=12");
    check(r#"PATCH ~/pulls/12 <- {"state":"closed"}"#, "pulls.update owner=acme repo=site number=12 state=closed");
    check(r#"PATCH ~/pulls/12 <- {"base":"prod"}"#, "pulls.update owner=acme repo=site number=12 base=prod");
    check("PUT ~/pulls/012/merge <- {}", "not-understood");
    check("PUT ~/pulls/+12/merge <- {}", "not-understood");
    check("PUT ~/pulls/99999999999999999999/merge <- {}", "not-understood");
    check("GET ~/pulls/comments/3", "pull_comments.read owner=acme repo=site id=3");
    check(r#"POST ~/issues <- {"title":"t"}"#, "issues.create owner=acme repo=site");
    check("DELETE ~/issues/5/labels/good%20first", "issues.label owner=acme repo=site number=5 label=good first");
}

#[test]
fn what_administers() {
    check("DELETE https://api.github.com/repos/acme/site", "repos.delete owner=acme repo=site");
    check(r#"POST ~/transfer <- {"new_owner":"Eve"}"#, "repos.transfer owner=acme repo=site new_owner=eve");
    check("PUT ~/collaborators/Eve <- {}", "collaborators.admin owner=acme repo=site user=eve");
    check("PUT ~/actions/secrets/TOKEN <- {}", "secrets.admin owner=acme repo=site secret=TOKEN");
    check(
        "PUT ~/environments/prod/secrets/TOKEN <- {}",
        "secrets.admin owner=acme repo=site environment=prod secret=TOKEN",
    );
    check("PUT https://api.github.com/orgs/Acme/actions/secrets/T <- {}", "secrets.admin owner=acme secret=T");
    check("DELETE ~/branches/main/protection", "protection.admin owner=acme repo=site branch=main");
    check("POST ~/hooks <- {}", "hooks.admin owner=acme repo=site");
    check("PATCH https://api.github.com/orgs/acme <- {}", "orgs.settings owner=acme");
}

#[test]
fn the_rest() {
    check(
        r#"POST ~/actions/workflows/ci.yml/dispatches <- {"ref":"main"}"#,
        "actions.dispatch owner=acme repo=site workflow=ci.yml ref=main",
    );
    check(
        r#"POST ~/releases <- {"tag_name":"v1","target_commitish":"main"}"#,
        "releases.create owner=acme repo=site tag=v1 ref=main",
    );
    check(
        "POST https://uploads.github.com/repos/acme/site/releases/1/assets?name=a.zip <- PK",
        "release_assets.upload owner=acme repo=site id=1 name=a.zip",
    );
    check("GET https://api.github.com/search/code?q=x", "search.read kind=code");
    check("GET https://api.github.com/", "meta.read");
    check("GET https://api.github.com/rate_limit", "meta.read");
    check("GET https://api.github.com/user", "user.read");
    check("GET https://api.github.com/gists/abc/commits", "gists.read gist=abc");
    check("POST https://api.github.com/graphql <- {}", "not-understood");
    check("GET https://api.github.com/repositories/1/contents/a", "not-understood");
    check("GET https://api.github.com/rate_limit/", "not-understood");
    check("OPTIONS https://api.github.com/user", "not-understood");
}

#[test]
fn advice() {
    let denied = Operation::new("contents.write").text("owner", "acme").text("repo", "site").text("path", "docs/a.md");
    let request = narrowgate_plugin::Request::https("PUT", crate::API);
    let advice = GitHub::suggest(&request, &[denied]);
    let paths: Vec<_> = advice.iter().filter_map(|advice| advice.operation.text_of("path")).collect();
    assert_eq!(paths, ["docs/a.md", "docs/**"]);
    let examples: Vec<_> = advice.iter().filter_map(GitHub::example).map(|request| request.path).collect();
    assert_eq!(examples, ["/repos/acme/site/contents/docs/a.md", "/repos/acme/site/contents/docs/example"]);
}

#[test]
fn cases_are_answered_from_the_vocabulary() {
    for (_, case) in testing::cases(concat!(env!("CARGO_MANIFEST_DIR"), "/cases")) {
        let _ = testing::classify::<GitHub>(case);
    }
}
