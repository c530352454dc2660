//! Many questions and few connections to the gateway.

use std::time::{Duration, Instant};

use narrowgate_core::held::HeldStatus;
use tokio::task::JoinHandle;

use super::{Held, asking};
use crate::tests::rig::Answer;

/// More than three times what is polled for at once.
const MANY: usize = 180;

async fn ask(held: &Held, count: usize) -> Vec<JoinHandle<Answer>> {
    let mut waiting = Vec::new();
    for number in 0..count {
        let head = format!("PUT http://plain.test/many/{number} HTTP/1.1\r\nhost: plain.test\r\ncontent-length: 0");
        waiting.push(held.send(&head).await);
        if number == 0 {
            held.gateway.asked(1).await;
        }
    }
    waiting
}

#[tokio::test]
async fn many_questions_share_few_connections_and_none_is_lost() {
    let held = Held::new().await;
    let waiting = ask(&held, MANY).await;
    let ids = held.gateway.asked(MANY).await;
    let (start, mut most) = (Instant::now(), 0);
    // Every one is polled for in its turn: the gateway hears of each how many wait.
    let unheard = || held.gateway.set(|state| state.questions.values().filter(|one| one.requests.is_empty()).count());
    while start.elapsed() < Duration::from_secs(3) || unheard() > 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "{} of {MANY} were not polled for", unheard());
        most = most.max(held.gateway.set(|state| state.connections));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // 64 are in use at most; the client sometimes dials before it finds one idle, and keeps both.
    assert!((32..=64 + 16).contains(&most), "{most} connections for {MANY} questions");

    // One more is asked about at once, however many wait for answers.
    let start = Instant::now();
    let late = held.put().await;
    let last = held.gateway.asked(MANY + 1).await.pop().unwrap();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());

    let start = Instant::now();
    for id in ids.iter().chain([&last]) {
        held.gateway.answer(id, HeldStatus::Denied, |_| {});
    }
    for answer in waiting.into_iter().chain([late]) {
        answer.await.unwrap().denied(403, "denied_by_reviewer");
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let again = held.put().await;
    let id = held.gateway.asked(MANY + 2).await.pop().unwrap();
    held.gateway.answer(&id, HeldStatus::Denied, |_| {});
    let start = Instant::now();
    again.await.unwrap().denied(403, "denied_by_reviewer");
    assert!(start.elapsed() < Duration::from_secs(2), "the line is gone: {:?}", start.elapsed());
}

/// Standing in line is no more time, and no less.
#[tokio::test]
async fn deadlines_hold_in_line() {
    let held = Held::new().await;
    held.rig.enforce(&asking().replace("60s", "4s"), 2);
    let waiting = ask(&held, MANY).await;
    held.gateway.asked(MANY).await;
    let start = Instant::now();
    for answer in waiting {
        answer.await.unwrap().denied(403, "review_timed_out");
    }
    // Four seconds, three for the gateway to say so, and a turn.
    assert!((2..16).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert!(held.rig.upstream.seen().is_empty() && held.rig.shared.held.list().is_empty());
}
