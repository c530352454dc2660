//! What a grant for one request is good for, and what is none.

use std::time::Duration;

use narrowgate_core::held::HeldStatus;
use narrowgate_core::wire::Bundle;

use super::{Held, asking, denying, granting, settle, with};
use crate::held::{Event, When};
use crate::tests::bundles::Signer;

#[tokio::test]
async fn what_is_no_grant_for_this_request_lets_nothing_through() {
    let now = crate::shared::now();
    type Make = Box<dyn Fn(&Signer, &str) -> Bundle>;
    let good = move |signer: &Signer, id: &str| {
        signer.certify(&granting(), 1, |c| (c.held, c.expires_at) = (Some(id.to_owned()), Some(now + 60)))
    };
    let cases: Vec<(&str, Make)> = vec![
        (
            "for held request h_other",
            Box::new(|signer, _| signer.certify(&granting(), 1, |c| c.held = Some("h_other".into()))),
        ),
        ("for a policy in force", Box::new(|signer, _| signer.certify(&granting(), 1, |_| {}))),
        (
            "version 1 of sandbox \"other\"",
            Box::new(|signer, id| {
                signer.certify(&granting(), 1, |c| (c.held, c.sandbox) = (Some(id.to_owned()), "other".to_owned()))
            }),
        ),
        ("serves \"box\"", Box::new(move |signer, id| Bundle { sandbox: "other".to_owned(), ..good(signer, id) })),
        (
            "expired",
            Box::new(move |signer, id| {
                signer.certify(&granting(), 1, |c| (c.held, c.expires_at) = (Some(id.to_owned()), Some(now - 1)))
            }),
        ),
        (
            "was proven",
            Box::new(move |signer, id| {
                let grant = good(signer, id);
                let policy_yaml = grant.policy_yaml.replace("/new/x", "/**");
                Bundle { policy_yaml, ..grant }
            }),
        ),
        (
            "certificate is for version 7",
            Box::new(|signer, id| Bundle {
                version: 1,
                ..signer.certify(&granting(), 7, |c| c.held = Some(id.to_owned()))
            }),
        ),
        (
            "not signed by a key that is trusted",
            Box::new(|_, id| Signer::new(9).certify(&granting(), 1, |c| c.held = Some(id.to_owned()))),
        ),
        (
            "the grant is not for this request",
            Box::new(|signer, id| {
                let other = granting().replace("/new/x", "/new/other");
                signer.certify(&other, 1, |c| c.held = Some(id.to_owned()))
            }),
        ),
    ];
    for (problem, make) in cases {
        let held = Held::new().await;
        let waiting = held.put().await;
        let id = held.gateway.asked(1).await.remove(0);
        let grant = make(&held.gateway.signer, &id);
        held.gateway.answer(&id, HeldStatus::Once, |outcome| outcome.grant = Some(grant));
        let body = waiting.await.unwrap().denied(403, "no_matching_rule");
        assert!(body["detail"].as_str().unwrap().contains(problem), "{problem}: {body}");
        assert!(held.rig.upstream.seen().is_empty(), "{problem}");
        let line = held.lines().pop().unwrap();
        assert_eq!(line["unmapped"]["decision_source"], "policy", "{problem}: {line}");
    }
}

#[tokio::test]
async fn a_grant_is_made_anew_where_the_policy_moved_on() {
    // Of an old version; then none; then one for what is in force.
    let held = Held::new().await;
    held.rig.enforce(&asking(), 5);
    let waiting = held.put().await;
    let id = held.gateway.asked(1).await.remove(0);
    let fresh = held.gateway.grant(&id, &granting(), 5);
    held.gateway.once(&id, &granting(), 4);
    held.gateway.set(|state| {
        let question = state.questions.get_mut(&id).unwrap();
        let mut then = question.outcome.clone();
        then.grant = Some(fresh);
        question.then = Some(then);
    });
    assert_eq!(waiting.await.unwrap().status, 200);
    assert_eq!(held.gateway.set(|state| state.fetches), 2);

    // The gateway is ahead of this proxy: what it gives is waited for.
    let waiting = held.put().await;
    let id = held.gateway.asked(2).await.remove(1);
    held.gateway.once(&id, &granting(), 6);
    settle().await;
    assert!(!waiting.is_finished());
    held.rig.enforce(&asking(), 6);
    assert_eq!(waiting.await.unwrap().status, 200);

    // It no longer fits: the gateway says so instead of giving one.
    let waiting = held.put().await;
    let id = held.gateway.asked(3).await.remove(2);
    held.gateway.once(&id, &granting(), 5);
    held.gateway.set(|state| {
        let question = state.questions.get_mut(&id).unwrap();
        let mut then = question.outcome.clone();
        (then.status, then.grant, then.message) = (HeldStatus::Refused, None, Some("outside_org_ceiling".to_owned()));
        question.then = Some(then);
    });
    let body = waiting.await.unwrap().denied(403, "no_matching_rule");
    assert!(body["detail"].as_str().unwrap().contains("outside_org_ceiling"), "{body}");
}

