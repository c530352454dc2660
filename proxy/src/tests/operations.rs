//! A request is what a plugin says it is: every operation must be allowed, and a denial says which are not.

use std::time::Duration;

use serde_json::{Value, json};

use super::guests::{echo, policy, refuses, rig, writes};
use super::rig::Rig;

const TWO: &str = "rules: [{ allow: { action: \"acme::page.write\", where: { path: \"docs/*\" } } }]";

/// The denial of `GET /any` under this policy.
async fn denied(rig: &Rig, rules: &str, reason: &str) -> Value {
    rig.enforce(&policy(rules), rig.proxy.version() + 1);
    rig.tls().await.ask("GET /any?token=s3cret").await.denied(403, reason)
}

fn paths(operations: &Value) -> Vec<&str> {
    operations.as_array().unwrap().iter().map(|operation| operation["attributes"]["path"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_operation_must_be_allowed() {
    let rig = rig([writes(&["docs/a", "src/b", "docs/c", "src/d"])]).await;
    let denial = denied(&rig, TWO, "no_matching_rule").await;
    assert_eq!(paths(&denial["operations"]), ["src/b", "src/d"], "{denial}");
    assert_eq!(denial["operation"], denial["operations"][0]);
    assert_eq!(denial["operation"]["action"], "acme::page.write");
    assert_eq!(
        (&denial["protocol"], &denial["policy"], &denial["layer"]),
        (&json!("acme"), &json!("api"), &json!("l7"))
    );
    assert_eq!(denial["rule_missing"]["type"], "operation_allow");
    let offered = denial["next_steps"].as_array().unwrap().last().unwrap()["body"]["operations"][0]["addRule"].clone();
    let rules = offered["rule"]["endpoints"][0]["rules"].to_string();
    assert!(rules.contains("src/b") && rules.contains("src/d") && !rules.contains("docs"), "{rules}");

    // With the rules that the denial offers beside its own, it is allowed.
    let both = TWO.replace("docs/*", "docs/*\" } } }, { allow: { action: \"acme::page.write\", where: { path: \"src/*");
    rig.enforce(&policy(&both), 9);
    assert_eq!(rig.tls().await.ask("GET /any").await.status, 200);
    assert_eq!(rig.upstream.lines(), ["GET /any"]);
}

#[tokio::test]
async fn what_is_denied_on_purpose_is_said_first() {
    let rig = rig([writes(&["other", "docs/secret"])]).await;
    let rules = format!("{TWO}, deny_rules: [{{ action: \"acme::page.write\", where: {{ path: \"docs/secret\" }} }}]");
    let denial = denied(&rig, &rules, "deny_rule").await;
    assert_eq!(paths(&denial["operations"]), ["other", "docs/secret"], "{denial}");
    assert!(!denial["next_steps"].to_string().contains("submit_proposal"), "{denial}");
}

#[tokio::test]
async fn denials_are_evidence_and_the_log_has_no_values() {
    let rig = rig([writes(&["docs/hidden", "src/hidden"])]).await;
    let denial = denied(&rig, TWO, "no_matching_rule").await;
    let mut local = rig.dial().await;
    local.send("GET http://policy.local/v1/denials?last=1 HTTP/1.1\r\nhost: policy.local\r\n\r\n").await;
    let listed = local.response().await.json()["denials"][0].take();
    assert_eq!(listed["denial_id"], denial["denial_id"]);
    assert_eq!(listed["operations"], json!([denial["operation"]]), "{listed}");

    rig.enforce(&policy("rules: [{ allow: { action: \"acme::page.write\" } }]"), 9);
    assert_eq!(rig.tls().await.ask("GET /any").await.status, 200);
    let audit = rig.audit();
    let lines: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |action: u64| lines.iter().find(|line| line["action_id"] == action && line["class_uid"] == 4002).unwrap();
    assert_eq!(of(2)["unmapped"]["operations"], json!(["acme::page.write"]));
    assert_eq!(of(1)["unmapped"]["operations"], json!(["acme::page.write", "acme::page.write"]));
    assert_eq!(of(1)["unmapped"]["plugin"], "acme");
    for secret in ["hidden", "s3cret"] {
        assert!(!audit.contains(secret), "{audit}");
    }
    let short = crate::audit::short(of(2), Duration::ZERO).unwrap();
    assert!(short.ends_with("reason:no_matching_rule operations:acme::page.write]"), "{short}");
}

#[tokio::test]
async fn a_refusal_is_a_denial_that_names_the_plugin() {
    for (kind, reason, detail) in [
        (0, "plugin_error", "does not understand the request: why"),
        (1, "request_ambiguous", "reads the request in two ways: why"),
        (2, "plugin_error", "needs the whole body: why"),
        (3, "plugin_error", "finds the request malformed: why"),
    ] {
        let rig = rig([refuses(kind, "why")]).await;
        // Whatever the policy grants there.
        let denial = denied(&rig, "access: full", reason).await;
        let told = denial["detail"].as_str().unwrap();
        assert!(told.contains("plugin acme@sha256:") && told.contains(detail), "{told}");
        assert!(!denial["next_steps"].to_string().contains("submit_proposal"), "{denial}");
        assert!(rig.upstream.seen().is_empty());
        assert!(!rig.audit().contains("why"), "what a plugin says of a request is not for the log");
    }
}

#[tokio::test]
async fn a_method_that_carries_no_action_is_denied() {
    let rig = rig([writes(&["a"])]).await;
    rig.enforce(&policy("access: full"), 2);
    for method in ["DELETE", "OPTIONS", "PROPFIND", "PATCH"] {
        let denial = rig.tls().await.ask(&format!("{method} /any")).await.denied(403, "plugin_error");
        assert!(denial["detail"].as_str().unwrap().contains("is not carried by"), "{denial}");
    }
    for method in ["GET", "POST"] {
        assert_eq!(rig.tls().await.ask(&format!("{method} /any")).await.status, 200, "{method}");
    }
    let mut head = rig.tls().await;
    head.send("HEAD /any HTTP/1.1\r\nhost: api.test\r\n\r\n").await;
    assert_eq!(head.head().await.status, 200, "GET stands for HEAD");
}

#[tokio::test]
async fn what_is_decided_is_decided_by_what_is_in_force_when_it_has_been_read() {
    let rig = rig([echo("problem")]).await;
    let open = policy("rules: [{ allow: { action: \"acme::echo\" } }]");
    rig.enforce(&open, 2);
    let cases = [
        (policy("rules: [{ allow: { action: \"acme::page.write\" } }]"), "no_matching_rule"),
        (super::rig::POLICY.to_owned(), "request_ambiguous"),
    ];
    for (version, (then, reason)) in (3..).step_by(2).zip(cases) {
        let mut client = rig.tls().await;
        client.send("POST /any HTTP/1.1\r\nhost: api.test\r\ncontent-length: 5\r\n\r\nhel").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        rig.enforce(&then, version);
        client.send("lo").await;
        client.response().await.denied(403, reason);
        rig.enforce(&open, version + 1);
    }
    assert!(rig.upstream.seen().is_empty());
}

#[tokio::test]
async fn a_stream_ends_when_one_of_its_operations_is_no_longer_allowed() {
    let rig = rig([writes(&["docs/a", "src/b"])]).await;
    let both = "rules: [{ allow: { action: \"acme::page.write\" } }]";
    for path in ["/endless", "/silent"] {
        rig.enforce(&policy(both), rig.proxy.version() + 1);
        let mut client = rig.tls().await;
        client.send(&format!("GET {path} HTTP/1.1\r\nhost: api.test\r\n\r\n")).await;
        if path == "/endless" {
            assert_eq!(client.head().await.status, 200);
            assert!(client.more().await);
        } else {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        rig.enforce(&policy(TWO), rig.proxy.version() + 1);
        if path == "/endless" {
            let ended = tokio::time::timeout(Duration::from_secs(5), async { while client.more().await {} });
            ended.await.expect("the stream is cut");
        } else {
            let denial = client.response().await.denied(403, "no_matching_rule");
            assert_eq!(denial["operation"]["attributes"]["path"], "src/b", "{denial}");
        }
    }
}
