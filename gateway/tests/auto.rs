//! Findings through the gateway, and mode auto: what is applied without a person, and everything that must not be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::time::Duration;

use common::{System, call, proposal, put, rule};
use narrowgate_core::certificate::Statement;
use narrowgate_core::credentials::Credentials;
use narrowgate_core::wire::Bundle;
use narrowgate_gateway::{Config, Mode};
use serde_json::{Value, json};

/// Reading is for everybody, writing docs for a person to say.
const CEILING: &str = r#"
@review("auto")
permit (principal, action in Action::"read", resource) when { resource.host == "api.github.com" && resource.port == 443 };
permit (principal, action == Action::"PUT", resource) when { resource.host == "api.github.com" && context.path like "/repos*" };
@review("auto")
permit (principal, action, resource) when { resource.host == "db.github.com" };
forbid (principal, action in [Action::"read"], resource)
when { resource.host == "api.github.com" && context.path like "/admin*" };
"#;

const CREDENTIALS: &str = "
version: 1
credentials: [{ name: github-app, host: '*.github.com' }]
";

async fn start(mode: Mode, ceiling: &str, credentials: &str) -> (System, String) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        ceiling: Some((ceiling.to_owned(), "ceiling.cedar".to_owned())),
        mode,
        credentials: Credentials::parse(credentials, "credentials.yaml").unwrap(),
        ..common::config(dir.path())
    };
    let system = System::start_in(dir, config).await;
    let token = system.sandbox("dev").await;
    (system, token)
}

async fn auto() -> (System, String) {
    start(Mode::Auto, CEILING, "version: 1\ncredentials: []\n").await
}

/// A proposal of one operation that cites a denial of exactly `method path` by curl.
fn cited(operation: Value, method: &str, path: &str) -> Value {
    let mut body = proposal(operation);
    body["evidence"][0]["method"] = json!(method);
    body["evidence"][0]["path"] = json!(path);
    body
}

/// Posts it; what the reviewer then sees.
async fn post(system: &System, token: &str, body: Value) -> Value {
    let (status, answer) = system.call("POST", "/v1/sandboxes/dev/proposals", token, Some(body)).await;
    assert_eq!((status, &answer["rejection_reasons"]), (202, &json!([])), "{answer}");
    let id = answer["accepted_chunk_ids"][0].as_str().unwrap();
    system.get(&format!("/v1/proposals/{id}")).await
}

fn read(path: &str) -> Value {
    rule("more", "GET", path, "/usr/bin/curl")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_marked_and_exact_is_applied_at_once_as_a_lease() {
    let (system, token) = auto().await;
    let before = jiff::Timestamp::now();
    let view = post(&system, &token, cited(read("/user"), "GET", "/user")).await;
    assert_eq!(
        (&view["status"], &view["decided_by"], &view["activated_version"]),
        (&json!("approved"), &json!("auto"), &json!(2)),
        "{view:#}"
    );
    assert_eq!((&view["report"]["findings"], &view["not_automatic"]), (&json!([]), &Value::Null));
    let end = view["operation"]["addRule"]["rule"]["endpoints"][0]["expires_at"].as_str().unwrap();
    let end: jiff::Timestamp = end.parse().unwrap();
    let lasts = end.as_second() - before.as_second();
    assert!((3590..=3610).contains(&lasts), "an hour: {lasts}");
    // Signed and published like any version.
    let bundle: Bundle = serde_json::from_value(system.bundle("dev").await).unwrap();
    assert_eq!(bundle.version, 2);
    assert!(bundle.policy_yaml.contains("expires_at"), "{}", bundle.policy_yaml);
    let payload = data_encoding::BASE64.decode(bundle.certificate.payload.as_bytes()).unwrap();
    let statement: Statement = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement.predicate.approver, "auto");
    let history = system.get("/v1/sandboxes/dev/history").await;
    assert_eq!(history["versions"][1]["approver"], "auto");
    // The sandbox learns that it is approved, not by whom.
    let path = format!("/v1/proposals/{}", view["chunk_id"].as_str().unwrap());
    let (_, own) = system.call("GET", &path, &token, None).await;
    assert_eq!((&own["status"], &own["decided_by"]), (&json!("approved"), &Value::Null));
}

