#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::os::unix::fs::PermissionsExt;

use super::*;

fn flow(outcome: Outcome) -> Flow {
    Flow {
        plugin: None,
        operations: Vec::new(),
        pid: Some(4711),
        command: Some("curl -H [redacted] https://api.github.com/".into()),
        process: Process {
            path: "/usr/bin/curl".into(),
            sha256: "ab".repeat(32),
            ancestors: vec!["/bin/bash".into(), "/usr/bin/agent".into()],
            sandbox: "box".into(),
        },
        host: "api.github.com".into(),
        port: 443,
        outcome,
        policy: Some("docs_writer".into()),
        rule: (outcome == Outcome::Allowed).then(|| "PUT /repos/acme/site/contents/docs/**".into()),
        version: Some(3),
        hash: Some(Digest::of(b"policy")),
        review: None,
    }
}

fn event(what: What) -> Event {
    let time = "2026-11-20T21:00:00.123Z".parse().unwrap();
    Event { time, correlation: "d_1".into(), sandbox: "box".into(), what }
}

fn put(outcome: Outcome, path: &str) -> Event {
    let (method, scheme, path) = ("PUT".into(), "https".into(), path.into());
    event(What::Http { flow: flow(outcome), method, scheme, path })
}

/// One event of each kind.
fn every_kind() -> Vec<Event> {
    let config = |change| What::Config {
        change,
        version: Some(4),
        hash: Some(Digest::of(b"policy")),
        subject: Some("p_1".into()),
        detail: "policy version 4 is in force".into(),
    };
    let finding = |flow| What::Finding {
        title: "server name mismatch".into(),
        detail: "the connection is for a.example and asks for b.example".into(),
        severity: Severity::High,
        flow,
    };
    let denied = Outcome::Denied(Reason::NoMatchingRule);
    let mut kinds = vec![What::Network(flow(Outcome::Allowed)), What::Network(flow(denied)), finding(None)];
    kinds.push(finding(Some(flow(denied))));
    kinds.extend(
        [
            Change::Proposed,
            Change::Approved,
            Change::Rejected,
            Change::Superseded,
            Change::Loaded,
            Change::RolledBack,
            Change::Refused,
            Change::Revoked,
            Change::KeysReplaced,
        ]
        .map(config),
    );
    let mut events: Vec<Event> = kinds.into_iter().map(event).collect();
    events.extend([put(Outcome::Allowed, "/a"), put(denied, "/a")]);
    events
}