#[tokio::test]
async fn a_stream_outlives_policies_without_its_rule_and_ends_with_a_denial() {
    let endless = granting().replace("/new/x", "/new/endless");
    for (next, ends) in [(Some(asking()), false), (Some(denying()), true), (None, true)] {
        let mut held = Held::new().await;
        let mut client = held.rig.dial().await;
        client.send("PUT http://plain.test/new/endless HTTP/1.1\r\nhost: plain.test\r\n\r\n").await;
        let id = held.gateway.asked(1).await.remove(0);
        held.gateway.once(&id, &endless, 1);
        assert_eq!(client.head().await.status, 200);
        assert!(client.more().await);
        match &next {
            Some(policy) => held.rig.enforce(policy, 2),
            None => held.rig.shared.active.clear(),
        }
        let rest = tokio::time::timeout(Duration::from_secs(4), async { while client.more().await {} }).await;
        assert_eq!(rest.is_ok(), ends, "{next:?}");
        let late: Vec<_> = std::iter::from_fn(|| held.event())
            .filter_map(|event| match event {
                Event::Denied(denied) => Some((denied.when, denied.reason.as_str(), denied.review.is_some())),
                _ => None,
            })
            .collect();
        let reason = if next.is_some() { "deny_rule" } else { "policy_unavailable" };
        // Reported, and once.
        assert_eq!(late, if ends { vec![(When::Late, reason, true)] } else { vec![] });
        assert_eq!(held.lines().len(), if ends { 3 } else { 2 }, "waiting, allowed, and the late denial");
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_grant() {
    let held = Held::new().await;
    let mut client = held.rig.dial().await;
    client.send("PUT http://plain.test/new/endless HTTP/1.1\r\nhost: plain.test\r\n\r\n").await;
    let id = held.gateway.asked(1).await.remove(0);
    let endless = granting().replace("/new/x", "/new/endless");
    let end = crate::shared::now() + 2;
    let grant = held.gateway.signer.certify(&endless, 1, |c| {
        (c.held, c.expires_at) = (Some(id.clone()), Some(end));
    });
    held.gateway.answer(&id, HeldStatus::Once, |outcome| outcome.grant = Some(grant));
    assert_eq!(client.head().await.status, 200);
    let ended = tokio::time::timeout(Duration::from_secs(8), async { while client.more().await {} }).await;
    ended.expect("it ends by itself");
}

#[tokio::test]
async fn a_stream_to_a_port_is_asked_about_and_granted_as_one() {
    let raw = with("{ host: raw.test, port: 9000 }");
    let held = Held::new().await;
    let mut client = held.rig.dial().await;
    client.send("CONNECT raw.test:9000 HTTP/1.1\r\n\r\n").await;
    let id = held.gateway.asked(1).await.remove(0);
    assert!(!held.gateway.hold(&id).inspected);
    held.gateway.once(&id, &raw, 1);
    let answer = client.response().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains(&format!("x-narrowgate-held: {id}")), "{answer:?}");
    client.send("ping").await;
    assert!(client.more().await);
    assert_eq!(client.pending(), b"ping");
    held.rig.enforce(&asking(), 2);
    settle().await;
    client.send("pong").await;
    assert!(client.more().await, "a policy without the rule does not end it");
    // What is to be read from now on was granted unread.
    held.rig.enforce(&with("{ host: raw.test, port: 9000, protocol: rest, access: full }"), 3);
    let ended = tokio::time::timeout(Duration::from_secs(5), async { while client.more().await {} }).await;
    ended.expect("it is cut");
    let last = held.lines().pop().unwrap();
    assert_eq!(last["action"], "Denied", "{last:#}");

    let mut client = held.rig.dial().await;
    held.rig.enforce(&asking(), 4);
    client.send("CONNECT raw.test:9000 HTTP/1.1\r\n\r\n").await;
    let id = held.gateway.asked(2).await.remove(1);
    held.gateway.answer(&id, HeldStatus::Denied, |_| {});
    client.response().await.denied(403, "denied_by_reviewer");
}

#[tokio::test]
async fn web_ports_are_asked_about_request_by_request() {
    let held = Held::new().await;
    let mut client = held.rig.tls_to("new.test").await;
    client.send("GET /a/b HTTP/1.1\r\nhost: new.test\r\n\r\n").await;
    let id = held.gateway.asked(1).await.remove(0);
    let record = held.gateway.hold(&id).record;
    assert_eq!((record.method.as_deref(), record.path.as_deref(), record.port), (Some("GET"), Some("/a/b"), 443));
    held.gateway.answer(&id, HeldStatus::Denied, |_| {});
    client.response().await.denied(403, "denied_by_reviewer");
    // The connection lives on, and its next request is a question of its own.
    client.send("GET /a/c HTTP/1.1\r\nhost: new.test\r\n\r\n").await;
    let id = held.gateway.asked(2).await.remove(1);
    held.gateway.answer(&id, HeldStatus::TimedOut, |_| {});
    client.response().await.denied(403, "review_timed_out");
}
