//! approve, publish, reload, enforce: the waiting agent is told once it is true, and exactly what was approved is granted.

use std::time::Duration;

use narrowgate_core::certificate::verify;
use narrowgate_core::dsse::TrustedKey;
use narrowgate_core::schema::Schema;
use narrowgate_core::wire::{Approve, Keys, ProposalStatus};
use narrowgate_tests::system::{HOST, System, rest_rule};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_waiting_agent_is_told_and_its_next_request_passes_on_a_kept_alive_connection() {
    let system = System::usual().await;
    let mut kept = system.connect(HOST).await;
    let denied = kept.request("PUT", "/repos/acme/site/docs/a.md?secret=1", HOST, "{}").await;
    assert_eq!(denied.status, 403, "{}", denied.text());

    let id = system.propose_accepted("docs", rest_rule("PUT", "/repos/acme/site/docs/a.md")).await;
    let path = format!("/v1/proposals/{id}/wait?timeout=30");
    let waiting = system.local("GET", &path, "");
    let deciding = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        system.approve(&id).await
    };
    let (told, approved) = tokio::join!(waiting, deciding);
    let told = told.json();
    assert_eq!((&told["status"], &told["policy_reloaded"]), (&json!("approved"), &json!(true)), "{told:#}");
    assert_eq!((approved.status, approved.activated_version), (ProposalStatus::Approved, Some(2)));
    assert_eq!(system.version(), 2, "told only once it is enforced");

    let passed = kept.request("PUT", "/repos/acme/site/docs/a.md?secret=1", HOST, "{}").await;
    assert_eq!(passed.status, 200, "{}", passed.text());
    for (method, path) in [
        ("PUT", "/repos/acme/site/docs/b.md"),
        ("PUT", "/repos/acme/site/docs/a.md/"),
        ("PUT", "/repos/acme/site/docs"),
        ("PUT", "/repos/acme/site/docs/A.md"),
        ("PUT", "/repos/acme/site/docs/a.md%20"),
        ("DELETE", "/repos/acme/site/docs/a.md"),
        ("PURGE", "/repos/acme/site/docs/a.md"),
    ] {
        let sibling = kept.request(method, path, HOST, "").await;
        assert_eq!(sibling.status, 403, "{method} {path}: {}", sibling.text());
    }
    let read = kept.request("GET", "/repos", HOST, "").await;
    assert_eq!(read.status, 200, "what was allowed still is");
    assert_eq!(system.upstream.lines(), ["PUT /repos/acme/site/docs/a.md?secret=1", "GET /repos"]);
    assert_eq!(system.upstream.seen()[0].body, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_force_carries_a_certificate_over_what_was_approved() {
    let system = System::usual().await;
    let id = system.propose_accepted("docs", rest_rule("PUT", "/repos/acme/site/docs/a.md")).await;
    system.approve(&id).await;
    let bundle = system.bundle().await;
    let keys: Keys = system.sandbox().get("/v1/keys").await.unwrap();
    let keys: Vec<TrustedKey> = keys.keys.iter().map(|key| key.trusted().unwrap()).collect();
    let now = jiff::Timestamp::now().as_second();
    verify(&bundle.certificate, &keys, bundle.policy_hash, Schema::standard(), now).unwrap();
    assert!(verify(&bundle.certificate, &[], bundle.policy_hash, Schema::standard(), now).is_err());
    let other = narrowgate_core::digest::Digest::of(b"another policy");
    assert!(verify(&bundle.certificate, &keys, other, Schema::standard(), now).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_review_token_applies_nothing() {
    let system = System::usual().await;
    let first = system.propose_accepted("docs-a", rest_rule("PUT", "/repos/acme/site/docs/a.md")).await;
    let stale = system.proposal(&first).await.review_token.unwrap();
    // Another approval changes the policy that the first candidate was composed with.
    let other = json!({ "endpoints": [{ "host": "db.example.com", "port": 5432 }] });
    let second = system.propose_accepted("database", other).await;
    system.approve(&second).await;
    let body = Approve { review_token: stale, durability: None };
    let error = system.reviewer().post::<Value>(&format!("/v1/proposals/{first}/approve"), &body).await.unwrap_err();
    assert_eq!(error.status(), Some(409), "{error}");
    assert!(error.to_string().contains("stale_review_token"), "{error}");
    assert_eq!(system.bundle().await.version, 2);
    assert_eq!(system.proposal(&first).await.status, ProposalStatus::Pending);
    // With what the reviewer sees now, it applies, on top of the other.
    system.approve(&first).await;
    system.enforces(3).await;
    let yaml = system.bundle().await.policy_yaml;
    assert!(yaml.contains("docs-a") && yaml.contains("database") && yaml.contains("api_readonly"), "{yaml}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_approvals_at_once_lose_nothing() {
    let system = System::usual().await;
    let first = system.propose_accepted("docs-a", rest_rule("PUT", "/repos/acme/site/docs/a.md")).await;
    let other = json!({ "endpoints": [{ "host": "db.example.com", "port": 5432 }] });
    let second = system.propose_accepted("database", other).await;
    let body = |token: Option<String>| Approve { review_token: token.unwrap(), durability: None };
    let (one, two) =
        (body(system.proposal(&first).await.review_token), body(system.proposal(&second).await.review_token));
    let reviewer = system.reviewer();
    let (path_one, path_two) = (format!("/v1/proposals/{first}/approve"), format!("/v1/proposals/{second}/approve"));
    let (one, two) = tokio::join!(reviewer.post::<Value>(&path_one, &one), reviewer.post::<Value>(&path_two, &two));
    let applied = [&one, &two].into_iter().filter(|answer| answer.is_ok()).count();
    assert!(applied >= 1, "{one:?} {two:?}");
    let bundle = system.bundle().await;
    assert_eq!(bundle.version, 1 + applied as u64);
    assert_eq!(bundle.policy_yaml.contains("docs-a"), one.is_ok(), "{}", bundle.policy_yaml);
    assert_eq!(bundle.policy_yaml.contains("database"), two.is_ok(), "{}", bundle.policy_yaml);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_reaches_the_agent_with_its_reason() {
    let system = System::usual().await;
    let id = system.propose_accepted("docs", rest_rule("PUT", "/repos/acme/site/docs/*")).await;
    let body = json!({ "reason": "one file is enough", "hints": ["too_broad"] });
    let path = format!("/v1/proposals/{id}/wait?timeout=30");
    let reject = format!("/v1/proposals/{id}/reject");
    let reviewer = system.reviewer();
    let (told, _) = tokio::join!(system.local("GET", &path, ""), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        reviewer.post::<Value>(&reject, &body).await.unwrap()
    });
    let told = told.json();
    assert_eq!((&told["status"], &told["policy_reloaded"]), (&json!("rejected"), &json!(false)), "{told:#}");
    assert!(told["rejection_reason"].as_str().unwrap().contains("one file is enough"), "{told:#}");
    assert_eq!(system.version(), 1);
    // What was decided stays decided.
    let approve = Approve { review_token: "any".into(), durability: None };
    let late = reviewer.post::<Value>(&format!("/v1/proposals/{id}/approve"), &approve).await.unwrap_err();
    assert_eq!(late.status(), Some(409), "{late}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_in_time() {
    let system = System::usual().await;
    let id = system.propose_accepted("docs", rest_rule("PUT", "/repos/acme/site/docs/a.md")).await;
    let told = system.local("GET", &format!("/v1/proposals/{id}/wait?timeout=1"), "").await.json();
    assert_eq!((&told["status"], &told["timed_out"]), (&json!("pending"), &json!(true)), "{told:#}");
}