/// An end that the rule has already is kept where it is nearer.
#[tokio::test(flavor = "multi_thread")]
async fn a_nearer_end_stays() {
    let (system, token) = auto().await;
    let soon = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + 60).unwrap().to_string();
    let mut operation = read("/user");
    operation["addRule"]["rule"]["endpoints"][0]["expires_at"] = json!(soon);
    let view = post(&system, &token, cited(operation, "GET", "/user")).await;
    assert_eq!(view["status"], "approved", "{view:#}");
    assert_eq!(view["operation"]["addRule"]["rule"]["endpoints"][0]["expires_at"], json!(soon));
}

/// A lease that is over does not keep its name from the same need.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_over_can_be_had_again() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        ceiling: Some((CEILING.to_owned(), "ceiling.cedar".to_owned())),
        mode: Mode::Auto,
        lease: Duration::from_secs(1),
        ..common::config(dir.path())
    };
    let system = System::start_in(dir, config).await;
    let token = system.sandbox("dev").await;
    let body = || cited(read("/user"), "GET", "/user");
    assert_eq!(post(&system, &token, body()).await["activated_version"], 2);
    let refused = system.call("POST", "/v1/sandboxes/dev/proposals", &token, Some(body())).await.1;
    assert!(refused["rejection_reasons"][0].as_str().unwrap().contains("is taken"), "{refused}");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let again = post(&system, &token, body()).await;
    assert_eq!((&again["status"], &again["activated_version"]), (&json!("approved"), &json!(3)), "{again:#}");
    let bundle = system.bundle("dev").await;
    assert_eq!(bundle["policy_yaml"].as_str().unwrap().matches("/user").count(), 1, "the old one is gone: {bundle}");
}

/// Everything that a person must see first.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_person_says_why() {
    let (system, token) = auto().await;
    let l4 = json!({"addRule": {"ruleName": "db", "rule": {
        "binaries": [{"path": "/usr/bin/curl"}], "endpoints": [{"host": "db.github.com", "port": 5432}]}}});
    let mut l4_evidence = proposal(l4.clone());
    l4_evidence["evidence"] = json!([{"denial_id": "d_1", "time": "2026-11-20T21:00:00Z", "layer": "l4",
        "host": "db.github.com", "port": 5432, "binary": "/usr/bin/curl", "reason": "no_matching_rule"}]);
    let partly = json!({"addRule": {"ruleName": "partly", "rule": {
        "binaries": [{"path": "/usr/bin/curl"}],
        "endpoints": [{"host": "api.github.com", "port": 443, "protocol": "rest", "rules": [
            {"allow": {"method": "GET", "path": "/user"}}, {"allow": {"method": "PUT", "path": "/repos/a"}}]}]}}});
    let mut partly = cited(partly, "GET", "/user");
    let mut second = partly["evidence"][0].clone();
    (second["denial_id"], second["method"], second["path"]) = (json!("d_2"), json!("PUT"), json!("/repos/a"));
    partly["evidence"].as_array_mut().unwrap().push(second);
    partly["denial_ids"] = json!(["d_1", "d_2"]);
    // The proxy does not know the denial: it was made up, or is long gone.
    let mut unknown = cited(read("/user"), "GET", "/user");
    unknown["evidence"] = json!([]);
    // A record beside the cited ones is no evidence.
    let mut beside = cited(read("/user"), "GET", "/user");
    beside["denial_ids"] = json!(["d_other"]);
    let add_allow = json!({"addAllowRules": {"ruleName": "read", "host": "api.github.com", "port": 443,
        "rules": [{"allow": {"method": "GET", "path": "/user"}}]}});
    let any = json!({"addRule": {"ruleName": "any", "rule": {
        "endpoints": [{"host": "api.github.com", "port": 443, "protocol": "rest",
                       "rules": [{"allow": {"method": "GET", "path": "/user"}}]}]}}});
    let cases = [
        ("L4", l4_evidence, "never automatic"),
        (
            "outside what is marked",
            cited(put("w", "/repos/a"), "PUT", "/repos/a"),
            "outside the ceiling's permits that are marked",
        ),
        ("partly", partly, "outside the ceiling's permits that are marked"),
        ("unrelated", cited(read("/user"), "GET", "/other"), "there are findings: unrelated_to_denial"),
        ("unknown to the proxy", unknown, "there are findings: unrelated_to_denial"),
        ("not cited", beside, "there are findings: unrelated_to_denial"),
        ("broad", cited(read("/users/**"), "GET", "/users/a"), "there are findings: recursive_path"),
        ("any binary", cited(any, "GET", "/user"), "there are findings: any_binary"),
        ("no end", cited(add_allow, "GET", "/user"), "only addRule is automatic"),
        ("less", proposal(json!({"removeRule": {"ruleName": "read"}})), "only additions are automatic"),
    ];
    for (what, body, why) in cases {
        let view = post(&system, &token, body).await;
        assert_eq!(view["status"], "pending", "{what}: {view:#}");
        assert!(view["not_automatic"].as_str().is_some_and(|reason| reason.contains(why)), "{what}: {view:#}");
        let path = format!("/v1/proposals/{}", view["chunk_id"].as_str().unwrap());
        let (_, own) = system.call("GET", &path, &token, None).await;
        assert_eq!((&own["not_automatic"], &own["report"]), (&Value::Null, &Value::Null), "{what}");
    }
    assert_eq!(system.bundle("dev").await["version"], 1, "nothing was applied");
    // A forbid bounds what is marked, and is no secret path to a refusal that differs by mode.
    let reason = system.submit("dev", &token, read("/admin")).await.unwrap_err();
    assert!(reason.starts_with("outside_org_ceiling"), "{reason}");
    // What waits is decided by a person as ever.
    let view = post(&system, &token, cited(put("w", "/repos/a"), "PUT", "/repos/a")).await;
    let id = view["chunk_id"].as_str().unwrap();
    let (status, view) = system.approve(id, &system.review_token(id).await).await;
    assert_eq!((status, &view["decided_by"], &view["not_automatic"]), (200, &json!("reviewer"), &Value::Null));
}

