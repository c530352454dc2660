//! What a denied client sees, and what nobody sees.

use super::rig::{Raw, Rig};

#[tokio::test]
async fn a_denied_request_gets_the_contract_and_the_upstream_nothing() {
    let rig = Rig::new().await;
    let mut client = rig.tls().await;
    let body = client.ask("PUT /repos/a.md?token=s3cret").await.denied(403, "no_matching_rule");
    for (member, value) in [
        ("type", "urn:narrowgate:problem:policy-denied"),
        ("error", "policy_denied"),
        ("layer", "l7"),
        ("protocol", "rest"),
        ("host", "api.test"),
        ("method", "PUT"),
        ("path", "/repos/a.md"),
        ("policy", "api"),
        ("rule", "PUT /repos/a.md"),
    ] {
        assert_eq!(body[member], value, "{member}");
    }
    assert_eq!(body["port"], 443);
    assert_eq!(body["rule_missing"]["type"], "rest_allow");
    let steps: Vec<&str> =
        body["next_steps"].as_array().unwrap().iter().map(|step| step["action"].as_str().unwrap()).collect();
    assert_eq!(steps, ["read_skill", "inspect_policy", "inspect_recent_denials", "submit_proposal"]);
    let me = std::env::current_exe().unwrap();
    assert_eq!(body["binary"], me.to_str().unwrap(), "the client is this very process");

    assert_eq!(client.ask("GET /ok/x?token=s3cret").await.body, "hello", "the connection lives on");
    assert_eq!(rig.upstream.lines(), ["GET /ok/x?token=s3cret"], "the denied one never arrived");
    client.ask("GET /ok/secret/x").await.denied(403, "deny_rule");

    let listed = policy_local(&rig, "GET /v1/denials?last=5").await.json();
    assert_eq!(listed["denials"][1]["denial_id"], body["denial_id"], "newest first: {listed}");
    let audit = rig.audit();
    assert_eq!(audit.lines().count(), 3, "{audit}");
    assert!(audit.contains("\"action_id\":2") && audit.contains("\"action_id\":1"), "{audit}");
    for place in [audit, listed.to_string(), body.to_string()] {
        assert!(!place.contains("s3cret"), "{place}");
    }
}

#[tokio::test]
async fn curl_is_served_and_known_by_name() {
    let rig = Rig::new().await;
    let policy = super::rig::POLICY.replace("  api:\n", "  api:\n    binaries: [{ path: \"/**/curl\" }]\n");
    rig.enforce(&policy, 2);
    rig.tls().await.ask("GET /ok/a").await.denied(403, "no_matching_rule");
    let curl = |arguments: &[&str]| {
        let mut command = tokio::process::Command::new("curl");
        command.args(["-sS", "-w", " %{http_code}", "-x", &format!("http://{}", rig.proxy.addr()), "--cacert"]);
        command.arg(rig.dir.path().join("ca/ca.pem")).args(arguments);
        async move {
            let output = command.output().await.expect("curl is installed");
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        }
    };
    assert_eq!(curl(&["https://api.test/ok/a?b"]).await, "hello 200");
    assert_eq!(curl(&["-T", "/proc/self/exe", "https://api.test/ok/echo", "-o", "/dev/null"]).await, " 200");
    let denied = curl(&["-X", "PUT", "-d", "secret", "https://api.test/repos/a.md?token=s3cret"]).await;
    assert!(denied.contains("/curl\",") && denied.ends_with(" 403"), "{denied}");
    assert!(!denied.contains("s3cret"), "{denied}");
    assert!(curl(&["http://policy.local/v1/skill"]).await.ends_with(" 200"));
    assert_eq!(rig.upstream.lines(), ["GET /ok/a?b", "PUT /ok/echo"]);
}

