//! deny: what is not allowed gets an answer an agent can act on, and never reaches the upstream.

use narrowgate_tests::system::{DATABASE, HOST, OTHER, System};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn reading_is_allowed_and_writing_is_denied_with_every_member_of_the_contract() {
    let system = System::usual().await;
    let read = system.curl(&["https://api.example.com/repos/acme/site?ref=main"]).await;
    assert_eq!((read.status, read.connect, read.exit), (200, 200, 0), "{read:#?}");
    assert_eq!(read.json()["target"], "/repos/acme/site?ref=main");
    assert!(read.headers.contains("x-upstream: yes"), "{read:#?}");

    let write =
        system.curl(&["-X", "PUT", "-d", "{}", "https://api.example.com/repos/acme/site/docs/a.md?token=s3cret"]).await;
    assert_eq!((write.status, write.exit), (403, 0), "{write:#?}");
    let headers = write.headers.to_ascii_lowercase();
    assert!(headers.contains("content-type: application/problem+json"), "{headers}");
    assert!(headers.contains("x-narrowgate-decision: denied"), "{headers}");
    let body = write.json();
    contract(&body);
    for (member, expect) in [
        ("layer", json!("l7")),
        ("protocol", json!("rest")),
        ("host", json!(HOST)),
        ("port", json!(443)),
        ("method", json!("PUT")),
        ("path", json!("/repos/acme/site/docs/a.md")),
        ("policy", json!("api_readonly")),
        ("rule", json!("PUT /repos/acme/site/docs/a.md")),
        ("reason", json!("no_matching_rule")),
    ] {
        assert_eq!(body[member], expect, "{member}: {body:#}");
    }
    assert!(body["binary"].as_str().unwrap().ends_with("curl"), "{body:#}");
    assert_eq!(body["rule_missing"]["type"], "rest_allow");
    assert_eq!(body["rule_missing"]["path"], body["path"]);
    assert!(!body.to_string().contains("s3cret"), "{body:#}");
    assert_eq!(system.upstream.lines(), ["GET /repos/acme/site?ref=main"], "the upstream never sees a denied request");
}

