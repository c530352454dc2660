//! What a new policy means for what is open.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::rig::{POLICY, Rig};

#[tokio::test]
async fn a_kept_connection_is_decided_by_the_policy_of_the_moment() {
    let rig = Rig::new().await;
    let mut client = rig.tls().await;
    assert_eq!(client.ask("GET /ok/a").await.status, 200);
    client.ask("GET /new/a").await.denied(403, "no_matching_rule");

    rig.enforce(&POLICY.replace("/ok/**", "/new/**"), 2);
    assert_eq!(client.ask("GET /new/a").await.status, 200, "granted, on the same connection");
    client.ask("GET /ok/a").await.denied(403, "no_matching_rule");
    assert_eq!(rig.upstream.lines(), ["GET /ok/a", "GET /new/a"]);
    assert_eq!(rig.proxy.version(), 2);
}

#[tokio::test]
async fn a_tunnel_ends_when_its_grant_goes_and_only_then() {
    let rig = Rig::new().await;
    let mut tunnel = rig.tunnel("raw.test:9000").await;
    echo(&mut tunnel, b"one").await;
    rig.enforce(&POLICY.replace("/ok/**", "/new/**"), 2);
    tokio::time::sleep(Duration::from_millis(50)).await;
    echo(&mut tunnel, b"two").await;

    for without in [
        POLICY.replace("raw.test", "rawer.test"),
        POLICY.replace("port: 9000 }", "port: 9000, protocol: rest, access: full }"),
    ] {
        rig.enforce(POLICY, 3);
        let mut tunnel = rig.tunnel("raw.test:9000").await;
        echo(&mut tunnel, b"three").await;
        rig.enforce(&without, 4);
        let end =
            tokio::time::timeout(Duration::from_secs(5), tunnel.read(&mut [0; 16])).await.expect("it ends at once");
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
}

#[tokio::test]
async fn a_tunnel_ends_with_its_lease() {
    let rig = Rig::new().await;
    let end = jiff::Timestamp::from_second(crate::shared::now() + 2).unwrap();
    rig.enforce(&POLICY.replace("port: 9000 }", &format!("port: 9000, expires_at: {end} }}")), 2);
    let mut tunnel = rig.tunnel("raw.test:9000").await;
    echo(&mut tunnel, b"one").await;
    let end = tokio::time::timeout(Duration::from_secs(8), tunnel.read(&mut [0; 16])).await.expect("it ends by itself");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let mut client = rig.dial().await;
    client.send("CONNECT raw.test:9000 HTTP/1.1\r\n\r\n").await;
    client.response().await.denied(403, "lease_expired");
}

#[tokio::test]
async fn a_stream_ends_when_its_grant_goes() {
    let rig = Rig::new().await;
    for path in ["/ok/endless", "/ok/silent"] {
        rig.enforce(POLICY, 3);
        let mut client = rig.tls().await;
        client.send(&format!("GET {path} HTTP/1.1\r\nhost: api.test\r\n\r\n")).await;
        if path.ends_with("endless") {
            assert_eq!(client.head().await.status, 200);
            assert!(client.more().await);
        } else {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        rig.enforce(&POLICY.replace("/ok/**", "/new/**"), 4);
        if path.ends_with("endless") {
            let ended = tokio::time::timeout(Duration::from_secs(5), async { while client.more().await {} });
            ended.await.expect("the stream is cut");
            assert!(!client.pending().ends_with(b"0\r\n\r\n"), "and it does not look complete");
        } else {
            client.response().await.denied(403, "no_matching_rule");
        }
    }
}

#[tokio::test]
async fn shutdown_ends_tunnels_and_requests() {
    let rig = Rig::new().await;
    let mut tunnel = rig.tunnel("raw.test:9000").await;
    let mut client = rig.tls().await;
    client.send("GET /ok/endless HTTP/1.1\r\nhost: api.test\r\n\r\n").await;
    assert_eq!(client.head().await.status, 200);
    tokio::time::timeout(Duration::from_secs(4), rig.proxy.shutdown()).await.expect("in time");
    assert!(matches!(tunnel.read(&mut [0; 16]).await, Ok(0) | Err(_)));
}

async fn echo(tunnel: &mut tokio::net::TcpStream, bytes: &[u8]) {
    tunnel.write_all(bytes).await.unwrap();
    let mut back = vec![0; bytes.len()];
    tokio::time::timeout(Duration::from_secs(5), tunnel.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(back, bytes);
}
