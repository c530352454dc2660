//! Answers, deadlines, clients that leave and ends of the gateway, all at once: one of them wins, and all see the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::held::{ASKS, asking, hold};
use common::{System, call, config};
use narrowgate_gateway::Mode;
use serde_json::{Value, json};
use tokio::time::sleep;

const A: &str = "/repos/acme/a.md";

/// Asks for one second only.
fn brief() -> String {
    ASKS.replace("ask_timeout: 60s", "ask_timeout: 1s")
}

/// 19: nobody answering is no denial by a reviewer, and grants nothing.
#[tokio::test(flavor = "multi_thread")]
async fn rule_19_a_deadline_fails_closed() {
    let (system, token) = asking(Mode::Manual, &brief()).await;
    let id = system.held(&token, hold("k", "PUT", A)).await;
    let seen = system.shown(&id).await["review_token"].clone();
    let since = Instant::now();
    let outcome = system.outcome(&token, &id, 30).await;
    assert_eq!((&outcome["status"], &outcome["decided_by"]), (&json!("timed_out"), &Value::Null), "{outcome}");
    assert!((Duration::from_millis(900)..Duration::from_secs(4)).contains(&since.elapsed()), "{:?}", since.elapsed());
    for answer in ["once", "session", "always", "no", "never"] {
        let (status, refused) = system.answer_with(&id, answer, None, &seen).await;
        assert_eq!((status, &refused["error"]), (409, &json!("not_waiting")), "{refused}");
        assert_eq!((&refused["held"]["status"], &refused["held"]["review_token"]), (&json!("timed_out"), &Value::Null));
    }
    assert_eq!(system.bundle("dev").await["version"], 1);
    assert_eq!(system.get("/v1/held").await["held"], json!([]));
}

/// The deadline passes while nobody looks, and reviewers learn of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_passes_by_itself() {
    let (system, token) = asking(Mode::Manual, &brief()).await;
    let id = system.held(&token, hold("k", "PUT", A)).await;
    for _ in 0..100 {
        let rows = system.dump().await;
        if rows["held"].iter().any(|row| row.contains("timed_out")) {
            let events = &rows["events"];
            assert!(
                events.last().unwrap().contains("held_outcome") && events.last().unwrap().contains(&id),
                "{events:?}"
            );
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("it still waits after five seconds");
}

/// 18: a client that leaves ends the question.
#[tokio::test(flavor = "multi_thread")]
async fn rule_18_a_client_that_leaves_ends_the_question() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let id = system.held(&token, hold("k", "PUT", A)).await;
    let seen = system.shown(&id).await["review_token"].clone();
    let addr = system.gateway.addr();
    let path = format!("/v1/sandboxes/dev/held/{id}?wait=60");
    let poll = tokio::spawn({
        let token = token.clone();
        async move { call(addr, "GET", &path, Some(&token), None).await }
    });
    sleep(Duration::from_millis(100)).await;
    assert_eq!(system.leave(&token, &id).await, 204);
    assert_eq!(poll.await.unwrap().1["status"], "cancelled", "its waiters know at once");
    assert_eq!(system.leave(&token, &id).await, 204, "again changes nothing");
    let (status, refused) = system.answer_with(&id, "always", None, &seen).await;
    assert_eq!(
        (status, &refused["error"], &refused["held"]["status"]),
        (409, &json!("not_waiting"), &json!("cancelled"))
    );
    assert_eq!(system.bundle("dev").await["version"], 1);
    // Leaving after the answer does not undo it.
    let id = system.held(&token, hold("k2", "PUT", A)).await;
    assert_eq!(system.answer(&id, "no", None).await.0, 200);
    assert_eq!(system.leave(&token, &id).await, 204);
    assert_eq!(system.outcome(&token, &id, 0).await["status"], "denied");
}