#[tokio::test]
async fn a_denied_connect_dials_nobody() {
    let rig = Rig::new().await;
    for (to, reason, status) in [
        ("other.test:443", "no_matching_rule", 403),
        ("127.0.0.1:22", "destination_blocked", 403),
        ("169.254.169.254:80", "destination_blocked", 403),
        ("[fe80::1]:80", "destination_blocked", 403),
        ("[64:ff9b::7f00:1]:80", "destination_blocked", 403),
        ("[::ffff:169.254.169.254]:80", "request_ambiguous", 400),
        ("localhost:80", "destination_blocked", 403),
        ("metadata.google.internal:80", "destination_blocked", 403),
        ("api.test", "request_ambiguous", 400),
        ("user@api.test:443", "request_ambiguous", 400),
        ("0x7f.1:443", "request_ambiguous", 400),
        ("api.test:0", "request_ambiguous", 400),
    ] {
        let mut client = rig.dial().await;
        client.send(&format!("CONNECT {to} HTTP/1.1\r\n\r\n")).await;
        let answer = client.response().await;
        if answer.body.is_empty() {
            // Not even a request target to the HTTP library; it says 400 by itself.
            assert_eq!(answer.status, 400, "{to}");
            continue;
        }
        let body = answer.denied(status, reason);
        assert_eq!(body["layer"], "l4", "{to}");
        let offered = body["next_steps"].to_string().contains("submit_proposal");
        assert_eq!(offered, reason == "no_matching_rule", "{to}: {body}");
        assert!(!client.more().await, "the connection of a refused CONNECT is closed");
    }
    let mut client = rig.dial().await;
    client.send("CONNECT policy.local:443 HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.response().await.json()["error"], "policy_local_is_plain_http");
    assert!(rig.upstream.seen().is_empty());
}

#[tokio::test]
async fn what_the_policy_allows_is_still_not_reached_at_every_address() {
    let rig = Rig::with(|config| config.resolve.clear()).await;
    rig.enforce(&super::rig::POLICY.replace("raw.test", "127.0.0.1"), 2);
    let mut client = rig.dial().await;
    client.send("CONNECT 127.0.0.1:9000 HTTP/1.1\r\n\r\n").await;
    client.response().await.denied(403, "destination_blocked");
    let mut client = rig.dial().await;
    client.send("CONNECT rebind.test:9000 HTTP/1.1\r\n\r\n").await;
    client.response().await.denied(403, "dns_failed");
    let allowed = rig.audit().lines().filter(|line| line.contains("\"action_id\":1")).count();
    assert_eq!(allowed, 1, "only the one that the policy let through to the resolver: {}", rig.audit());
}

#[tokio::test]
async fn without_a_policy_everything_is_denied() {
    let rig = Rig::new().await;
    let mut expired = super::rig::enforced(super::rig::POLICY, 2);
    expired.expires = Some(1);
    rig.shared.active.store(expired);
    for line in ["CONNECT api.test:443", "CONNECT raw.test:9000", "GET http://plain.test/"] {
        let host = line.split(' ').nth(1).unwrap().trim_start_matches("http://").trim_end_matches('/');
        let mut client = rig.dial().await;
        client.send(&format!("{line} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        client.response().await.denied(403, "policy_unavailable");
    }
    assert_eq!(policy_local(&rig, "GET /v1/policy/current").await.status, 503);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_denies() {
    // Every write to this device fails with "no space left".
    let rig = Rig::with(|config| config.audit_log = Some("/dev/full".into())).await;
    let mut client = rig.dial().await;
    client.send("GET http://plain.test/ HTTP/1.1\r\nhost: plain.test\r\n\r\n").await;
    let answer = client.response().await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (503, Some("audit_unavailable")));
    let mut client = rig.dial().await;
    client.send("CONNECT raw.test:9000 HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.response().await.status, 503);
    assert!(rig.upstream.seen().is_empty());
}

#[tokio::test]
async fn switched_off_proposals_are_not_offered() {
    let rig = Rig::with(|config| config.proposals = false).await;
    let mut client = rig.dial().await;
    client.send("CONNECT other.test:443 HTTP/1.1\r\n\r\n").await;
    let body = client.response().await.denied(403, "no_matching_rule");
    assert_eq!(body["next_steps"], serde_json::json!([]));
    assert!(body.get("agent_guidance").is_none());
    let mut client = rig.dial().await;
    client
        .send("POST http://policy.local/v1/proposals HTTP/1.1\r\nhost: policy.local\r\ncontent-length: 2\r\n\r\n{}")
        .await;
    assert_eq!(client.response().await.json()["error"], "proposals_disabled");
}

pub(super) async fn policy_local(rig: &Rig, line: &str) -> super::rig::Answer {
    let (method, path) = line.split_once(' ').unwrap();
    let mut client: Raw<_> = rig.dial().await;
    client.send(&format!("{method} http://policy.local{path} HTTP/1.1\r\nhost: policy.local\r\n\r\n")).await;
    client.response().await
}
