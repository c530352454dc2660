//! An author's cases: what is compared, what is written, and what cannot be read.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::path::Path;

use common::{Answer, Guest};
use narrowgate_plugins::cases::{CaseRequest, Verdict, bless, run};
use serde_json::{Value, json};

const REQUEST: &str = "PUT https://api.acme.example/pages/a.md?x=1 HTTP/1.1\r\nAccept: text/plain\r\nhost: api.acme.example\r\n\r\n{\"a\": 1}\n";

fn directory(cases: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in cases {
        fs::write(directory.path().join(name).with_extension("http"), text).unwrap();
    }
    directory
}

fn golden(directory: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(directory.join(format!("{name}.golden.json"))).unwrap()).unwrap()
}

#[test]
fn blessed_cases_pass_and_changes_are_shown() {
    let plugin = Guest::new().load();
    let cases = directory(&[("write", REQUEST)]);
    let report = run(&plugin, cases.path()).unwrap();
    assert!(!report.is_ok() && matches!(&report.cases[0].verdict, Verdict::NoGolden(_)), "{report}");
    assert!(bless(&plugin, cases.path()).unwrap().is_ok());
    let report = run(&plugin, cases.path()).unwrap();
    assert!(report.is_ok(), "{report}");
    assert_eq!(report.never_seen, ["acme::page.read"]);
    assert_eq!(report.to_string(), "ok    write\n1 cases, 0 failed; no case has acme::page.read\n");

    let said = golden(cases.path(), "write");
    assert_eq!(said["operations"], json!([{"action": "acme::page.write", "attributes": {"path": "a.md"}}]));
    let variants: Vec<&String> = said["variants"].as_object().unwrap().keys().collect();
    assert_eq!(variants, ["truncated", "duplicate_header", "encoded_slash"]);
    assert!(said["fuel"].as_u64().unwrap() > 0);

    let path = cases.path().join("write.golden.json");
    let text = fs::read_to_string(&path).unwrap();
    for (from, to, shown) in [
        ("page.write", "page.read", "-      \"action\": \"acme::page.read\""),
        ("\"fuel\": ", "\"fuel\": 9", "-  \"fuel\": 9"),
        ("\"operations\"", "\"extra\": 1, \"operations\"", "-  \"extra\": 1"),
    ] {
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let report = run(&plugin, cases.path()).unwrap();
        let Verdict::Differs(diff) = &report.cases[0].verdict else { panic!("{report}") };
        assert!(diff.contains(shown), "{diff}");
    }
    fs::write(&path, "{").unwrap();
    assert!(matches!(run(&plugin, cases.path()).unwrap().cases[0].verdict, Verdict::NoGolden(_)));
}

#[test]
fn what_is_no_operation_is_written_down_too() {
    let check = |guest: Guest, request: &str, expect: Value| {
        let cases = directory(&[("case", request)]);
        bless(&guest.load(), cases.path()).unwrap();
        let mut said = golden(cases.path(), "case");
        said.as_object_mut().unwrap().retain(|key, _| key != "fuel" && key != "variants");
        assert_eq!(said, expect, "{request:?}");
        assert!(run(&guest.load(), cases.path()).unwrap().is_ok());
    };
    let refusing = Guest { answers: Answer::Refusal(2, "more".to_owned()), ..Guest::new() };
    check(refusing, REQUEST, json!({"refusal": {"kind": "needs-body", "detail": "more"}}));
    let failure = json!({"failure": "acme::page.write is not carried by POST"});
    check(Guest::new(), &REQUEST.replace("PUT", "POST"), failure);
    let unasked = "path \"/pages//a.md\": an empty segment is dropped by some servers and kept by others";
    check(Guest::new(), &REQUEST.replace("pages/", "pages//"), json!({"unasked": unasked}));
    let encoded = REQUEST.replace("Accept: text/plain", "content-encoding: br");
    let unasked = "the content-encoding \"br\" is not read; gzip, deflate and identity are";
    check(Guest::new(), &encoded, json!({"unasked": unasked}));
}

#[test]
fn what_is_no_request_is_pointed_at() {
    let check = |file: &str, expect: &str| {
        let cases = directory(&[("case", file)]);
        let error = run(&Guest::new().load(), cases.path()).unwrap_err().to_string();
        assert!(error.ends_with(expect), "{error:?} does not end in {expect:?}");
    };
    check("", "case.http:1: \"\" is not of the form `PUT https://HOST/PATH HTTP/1.1`");
    check("PUT /pages HTTP/1.1", ":1: \"PUT /pages HTTP/1.1\" is not of the form `PUT https://HOST/PATH HTTP/1.1`");
    check("put https://a.example/ HTTP/1.1", ":1: method \"put\": methods are upper case");
    check("PUT https://a.example/ HTTP/1.1\nno header", ":2: \"no header\" is not NAME: VALUE");
    let empty = tempfile::tempdir().unwrap();
    assert!(run(&Guest::new().load(), empty.path()).unwrap_err().to_string().ends_with("has no .http files"));
}

#[test]
fn bodies_are_bytes() {
    let parse = |file: &[u8]| CaseRequest::parse(file).unwrap();
    let request = parse(b"POST http://a.example:81?q HTTP/1.1\nA:  b \n\n\xff\n\nx");
    assert_eq!(request.body.as_deref(), Some(&b"\xff\n\nx"[..]));
    assert_eq!(request.headers, [("a".to_owned(), "b".to_owned())]);
    assert_eq!((request.target.as_str(), request.authority.to_string().as_str()), ("/?q", "a.example:81"));
    assert_eq!(parse(b"GET https://a.example HTTP/1.1").body, None);
    let empty = parse(b"POST https://a.example/ HTTP/1.1\nContent-Length: 0\n\n");
    assert_eq!(empty.body.as_deref(), Some(&b""[..]));
}
