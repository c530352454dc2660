//! Bodies of requests that wait stay with their clients.

use std::time::Duration;

use narrowgate_core::held::HeldStatus;
use tokio::io::AsyncWriteExt;

use super::{Held, granting, settle};

/// What may be taken of a body meanwhile: the buffers of the system on both sides, and hyper's.
const TAKEN: usize = 16 << 20;

#[tokio::test]
async fn a_gibibyte_waits_with_its_client() {
    let held = Held::new().await;
    let total: u64 = 1 << 30;
    let mut client = held.rig.dial().await;
    client
        .send(&format!("PUT http://plain.test/new/x HTTP/1.1\r\nhost: plain.test\r\ncontent-length: {total}\r\n\r\n"))
        .await;
    let id = held.gateway.asked(1).await.remove(0);
    let block = vec![7; 1 << 20];
    let mut taken = 0;
    while let Ok(sent) = tokio::time::timeout(Duration::from_millis(500), client.stream.write(&block)).await {
        taken += sent.unwrap();
        assert!(taken < TAKEN, "{taken} bytes were taken from a client whose request waits");
    }
    settle().await;
    // Denied, and told so while it could still send: it reads the answer before the connection closes.
    held.gateway.answer(&id, HeldStatus::Denied, |_| {});
    client.response().await.denied(403, "denied_by_reviewer");
}

#[tokio::test]
async fn what_waited_arrives_whole_and_in_order() {
    let held = Held::new().await;
    let body: String = (0..200_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    let mut client = held.rig.dial().await;
    let length = body.len();
    client
        .send(&format!("PUT http://plain.test/new/x HTTP/1.1\r\nhost: plain.test\r\ncontent-length: {length}\r\n\r\n"))
        .await;
    client.send(&body[..1000]).await;
    let id = held.gateway.asked(1).await.remove(0);
    settle().await;
    held.gateway.once(&id, &granting(), 1);
    client.send(&body[1000..]).await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(held.rig.upstream.seen()[0].body, body);
}

#[tokio::test]
async fn nobody_is_told_to_go_on_before_it_is_allowed() {
    for allowed in [true, false] {
        let held = Held::new().await;
        let mut client = held.rig.dial().await;
        client
            .send("PUT http://plain.test/new/x HTTP/1.1\r\nhost: plain.test\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
            .await;
        let id = held.gateway.asked(1).await.remove(0);
        let early = tokio::time::timeout(Duration::from_millis(400), client.more()).await;
        assert!(early.is_err(), "{:?}", String::from_utf8_lossy(client.pending()));
        if !allowed {
            held.gateway.answer(&id, HeldStatus::Denied, |_| {});
            client.response().await.denied(403, "denied_by_reviewer");
            continue;
        }
        held.gateway.once(&id, &granting(), 1);
        assert_eq!(client.head().await.status, 100);
        client.send("hello").await;
        assert_eq!(client.response().await.status, 200);
        assert_eq!(held.rig.upstream.seen()[0].body, "hello");
    }
}