/// Fifty at once about one request: exactly one wins, and everybody sees that one.
#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_answers_one_wins() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    for round in 0..4 {
        let id = system.held(&token, hold(&format!("k{round}"), "PUT", &format!("/repos/acme/{round}"))).await;
        let seen = system.shown(&id).await["review_token"].clone();
        let (addr, before) = (system.gateway.addr(), system.bundle("dev").await["version"].as_u64().unwrap());
        let tasks: Vec<_> = (0..50)
            .map(|n| {
                let (id, sandbox, reviewer, seen) = (id.clone(), token.clone(), system.reviewer.clone(), seen.clone());
                tokio::spawn(async move {
                    let answer = ["once", "session", "always", "no", "never", "leave"][n % 6];
                    if answer == "leave" {
                        let path = format!("/v1/sandboxes/dev/held/{id}");
                        return (answer, call(addr, "DELETE", &path, Some(&sandbox), None).await);
                    }
                    let body = json!({"answer": answer, "reason": format!("by {n}"), "review_token": seen});
                    let path = format!("/v1/held/{id}/answer");
                    (answer, call(addr, "POST", &path, Some(&reviewer), Some(body.to_string())).await)
                })
            })
            .collect();
        let mut won = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                ("leave", (status, _)) => assert_eq!(status, 204),
                (answer, (200, view)) => won.push((answer, view)),
                (_, (status, refused)) => {
                    assert_eq!((status, &refused["error"]), (409, &json!("not_waiting")), "{refused}");
                }
            }
        }
        let stands = system.shown(&id).await;
        let versions = system.bundle("dev").await["version"].as_u64().unwrap() - before;
        match won.as_slice() {
            [] => assert_eq!((&stands["status"], versions), (&json!("cancelled"), 0)),
            [(answer, view)] => {
                let status = if *answer == "no" { "denied" } else { *answer };
                assert_eq!((&view["status"], &stands["status"]), (&json!(status), &json!(status)));
                assert_eq!(view["reason"], stands["reason"]);
                assert_eq!(versions, u64::from(matches!(*answer, "session" | "always")));
            }
            more => panic!("{} answers won: {more:?}", more.len()),
        }
        let ended =
            system.dump().await["events"].iter().filter(|e| e.contains("held_outcome") && e.contains(&id)).count();
        assert_eq!(ended, 1, "its end is told exactly once");
    }
}