/// The same proposal, applied in mode auto, waits or is refused wherever something is missing.
#[tokio::test(flavor = "multi_thread")]
async fn mode_and_mark_and_credentials_decide() {
    let exact = || cited(read("/user"), "GET", "/user");
    let none = "version: 1\ncredentials: []\n";
    let unmarked = CEILING.replace("@review(\"auto\")", "");
    for (mode, ceiling, credentials, why) in [
        (Mode::Manual, CEILING, none, None),
        (Mode::Auto, unmarked.as_str(), none, Some("no permit of the ceiling is marked")),
        // curl reads there already; git would be new.
        (Mode::Auto, CEILING, CREDENTIALS, Some("credential_reach_expansion")),
    ] {
        let (system, token) = start(mode, ceiling, credentials).await;
        let mut body = exact();
        if why == Some("credential_reach_expansion") {
            body["operations"][0]["addRule"]["rule"]["binaries"] = json!([{"path": "/usr/bin/git"}]);
            body["evidence"][0]["binary"] = json!("/usr/bin/git");
        }
        let view = post(&system, &token, body).await;
        assert_eq!(view["status"], "pending", "{mode}: {view:#}");
        match why {
            Some(why) => assert!(view["not_automatic"].as_str().unwrap().contains(why), "{view:#}"),
            None => assert_eq!(view["not_automatic"], Value::Null),
        }
        assert_eq!(system.bundle("dev").await["version"], 1);
    }
    let (system, token) = start(Mode::Locked, CEILING, none).await;
    let (_, answer) = system.call("POST", "/v1/sandboxes/dev/proposals", &token, Some(exact())).await;
    assert!(answer["rejection_reasons"][0].as_str().unwrap().starts_with("locked"), "{answer}");
    assert_eq!(system.bundle("dev").await["version"], 1);
}

/// Many at once: each that is applied is a version of its own, none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn several_at_once_are_all_applied() {
    let (system, token) = auto().await;
    let addr = system.gateway.addr();
    let posts = (0..4).map(|n| {
        let path = format!("/user/{n}");
        let body = cited(rule(&format!("r{n}"), "GET", &path, "/usr/bin/curl"), "GET", &path).to_string();
        let token = token.clone();
        tokio::spawn(async move { call(addr, "POST", "/v1/sandboxes/dev/proposals", Some(&token), Some(body)).await })
    });
    for post in posts.collect::<Vec<_>>() {
        assert_eq!(post.await.unwrap().0, 202);
    }
    let listed = system.get("/v1/proposals").await;
    let statuses: Vec<&Value> = listed["proposals"].as_array().unwrap().iter().map(|p| &p["status"]).collect();
    // The same host and binary: one that was still pending may be superseded by a newer one, and none is left behind.
    assert!(statuses.iter().all(|s| **s == "approved" || **s == "superseded"), "{listed:#}");
    let approved = statuses.iter().filter(|status| **status == "approved").count();
    assert_eq!(system.bundle("dev").await["version"], json!(approved + 1));
}