/// The members that every denial has.
fn contract(body: &Value) {
    assert_eq!(body["type"], "urn:narrowgate:problem:policy-denied", "{body:#}");
    assert_eq!(body["title"], "Policy denied");
    assert_eq!(body["status"], 403);
    assert_eq!(body["error"], "policy_denied");
    for member in ["detail", "layer", "protocol", "host", "binary", "reason", "denial_id", "agent_guidance"] {
        assert!(body[member].is_string(), "{member}: {body:#}");
    }
    assert!(body["denial_id"].as_str().unwrap().starts_with("d_"));
    let steps = body["next_steps"].as_array().unwrap();
    let actions: Vec<&str> = steps.iter().map(|step| step["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["read_skill", "inspect_policy", "inspect_recent_denials", "submit_proposal"]);
    for step in steps {
        assert!(step["url"].as_str().unwrap().starts_with("http://policy.local/v1/"), "{step}");
    }
    let submit = &steps[3];
    assert_eq!((&submit["method"], &submit["body_type"]), (&json!("POST"), &json!("PolicyMergeOperation")));
    assert_eq!(submit["body"]["denial_ids"], json!([body["denial_id"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_lead_where_they_say() {
    let system = System::usual().await;
    let denied = system.curl(&["-X", "PUT", "https://api.example.com/repos/acme/site/docs/a.md"]).await.json();
    for step in &denied["next_steps"].as_array().unwrap()[..3] {
        let url = step["url"].as_str().unwrap();
        let page = system.curl(&[url]).await;
        assert_eq!(page.status, 200, "{url}: {page:#?}");
    }
    let log = system.curl(&["http://policy.local/v1/denials?last=5"]).await.json();
    assert_eq!(log["denials"][0]["denial_id"], denied["denial_id"], "{log:#}");
    assert_eq!(log["denials"][0]["path"], "/repos/acme/site/docs/a.md");

    // The proposal in the denial is ready to post, and is the narrowest.
    let body = denied["next_steps"][3]["body"].to_string();
    let posted = system.curl(&["-X", "POST", "-d", &body, "http://policy.local/v1/proposals"]).await;
    assert_eq!(posted.status, 202, "{posted:#?}");
    assert_eq!(posted.json()["rejection_reasons"], json!([]), "{}", posted.body);
    assert!(system.upstream.lines().is_empty(), "policy.local is answered by the proxy itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_is_denied_before_anything_is_dialled() {
    let system = System::usual().await;
    for authority in [format!("{OTHER}:443"), format!("{HOST}:22"), format!("{DATABASE}:5432")] {
        let (answer, _) = system.tunnel(&authority).await;
        assert_eq!(answer.status, 403, "{authority}: {}", answer.text());
        assert_eq!(answer.header("x-narrowgate-decision"), Some("denied"));
        let body = answer.json();
        contract(&body);
        assert_eq!((&body["layer"], &body["reason"]), (&json!("l4"), &json!("no_matching_rule")), "{body:#}");
    }
    let curl = system.curl(&[&format!("https://{OTHER}/")]).await;
    assert_eq!((curl.connect, curl.status), (403, 0), "{curl:#?}");
    assert!(system.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_always_blocked_offers_no_proposal() {
    // A policy may name these; the guard does not care.
    let policy = "
version: 1
network_policies:
  inside:
    endpoints: [{ host: 127.0.0.1, port: 9 }, { host: 169.254.169.254, port: 80 }, { host: localhost, port: 9 }]
";
    let system = System::start(policy, "permit (principal, action, resource);").await;
    for authority in ["127.0.0.1:9", "169.254.169.254:80", "localhost:9", "[::1]:9"] {
        let (answer, _) = system.tunnel(authority).await;
        let body = answer.json();
        assert_eq!((answer.status, &body["reason"]), (403, &json!("destination_blocked")), "{authority}: {body:#}");
        let offered =
            body["next_steps"].as_array().into_iter().flatten().any(|step| step["action"] == "submit_proposal");
        assert!(!offered, "{authority}: {body:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_has_the_same_rules() {
    let policy = "
version: 1
network_policies:
  plain:
    endpoints: [{ host: api.example.com, port: 80, protocol: rest, rules: [{ allow: { method: GET, path: /open/** } }] }]
";
    let system = System::start(policy, "permit (principal, action, resource);").await;
    let open = system.curl(&["http://api.example.com/open/a?x=1"]).await;
    assert_eq!(open.status, 200, "{open:#?}");
    for url in ["http://api.example.com/shut", "http://other.example.com/open/a"] {
        let shut = system.curl(&[url]).await;
        assert_eq!(shut.status, 403, "{shut:#?}");
        contract(&shut.json());
    }
    assert_eq!(system.upstream.lines(), ["GET /open/a?x=1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_is_in_the_audit_log() {
    let system = System::usual().await;
    system.curl(&["https://api.example.com/a?key=s3cret"]).await;
    let denied = system.curl(&["-X", "DELETE", "https://api.example.com/b?key=s3cret"]).await.json();
    let log = system.audit();
    let http: Vec<&Value> = log.iter().filter(|line| line["class_uid"] == 4002).collect();
    let find = |action: u64| http.iter().find(|line| line["action_id"] == action).unwrap_or_else(|| panic!("{log:#?}"));
    assert!(find(1).to_string().contains("/a"), "{}", find(1));
    assert!(find(2).to_string().contains("/b"), "{}", find(2));
    assert!(find(2).to_string().contains(denied["reason"].as_str().unwrap()), "{}", find(2));
    for line in &http {
        assert!(line.to_string().contains(&system.bundle().await.policy_hash.to_string()), "names its policy: {line}");
    }
    assert!(!log.iter().any(|line| line.to_string().contains("s3cret")));
}
