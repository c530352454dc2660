//! From a sandbox to a bundle that verifies, and what is refused on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{BASELINE, System, policy, proposal, put, rule};
use narrowgate_core::certificate::{Statement, verify};
use narrowgate_core::compile::Compiled;
use narrowgate_core::dsse::TrustedKey;
use narrowgate_core::wire::{Bundle, Keys};
use narrowgate_gateway::Config;
use serde_json::{Value, json};

/// What the proxy does with a bundle before it enforces it.
async fn certified(system: &System, bundle: Value) -> Statement {
    let bundle: Bundle = serde_json::from_value(bundle).unwrap();
    let keys: Keys = serde_json::from_value(system.get("/v1/keys").await).unwrap();
    let keys: Vec<TrustedKey> = keys.keys.iter().map(|key| key.trusted().unwrap()).collect();
    let compiled = Compiled::policy(&policy(&bundle.policy_yaml)).unwrap();
    assert_eq!(compiled.digest(), bundle.policy_hash);
    let statement = verify(&bundle.certificate, &keys, compiled.digest(), compiled.schema(), 0).unwrap().statement;
    assert_eq!((&statement.predicate.sandbox, statement.predicate.version), (&bundle.sandbox, bundle.version));
    statement
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrow_rule_is_approved_and_published() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let statement = certified(&system, system.bundle("dev").await).await;
    assert_eq!(statement.predicate.approver, "admin");

    let id = system.submit("dev", &token, put("docs", "/repos/acme/site/contents/docs/**")).await.unwrap();
    let view = system.get(&format!("/v1/proposals/{id}")).await;
    assert_eq!(
        (&view["status"], &view["validation_result"], &view["source"]),
        (&json!("pending"), &json!("within"), &json!("agent"))
    );
    assert_eq!(view["report"]["verdict"], "within");
    assert_eq!(view["operation"]["addRule"]["ruleName"], "docs");
    assert_eq!(view["evidence"][0]["path"], "/repos/acme/site/contents/a.md", "no query string is kept");
    assert_eq!(system.get("/v1/sandboxes/dev").await["pending"], 1);

    let (status, view) = system.approve(&id, &view["review_token"]).await;
    assert_eq!(
        (status, &view["status"], &view["activated_version"], &view["decided_by"]),
        (200, &json!("approved"), &json!(2), &json!("reviewer"))
    );
    let bundle = system.bundle("dev").await;
    assert_eq!(bundle["version"], 2);
    assert!(bundle["policy_yaml"].as_str().unwrap().contains("/repos/acme/site/contents/docs/**"));
    assert_eq!(certified(&system, bundle).await.predicate.approver, "reviewer");

    let history = system.get("/v1/sandboxes/dev/history").await;
    let versions: Vec<_> =
        history["versions"].as_array().unwrap().iter().map(|v| (v["version"].clone(), v["chunk_id"].clone())).collect();
    assert_eq!(versions, [(json!(1), Value::Null), (json!(2), json!(id))]);
    let (status, again) = system.approve(&id, &json!("whatever")).await;
    assert_eq!((status, &again["error"]), (409, &json!("not_pending")));
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_the_ceiling_is_refused_at_submit_with_a_request() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    for (name, path) in [("other", "/repos/other/**"), ("sneaky", "/repos/other/site/contents/acme")] {
        let reason = system.submit("dev", &token, put(name, path)).await.unwrap_err();
        assert!(reason.starts_with("outside_org_ceiling: "), "{reason}");
        assert!(reason.contains("curl -X PUT 'https://"), "{reason}");
        assert!(!reason.contains("/repos/acme"), "the ceiling stays hidden: {reason}");
    }
    let listed = system.get("/v1/proposals?sandbox=dev&status=rejected").await;
    let listed = listed["proposals"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (&listed[0]["validation_result"], &listed[0]["report"]["verdict"]),
        (&json!("exceeds"), &json!("exceeds"))
    );
    assert_eq!(listed[0]["hints"], json!(["outside_org_ceiling"]));
    let id = listed[0]["chunk_id"].as_str().unwrap();
    let (status, _) = system.approve(id, &json!("")).await;
    assert_eq!(status, 409);
    assert_eq!(system.bundle("dev").await["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_by_reason() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let cases = [
        (rule("again", "GET", "/repos/**", "/usr/bin/curl"), "redundant: "),
        (put("read", "/repos/acme/a"), "invalid: the name \"read\" is taken"),
        (json!({"removeRule": {"ruleName": "absent"}}), "invalid: there is no rule named \"absent\""),
        (
            json!({"addAllowRules": {"ruleName": "read", "host": "api.github.com", "port": 443,
            "rules": [{"allow": {"method": "GET", "path": "/repos/**"}}]}}),
            "redundant: ",
        ),
        (
            json!({"addRule": {"ruleName": "l4", "rule": {"endpoints": [{"host": "api.github.com", "port": 443}]}}}),
            "invalid: ",
        ),
    ];
    for (operation, expect) in cases {
        let reason = system.submit("dev", &token, operation.clone()).await.unwrap_err();
        assert!(reason.starts_with(expect), "{operation}: {reason}");
    }
    assert_eq!(system.get("/v1/proposals").await["proposals"], json!([]), "none of these is worth a reviewer's time");
}

/// A ceiling that the prover cannot read is never a yes, and its text is for those who may read it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proven_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ceiling = "permit(principal, action, resource) when { resource.port + 1 == 444 };";
    let config = Config { ceiling: Some((ceiling.to_owned(), "c.cedar".to_owned())), ..common::config(dir.path()) };
    let system = System::start_in(dir, config).await;
    let error = system.gateway.create_sandbox("dev", &policy(BASELINE)).await.unwrap_err().to_string();
    assert!(error.contains("unsupported_construct"), "{error}");
    let nothing = policy("version: 1\nnetwork_policies: {}\n");
    let token = system.gateway.create_sandbox("dev", &nothing).await.unwrap().1.unwrap();
    let reason = system.submit("dev", &token, put("docs", "/repos/acme/**")).await.unwrap_err();
    assert!(reason.starts_with("not_proven: ") && reason.contains("unsupported_construct"), "{reason}");
    assert!(!reason.contains("444") && !reason.contains("policy0"), "{reason}");
    let listed = system.get("/v1/proposals?status=rejected").await;
    assert_eq!(listed["proposals"][0]["report"]["reason_code"], "unsupported_construct", "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_do_not_pile_up() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let waiting = system.submit("dev", &token, rule("git", "PUT", "/repos/acme/**", "/usr/bin/git")).await.unwrap();
    let mut body = proposal(put("a", "/"));
    body["operations"] = (0..16).map(|n| put(&format!("r{n}"), "/repos/other/**")).collect();
    for _ in 0..35 {
        assert_eq!(system.call("POST", "/v1/sandboxes/dev/proposals", &token, Some(body.clone())).await.0, 202);
    }
    let rejected = system.get("/v1/proposals?status=rejected").await;
    assert_eq!(rejected["proposals"].as_array().unwrap().len(), 500);
    assert_eq!(system.get(&format!("/v1/proposals/{waiting}")).await["status"], "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_ask_for_less() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let id = system.submit("dev", &token, json!({"removeRule": {"ruleName": "read"}})).await.unwrap();
    let (status, view) = system.approve(&id, &system.review_token(&id).await).await;
    assert_eq!(status, 200, "{view}");
    let bundle = system.bundle("dev").await;
    assert!(policy(bundle["policy_yaml"].as_str().unwrap()).entries.is_empty());
    certified(&system, bundle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_the_same_and_stores_nothing() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let cases = [
        (put("docs", "/repos/acme/site/**"), "within"),
        (put("docs", "/repos/other/**"), "exceeds"),
        (rule("docs", "GET", "/repos/**", "/usr/bin/curl"), "redundant"),
        (put("read", "/repos/acme/site/**"), "invalid"),
    ];
    for (operation, verdict) in cases {
        let (status, answer) =
            system.call("POST", "/v1/sandboxes/dev/proposals/check", &token, Some(proposal(operation))).await;
        assert_eq!((status, &answer["verdict"]), (200, &json!(verdict)), "{answer}");
        assert_eq!(answer["counterexample"].is_string(), verdict == "exceeds");
        assert_eq!((answer["findings"] == json!([])), matches!(verdict, "redundant" | "invalid"), "{answer}");
    }
    assert_eq!(system.get("/v1/proposals").await["proposals"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_of_one_proposal_are_judged_each_for_itself() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let mut body = proposal(put("a", "/repos/acme/a"));
    body["operations"] = json!([put("a", "/repos/acme/a"), put("b", "/repos/other/b"), put("c", "/repos/acme/c")]);
    let (status, answer) = system.call("POST", "/v1/sandboxes/dev/proposals", &token, Some(body)).await;
    assert_eq!(status, 202);
    assert_eq!(answer["accepted_chunk_ids"].as_array().unwrap().len(), 2, "{answer}");
    assert_eq!(answer["rejection_reasons"].as_array().unwrap().len(), 1, "{answer}");
    // Of one submission, none supersedes another.
    assert_eq!(system.get("/v1/proposals?status=pending").await["proposals"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_attempt_supersedes_an_older_one() {
    let system = System::start().await;
    let (dev, other) = (system.sandbox("dev").await, system.sandbox("other").await);
    let first = system.submit("dev", &dev, put("docs", "/repos/acme/**")).await.unwrap();
    let elsewhere = system.submit("other", &other, put("docs", "/repos/acme/**")).await.unwrap();
    let binary = system.submit("dev", &dev, rule("git", "PUT", "/repos/acme/**", "/usr/bin/git")).await.unwrap();
    let removal = system.submit("dev", &dev, json!({"removeRule": {"ruleName": "read"}})).await.unwrap();
    // What is refused supersedes nothing.
    system.submit("dev", &dev, put("docs", "/repos/other/**")).await.unwrap_err();
    assert_eq!(system.get(&format!("/v1/proposals/{first}")).await["status"], "pending");
    let second = system.submit("dev", &dev, put("docs2", "/repos/acme/site/**")).await.unwrap();
    for (id, status) in [
        (&first, "superseded"),
        (&elsewhere, "pending"),
        (&binary, "pending"),
        (&removal, "pending"),
        (&second, "pending"),
    ] {
        assert_eq!(system.get(&format!("/v1/proposals/{id}")).await["status"], status, "{id}");
    }
    let view = system.get(&format!("/v1/proposals/{first}")).await;
    assert_eq!(view["rejection_reason"], format!("superseded by {second}"));
    assert_eq!(view["review_token"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_polls_wake_at_once_and_end_in_time() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let began = Instant::now();
    let (status, body) = system.call("GET", "/v1/sandboxes/dev/bundle?after=1&wait=1", &token, None).await;
    assert_eq!((status, body), (204, Value::Null));
    assert!(began.elapsed() >= Duration::from_millis(900));
    assert_eq!(system.call("GET", "/v1/sandboxes/dev/bundle?after=7", &token, None).await.0, 204);

    let id = system.submit("dev", &token, put("docs", "/repos/acme/**")).await.unwrap();
    let path = format!("/v1/proposals/{id}?wait=1");
    let (_, view) = system.call("GET", &path, &token, None).await;
    assert_eq!((&view["status"], &view["timed_out"]), (&json!("pending"), &json!(true)));

    let review_token = system.review_token(&id).await;
    let (bundle_path, path) = ("/v1/sandboxes/dev/bundle?after=1&wait=300", format!("/v1/proposals/{id}?wait=99999"));
    let began = Instant::now();
    let (bundle, view, ()) =
        tokio::join!(system.call("GET", bundle_path, &token, None), system.call("GET", &path, &token, None), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert_eq!(system.approve(&id, &review_token).await.0, 200);
        });
    assert_eq!((bundle.0, &bundle.1["version"]), (200, &json!(2)));
    assert_eq!((&view.1["status"], &view.1["timed_out"]), (&json!("approved"), &json!(false)));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_does_not_hold_up_the_end() {
    let system = System::start().await;
    let (token, addr) = (system.sandbox("dev").await, system.gateway.addr());
    let poll = tokio::spawn(async move {
        common::call(addr, "GET", "/v1/sandboxes/dev/bundle?after=1&wait=300", Some(&token), None).await
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    system.gateway.shutdown().await;
    assert_eq!(poll.await.unwrap().0, 204);
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_tells_the_agent_what_to_do() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let id = system.submit("dev", &token, put("docs", "/repos/acme/**")).await.unwrap();
    let path = format!("/v1/proposals/{id}/reject");
    for (body, pointer) in
        [(json!({"reason": " "}), "/reason"), (json!({"reason": "no", "hints": ["too_broad", "wrong"]}), "/hints/1")]
    {
        let (status, answer) = system.call("POST", &path, &system.reviewer, Some(body)).await;
        assert_eq!((status, &answer["pointer"]), (400, &json!(pointer)), "{answer}");
    }
    let body = json!({"reason": "only docs/", "hints": ["too_broad"]});
    let (status, view) = system.call("POST", &path, &system.reviewer, Some(body.clone())).await;
    assert_eq!((status, &view["status"], &view["decided_by"]), (200, &json!("rejected"), &json!("reviewer")));
    let (_, seen) = system.call("GET", &format!("/v1/proposals/{id}"), &token, None).await;
    assert_eq!((&seen["rejection_reason"], &seen["hints"]), (&json!("only docs/"), &json!(["too_broad"])));
    assert!(seen["guidance"].as_str().unwrap().contains("exact paths"), "{seen}");
    for hidden in ["report", "review_token", "decided_by"] {
        assert_eq!(seen[hidden], Value::Null, "{hidden} is not for the sandbox");
    }
    assert_eq!(system.call("POST", &path, &system.reviewer, Some(body)).await.0, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_sandbox_is_gone_but_its_numbers_go_on() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let id = system.submit("dev", &token, put("docs", "/repos/acme/**")).await.unwrap();
    assert_eq!(system.call("DELETE", "/v1/sandboxes/dev", &system.admin, None).await.0, 204);
    assert_eq!(system.call("DELETE", "/v1/sandboxes/dev", &system.admin, None).await.0, 404);
    assert_eq!(system.call("GET", "/v1/sandboxes/dev/bundle", &token, None).await.0, 401, "the token went with it");
    assert_eq!(system.call("GET", &format!("/v1/proposals/{id}"), &system.reviewer, None).await.0, 404);
    let body = json!({"name": "dev", "policy_yaml": BASELINE});
    let (status, created) = system.call("POST", "/v1/sandboxes", &system.admin, Some(body)).await;
    assert_eq!((status, &created["version"]), (201, &json!(2)), "an old certificate never fits a new sandbox");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_baseline_must_be_inside_the_ceiling() {
    let system = System::start().await;
    let wide = BASELINE.replace("GET", "PUT").replace("/repos/**", "/repos/other/**");
    let (status, answer) =
        system.call("POST", "/v1/sandboxes", &system.admin, Some(json!({"name": "dev", "policy_yaml": wide}))).await;
    assert_eq!((status, &answer["error"]), (400, &json!("outside_org_ceiling")));
    assert!(answer["message"].as_str().unwrap().contains("curl -X PUT"), "{answer}");
    let error = system.gateway.create_sandbox("dev", &policy(&wide)).await.unwrap_err();
    assert!(error.to_string().contains("curl -X PUT"), "{error}");
    assert_eq!(system.get("/v1/sandboxes").await["sandboxes"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_same_process() {
    let system = System::start().await;
    let (version, token) = system.gateway.create_sandbox("dev", &policy(BASELINE)).await.unwrap();
    let token = token.unwrap();
    assert_eq!((version, system.call("GET", "/v1/sandboxes/dev/bundle", &token, None).await.0), (1, 200));
    let other = policy("version: 1\nnetwork_policies: {}\n");
    assert_eq!(system.gateway.create_sandbox("dev", &other).await.unwrap(), (1, None), "what is there stays");
    assert_eq!(system.gateway.baseline("dev").await.unwrap(), Some(policy(BASELINE)));
    assert_eq!(system.gateway.baseline("none").await.unwrap(), None);
    let issued = system.gateway.issue_sandbox_token("dev").await.unwrap().unwrap();
    assert_eq!(system.call("GET", "/v1/sandboxes/dev/bundle", &issued, None).await.0, 200);
    assert_eq!(system.call("GET", "/v1/sandboxes/dev/bundle", &token, None).await.0, 401);
    assert_eq!(system.gateway.issue_sandbox_token("none").await.unwrap(), None);
}
