//! A grant is needed for as long as it is used.

use std::time::Duration;

use narrowgate_tests::system::{DATABASE, HOST, System};
use serde_json::json;

const POLICY: &str = "
version: 1
network_policies:
  database: { endpoints: [{ host: db.example.com, port: 5432 }] }
  stream: { endpoints: [{ host: api.example.com, port: 443, protocol: rest, access: read-only }] }
";
const OPEN: &str = "permit (principal, action, resource);";

/// Takes an entry out of the policy in force, as a proposal that is approved.
async fn remove(system: &System, name: &str) {
    let operation = json!({ "removeRule": { "ruleName": name } });
    let body = json!({ "intent_summary": "no longer needed", "operations": [operation] }).to_string();
    let answer = system.local("POST", "/v1/proposals", &body).await.json();
    let id = answer["accepted_chunk_ids"][0].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    let version = system.approve(&id).await.activated_version.unwrap();
    system.enforces(version).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_relays_and_ends_when_its_grant_goes() {
    let system = System::start(POLICY, OPEN).await;
    let (answer, mut tunnel) = system.tunnel(&format!("{DATABASE}:5432")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    tunnel.write(b"hello").await;
    assert_eq!(tunnel.read().await, b"hello");
    remove(&system, "stream").await;
    tunnel.write(b"still here").await;
    assert_eq!(tunnel.read().await, b"still here", "a change that leaves its grant leaves the tunnel");
    remove(&system, "database").await;
    assert!(tunnel.ends_within(Duration::from_secs(5)).await, "the tunnel outlived its grant");
    let (answer, _) = system.tunnel(&format!("{DATABASE}:5432")).await;
    assert_eq!(answer.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_in_flight_ends_when_its_grant_goes() {
    let system = System::start(POLICY, OPEN).await;
    let mut client = system.connect(HOST).await;
    client.write(format!("GET /feed/stream HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await;
    let mut seen = String::new();
    while seen.matches("tick").count() < 3 {
        let bytes = client.read().await;
        assert!(!bytes.is_empty(), "{seen}");
        seen += &String::from_utf8_lossy(&bytes);
    }
    remove(&system, "database").await;
    for _ in 0..3 {
        assert!(!client.read().await.is_empty(), "a change that leaves its grant leaves the stream");
    }
    remove(&system, "stream").await;
    assert!(client.ends_within(Duration::from_secs(5)).await, "the stream outlived its grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_alive_connection_is_decided_anew() {
    let system = System::start(POLICY, OPEN).await;
    let mut kept = system.connect(HOST).await;
    assert_eq!(kept.request("GET", "/a", HOST, "").await.status, 200);
    remove(&system, "stream").await;
    kept.write(format!("GET /b HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await;
    // Denied or closed; never forwarded.
    let answer = kept.answer().await;
    assert!(answer.as_ref().is_none_or(|answer| answer.status == 403), "{answer:?}");
    assert_eq!(system.upstream.lines(), ["GET /a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_both_ways() {
    let policy = POLICY.replace("read-only", "full");
    let system = System::start(&policy, OPEN).await;
    let mut client = system.connect(HOST).await;
    // The first bytes come back from the upstream while the last are not sent yet.
    client.write(format!("POST /early HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000000\r\n\r\nx").as_bytes()).await;
    let answer = client.answer().await.expect("an answer before the body's end");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut client = system.connect(HOST).await;
    client
        .write(format!("POST /large HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes())
        .await;
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    for _ in 0..64 {
        client.write(&chunk).await;
    }
    client.write(b"0\r\n\r\n").await;
    let answer = client.answer().await.expect("an answer").json();
    assert_eq!(answer["body"], 64 * 0x10000, "{answer}");
}
