//! Whoever goes away is not asked for any more: in whatever way they go, and whatever they still had to send.

use std::time::Duration;

use narrowgate_core::held::HeldStatus;
use tokio::io::AsyncWriteExt;

use super::{Held, granting, settle};
use crate::tests::rig::Raw;

const PUT: &str = "PUT http://plain.test/new/x HTTP/1.1\r\nhost: plain.test\r\n";

#[tokio::test]
async fn a_client_that_goes_ends_its_question() {
    for (what, head) in [
        ("it waits", format!("{PUT}\r\n")),
        ("with the next request sent already", format!("{PUT}\r\n{PUT}\r\n")),
        ("before its body", format!("{PUT}content-length: 5\r\n\r\n")),
        ("in the middle of its body", format!("{PUT}content-length: 5\r\n\r\nab")),
        ("with all of its body sent", format!("{PUT}content-length: 5\r\n\r\nabcde")),
        ("in a chunk", format!("{PUT}transfer-encoding: chunked\r\n\r\n5\r\nab")),
        ("waiting for 100", format!("{PUT}content-length: 5\r\nexpect: 100-continue\r\n\r\n")),
        ("a stream", "CONNECT raw.test:9000 HTTP/1.1\r\n\r\n".to_owned()),
        ("a stream with its first bytes sent already", "CONNECT raw.test:9000 HTTP/1.1\r\n\r\nhello".to_owned()),
    ] {
        for half in [false, true] {
            if half && what != "it waits" {
                continue;
            }
            let held = Held::new().await;
            let mut client = held.rig.dial().await;
            client.send(&head).await;
            let id = held.gateway.asked(1).await.remove(0);
            settle().await;
            // An answer cannot be sent half-way: who closes for writing is gone, as for every other request.
            match half {
                true => client.stream.shutdown().await.unwrap(),
                false => drop(client),
            }
            tokio::time::timeout(Duration::from_secs(4), held.gateway.taken_back(&id)).await.expect(what);
            held.gateway.once(&id, &granting(), 1);
            settle().await;
            assert!(held.rig.upstream.seen().is_empty(), "{what}");
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_inside_tls_ends_its_question() {
    for clean in [true, false] {
        for body in ["", "ab"] {
            let held = Held::new().await;
            let mut client = held.rig.tls().await;
            client.send(&format!("PUT /new/x HTTP/1.1\r\nhost: api.test\r\ncontent-length: 5\r\n\r\n{body}")).await;
            let id = held.gateway.asked(1).await.remove(0);
            settle().await;
            if clean {
                client.stream.shutdown().await.unwrap();
            }
            drop(client);
            held.gateway.taken_back(&id).await;
        }
    }
}

#[tokio::test]
async fn one_that_goes_leaves_the_others_their_question() {
    let held = Held::new().await;
    let stays = held.put().await;
    let mut goes: Raw<_> = held.rig.dial().await;
    goes.send(&format!("{PUT}content-length: 0\r\n\r\n")).await;
    let id = held.gateway.asked(1).await.remove(0);
    settle().await;
    drop(goes);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!held.gateway.set(|state| state.questions[&id].taken_back));
    held.gateway.once(&id, &granting(), 1);
    assert_eq!(stays.await.unwrap().status, 200);
    assert_eq!(held.rig.upstream.lines().len(), 1, "the one that went is not sent on");

    // Gone and come back: another question, which the old answer is not for.
    let mut client = held.rig.dial().await;
    client.send(&format!("{PUT}content-length: 0\r\n\r\n")).await;
    let second = held.gateway.asked(2).await.remove(1);
    drop(client);
    held.gateway.taken_back(&second).await;
    held.gateway.once(&second, &granting(), 1);
    let again = held.put().await;
    let third = held.gateway.asked(3).await.remove(2);
    settle().await;
    assert!(!again.is_finished());
    held.gateway.answer(&third, HeldStatus::Denied, |_| {});
    again.await.unwrap().denied(403, "denied_by_reviewer");
}
