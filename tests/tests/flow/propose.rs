//! propose, compile, prove: what exceeds the ceiling is refused at submit, the rest waits for a person.

use narrowgate_core::wire::ProposalStatus;
use narrowgate_tests::system::{HOST, System, rest_rule};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn outside_the_ceiling_is_refused_with_a_request_a_person_can_read() {
    let system = System::usual().await;
    let wide = [
        ("the directory above", rest_rule("PUT", "/repos/acme/site/**"), "PUT"),
        ("any method", rest_rule("*", "/repos/acme/site/docs/**"), "curl"),
        ("another method", rest_rule("DELETE", "/repos/acme/site/docs/a.md"), "DELETE"),
        ("a wildcard segment", rest_rule("PUT", "/repos/*/site/docs/a.md"), "PUT"),
        ("the whole host", json!({ "endpoints": [{ "host": HOST, "port": 22 }] }), HOST),
        (
            "any host",
            json!({ "endpoints": [{ "host": "**.example.com", "port": 443, "protocol": "rest", "access": "read-only" }] }),
            "example.com",
        ),
    ];
    for (what, rule, shown) in wide {
        let answer = system.propose("wide", rule).await;
        assert_eq!(answer.status, 202, "{what}: {}", answer.text());
        let body = answer.json();
        assert_eq!(body["accepted_chunk_ids"], json!([]), "{what}: {body}");
        let reason = body["rejection_reasons"][0].as_str().unwrap();
        assert!(reason.starts_with("outside_org_ceiling"), "{what}: {reason}");
        assert!(reason.contains(shown), "{what}: {reason}");
        // The counterexample is the sandbox's to see; the ceiling is not.
        assert!(
            !reason.contains("permit") && !reason.contains("like") && !reason.contains("repos/acme/site/docs/*"),
            "{reason}"
        );
    }
    assert_eq!(system.version(), 1);
    let stored = system.proposals().await;
    assert!(stored.iter().all(|proposal| proposal.status == ProposalStatus::Rejected), "{stored:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn inside_the_ceiling_waits_for_a_person() {
    let system = System::usual().await;
    let id = system.propose_accepted("docs", rest_rule("PUT", "/repos/acme/site/docs/a.md")).await;
    assert!(id.starts_with("p_"), "{id}");
    let seen = system.proposal(&id).await;
    assert_eq!((seen.status, seen.validation_result.as_str()), (ProposalStatus::Pending, "within"));
    assert!(seen.review_token.is_some());
    let own = system.local("GET", &format!("/v1/proposals/{id}"), "").await.json();
    assert_eq!(
        (&own["chunk_id"], &own["status"], &own["policy_reloaded"]),
        (&json!(id), &json!("pending"), &json!(false))
    );
    let secret = seen.review_token.unwrap();
    assert!(!own.to_string().contains(&secret), "an agent must not be able to approve: {own}");
    // Nothing is granted by asking.
    let put = system.curl(&["-X", "PUT", "https://api.example.com/repos/acme/site/docs/a.md"]).await;
    assert_eq!(put.status, 403, "{put:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn checking_submits_nothing() {
    let system = System::usual().await;
    for (path, verdict) in [("/repos/acme/site/docs/a.md", "within"), ("/repos/acme/**", "exceeds")] {
        let operation = json!({ "addRule": { "ruleName": "docs", "rule": rest_rule("PUT", path) } });
        let body = json!({ "intent_summary": "to see", "operations": [operation] }).to_string();
        let answer = system.local("POST", "/v1/proposals/check", &body).await;
        assert_eq!((answer.status, &answer.json()["verdict"]), (200, &json!(verdict)), "{}", answer.text());
    }
    assert!(system.proposals().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_operations_are_judged_one_by_one() {
    let system = System::usual().await;
    let add = |name: &str, path: &str| json!({ "addRule": { "ruleName": name, "rule": rest_rule("PUT", path) } });
    let operations: Vec<Value> = vec![add("a", "/repos/acme/site/docs/a.md"), add("b", "/repos/acme/other")];
    let body = json!({ "intent_summary": "two things", "operations": operations }).to_string();
    let answer = system.local("POST", "/v1/proposals", &body).await.json();
    assert_eq!(answer["accepted_chunk_ids"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(answer["rejection_reasons"].as_array().unwrap().len(), 1, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_already_allowed_is_redundant_and_a_newer_proposal_supersedes() {
    let system = System::usual().await;
    let answer = system.propose("again", rest_rule("GET", "/repos/acme")).await.json();
    assert!(answer["rejection_reasons"][0].as_str().is_some_and(|reason| reason.contains("redundant")), "{answer}");
    let older = system.propose_accepted("docs", rest_rule("PUT", "/repos/acme/site/docs/a.md")).await;
    let newer = system.propose_accepted("docs", rest_rule("PUT", "/repos/acme/site/docs/b.md")).await;
    assert_eq!(system.proposal(&older).await.status, ProposalStatus::Superseded);
    assert_eq!(system.proposal(&newer).await.status, ProposalStatus::Pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_carries_what_fits_and_that_is_accepted_as_it_is() {
    let system = System::usual().await;
    let denied = system.curl(&["-X", "PUT", "https://api.example.com/repos/acme/site/docs/a.md"]).await;
    let denial_id = denied.json()["denial_id"].as_str().unwrap().to_owned();
    let post = |operation: &Value| {
        json!({ "intent_summary": "write the docs", "denial_ids": [denial_id], "operations": [operation] }).to_string()
    };
    let wide = json!({ "addRule": { "ruleName": "docs", "rule": {
        "binaries": [{ "path": "/usr/bin/curl" }],
        "endpoints": [{ "host": "**.example.com", "ports": [80, 443], "protocol": "rest",
            "rules": [{ "allow": { "method": "PUT", "path": "/repos/**" } }] }] } } });
    // Asking first tells the same.
    let check = system.local("POST", "/v1/proposals/check", &post(&wide)).await.json();
    let refused = system.local("POST", "/v1/proposals", &post(&wide)).await.json();
    assert!(refused["rejection_reasons"][0].as_str().unwrap().starts_with("outside_org_ceiling: "), "{refused}");
    let repair = &refused["repairs"][0];
    assert_eq!((&check["verdict"], &check["repair"]), (&json!("exceeds"), &json!([repair])), "{check}");
    let rule = json!({ "name": "docs", "binaries": [{ "path": "/usr/bin/curl" }], "endpoints": [{
        "host": HOST, "port": 443, "protocol": "rest",
        "rules": [{ "allow": { "method": "PUT", "path": "/repos/acme/site/docs/*/**" } }] }] });
    assert_eq!(*repair, json!({ "addRule": { "ruleName": "docs", "rule": rule } }));
    // The reviewer sees it with the refused proposal, and so does the agent, who still does not see the ceiling.
    let stored = &system.proposals().await[0];
    assert_eq!(stored.repair.as_ref(), Some(repair));
    assert_eq!(stored.report.as_ref().unwrap()["repair"]["rule"], rule);
    let own = system.local("GET", &format!("/v1/proposals/{}", stored.chunk_id), "").await.json();
    assert_eq!((&own["repair"], own.get("report")), (repair, None), "{own}");
    for answer in [&refused, &check, &own] {
        let text = answer.to_string();
        assert!(!text.contains("permit") && !text.contains("db.example.com") && !text.contains("sha256:"), "{text}");
    }
    // As it is.
    let accepted = system.local("POST", "/v1/proposals", &post(repair)).await.json();
    assert_eq!((&accepted["rejection_reasons"], &accepted["repairs"]), (&json!([]), &json!([])), "{accepted}");
    let id = accepted["accepted_chunk_ids"][0].as_str().unwrap();
    system.approve(id).await;
    system.enforces(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_fits_that_is_said() {
    let system = System::usual().await;
    let nothing = [
        rest_rule("DELETE", "/repos/acme/site/docs/a.md"),
        // What is inside is allowed already.
        json!({ "endpoints": [{ "host": "**.example.com", "port": 443, "protocol": "rest", "access": "read-only" }] }),
    ];
    for rule in nothing {
        let answer = system.propose("nothing", rule).await.json();
        assert_eq!(answer["repairs"], json!([null]), "{answer}");
        assert!(answer["rejection_reasons"][0].as_str().unwrap().contains("narrower rule"), "{answer}");
    }
    let reasons: Vec<Value> =
        system.proposals().await.iter().map(|p| p.report.as_ref().unwrap()["repair_reason"].clone()).collect();
    assert_eq!(reasons, [json!("nothing_in_common"), json!("already_allowed")]);
}