#[test]
fn every_event_has_what_its_class_requires() {
    for event in every_kind() {
        let json = event.to_json();
        let number = |name: &str| json[name].as_u64().unwrap_or_else(|| panic!("{name} in {json:#}"));
        assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"), "{json:#}");
        assert_eq!(number("category_uid"), number("class_uid") / 1000, "{json:#}");
        assert!((1..=5).contains(&number("severity_id")));
        assert_eq!(json["time"], 1_795_208_400_123_i64);
        assert_eq!(json["metadata"]["version"], "1.8.0");
        assert_eq!(json["metadata"]["correlation_uid"], "d_1");
        assert_eq!(json["metadata"]["product"]["name"], "Narrowgate");
        assert_eq!(json["device"]["type_id"], 99);
        let required: &[&str] = match number("class_uid") {
            4001 => &["/dst_endpoint/port", "/actor/process/file/hashes/0/value", "/action_id", "/disposition_id"],
            4002 => &["/http_request/url/url_string", "/dst_endpoint/hostname", "/actor/process/ancestry/1/path"],
            5019 => &["/policy/uid", "/policy/version", "/message", "/unmapped/change"],
            2004 => &["/finding_info/uid", "/finding_info/title", "/is_alert"],
            class => panic!("{class}"),
        };
        for pointer in required {
            assert!(json.pointer(pointer).is_some(), "{pointer} in {json:#}");
        }
        assert!(!json.to_string().contains("null"), "{json:#}");
    }
}

#[test]
fn a_decision_names_its_rule_and_its_policy() {
    let allowed = put(Outcome::Allowed, "/repos/acme/site/contents/docs/a.md").to_json();
    assert_eq!((allowed["action_id"].as_u64(), allowed["disposition_id"].as_u64()), (Some(1), Some(1)));
    assert_eq!(allowed["firewall_rule"]["name"], "docs_writer");
    assert_eq!(allowed["firewall_rule"]["uid"], "PUT /repos/acme/site/contents/docs/**");
    assert_eq!(allowed["policy"]["uid"], Digest::of(b"policy").to_string());
    assert_eq!(allowed["policy"]["version"], "3");
    let denied = put(Outcome::Denied(Reason::NoMatchingRule), "/x").to_json();
    assert_eq!((denied["action_id"].as_u64(), denied["disposition_id"].as_u64()), (Some(2), Some(2)));
    assert_eq!(denied["unmapped"]["reason"], "no_matching_rule");
    assert_eq!(denied["status_detail"], "no_matching_rule");
}

#[test]
fn a_query_that_a_caller_left_is_cut_off() {
    let json = put(Outcome::Allowed, "/a?token=hunter2#hunter2").to_json();
    assert!(!json.to_string().contains("hunter2"), "{json:#}");
    assert_eq!(json["http_request"]["url"]["url_string"], "https://api.github.com:443/a");
}

#[test]
fn the_short_form_fits_a_line() {
    let since = Duration::from_millis(26_900);
    let denied = Outcome::Denied(Reason::NoMatchingRule);
    let hash = Digest::of(b"policy");
    let lines: Vec<String> = every_kind().iter().map(|event| event.short(since)).collect();
    assert_eq!(
        lines[0],
        "[t+26] NET:OPEN [INFO] ALLOWED api.github.com:443 [policy:docs_writer rule:PUT /repos/acme/site/contents/docs/**]"
    );
    assert_eq!(
        lines[1],
        "[t+26] NET:REFUSE [MED] DENIED api.github.com:443 [policy:docs_writer reason:no_matching_rule]"
    );
    assert_eq!(
        lines[2],
        "[t+26] FINDING [HIGH] server name mismatch: the connection is for a.example and asks for b.example"
    );
    assert!(lines.contains(&format!(
        "[t+26] CONFIG:LOADED [INFO] policy version 4 is in force [version:4 policy:{hash} subject:p_1]"
    )));
    assert!(lines.iter().any(|line| line.starts_with("[t+26] CONFIG:ROLLED_BACK [MED] ")), "{lines:#?}");
    assert_eq!(
        put(denied, "/repos/a").short(since),
        "[t+26] HTTP:PUT [MED] DENIED PUT https://api.github.com:443/repos/a [policy:docs_writer reason:no_matching_rule]"
    );
    assert_eq!(short(&serde_json::json!({"class_uid": 1, "severity_id": 1}), since), None);
    assert_eq!(short(&serde_json::json!("text"), since), None);
}

#[test]
fn what_a_client_chose_cannot_forge_a_line() {
    let path = "/a\n[t+1] CONFIG:LOADED [INFO] \u{1b}[2J\u{202e}\u{2028}\u{85}";
    let event = put(Outcome::Allowed, path);
    let short = event.short(Duration::ZERO);
    assert!(short.chars().all(|c| !c.is_control() && !('\u{2028}'..='\u{202e}').contains(&c)), "{short:?}");
    assert!(!event.to_json().to_string().contains('\n'));
}

#[test]
fn lines_are_appended_whole_and_for_the_owner_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.ocsf.jsonl");
    let log = AuditLog::open(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| log.write(&put(Outcome::Allowed, "/a")).unwrap()));
        }
    });
    AuditLog::open(&path).unwrap().write(&put(Outcome::Allowed, "/b")).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 201);
    assert_eq!(lines[200]["http_request"]["url"]["path"], "/b");
}

#[test]
fn a_log_that_cannot_be_written_is_an_error() {
    let log = AuditLog::open(Path::new("/dev/full")).unwrap();
    let error = log.write(&put(Outcome::Allowed, "/secret")).unwrap_err().to_string();
    assert!(error.starts_with("audit log /dev/full: "), "{error}");
    assert!(!error.contains("secret"));
    let missing = AuditLog::open(Path::new("/nonexistent/audit.jsonl")).err().unwrap().to_string();
    assert!(missing.starts_with("audit log /nonexistent/audit.jsonl: "), "{missing}");
}
