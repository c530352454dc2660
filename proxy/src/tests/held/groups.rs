//! Who shares a question, who does not, and for whom an answer is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use narrowgate_core::held::HeldStatus;

use super::{Held, granting, settle};
use crate::held::tests_of_limits as limits;

#[tokio::test]
async fn a_hundred_that_ask_for_the_same_are_one_question() {
    let mut held = Held::new().await;
    // The first has this large executable hashed, which the others find known.
    let mut waiting = vec![held.put().await];
    let id = held.gateway.asked(1).await.remove(0);
    for _ in 1..100 {
        waiting.push(held.put().await);
    }
    held.waiting(100).await;
    assert_eq!(held.gateway.set(|state| state.posts), 1);
    held.gateway.once(&id, &granting(), 1);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    assert_eq!(held.rig.upstream.lines().len(), 100);
    let told = std::iter::from_fn(|| held.event()).count();
    assert_eq!(told, 2, "one prompt and one answer");

    // Whoever comes after the answer is not covered by it.
    let later = held.put().await;
    let ids = held.gateway.asked(2).await;
    settle().await;
    assert!(!later.is_finished());
    held.gateway.answer(&ids[1], HeldStatus::Denied, |_| {});
    later.await.unwrap().denied(403, "denied_by_reviewer");
    assert_eq!(held.rig.upstream.lines().len(), 100);
}

/// The gateway learns how many an answer is for: soon, without a call for each, and at the end exactly.
#[tokio::test]
async fn the_gateway_is_told_how_many_wait() {
    let held = Held::new().await;
    let mut waiting = vec![held.put().await];
    let id = held.gateway.asked(1).await.remove(0);
    let told = |held: &Held| held.gateway.set(|state| state.questions[&id].requests.clone());
    let until = async |count: u32| {
        let start = Instant::now();
        while told(&held).last() != Some(&count) {
            assert!(start.elapsed() < Duration::from_secs(3), "not {count}: {:?}", told(&held));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        start.elapsed()
    };
    until(1).await;
    let start = Instant::now();
    for _ in 1..40 {
        waiting.push(held.put().await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    held.waiting(40).await;
    let late = until(40).await;
    assert!(late < Duration::from_secs(2), "told {late:?} after the last one came");
    let most = start.elapsed().as_secs() as usize + 3;
    assert!(told(&held).len() <= most, "40 came within {:?}, told as {:?}", start.elapsed(), told(&held));
    // One that goes is not waiting any more.
    waiting.pop().unwrap().abort();
    until(39).await;
    // More than were told of when the answer comes: all of them are let through, and all of them counted.
    for _ in 0..3 {
        waiting.push(held.put().await);
    }
    held.waiting(42).await;
    held.gateway.once(&id, &granting(), 1);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
    held.gateway.taken_back(&id).await;
    until(42).await;
    // One at a time, but for the one before that is being broken off.
    assert!(held.gateway.set(|state| state.questions[&id].most_polls) <= 2);
}

/// Requests that arrive around the answer: each is covered by the first question, or asks anew; none passes unasked.
#[tokio::test]
async fn once_is_for_those_that_waited_when_it_was_said() {
    for pause in [0, 1, 3, 10] {
        let held = Held::new().await;
        let first = held.put().await;
        let id = held.gateway.asked(1).await.remove(0);
        settle().await;
        held.gateway.once(&id, &granting(), 1);
        let mut later = Vec::new();
        for _ in 0..20 {
            tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
            later.push(held.put().await);
        }
        assert_eq!(first.await.unwrap().status, 200);
        settle().await;
        let ids: Vec<String> = held.gateway.set(|state| state.questions.keys().cloned().collect());
        assert!(ids.len() <= 2, "those that came later share one question: {ids:?}");
        if let Some(id) = ids.get(1) {
            held.gateway.answer(id, HeldStatus::Denied, |_| {});
        }
        let mut denied = 0;
        for answer in later {
            denied += usize::from(answer.await.unwrap().status == 403);
        }
        // Sent in no time at all, they may all be there before the answer is.
        assert!(denied > 0 || pause == 0, "the last one was sent after the answer");
        assert_eq!(held.rig.upstream.lines().len(), 1 + 20 - denied);
        if pause == 10 {
            assert!(denied >= 15, "{denied} of 20, sent over 200 ms");
        }
    }
}

#[tokio::test]
async fn whatever_differs_is_asked_about_separately() {
    let held = Held::new().await;
    let heads = [
        "PUT http://plain.test/new/x HTTP/1.1\r\nhost: plain.test",
        "POST http://plain.test/new/x HTTP/1.1\r\nhost: plain.test",
        "PUT http://plain.test/new/y HTTP/1.1\r\nhost: plain.test",
        "PUT http://plain.test:8080/new/x HTTP/1.1\r\nhost: plain.test:8080",
        "PUT http://other.test/new/x HTTP/1.1\r\nhost: other.test",
        "CONNECT plain.test:9000 HTTP/1.1",
        "CONNECT plain.test:9001 HTTP/1.1",
    ];
    let mut waiting = Vec::new();
    for (before, head) in heads.iter().enumerate() {
        waiting.push(held.send(head).await);
        waiting.push(held.send(head).await);
        held.gateway.asked(before + 1).await;
    }
    // Another path of the same one, by its canonical form.
    waiting.push(held.send("PUT http://plain.test/new/a/%2e%2e/x HTTP/1.1\r\nhost: plain.test").await);
    // The same program in another run.
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PUT", "http://plain.test/new/x"]);
    let curl = curl.args(["-x", &format!("http://{}", held.rig.proxy.addr())]).stdout(std::process::Stdio::piped());
    let curl = curl.spawn().expect("curl is installed");
    held.gateway.asked(heads.len() + 1).await;
    settle().await;
    let ids = held.gateway.asked(heads.len() + 1).await;
    let holds: Vec<_> = ids.iter().map(|id| held.gateway.hold(id)).collect();
    let curls = &holds[heads.len()];
    assert!(curls.process.binary.ends_with("/curl") && Some(curls.process.pid as u32) == curl.id(), "{curls:?}");
    assert!(curls.process.command.contains("-X PUT"), "{curls:?}");
    assert_eq!(curls.process.sha256.len(), 64);
    assert!(holds.iter().all(|hold| hold.session == holds[0].session && !hold.session.is_empty()));
    assert!(holds.iter().all(|hold| hold.inspected == hold.record.method.is_some()));
    // Parallel programs: a no hits its owner only.
    held.gateway.answer(&ids[heads.len()], HeldStatus::Denied, |_| {});
    let output = curl.wait_with_output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "403");
    settle().await;
    assert!(waiting.iter().all(|answer| !answer.is_finished()));
    for id in &ids[..heads.len()] {
        held.gateway.answer(id, HeldStatus::TimedOut, |_| {});
    }
    for answer in waiting {
        answer.await.unwrap().denied(403, "review_timed_out");
    }
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let held = Held::new().await;
    limits(&Arc::clone(&held.rig.shared));
    let body = held.put().await.await.unwrap().denied(403, "no_matching_rule");
    assert!(body["detail"].as_str().unwrap().contains("1000 questions are waiting"), "{body}");
    assert_eq!(held.gateway.set(|state| state.posts), 0);
}