/// The reviewer sees everything, the sandbox what is its own: no credential, no ceiling.
#[tokio::test(flavor = "multi_thread")]
async fn findings_are_in_the_view_and_in_the_advice() {
    let (system, token) = start(Mode::Manual, CEILING, CREDENTIALS).await;
    let body = cited(rule("docs", "PUT", "/repos/**", "/usr/bin/curl"), "PUT", "/repos/acme/a.md");
    let view = post(&system, &token, body.clone()).await;
    let found = &view["report"]["findings"];
    assert_eq!((&found[0]["name"], &found[1]["name"]), (&json!("capability_expansion"), &json!("recursive_path")));
    assert_eq!(found[0]["where"], "/network_policies/docs/endpoints/0/rules/0");
    assert_eq!(found[0]["credential"], "github-app");
    assert_eq!(found[0]["witness"]["binary"], "/usr/bin/curl");
    assert_eq!(found[1]["segment"], "/repos/**");

    let (status, advice) = system.call("POST", "/v1/sandboxes/dev/proposals/check", &token, Some(body.clone())).await;
    assert_eq!((status, &advice["verdict"]), (200, &json!("within")), "{advice}");
    let names: Vec<&Value> = advice["findings"].as_array().unwrap().iter().map(|f| &f["name"]).collect();
    assert_eq!(names, ["capability_expansion", "recursive_path"]);
    let shown = advice.to_string();
    for hidden in ["github-app", "*.github.com", "credential\"", "witness", "permit", "sha256", "/admin", "review"] {
        assert!(!shown.contains(hidden), "{hidden}: {shown}");
    }
    // What is offered instead is ready to post, and has nothing against it but what the credential brings.
    let tightest = advice["tightest"].clone();
    assert_eq!(tightest["endpoints"][0]["rules"][0]["allow"], json!({"method": "PUT", "path": "/repos/acme/a.md"}));
    let mut narrower = body;
    narrower["operations"] = json!([{"addRule": {"ruleName": tightest["name"], "rule": tightest}}]);
    let (_, advice) = system.call("POST", "/v1/sandboxes/dev/proposals/check", &token, Some(narrower)).await;
    let names: Vec<&Value> = advice["findings"].as_array().unwrap().iter().map(|f| &f["name"]).collect();
    assert_eq!((names, &advice["tightest"]), (vec![&json!("capability_expansion")], &Value::Null), "{advice}");
}

/// A proposal that was noted under other credentials is noted anew before anybody decides on it.
#[tokio::test(flavor = "multi_thread")]
async fn other_credentials_are_another_review() {
    let (system, token) = start(Mode::Manual, CEILING, "version: 1\ncredentials: []\n").await;
    let view = post(&system, &token, cited(put("docs", "/repos/a"), "PUT", "/repos/a")).await;
    assert_eq!(view["report"]["findings"], json!([]));
    let (id, stale) = (view["chunk_id"].as_str().unwrap().to_owned(), view["review_token"].clone());
    let System { gateway, dir, .. } = system;
    gateway.shutdown().await;
    let config = Config {
        ceiling: Some((CEILING.to_owned(), "ceiling.cedar".to_owned())),
        credentials: Credentials::parse(CREDENTIALS, "credentials.yaml").unwrap(),
        ..common::config(dir.path())
    };
    let system = System::start_in(dir, config).await;
    let (status, answer) = system.approve(&id, &stale).await;
    assert_eq!((status, &answer["error"]), (409, &json!("stale_review_token")), "{answer}");
    assert_eq!(answer["proposal"]["report"]["findings"][0]["name"], "capability_expansion", "{answer:#}");
    assert_eq!(system.approve(&id, &answer["proposal"]["review_token"]).await.0, 200);
}
