#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use narrowgate_core::request::PathOptions;

use super::*;

const OLD: &str = "0123456789abcdef0123456789abcdef01234567";

fn commands(capabilities: &str, refs: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for (at, name) in refs.iter().enumerate() {
        let capabilities = if at == 0 { format!("\0{capabilities}") } else { String::new() };
        packet(&mut body, format!("{OLD} {OLD} {name}{capabilities}").as_bytes());
    }
    body.extend_from_slice(b"0000PACK and what follows it");
    body
}

fn rejected(capabilities: &str, refs: &[&str]) -> Option<String> {
    let body = commands(capabilities, refs);
    Push::read(&body).map(|push| String::from_utf8(push.rejected("no\nsorry", "d_1")).unwrap())
}

#[test]
fn every_ref_is_rejected_in_the_way_that_was_asked_for() {
    let two = &["refs/heads/main", "refs/tags/v1"];
    let report = "001eunpack narrowgate: denied\n002dng refs/heads/main denied by policy, d_1\n\
                  002ang refs/tags/v1 denied by policy, d_1\n0000";
    assert_eq!(rejected(" report-status agent=git/2", two).unwrap(), report);
    assert_eq!(rejected(" report-status-v2 quiet", two).unwrap(), report);
    let banded = format!("0008\u{2}no\n000b\u{2}sorry\n{:04x}\u{1}{report}0000", report.len() + 5);
    assert_eq!(rejected(" report-status-v2 side-band-64k object-format=sha1 agent=git/2", two).unwrap(), banded);
    assert_eq!(rejected(" side-band-64k", two).unwrap(), "0008\u{2}no\n000b\u{2}sorry\n0000");
    assert_eq!(rejected("", two).unwrap(), "");
}

#[test]
fn what_is_no_push_is_not_answered_as_one() {
    for body in [&b""[..], b"0000", b"0004", b"zzzz", b"0003", b"ffffx", b"000ahello\n", b"\xff\xff\xff\xff"] {
        assert!(Push::read(body).is_none(), "{body:?}");
    }
    assert!(rejected(" report-status", &["refs/heads/a\u{1b}[31m"]).is_none(), "nothing that moves a cursor is echoed");
    let mut cut = commands(" report-status", &["refs/heads/a", "refs/heads/b"]);
    cut.truncate(cut.len() - 40);
    assert_eq!(Push::read(&cut).unwrap().refs, ["refs/heads/a"], "what is known of it");
}

#[test]
fn a_long_push_is_reported_in_whole() {
    let names: Vec<String> = (0..3000).map(|n| format!("refs/heads/{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let body = commands(" report-status side-band-64k", &names);
    let answer = Push::read(&body).unwrap().rejected("no", "d_1");
    let (mut rest, mut report) = (answer.as_slice(), Vec::new());
    while let Some((line, after)) = next_packet(rest) {
        rest = after;
        assert!(line.len() <= 65_516);
        if let Some(part) = line.strip_prefix(b"\x01") {
            report.extend_from_slice(part);
        }
    }
    assert_eq!(rest, b"0000");
    let mut lines = Vec::new();
    let mut rest = report.as_slice();
    while let Some((line, after)) = next_packet(rest) {
        rest = after;
        lines.push(line);
    }
    assert_eq!(lines.len(), 3001, "and each of its packets is whole");
}

#[test]
fn calls_are_known_by_method_and_target() {
    let call = |method: &str, target: &str| {
        let target = Target::parse(target, &PathOptions::default()).unwrap();
        let body = Content::Complete(Bytes::from_static(b"0000"));
        Call::of(&Method::parse(method).unwrap(), &target, &body)
    };
    assert!(matches!(call("GET", "/a.git/info/refs?service=git-upload-pack"), Some(Call::Advertise(Service::Upload))));
    assert!(matches!(
        call("GET", "/a.git/info/refs?service=git-receive-pack"),
        Some(Call::Advertise(Service::Receive))
    ));
    assert!(matches!(call("POST", "/a.git/git-upload-pack"), Some(Call::Fetch)));
    assert!(matches!(call("POST", "/a.git/git-receive-pack"), Some(Call::Push(_))));
    for (method, target) in [
        ("GET", "/a.git/info/refs"),
        ("GET", "/a.git/info/refs?service=git-other"),
        ("GET", "/a.git/info/refs?service=git-upload-pack&service=git-upload-pack"),
        ("HEAD", "/a.git/info/refs?service=git-upload-pack"),
        ("GET", "/a.git/HEAD"),
        ("GET", "/a.git/git-receive-pack"),
        ("POST", "/a.git/xgit-receive-pack"),
    ] {
        assert!(call(method, target).is_none(), "{method} {target}");
    }
}

#[test]
fn a_refused_advertisement_is_an_error_packet() {
    let denial = crate::respond::json_rpc::tests::denial();
    let message = message(&denial);
    assert!(message.starts_with("no rule allows POST api.test:443/any for /usr/bin/agent\ndenial: d_1\n"), "{message}");
    assert!(message.contains("POST http://policy.local/v1/proposals {\"intent_summary\""), "{message}");
    let response = response(&Call::Advertise(Service::Receive), &denial).unwrap();
    assert_eq!(response.headers()[CONTENT_TYPE], "application/x-git-receive-pack-advertisement");
    let response = super::response(&Call::Fetch, &denial).unwrap();
    assert_eq!(response.headers()[CONTENT_TYPE], "application/x-git-upload-pack-result");
}
