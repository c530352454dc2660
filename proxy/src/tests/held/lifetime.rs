//! Gateways that go away, and proxies that stop.

use std::time::Duration;

use narrowgate_core::held::HeldStatus;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::gateway::Gateway;
use super::{Held, asking, granting, settle};
use crate::server::HEAD;
use crate::tests::rig::Raw;
use crate::{Config, Proxy};

const PUT: &str = "PUT http://plain.test/new/x HTTP/1.1\r\nhost: plain.test\r\n\r\n";

/// The time for a request's head, which is over long before a person answers, is not counted while they think; nor is it
/// spent for the next request.
#[tokio::test]
async fn a_wait_outlasts_the_time_for_a_head() {
    let held = Held::new().await;
    let mut plain = held.rig.dial().await;
    plain.send(PUT).await;
    let id = held.gateway.asked(1).await.remove(0);
    let mut inspected = held.rig.tls().await;
    inspected.send("PUT /new/y HTTP/1.1\r\nhost: api.test\r\ncontent-length: 5\r\n\r\nhe").await;
    let other = held.gateway.asked(2).await.pop().unwrap();
    tokio::time::sleep(HEAD + Duration::from_secs(2)).await;
    inspected.send("llo").await;
    held.gateway.once(&id, &granting(), 1);
    assert_eq!(plain.response().await.status, 200);
    held.gateway.answer(&other, HeldStatus::Denied, |_| {});
    inspected.response().await.denied(403, "denied_by_reviewer");
    plain.send("GET http://plain.test/ok HTTP/1.1\r\nhost: plain.test\r\n\r\n").await;
    assert_eq!(plain.response().await.status, 200, "the connection lives on");
}

