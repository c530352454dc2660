//! What each answer does, and that response, log and event say the same of it.

use narrowgate_core::held::{HeldOutcome, HeldStatus};
use serde_json::{Value, json};

use super::{Held, asking, denying, granting, refused, settle};
use crate::held::{Event, When};
use crate::tests::denial::policy_local;

#[tokio::test]
async fn each_answer_completes_the_request_that_waited() {
    for (status, http, reason, source) in [
        (HeldStatus::Once, 200, "", "reviewer"),
        (HeldStatus::Session, 200, "", "reviewer"),
        (HeldStatus::Always, 200, "", "reviewer"),
        (HeldStatus::Denied, 403, "denied_by_reviewer", "reviewer"),
        (HeldStatus::Never, 403, "denied_by_reviewer", "reviewer"),
        (HeldStatus::TimedOut, 403, "review_timed_out", "timeout"),
        (HeldStatus::Cancelled, 403, "review_timed_out", "timeout"),
        (HeldStatus::Refused, 403, "no_matching_rule", "policy"),
    ] {
        let mut held = Held::new().await;
        let waiting = held.put().await;
        let id = held.gateway.asked(1).await.remove(0);
        settle().await;
        assert!(!waiting.is_finished() && held.rig.upstream.seen().is_empty(), "{status:?}: it waits");
        match status {
            HeldStatus::Once => held.gateway.once(&id, &granting(), 1),
            HeldStatus::Session | HeldStatus::Always => {
                held.gateway.answer(&id, status, |outcome| outcome.version = Some(2));
                settle().await;
                assert!(!waiting.is_finished(), "{status:?}: not before it is in force here");
                held.rig.enforce(&granting(), 2);
            }
            _ => held.gateway.answer(&id, status, |_| {}),
        }
        let answer = waiting.await.unwrap();
        assert_eq!(answer.status, http, "{status:?}: {answer:?}");
        let mark = format!("x-narrowgate-held: {id}; deadline=20");
        assert!(answer.head.contains(&mark), "{status:?}: {answer:?}");

        let lines = held.lines();
        let [begins, ends] = lines.as_slice() else { panic!("{status:?}: {lines:#?}") };
        assert_eq!((&begins["action"], &begins["disposition"]), (&json!("Waiting"), &json!("Delayed")), "{begins:#}");
        assert_eq!(begins["metadata"]["correlation_uid"], ends["metadata"]["correlation_uid"]);
        assert_eq!(begins["unmapped"].get("decision_source"), None, "nobody decided yet");
        let told = &ends["unmapped"];
        assert_eq!((&told["decision_source"], &told["held_id"]), (&json!(source), &json!(id)), "{status:?}: {ends:#}");
        assert_eq!(told["decided_by"], "rita");

        let (Some(Event::Waiting(prompt)), Some(Event::Decided(decided))) = (held.event(), held.event()) else {
            panic!("{status:?}")
        };
        assert_eq!((&prompt.held_id, prompt.pid as u32), (&id, std::process::id()));
        assert_eq!(prompt.what, "PUT plain.test:80/new/x");
        assert_eq!((&decided.prompt, decided.status), (&prompt, status));
        assert_eq!(decided.decided_by.as_deref(), Some("rita"));
        if http == 200 {
            assert_eq!(held.rig.upstream.lines(), ["PUT /new/x?token=s3cret"]);
            assert_eq!(answer.body, "hello");
            assert_eq!(ends["action"], "Allowed");
        } else {
            assert!(held.rig.upstream.seen().is_empty());
            let body = answer.denied(403, reason);
            assert_eq!((&body["held"]["held_id"], &body["held"]["decided_by"]), (&json!(id), &json!("rita")));
            assert_eq!(body["held"]["message"], "looks right");
            let answer = match status {
                HeldStatus::Denied => json!("no"),
                HeldStatus::Never => json!("never"),
                _ => Value::Null,
            };
            assert_eq!(body["held"]["answer"], answer, "{body}");
            assert!(body["detail"].as_str().unwrap().ends_with("(rita): looks right"), "{body}");
            assert_eq!((&told["reason"], &ends["action"]), (&json!(reason), &json!("Denied")));
            let Some(Event::Denied(denied)) = held.event() else { panic!("{status:?}") };
            assert_eq!((denied.reason.as_str(), &denied.denial_id[..]), (reason, body["denial_id"].as_str().unwrap()));
            assert_eq!(denied.message, body["detail"]);
            assert_eq!(denied.review.unwrap().source.as_str(), source);
            assert_eq!(denied.when, When::AtOnce);
            let record = held.gateway.hold(&id).record;
            assert_eq!(record.denial_id, body["denial_id"], "one id for the question and the denial");
        }
        assert_eq!(held.event(), None, "{status:?}: nothing twice");
        let everywhere = format!("{lines:?} {}", json!(held.gateway.hold(&id)));
        assert!(!everywhere.contains("s3cret"), "{everywhere}");
    }
}

