//! Mode auto from the denied request to the retry, without a person; and what an agent cannot talk it into.

use narrowgate_core::wire::ProposalStatus;
use narrowgate_gateway::Mode;
use narrowgate_tests::system::{Chosen, HOST, OTHER, POLICY, System, rest_rule};
use serde_json::{Value, json};

/// Reads of another host are for everybody; writes on the first need a person.
const CEILING: &str = r#"
permit (principal, action in [Action::"read"], resource) when { resource.host == "api.example.com" };
@review("auto")
permit (principal, action in [Action::"read"], resource) when { resource.host == "other.example.com" };
permit (principal, action == Action::"PUT", resource)
when { resource.host == "api.example.com" && resource.port == 443 && context.path like "/repos/acme/site/docs/*" };
"#;

async fn start() -> System {
    System::start_with(POLICY, CEILING, Chosen { mode: Mode::Auto, ..Chosen::default() }).await
}

/// A proposal of what is offered instead of a rule that is far too broad, once real curl is denied `url`.
async fn offered(system: &System, method: &str, url: &str) -> Value {
    let denied = system.curl(&["-X", method, url]).await;
    assert!(denied.status == 403 || denied.connect == 403, "{denied:#?}");
    let denial = system.local("GET", "/v1/denials?last=1", "").await.json()["denials"][0].clone();
    let broad = json!({ "endpoints": [{ "host": denial["host"], "port": 443, "protocol": "rest", "access": "full" }] });
    let proposal = |name: &Value, rule: Value| {
        json!({ "intent_summary": "what the task needs", "denial_ids": [denial["denial_id"]],
                "operations": [{ "addRule": { "ruleName": name, "rule": rule } }] })
    };
    let body = proposal(&json!("broad"), broad).to_string();
    let advice = system.local("POST", "/v1/proposals/check", &body).await.json();
    let tightest = advice["tightest"].clone();
    assert!(tightest.is_object(), "{advice:#}");
    proposal(&tightest["name"], tightest.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_proposed_applied_and_retried_without_a_person() {
    let system = start().await;
    let url = format!("https://{OTHER}/a");
    let offered = offered(&system, "GET", &url).await;
    let advice = system.local("POST", "/v1/proposals/check", &offered.to_string()).await.json();
    assert_eq!((&advice["verdict"], &advice["findings"]), (&json!("within"), &json!([])), "{advice:#}");
    let answer = system.local("POST", "/v1/proposals", &offered.to_string()).await.json();
    let id = answer["accepted_chunk_ids"][0].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    let told = system.local("GET", &format!("/v1/proposals/{id}/wait?timeout=30"), "").await.json();
    assert_eq!((&told["status"], &told["policy_reloaded"]), (&json!("approved"), &json!(true)), "{told:#}");
    let passed = system.curl(&[&url]).await;
    assert_eq!(passed.status, 200, "{passed:#?}");
    let view = system.proposal(&id).await;
    assert_eq!((view.status, view.decided_by.as_deref()), (ProposalStatus::Approved, Some("auto")));
    assert!(view.operation.pointer("/addRule/rule/endpoints/0/expires_at").is_some(), "{:#}", view.operation);
    // Only reading, only there.
    for (method, url) in [("POST", url.as_str()), ("GET", &format!("https://{OTHER}:8443/a"))] {
        assert_ne!(system.curl(&["-X", method, url]).await.status, 200, "{method} {url}");
    }
    let config: Vec<Value> = system.audit().into_iter().filter(|line| line.to_string().contains(&id)).collect();
    assert!(!config.is_empty(), "the decision is in the audit log");
}

/// Evidence is the proxy's own record: an agent names denials and cannot bring any.
#[tokio::test(flavor = "multi_thread")]
async fn evidence_cannot_be_made_up() {
    let system = start().await;
    let offered = offered(&system, "GET", &format!("https://{OTHER}/a")).await;
    let mut brought = offered.clone();
    brought["evidence"] = json!([{ "denial_id": "d_mine", "time": "2026-11-20T21:00:00Z", "layer": "l7", "host": OTHER,
        "port": 443, "method": "GET", "path": "/a", "binary": "/usr/bin/curl", "reason": "no_matching_rule" }]);
    let answer = system.local("POST", "/v1/proposals", &brought.to_string()).await;
    assert_eq!((answer.status, &answer.json()["pointer"]), (400, &json!("/evidence")), "{}", answer.text());
    // An id that the proxy never gave, and one that was given for something else.
    let elsewhere = self::offered(&system, "PUT", &format!("https://{HOST}/repos/acme/site/docs/a.md")).await;
    for ids in [json!(["d_mine"]), elsewhere["denial_ids"].clone()] {
        let mut body = offered.clone();
        body["denial_ids"] = ids.clone();
        let answer = system.local("POST", "/v1/proposals", &body.to_string()).await.json();
        let view = system.proposal(answer["accepted_chunk_ids"][0].as_str().unwrap()).await;
        assert_eq!(view.status, ProposalStatus::Pending, "{ids}");
        assert!(view.not_automatic.as_deref().is_some_and(|why| why.contains("unrelated_to_denial")), "{view:#?}");
    }
    assert_eq!(system.version(), 1);
}

/// The part of the ceiling that is for people stays for people, however narrow the rule.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_marked_waits() {
    let system = start().await;
    let offered = offered(&system, "PUT", &format!("https://{HOST}/repos/acme/site/docs/a.md")).await;
    let answer = system.local("POST", "/v1/proposals", &offered.to_string()).await.json();
    let id = answer["accepted_chunk_ids"][0].as_str().unwrap_or_else(|| panic!("{answer}"));
    let view = system.proposal(id).await;
    assert_eq!(view.status, ProposalStatus::Pending);
    assert!(view.not_automatic.as_deref().is_some_and(|why| why.contains("@review(\"auto\")")), "{view:#?}");
    let own = system.local("GET", &format!("/v1/proposals/{id}"), "").await.text();
    assert!(!own.contains("review") && !own.contains("automatic"), "{own}");
    // Nor does a broad rule pass where the ceiling is marked.
    let mut broad = rest_rule("GET", "/**");
    broad["endpoints"][0]["host"] = json!(OTHER);
    let id = system.propose_accepted("broad", broad).await;
    assert_eq!(system.proposal(&id).await.status, ProposalStatus::Pending);
    assert_eq!(system.version(), 1);
}