/// No answer in time is no denial by anybody, and no permission.
#[tokio::test]
async fn without_its_gateway_a_request_times_out() {
    let held = Held::new().await;
    held.rig.enforce(&asking().replace("60s", "2s"), 2);
    held.gateway.set(|state| state.down = true);
    let started = Instant::now();
    let body = held.put().await.await.unwrap().denied(403, "review_timed_out");
    assert!((1500..6000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    assert!(body["detail"].as_str().unwrap().contains("could not be asked"), "{body}");
    assert_eq!(held.lines().pop().unwrap()["unmapped"]["decision_source"], "timeout");
}

#[tokio::test]
async fn a_gateway_that_comes_back_is_asked_the_same_question() {
    let held = Held::new().await;
    held.gateway.set(|state| state.down = true);
    let waiting = held.put().await;
    settle().await;
    held.gateway.set(|state| state.down = false);
    let id = held.gateway.asked(1).await.remove(0);
    settle().await;
    // Away while it waits, and back with the answer.
    held.gateway.set(|state| state.down = true);
    tokio::time::sleep(Duration::from_millis(700)).await;
    held.gateway.set(|state| state.down = false);
    held.gateway.once(&id, &granting(), 1);
    assert_eq!(waiting.await.unwrap().status, 200);
    held.gateway.asked(1).await;
}

/// Another proxy of the sandbox said that its session runs: this one is not deaf for it, and does not end the other's.
#[tokio::test]
async fn two_proxies_end_each_others_sessions_once_and_no_more() {
    let gateway = Gateway::start().await;
    gateway.serve(&asking(), 1);
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new("box", gateway.client.clone(), dir.path());
    config.listen = "127.0.0.1:0".parse().unwrap();
    let proxy = Proxy::start(config).await.unwrap();
    let ask = async || {
        let mut client = Raw::new(TcpStream::connect(proxy.addr()).await.unwrap());
        client.send(PUT).await;
        client
    };
    let begins = |name: &str| gateway.set(|state| state.begins(Some(name.to_owned())));

    let mut first = ask().await;
    let id = gateway.asked(1).await.remove(0);
    settle().await;
    assert!(begins("s_other"));
    first.response().await.denied(403, "review_timed_out");
    let mut sessions = vec![gateway.hold(&id).session];
    for round in 1..4 {
        let mut asking = ask().await;
        let id = gateway.asked(round + 1).await.pop().unwrap();
        let session = gateway.hold(&id).session;
        assert!(!sessions.contains(&session), "{session} is not over");
        sessions.push(session);
        // After an outage, whoever is in charge announces itself again.
        gateway.set(|state| state.down = true);
        tokio::time::sleep(Duration::from_millis(400)).await;
        gateway.set(|state| state.down = false);
        tokio::time::sleep(Duration::from_millis(1700)).await;
        assert!(gateway.set(|state| state.live.contains("s_other")), "round {round}: the other one goes on");
        gateway.answer(&id, HeldStatus::Denied, |_| {});
        asking.response().await.denied(403, "denied_by_reviewer");
        assert!(begins("s_other"), "round {round}");
    }
    let own = |named: &Option<String>| named.as_ref().is_some_and(|name| name != "s_other");
    let announced = gateway.set(|state| state.sessions.iter().filter(|named| own(named)).cloned().collect::<Vec<_>>());
    assert!(announced.iter().all(|name| name.as_ref() == Some(&sessions[0])), "{announced:?} of {sessions:?}");
    proxy.shutdown().await;
}

/// One that never gets a session asks no more than a few times.
#[tokio::test]
async fn a_session_that_is_always_over_is_not_renewed_for_ever() {
    let held = Held::new().await;
    held.gateway.set(|state| state.at_once = Some(super::refused("session_ended: it is over")));
    let body = held.put().await.await.unwrap().denied(403, "no_matching_rule");
    assert!(body["detail"].as_str().unwrap().contains("session_ended"), "{body}");
    assert_eq!(held.gateway.set(|state| state.posts), 4);
}

#[tokio::test]
async fn a_gateway_that_knows_no_questions_asks_nobody() {
    let held = Held::new().await;
    // What it answers is no outcome: nothing is granted by it.
    held.gateway.set(|state| {
        let mut odd = super::refused("");
        (odd.status, odd.held_id) = (HeldStatus::Waiting, Some("../../keys".to_owned()));
        state.at_once = Some(odd);
    });
    let body = held.put().await.await.unwrap().denied(403, "no_matching_rule");
    assert!(body["detail"].as_str().unwrap().contains("takes no questions"), "{body}");
    for status in [HeldStatus::Once, HeldStatus::Session, HeldStatus::Always] {
        held.gateway.set(|state| {
            let mut odd = super::refused("");
            odd.status = status;
            state.at_once = Some(odd);
        });
        held.put().await.await.unwrap().denied(403, "no_matching_rule");
    }
    assert!(held.rig.upstream.seen().is_empty());
}

#[tokio::test]
async fn a_proxy_tells_when_its_session_begins_and_ends() {
    let gateway = Gateway::start().await;
    gateway.serve(&asking(), 1);
    let dir = tempfile::tempdir().unwrap();
    let config = || {
        let mut config = Config::new("box", gateway.client.clone(), dir.path());
        config.listen = "127.0.0.1:0".parse().unwrap();
        config
    };
    let proxy = Proxy::start(config()).await.unwrap();
    let mut client = Raw::new(TcpStream::connect(proxy.addr()).await.unwrap());
    client.send(PUT).await;
    let id = gateway.asked(1).await.remove(0);
    settle().await;
    let first = gateway.set(|state| state.sessions.clone());
    assert_eq!(first.first().cloned().flatten(), Some(gateway.hold(&id).session));

    let started = Instant::now();
    let stopping = tokio::spawn(proxy.shutdown());
    client.response().await.denied(403, "review_timed_out");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    stopping.await.unwrap();
    assert_eq!(gateway.set(|state| state.sessions.last().cloned()), Some(None), "and all that waited ends with it");
    let ended = gateway.set(|state| state.ended.clone());
    assert_eq!(ended, [first[0].clone().unwrap()], "with its own, and with no other's");

    gateway.serve(&asking(), 2);
    let proxy = Proxy::start(config()).await.unwrap();
    settle().await;
    let second = gateway.set(|state| state.sessions.last().cloned()).flatten();
    assert!(second.is_some() && !first.contains(&second), "another run is another session");
    proxy.shutdown().await;
}