#[tokio::test]
async fn what_the_gateway_does_not_ask_about_is_denied_as_the_policy_says() {
    let mut held = Held::new().await;
    held.gateway.set(|state| state.at_once = Some(refused("outside_org_ceiling: no")));
    let body = held.put().await.await.unwrap().denied(403, "no_matching_rule");
    assert!(body["detail"].as_str().unwrap().ends_with("; nobody was asked: outside_org_ceiling: no"), "{body}");
    assert_eq!(body.get("held"), None);
    let lines = held.lines();
    assert_eq!(lines.len(), 1, "it never waited: {lines:#?}");
    assert_eq!(lines[0]["unmapped"]["decision_source"], "ceiling");
    assert!(matches!(held.event(), Some(Event::Denied(_))) && held.event().is_none());
    assert!(held.rig.upstream.seen().is_empty());
}

/// After `no` the next one is asked about, after `never` it is not: an agent is told which, and what is left to do.
#[tokio::test]
async fn an_agent_is_told_whether_asking_again_helps() {
    for (status, at_once, proposes, says) in [
        (HeldStatus::Denied, false, true, "Change course"),
        (HeldStatus::Never, false, false, "nobody is asked again"),
        // Said to an earlier one: nobody was asked about this one.
        (HeldStatus::Never, true, false, "nobody is asked again"),
        (HeldStatus::TimedOut, false, false, "Nobody was there"),
    ] {
        let held = Held::new().await;
        if at_once {
            let said = |outcome: &mut HeldOutcome| {
                (outcome.status, outcome.decided_by) = (status, Some("rita".to_owned()));
            };
            let mut before = refused("looks wrong");
            said(&mut before);
            held.gateway.set(|state| state.at_once = Some(before));
        }
        let waiting = held.put().await;
        if !at_once {
            let id = held.gateway.asked(1).await.remove(0);
            held.gateway.answer(&id, status, |outcome| outcome.message = Some("looks wrong".to_owned()));
        }
        let body = waiting.await.unwrap().json();
        let steps = body["next_steps"].as_array().unwrap();
        assert_eq!(steps.iter().any(|step| step["action"] == "submit_proposal"), proposes, "{status:?}: {body}");
        assert_eq!(body.get("rule_missing").is_some(), proposes, "{status:?}: {body}");
        let advice = body["agent_guidance"].as_str().unwrap();
        assert!(advice.contains(says), "{status:?}: {advice}");
        assert_eq!(advice.contains("refused"), status == HeldStatus::Never, "{status:?}: {advice}");
        assert_eq!(body["held"].get("held_id").is_some(), !at_once, "{body}");
        assert_eq!((&body["held"]["decided_by"], &body["held"]["message"]), (&json!("rita"), &json!("looks wrong")));
        assert!(body["detail"].as_str().unwrap().ends_with(" (rita): looks wrong"), "{body}");
    }
}

/// Whatever a rule or the destination denies, no person is asked about.
#[tokio::test]
async fn nobody_is_asked_about_what_no_answer_could_allow() {
    let held = Held::new().await;
    held.rig.enforce(&denying(), 1);
    for (head, reason) in [
        ("PUT http://plain.test/new/x HTTP/1.1\r\nhost: plain.test", "deny_rule"),
        ("GET http://169.254.169.254/ HTTP/1.1\r\nhost: 169.254.169.254", "destination_blocked"),
        ("CONNECT 169.254.169.254:9000 HTTP/1.1", "destination_blocked"),
        ("GET http://plain.test/a%2fb HTTP/1.1\r\nhost: plain.test", "request_ambiguous"),
        ("GET http://plain.test/x HTTP/1.1\r\nhost: plain.test\r\nx-http-method-override: PUT", "request_ambiguous"),
    ] {
        held.send(head).await.await.unwrap().denied(403, reason);
    }
    held.rig.enforce(&asking().replace("on_miss: ask\nask_timeout: 60s\n", ""), 2);
    held.put().await.await.unwrap().denied(403, "no_matching_rule");
    assert_eq!(held.gateway.set(|state| state.posts), 0);
}

