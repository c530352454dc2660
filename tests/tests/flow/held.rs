//! A request waits for a person, and completes: the real proxy, the real gateway, a reviewer at its API.

use std::time::{Duration, Instant};

use narrowgate_core::held::{Answer as Said, HeldAnswer, HeldList, HeldStatus, HeldView, Session};
use narrowgate_tests::system::{Answer, CEILING, HOST, POLICY, System};
use serde_json::json;
use tokio::task::JoinHandle;

const DOCS: &str = "/repos/acme/site/docs/a.md";

fn asking(timeout: &str) -> String {
    POLICY.replace("version: 1\n", &format!("version: 1\non_miss: ask\nask_timeout: {timeout}\n"))
}

/// A request of its own connection; the answer, some day.
async fn put(system: &System, path: &str) -> JoinHandle<Answer> {
    let (mut client, path) = (system.connect(HOST).await, path.to_owned());
    tokio::spawn(async move { client.request("PUT", &path, HOST, "hello").await })
}

/// What waits, once something does.
pub(super) async fn waiting(system: &System) -> HeldView {
    let start = Instant::now();
    loop {
        let mut list: HeldList = system.reviewer().get("/v1/held").await.unwrap();
        assert!(list.held.len() <= 1, "{list:?}");
        if let Some(view) = list.held.pop() {
            return view;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "nobody is asked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(super) async fn say(system: &System, view: &HeldView, answer: Said) -> HeldView {
    let review_token = view.review_token.clone().expect("it waits");
    let body = HeldAnswer { answer, reason: Some("as agreed".to_owned()), review_token };
    system.reviewer().post(&format!("/v1/held/{}/answer", view.held_id), &body).await.unwrap()
}

fn reached(system: &System) -> Vec<String> {
    system.upstream.seen().into_iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_is_for_what_it_says() {
    // What becomes of the next request, that is the same.
    enum Next {
        Asked,
        Passes,
        Denied,
    }
    for (answer, status, reason, next) in [
        (Said::Once, 200, "", Next::Asked),
        (Said::Session, 200, "", Next::Passes),
        (Said::Always, 200, "", Next::Passes),
        (Said::No, 403, "denied_by_reviewer", Next::Asked),
        (Said::Never, 403, "denied_by_reviewer", Next::Denied),
    ] {
        let mut system = System::start(&asking("60s"), CEILING).await;
        let first = put(&system, DOCS).await;
        let view = waiting(&system).await;
        assert_eq!((view.method.as_deref(), view.path.as_deref()), (Some("PUT"), Some(DOCS)), "{view:?}");
        assert_eq!(view.process.pid as u32, std::process::id());
        assert!(!view.process.command.is_empty(), "{view:?}");
        assert!(!first.is_finished() && reached(&system).is_empty());
        say(&system, &view, answer).await;
        let told = first.await.unwrap();
        assert_eq!(told.status, status, "{answer:?}: {}", told.text());
        if status == 403 {
            let body = told.json();
            assert_eq!((&body["reason"], &body["held"]["held_id"]), (&json!(reason), &json!(view.held_id)), "{body}");
            assert_eq!(body["held"]["message"], "as agreed");
            let said = if answer == Said::No { "no" } else { "never" };
            assert_eq!(body["held"]["answer"], said, "{body}");
        }
        let mut passed = usize::from(status == 200);
        let second = put(&system, DOCS).await;
        match next {
            Next::Asked => {
                let again = waiting(&system).await;
                assert_ne!(again.held_id, view.held_id);
                say(&system, &again, Said::No).await;
                assert_eq!(second.await.unwrap().status, 403);
            }
            Next::Passes => {
                assert_eq!(second.await.unwrap().status, 200, "{answer:?}");
                passed += 1;
                // What was granted for the session ends with it; what was granted for good stays.
                system.stop_proxy().await;
                system.start_proxy().await;
                let third = put(&system, DOCS).await;
                match answer {
                    Said::Session => {
                        say(&system, &waiting(&system).await, Said::No).await;
                        assert_eq!(third.await.unwrap().status, 403);
                    }
                    _ => {
                        assert_eq!(third.await.unwrap().status, 200);
                        passed += 1;
                    }
                }
            }
            Next::Denied => {
                let body = second.await.unwrap().json();
                assert_eq!(body["reason"], "denied_by_reviewer", "{body}");
                let who = json!({ "answer": "never", "decided_by": "reviewer", "message": "as agreed" });
                assert_eq!(body["held"], who, "nobody was asked this time");
                let list: HeldList = system.reviewer().get("/v1/held").await.unwrap();
                assert!(list.held.is_empty(), "nobody is asked again");
            }
        }
        assert_eq!(reached(&system), vec![format!("PUT {DOCS}"); passed], "{answer:?}");
    }
}

/// After a no there is a way on that is not asking the same again: a proposal with the reasons, which can be approved.
#[tokio::test(flavor = "multi_thread")]
async fn a_no_leaves_room_for_a_proposal_that_says_more() {
    let system = System::start(&asking("60s"), CEILING).await;
    let first = put(&system, DOCS).await;
    say(&system, &waiting(&system).await, Said::No).await;
    let denial = first.await.unwrap().json();
    let step = denial["next_steps"].as_array().unwrap().iter().find(|step| step["action"] == "submit_proposal");
    let mut body = step.unwrap_or_else(|| panic!("{denial}"))["body"].clone();
    body["intent_summary"] = json!("the task is to correct this page, and nothing else writes it");
    let told = system.local("POST", "/v1/proposals", &body.to_string()).await.json();
    let id = told["accepted_chunk_ids"][0].as_str().unwrap_or_else(|| panic!("{told}")).to_owned();
    let version = system.approve(&id).await.activated_version.unwrap();
    system.enforces(version).await;
    assert_eq!(put(&system, DOCS).await.await.unwrap().status, 200);
    assert_eq!(reached(&system), [format!("PUT {DOCS}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_answers_is_denied_at_its_deadline() {
    let system = System::start(&asking("2s"), CEILING).await;
    let start = Instant::now();
    let body = put(&system, DOCS).await.await.unwrap().json();
    assert_eq!(body["reason"], "review_timed_out", "{body}");
    assert!((1..9).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    let list: HeldList = system.reviewer().get("/v1/held?status=timed_out").await.unwrap();
    assert_eq!(list.held.len(), 1);
    assert!(reached(&system).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_restart_in_the_middle_loses_no_question() {
    for answer in [Said::Once, Said::Always] {
        let mut system = System::start(&asking("60s"), CEILING).await;
        let first = put(&system, DOCS).await;
        let before = waiting(&system).await;
        system.stop_gateway().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!first.is_finished());
        system.start_gateway().await;
        let after = waiting(&system).await;
        assert_eq!((&after.held_id, &after.deadline), (&before.held_id, &before.deadline));
        say(&system, &after, answer).await;
        assert_eq!(first.await.unwrap().status, 200);
        assert_eq!(reached(&system), [format!("PUT {DOCS}")]);
    }
}

/// What cannot be granted is nobody's question: the gateway keeps no question, no proposal and no version of it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_about_what_is_outside_the_ceiling() {
    let system = System::start(&asking("60s"), CEILING).await;
    let body = put(&system, "/repos/acme/secret-plans").await.await.unwrap().json();
    assert_eq!(body["reason"], "no_matching_rule", "{body}");
    assert!(body["detail"].as_str().unwrap().contains("outside_org_ceiling"), "{body}");
    let list: HeldList = system.reviewer().get("/v1/held?status=all").await.unwrap();
    assert!(list.held.is_empty(), "{list:?}");
    assert!(system.proposals().await.is_empty() && system.bundle().await.version == 1);
    assert!(reached(&system).is_empty());
    let line = system.audit().pop().unwrap();
    assert_eq!(line["unmapped"]["decision_source"], "ceiling", "{line}");
}

/// `once` is for all that wait, whatever their queries and bodies: the reviewer sees how many, before and after.
#[tokio::test(flavor = "multi_thread")]
async fn a_reviewer_sees_how_many_once_lets_through() {
    let system = System::start(&asking("60s"), CEILING).await;
    let mut all = Vec::new();
    for number in 1..=7 {
        let path = format!("{DOCS}?number={number}");
        all.push(put(&system, &path).await);
        let start = Instant::now();
        while waiting(&system).await.requests != Some(number) {
            assert!(start.elapsed() < Duration::from_secs(5), "{number}: {:?}", waiting(&system).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let view = waiting(&system).await;
    assert_eq!(say(&system, &view, Said::Once).await.requests, Some(7));
    for one in all {
        assert_eq!(one.await.unwrap().status, 200);
    }
    assert_eq!(reached(&system).len(), 7);
    let after: HeldView = system.reviewer().get(&format!("/v1/held/{}", view.held_id)).await.unwrap();
    assert_eq!((after.status, after.requests), (HeldStatus::Once, Some(7)));
    assert!(!serde_json::to_string(&after).unwrap().contains("number="), "{after:?}");
}

/// Another proxy of the sandbox announces itself, again and again: what waited here ends, what comes after is asked in a
/// new session each time, and the other one's session is never ended for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_whose_session_was_ended_asks_in_another() {
    let system = System::start(&asking("60s"), CEILING).await;
    let other = Session::running("s_other");
    for round in 0..3 {
        let cut = put(&system, DOCS).await;
        let before = waiting(&system).await;
        system
            .sandbox()
            .put("/v1/sandboxes/dev/session", &other)
            .await
            .unwrap_or_else(|e| panic!("round {round}: {e}"));
        let body = cut.await.unwrap().json();
        assert_eq!((&body["reason"], &body["held"]["held_id"]), (&json!("review_timed_out"), &json!(before.held_id)));
        let next = put(&system, DOCS).await;
        let after = waiting(&system).await;
        assert_ne!(after.held_id, before.held_id);
        say(&system, &after, Said::Once).await;
        assert_eq!(next.await.unwrap().status, 200, "round {round}");
    }
    assert_eq!(reached(&system), vec![format!("PUT {DOCS}"); 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_is_asked_for_no_more() {
    let system = System::start(&asking("60s"), CEILING).await;
    let first = put(&system, DOCS).await;
    let view = waiting(&system).await;
    first.abort();
    let start = Instant::now();
    loop {
        let seen: HeldView = system.reviewer().get(&format!("/v1/held/{}", view.held_id)).await.unwrap();
        if seen.status == HeldStatus::Cancelled {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let body = HeldAnswer { answer: Said::Once, reason: None, review_token: view.review_token.unwrap() };
    let late = system.reviewer().post::<HeldView>(&format!("/v1/held/{}/answer", view.held_id), &body).await;
    assert_eq!(late.unwrap_err().status(), Some(409));
    assert!(reached(&system).is_empty());
}