/// An answer at the very deadline: either it counts for both sides, or it does for neither.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_at_the_deadline_counts_for_both_or_neither() {
    let (system, token) = asking(Mode::Manual, &brief()).await;
    let addr = system.gateway.addr();
    let mut tasks = Vec::new();
    for n in 0..20u64 {
        let id = system.held(&token, hold(&format!("k{n}"), "PUT", &format!("/repos/acme/{n}"))).await;
        let shown = system.shown(&id).await;
        let deadline: jiff::Timestamp = shown["deadline"].as_str().unwrap().parse().unwrap();
        let (sandbox, reviewer) = (token.clone(), system.reviewer.clone());
        tasks.push(tokio::spawn(async move {
            let left = deadline.as_millisecond() - jiff::Timestamp::now().as_millisecond();
            let at = u64::try_from(left).unwrap_or(0).saturating_sub(50) + n * 5;
            let poll = tokio::spawn({
                let path = format!("/v1/sandboxes/dev/held/{id}?wait=30");
                async move { call(addr, "GET", &path, Some(&sandbox), None).await.1 }
            });
            sleep(Duration::from_millis(at)).await;
            let body = json!({"answer": "no", "review_token": shown["review_token"]}).to_string();
            let (status, _) = call(addr, "POST", &format!("/v1/held/{id}/answer"), Some(&reviewer), Some(body)).await;
            let outcome = poll.await.unwrap();
            let expect = if status == 200 { "denied" } else { "timed_out" };
            assert_eq!(outcome["status"], expect, "the reviewer was told {status}");
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// Grants at once are versions one after another; none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn grants_at_once_are_all_in_force() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let addr = system.gateway.addr();
    let mut tasks = Vec::new();
    for n in 0..8 {
        let id = system.held(&token, hold(&format!("k{n}"), "PUT", &format!("/repos/acme/{n}"))).await;
        let (seen, reviewer) = (system.shown(&id).await["review_token"].clone(), system.reviewer.clone());
        let answer = if n % 2 == 0 { "always" } else { "session" };
        let body = json!({"answer": answer, "review_token": seen}).to_string();
        let path = format!("/v1/held/{id}/answer");
        tasks.push(tokio::spawn(async move { (id, call(addr, "POST", &path, Some(&reviewer), Some(body)).await) }));
    }
    let mut versions = Vec::new();
    for task in tasks {
        let (id, (status, view)) = task.await.unwrap();
        assert_eq!(status, 200, "{view}");
        versions.push(system.outcome(&token, &id, 0).await["version"].as_u64().unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, Vec::from_iter(2..=9));
    let policy = system.bundle("dev").await["policy_yaml"].to_string();
    assert!((0..8).all(|n| policy.contains(&format!("/repos/acme/{n}"))), "{policy}");
}

/// A restart in the middle: what waits still waits, until the same moment, and is answered as ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_no_request() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let (id, once) =
        (system.held(&token, hold("k", "PUT", A)).await, system.held(&token, hold("k2", "DELETE", A)).await);
    assert_eq!(system.answer(&once, "once", None).await.0, 200);
    let before = system.shown(&id).await;
    let addr = system.gateway.addr();
    let path = format!("/v1/sandboxes/dev/held/{id}?wait=60");
    let poll = tokio::spawn({
        let token = token.clone();
        async move { call(addr, "GET", &path, Some(&token), None).await }
    });
    sleep(Duration::from_millis(100)).await;
    let system = system.restart().await;
    assert_eq!(poll.await.unwrap().1["status"], "waiting", "a long poll ends without an outcome");
    assert_eq!(system.shown(&id).await, before);
    assert_eq!(system.held(&token, hold("k", "PUT", A)).await, id, "asked again, it is the same");
    assert!(system.outcome(&token, &once, 0).await["grant"].is_object(), "an answer can still be fetched");
    assert_eq!(system.answer_with(&id, "always", None, &before["review_token"]).await.0, 200);
    assert_eq!(system.outcome(&token, &id, 0).await["status"], "always");
}

/// A kill instead of an end: a deadline that passed meanwhile has passed.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_passes_while_the_gateway_is_away() {
    let (system, token) = asking(Mode::Manual, &brief()).await;
    let id = system.held(&token, hold("k", "PUT", A)).await;
    let System { gateway, dir, .. } = system;
    gateway.shutdown().await;
    sleep(Duration::from_millis(2100)).await;
    let config = config(dir.path());
    let system = System::start_in(dir, config).await;
    assert_eq!(system.outcome(&token, &id, 0).await["status"], "timed_out");
}

/// A sandbox that keeps asking does not fill a reviewer's list; room is made by every end.
#[tokio::test(flavor = "multi_thread")]
async fn so_many_wait_and_no_more() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let mut first = None;
    for n in 0..200 {
        let id = system.held(&token, hold(&format!("k{n}"), "PUT", &format!("/repos/acme/{n}"))).await;
        first.get_or_insert(id);
    }
    let refused = system.hold(&token, hold("more", "PUT", "/repos/acme/more")).await;
    assert_eq!(refused["status"], "refused");
    assert!(refused["message"].as_str().unwrap().starts_with("too_many_waiting: 200"), "{refused}");
    assert_eq!(system.get("/v1/held").await["held"].as_array().unwrap().len(), 200);
    assert_eq!(system.leave(&token, &first.unwrap()).await, 204);
    system.held(&token, hold("more", "PUT", "/repos/acme/more")).await;
}

/// A sandbox that is deleted leaves nothing that could be answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_sandbox_asks_nobody() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let id = system.held(&token, hold("k", "PUT", A)).await;
    let seen = system.shown(&id).await["review_token"].clone();
    assert_eq!(system.call("DELETE", "/v1/sandboxes/dev", &system.admin, None).await.0, 204);
    assert_eq!(system.get("/v1/held?status=all").await["held"], json!([]));
    assert_eq!(system.answer_with(&id, "always", None, &seen).await.0, 404);
    assert!(system.dump().await["held"][0].contains("'cancelled'"));
}