/// What the policy in force comes to say counts, whatever is asked and whoever answers later.
#[tokio::test]
async fn the_policy_of_the_moment_beats_the_reviewer() {
    let no_more = asking().replace("on_miss: ask\nask_timeout: 60s\n", "");
    for (policy, status, reason) in [
        (Some(denying()), 403, "deny_rule"),
        (Some(no_more), 403, "no_matching_rule"),
        (None, 403, "policy_unavailable"),
        (Some(granting()), 200, ""),
    ] {
        let mut held = Held::new().await;
        let waiting = held.put().await;
        let id = held.gateway.asked(1).await.remove(0);
        settle().await;
        match &policy {
            Some(policy) => held.rig.enforce(policy, 2),
            None => held.rig.shared.active.clear(),
        }
        let answer = waiting.await.unwrap();
        assert_eq!(answer.status, status, "{reason}: {answer:?}");
        held.gateway.taken_back(&id).await;
        // Too late: the answer is for nobody.
        held.gateway.once(&id, &granting(), 1);
        if status == 403 {
            let body = answer.denied(403, reason);
            assert_eq!(body["held"]["held_id"], json!(id));
            assert!(held.rig.upstream.seen().is_empty());
        }
        let lines = held.lines();
        let last = lines.last().unwrap();
        assert_eq!(last["unmapped"]["decision_source"], "policy", "{last:#}");
        assert_eq!(last["unmapped"].get("decided_by"), None);
        settle().await;
        let ends: Vec<HeldStatus> = std::iter::from_fn(|| held.event())
            .filter_map(|event| match event {
                Event::Decided(decided) => Some(decided.status),
                _ => None,
            })
            .collect();
        assert_eq!(ends, [HeldStatus::Cancelled]);
    }
}

/// A late yes loses to a newer no: the deny rule comes after the answer, before the version that has the grant.
#[tokio::test]
async fn a_deny_rule_that_comes_between_answer_and_reload_wins() {
    for status in [HeldStatus::Session, HeldStatus::Once] {
        let held = Held::new().await;
        let waiting = held.put().await;
        let id = held.gateway.asked(1).await.remove(0);
        match status {
            // Made on version 2, which is not here yet.
            HeldStatus::Once => held.gateway.once(&id, &granting(), 2),
            _ => held.gateway.answer(&id, status, |outcome| outcome.version = Some(2)),
        }
        settle().await;
        assert!(!waiting.is_finished());
        held.rig.enforce(&denying(), 2);
        waiting.await.unwrap().denied(403, "deny_rule");
        assert!(held.rig.upstream.seen().is_empty());
    }
}

#[tokio::test]
async fn an_agent_sees_what_waits_and_until_when() {
    let held = Held::new().await;
    assert_eq!(policy_local(&held.rig, "GET /v1/held").await.json(), json!({ "held": [] }));
    let (one, other) = (held.put().await, held.put().await);
    let id = held.gateway.asked(1).await.remove(0);
    settle().await;
    let listed = policy_local(&held.rig, "GET /v1/held").await.json();
    let [waiting] = listed["held"].as_array().unwrap().as_slice() else { panic!("{listed}") };
    let deadline = held.gateway.set(|state| state.questions[&id].outcome.deadline.clone());
    for (member, value) in [
        ("held_id", json!(id)),
        ("status", json!("waiting")),
        ("deadline", json!(deadline)),
        ("layer", json!("l7")),
        ("host", json!("plain.test")),
        ("port", json!(80)),
        ("method", json!("PUT")),
        ("path", json!("/new/x")),
        ("pid", json!(std::process::id())),
        ("requests", json!(2)),
    ] {
        assert_eq!(waiting[member], value, "{member}");
    }
    held.gateway.answer(&id, HeldStatus::Denied, |_| {});
    for answer in [one, other] {
        answer.await.unwrap().denied(403, "denied_by_reviewer");
    }
    assert_eq!(policy_local(&held.rig, "GET /v1/held").await.json()["held"], Value::Array(Vec::new()));
}
