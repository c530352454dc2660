//! Requests that wait for a person: every gate before one is asked, and what each answer grants.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::held::{ASKS, asking, hold, l4};
use common::{CEILING, System, policy};
use narrowgate_core::certificate::{CertificateError, Certified, verify, verify_held};
use narrowgate_core::compile::Compiled;
use narrowgate_core::dsse::TrustedKey;
use narrowgate_core::wire::{Bundle, Keys};
use narrowgate_gateway::{Config, Mode};
use serde_json::{Value, json};

const A: &str = "/repos/acme/a.md";

/// 22: every gate is evaluated before a person is asked; 10: what does not pass persists nothing.
#[tokio::test(flavor = "multi_thread")]
async fn rule_22_every_gate_comes_before_a_person() {
    let deny = format!("{ASKS}        deny_rules:\n          - {{ method: PUT, path: '/repos/acme/secret' }}\n");
    let silent = ASKS.replace("on_miss: ask\nask_timeout: 60s\n", "");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut body = hold("k", "PUT", A);
        change(&mut body);
        body
    };
    let host = |host: &str| with(&|body| body["record"]["host"] = json!(host));
    let reason = |reason: &str| with(&|body| body["record"]["reason"] = json!(reason));
    let unidentified = with(&|body| {
        body["record"]["binary"] = json!("");
        body["process"]["binary"] = json!("");
    });
    let unknown = with(&|body| {
        let operation =
            json!({"plugin": "github", "action": "github::contents.write", "attributes": {"owner": "acme"}});
        body["record"]["operations"] = json!([operation]);
    });
    let cases: [(&str, Mode, &str, Value, &str); 13] = [
        ("locked", Mode::Locked, ASKS, with(&|_| {}), "locked"),
        ("not asked", Mode::Manual, &silent, with(&|_| {}), "not_asked"),
        ("unidentified", Mode::Manual, ASKS, unidentified, "unidentified"),
        ("a deny rule", Mode::Manual, ASKS, reason("deny_rule"), "not_asked"),
        ("ambiguous", Mode::Manual, ASKS, reason("request_ambiguous"), "not_asked"),
        ("blocked", Mode::Manual, ASKS, host("169.254.169.254"), "destination_blocked"),
        ("a blocked name", Mode::Manual, ASKS, host("metadata.google.internal"), "destination_blocked"),
        ("not canonical", Mode::Manual, ASKS, host("API.github.com"), "invalid"),
        ("no port", Mode::Manual, ASKS, with(&|body| body["record"]["port"] = json!(0)), "invalid"),
        ("a plugin that is not here", Mode::Manual, ASKS, unknown, "invalid"),
        ("outside", Mode::Manual, ASKS, hold("k", "PUT", "/repos/other/a.md"), "outside_org_ceiling"),
        ("opaque, outside", Mode::Manual, ASKS, l4("k", "db.example", 5432), "outside_org_ceiling"),
        ("forbidden by a deny", Mode::Manual, &deny, hold("k", "PUT", "/repos/acme/secret"), "redundant"),
    ];
    for (what, mode, policy, body, code) in cases {
        let (system, token) = asking(mode, policy).await;
        let before = system.dump().await;
        let answer = system.hold(&token, body).await;
        assert_eq!(answer["status"], "refused", "{what}: {answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{code}: ")), "{what}: {message}");
        for hidden in ["acme/**", "sha256", "curl"] {
            assert!(!message.contains(hidden), "{what}: {message}");
        }
        assert_eq!((&answer["held_id"], &answer["deadline"]), (&Value::Null, &Value::Null), "{what}");
        assert_eq!(system.get("/v1/held?status=all").await["held"], json!([]), "{what}");
        assert_eq!(system.dump().await, before, "{what}: it left a trace");
    }
}

/// 3: the reviewer is asked only on a miss. A proxy that is behind is told which version to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn rule_3_what_is_allowed_asks_nobody() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let before = system.dump().await;
    let answer = system.hold(&token, hold("k", "GET", "/repos/x")).await;
    assert_eq!((&answer["status"], &answer["version"]), (&json!("always"), &json!(1)), "{answer}");
    assert_eq!(system.dump().await, before);
}

/// 21: every error names field and value, and what would be right.
#[tokio::test(flavor = "multi_thread")]
async fn rule_21_errors_name_field_value_and_limit() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let long = "x".repeat(101);
    let cases: [(&str, Value, &str, &str); 8] = [
        ("/key", json!(""), "/key", "1 to 100"),
        ("/key", json!("a b"), "/key", "\"a b\""),
        ("/session", json!(long), "/session", "1 to 100"),
        ("/process/binary", json!("/usr/bin/git"), "/process/binary", "\"/usr/bin/git\""),
        ("/process/sha256", json!("ff"), "/process/sha256", "64"),
        ("/process/ancestors", json!(["/a\u{1b}[2J"]), "/process", "control"),
        ("/process/ancestors", json!(vec!["/a"; 65]), "/process", "64"),
        ("/extra", json!(1), "", "unknown field"),
    ];
    for (at, value, pointer, says) in cases {
        let mut body = hold("k", "PUT", A);
        match body.pointer_mut(at) {
            Some(place) => *place = value,
            None => drop(body.as_object_mut().unwrap().insert(at[1..].to_owned(), value)),
        }
        let (status, answer) = system.call("POST", "/v1/sandboxes/dev/held", &token, Some(body)).await;
        assert_eq!((status, &answer["pointer"]), (400, &json!(pointer)), "{at}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(says), "{at}: {answer}");
    }
    let id = system.held(&token, hold("k", "PUT", A)).await;
    for (reason, says) in [("a\u{1b}[2J".to_owned(), "control"), ("x".repeat(2001), "2000")] {
        let (status, answer) = system.answer(&id, "no", Some(&reason)).await;
        assert_eq!((status, &answer["pointer"]), (400, &json!("/reason")), "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(says), "{answer}");
    }
    assert_eq!(system.shown(&id).await["status"], "waiting");
}

/// The reviewer sees who, what, and exactly what would be granted; nothing secret is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_reviewer_sees_all_that_would_be_granted() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let mut body = hold("k", "PUT", A);
    body["record"]["path"] = json!(format!("{A}?token=hunter2"));
    body["process"]["command"] = json!("x".repeat(5000));
    let waiting = system.hold(&token, body).await;
    let id = waiting["held_id"].as_str().unwrap();
    let shown = system.shown(id).await;
    assert_eq!(
        (&shown["method"], &shown["path"], &shown["host"]),
        (&json!("PUT"), &json!(A), &json!("api.github.com"))
    );
    assert_eq!((&shown["process"]["pid"], &shown["process"]["ancestors"]), (&json!(4711), &json!(["/usr/bin/bash"])));
    assert_eq!(shown["process"]["command"].as_str().unwrap().chars().count(), 4097, "cut, and visibly");
    let rule = &shown["operation"]["addRule"]["rule"];
    assert_eq!(rule["binaries"], json!([{"path": "/usr/bin/curl"}]));
    assert_eq!(rule["endpoints"][0]["rules"], json!([{"allow": {"method": "PUT", "path": A}}]));
    assert_eq!(shown["deadline"], waiting["deadline"], "both sides see the same deadline");
    let seconds = |field: &str| shown[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    assert_eq!(seconds("deadline") - seconds("created_at"), 61, "at least what the policy says");
    assert_eq!(system.get("/v1/held?sandbox=dev").await["held"][0], shown);
    assert!(!system.stored().iter().any(|(_, bytes)| bytes.windows(7).any(|part| part == b"hunter2")));
    // An admin may look, and cannot answer.
    let (_, seen) = system.call("GET", &format!("/v1/held/{id}"), &system.admin, None).await;
    assert_eq!((&seen["held_id"], &seen["review_token"]), (&json!(id), &Value::Null));
    for who in [&system.admin, &token] {
        let body = json!({"answer": "once", "review_token": shown["review_token"]});
        assert_eq!(system.call("POST", &format!("/v1/held/{id}/answer"), who, Some(body)).await.0, 403);
    }
    assert_eq!(system.call("GET", "/v1/held", &token, None).await.0, 403, "a sandbox sees only its own outcomes");
    assert_eq!(system.call("GET", "/v1/inbox/events", &token, None).await.0, 403);
}

/// `once` lets all through that wait: the reviewer sees how many that is, and afterwards how many it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_reviewer_sees_how_many_wait() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let id = system.held(&token, hold("k", "PUT", A)).await;
    let count = async |count: u32| {
        let path = format!("/v1/sandboxes/dev/held/{id}?wait=0&requests={count}");
        system.call("GET", &path, &token, None).await
    };
    let requests = async || system.shown(&id).await["requests"].clone();
    assert_eq!(requests().await, Value::Null, "nobody said so far");
    let shown = system.shown(&id).await["review_token"].clone();
    for (told, expect) in [(1, json!(1)), (12, json!(12)), (7, json!(7)), (4096, json!(4096))] {
        assert_eq!(count(told).await.0, 200);
        assert_eq!(requests().await, expect);
        assert_eq!(system.get("/v1/held").await["held"][0]["requests"], expect);
    }
    for wrong in ["0", "4097", "-1", "many", "1.5"] {
        for method in ["GET", "DELETE"] {
            let path = format!("/v1/sandboxes/dev/held/{id}?requests={wrong}");
            let (status, answer) = system.call(method, &path, &token, None).await;
            assert_eq!(status, 400, "{method} {wrong}: {answer}");
        }
    }
    assert_eq!(count(0).await.1["message"].as_str().unwrap().matches("1 to 4096").count(), 1);
    assert_eq!(requests().await, json!(4096), "what was refused changed nothing");
    // What waits by now is told beside the question: the answer is to the same as before.
    let (status, answered) = system.answer_with(&id, "once", None, &shown).await;
    assert_eq!((status, &answered["requests"]), (200, &json!(4096)), "{answered}");
    assert_eq!(count(2).await.1["status"], "once");
    assert_eq!(requests().await, json!(4096), "only what still waits is counted");
    // The proxy knows for certain how many it let through.
    let path = format!("/v1/sandboxes/dev/held/{id}?requests=9");
    for _ in 0..2 {
        assert_eq!(system.call("DELETE", &path, &token, None).await.0, 204);
        assert_eq!(requests().await, json!(9));
    }
    assert_eq!(system.leave(&token, &id).await, 204);
    assert_eq!(requests().await, json!(9));

    // Another sandbox counts nothing here, and one that went away stays at what was told last.
    let other = system.sandbox_with("other", ASKS).await;
    let id = system.held(&token, hold("k2", "PUT", A)).await;
    let path = format!("/v1/sandboxes/dev/held/{id}?requests=3");
    assert_eq!(system.call("GET", &path, &other, None).await.0, 404);
    assert_eq!(system.call("GET", &path, &token, None).await.0, 200);
    assert_eq!(system.call("DELETE", &format!("{path}00"), &token, None).await.0, 204);
    let shown = system.shown(&id).await;
    assert_eq!((&shown["status"], &shown["requests"]), (&json!("cancelled"), &json!(3)), "{shown}");
}

/// 14: another sandbox's requests are none of this one's.
#[tokio::test(flavor = "multi_thread")]
async fn rule_14_a_sandbox_has_its_own_requests_only() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let other = system.sandbox_with("other", ASKS).await;
    let id = system.held(&token, hold("k", "PUT", A)).await;
    let own = format!("/v1/sandboxes/other/held/{id}");
    let theirs = format!("/v1/sandboxes/dev/held/{id}");
    let body = hold("k", "PUT", A);
    for (method, path, body) in [
        ("GET", own.as_str(), None),
        ("GET", &theirs, None),
        ("DELETE", &own, None),
        ("DELETE", &theirs, None),
        ("POST", "/v1/sandboxes/dev/held", Some(body)),
        ("PUT", "/v1/sandboxes/dev/session", Some(json!({"session": null}))),
    ] {
        assert_eq!(system.call(method, path, &other, body).await.0, 404, "{method} {path}");
    }
    assert_eq!(system.shown(&id).await["status"], "waiting");
    assert_eq!(system.call("POST", "/v1/sandboxes/dev/held", &system.reviewer, Some(hold("k", "PUT", A))).await.0, 403);
}

/// The same key is the same request; a key is never another request's.
#[tokio::test(flavor = "multi_thread")]
async fn asking_twice_asks_once() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let addr = system.gateway.addr();
    let posts = (0..10).map(|_| {
        let (token, body) = (token.clone(), hold("k", "PUT", A).to_string());
        tokio::spawn(
            async move { common::call(addr, "POST", "/v1/sandboxes/dev/held", Some(&token), Some(body)).await },
        )
    });
    let mut ids = Vec::new();
    for post in posts.collect::<Vec<_>>() {
        ids.push(post.await.unwrap().1["held_id"].clone());
    }
    assert!(ids.iter().all(|id| *id == ids[0] && id.is_string()), "{ids:?}");
    assert_eq!(system.get("/v1/held").await["held"].as_array().unwrap().len(), 1);
    let path = "/v1/sandboxes/dev/held";
    let (status, answer) = system.call("POST", path, &token, Some(hold("k", "PUT", "/repos/acme/b.md"))).await;
    assert_eq!((status, &answer["error"]), (409, &json!("key_reused")), "{answer}");
    // 12: another method or path is asked about by itself, and another process too.
    for body in [hold("k2", "DELETE", A), hold("k3", "PUT", "/repos/acme/b.md")] {
        assert_ne!(system.held(&token, body).await, ids[0].as_str().unwrap());
    }
    // After its answer, the same key has the same answer.
    assert_eq!(system.answer(ids[0].as_str().unwrap(), "no", Some("not now")).await.0, 200);
    let again = system.hold(&token, hold("k", "PUT", A)).await;
    assert_eq!(
        (&again["status"], &again["held_id"], &again["message"]),
        (&json!("denied"), &ids[0], &json!("not now"))
    );
}

async fn keys(system: &System) -> Vec<TrustedKey> {
    let keys: Keys = serde_json::from_value(system.get("/v1/keys").await).unwrap();
    keys.keys.iter().map(|key| key.trusted().unwrap()).collect()
}

/// What a proxy does with a grant before it lets anything through.
async fn checked(system: &System, outcome: &Value, held: &str) -> Result<Certified, CertificateError> {
    let bundle: Bundle = serde_json::from_value(outcome["grant"].clone()).unwrap();
    let compiled = Compiled::policy(&policy(&bundle.policy_yaml)).unwrap();
    assert_eq!(compiled.digest(), bundle.policy_hash);
    let now = jiff::Timestamp::now().as_second();
    let (keys, schema) = (keys(system).await, compiled.schema());
    assert!(
        matches!(
            verify(&bundle.certificate, &keys, compiled.digest(), schema, now),
            Err(CertificateError::OtherPurpose { .. })
        ),
        "no proxy takes it for a policy"
    );
    verify_held(&bundle.certificate, &keys, compiled.digest(), schema, now, held)
}

/// 7: once is for this request, and for no later one.
#[tokio::test(flavor = "multi_thread")]
async fn rule_7_once_puts_nothing_in_force() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let id = system.held(&token, hold("k", "PUT", A)).await;
    let other = system.held(&token, hold("k2", "PUT", A)).await;
    let (status, view) = system.answer(&id, "once", Some("go ahead")).await;
    assert_eq!((status, &view["status"], &view["decided_by"]), (200, &json!("once"), &json!("reviewer")), "{view}");
    let outcome = system.outcome(&token, &id, 0).await;
    assert_eq!((&outcome["status"], &outcome["message"]), (&json!("once"), &json!("go ahead")));
    let statement = checked(&system, &outcome, &id).await.unwrap().statement.predicate;
    assert_eq!((statement.version, statement.sandbox.as_str(), statement.approver.as_str()), (1, "dev", "reviewer"));
    let lasts = statement.expires_at.unwrap() - jiff::Timestamp::now().as_second();
    assert!((3590..=3600).contains(&lasts), "{lasts}");
    assert!(outcome["grant"]["policy_yaml"].as_str().unwrap().contains(A));
    assert!(matches!(checked(&system, &outcome, &other).await, Err(CertificateError::OtherPurpose { .. })));
    // Nothing is in force, and the other one still waits: identical requests of one process share a key.
    assert_eq!(system.bundle("dev").await["version"], 1);
    assert_eq!(system.outcome(&token, &other, 0).await["status"], "waiting");
    // An answer that was lost can be fetched again, until the proxy says that it is done.
    assert_eq!(system.outcome(&token, &id, 0).await["status"], "once");
    assert_eq!(system.leave(&token, &id).await, 204);
    let spent = system.outcome(&token, &id, 0).await;
    assert_eq!((&spent["status"], &spent["grant"]), (&json!("refused"), &Value::Null), "{spent}");
    // A later one asks anew.
    system.held(&token, hold("k3", "PUT", A)).await;
}

/// Once is granted on the policy of the moment it is fetched: a deny that came into force meanwhile beats it.
#[tokio::test(flavor = "multi_thread")]
async fn rule_2_a_deny_beats_the_reviewer() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let (once, waits) =
        (system.held(&token, hold("k", "PUT", A)).await, system.held(&token, hold("k2", "PUT", A)).await);
    assert_eq!(system.answer(&once, "once", None).await.0, 200);
    // It allows something too: a deny that forbids only what nothing allows would be redundant.
    let deny = json!({"addRule": {"ruleName": "no", "rule": {"endpoints": [{"host": "api.github.com", "port": 443,
        "protocol": "rest", "rules": [{"allow": {"method": "DELETE", "path": "/repos/acme/old"}}],
        "deny_rules": [{"method": "PUT", "path": "/repos/acme/**"}]}]}}});
    let chunk = system.submit("dev", &token, deny).await.unwrap();
    assert_eq!(system.approve(&chunk, &system.review_token(&chunk).await).await.0, 200);
    let outcome = system.outcome(&token, &once, 0).await;
    assert_eq!((&outcome["status"], &outcome["grant"]), (&json!("refused"), &Value::Null), "{outcome}");
    assert_eq!(system.shown(&once).await["status"], "refused", "the reviewer sees that it came to nothing");
    let before = system.dump().await;
    for answer in ["once", "session", "always"] {
        let (status, refused) = system.answer(&waits, answer, None).await;
        assert_eq!((status, &refused["error"]), (409, &json!("no_longer_fits")), "{answer}: {refused}");
        assert_eq!(refused["held"]["status"], "waiting");
    }
    assert_eq!(system.dump().await, before, "nothing was stored");
    assert_eq!(system.answer(&waits, "no", None).await.0, 200, "it waits until it is answered");
}

/// 9: always is a proposal that was judged and approved: in the history, in force at once, and after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn rule_9_always_survives_a_restart() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let id = system.held(&token, hold("k", "PUT", A)).await;
    let alike = system.held(&token, hold("k2", "PUT", A)).await;
    let other = system.held(&token, hold("k3", "PUT", "/repos/acme/b.md")).await;
    let shown = system.shown(&id).await;
    let (status, view) = system.answer(&id, "always", Some("yes")).await;
    assert_eq!((status, &view["status"]), (200, &json!("always")), "{view}");
    for id in [&id, &alike] {
        let outcome = system.outcome(&token, id, 0).await;
        assert_eq!((&outcome["status"], &outcome["version"]), (&json!("always"), &json!(2)), "{outcome}");
        assert_eq!((&outcome["decided_by"], &outcome["grant"]), (&json!("reviewer"), &Value::Null));
    }
    assert_eq!(system.outcome(&token, &other, 0).await["status"], "waiting", "nothing wider than what was shown");
    let chunk = view["chunk_id"].as_str().unwrap();
    let proposal = system.get(&format!("/v1/proposals/{chunk}")).await;
    assert_eq!((&proposal["status"], &proposal["source"]), (&json!("approved"), &json!("held")), "{proposal}");
    assert_eq!(proposal["operation"], shown["operation"], "exactly what was shown");
    assert_eq!(proposal["intent_summary"], format!("held request {id}: PUT api.github.com:443{A}"));
    assert_eq!((&proposal["evidence"][0]["path"], &proposal["activated_version"]), (&json!(A), &json!(2)));
    let history = system.get("/v1/sandboxes/dev/history").await;
    assert_eq!(
        (&history["versions"][1]["chunk_id"], &history["versions"][1]["approver"]),
        (&json!(chunk), &json!("reviewer"))
    );
    assert_eq!(system.session(&token, Some("s2")).await, 204);
    let bundle = system.bundle("dev").await;
    assert!(bundle["policy_yaml"].as_str().unwrap().contains(A) && bundle["version"] == 2, "{bundle}");
    let system = system.restart().await;
    assert_eq!(system.bundle("dev").await, bundle);
}

/// 8: what is granted for a session is what was shown, ends with it, and never outlives it by a restart.
#[tokio::test(flavor = "multi_thread")]
async fn rule_8_a_session_grant_ends_with_the_session() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    assert_eq!(system.session(&token, Some("s1")).await, 204);
    let id = system.held(&token, hold("k", "PUT", A)).await;
    let (status, view) = system.answer(&id, "session", None).await;
    assert_eq!((status, &view["status"]), (200, &json!("session")), "{view}");
    let outcome = system.outcome(&token, &id, 0).await;
    assert_eq!((&outcome["status"], &outcome["version"]), (&json!("session"), &json!(2)));
    let granted = system.get(&format!("/v1/proposals/{}", view["chunk_id"].as_str().unwrap())).await;
    let endpoint = &granted["operation"]["addRule"]["rule"]["endpoints"][0];
    let end: jiff::Timestamp = endpoint["expires_at"].as_str().unwrap().parse().unwrap();
    let lasts = end.as_second() - jiff::Timestamp::now().as_second();
    assert!((43_100..=43_200).contains(&lasts), "12 hours at most: {lasts}");
    assert_eq!(endpoint["rules"], view["operation"]["addRule"]["rule"]["endpoints"][0]["rules"]);
    // While the session runs nobody is asked again; another path is another question.
    assert_eq!(system.hold(&token, hold("k2", "PUT", A)).await["status"], "always");
    let waits = system.held(&token, hold("k3", "DELETE", A)).await;
    // The proxy repeats itself after a restart of the gateway: nothing changes.
    let before = system.bundle("dev").await;
    let system = system.restart().await;
    assert_eq!(system.session(&token, Some("s1")).await, 204);
    assert_eq!(system.bundle("dev").await, before);
    assert_eq!(system.outcome(&token, &waits, 0).await["status"], "waiting");
    // Another session: a new version without it, and what waited is cancelled.
    assert_eq!(system.session(&token, Some("s2")).await, 204);
    let after = system.bundle("dev").await;
    assert_eq!(after["version"], 3);
    assert!(!after["policy_yaml"].as_str().unwrap().contains(A), "{after}");
    let history = system.get("/v1/sandboxes/dev/history").await;
    assert_eq!(history["versions"][2]["approver"], "session ended");
    assert_eq!(system.outcome(&token, &waits, 0).await["status"], "cancelled");
    assert_eq!(system.answer(&waits, "session", None).await.0, 409);
    // What was on its way from the old session asks nobody, and the old session does not come back.
    let late = system.hold(&token, hold("late", "PUT", A)).await;
    assert!(late["status"] == "refused" && late["message"].as_str().unwrap().starts_with("session_ended"), "{late}");
    assert_eq!(system.session(&token, Some("s1")).await, 409);
    assert_eq!(system.session(&token, None).await, 204);
    assert_eq!(system.bundle("dev").await["version"], 3);
}

/// What was granted for the session and then for good stays; so does what somebody else put under that name.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_takes_only_its_own_with_it() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let first = system.held(&token, hold("k", "PUT", A)).await;
    let second = system.held(&token, hold("k2", "PUT", "/repos/acme/b.md")).await;
    let later = {
        let mut body = hold("k3", "PUT", A);
        body["session"] = json!("s2");
        system.held(&token, body).await
    };
    assert_eq!(system.answer(&first, "session", None).await.0, 200);
    assert_eq!(system.outcome(&token, &later, 0).await["status"], "waiting", "another session's is its own");
    let (status, view) = system.answer(&later, "always", None).await;
    assert_eq!((status, &view["status"]), (200, &json!("always")), "{view}");
    let policy = system.bundle("dev").await["policy_yaml"].as_str().unwrap().to_owned();
    assert_eq!((policy.matches(A).count(), policy.contains("expires_at")), (1, false), "for good: {policy}");
    // The other one goes, and what has its name now is an agent's.
    let (_, view) = system.answer(&second, "session", None).await;
    let name = view["operation"]["addRule"]["ruleName"].as_str().unwrap().to_owned();
    for operation in
        [json!({"removeRule": {"ruleName": name}}), common::rule(&name, "PUT", "/repos/acme/b.md", "/usr/bin/curl")]
    {
        let chunk = system.submit("dev", &token, operation).await.unwrap();
        assert_eq!(system.approve(&chunk, &system.review_token(&chunk).await).await.0, 200);
    }
    let before = system.bundle("dev").await;
    assert_eq!(system.session(&token, None).await, 204);
    assert_eq!(system.bundle("dev").await, before, "neither is the session's");
}

/// 20: never denies without a prompt, in the reviewer's words, until it is taken back; 19: a no is a no.
#[tokio::test(flavor = "multi_thread")]
async fn rule_20_never_denies_without_a_prompt() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let no = system.held(&token, hold("k0", "PUT", A)).await;
    assert_eq!(system.answer(&no, "no", Some("not today")).await.0, 200);
    let denied = system.outcome(&token, &no, 0).await;
    assert_eq!((&denied["status"], &denied["message"]), (&json!("denied"), &json!("not today")));
    // A no is for one request: the next one is asked about.
    let (first, alike) =
        (system.held(&token, hold("k1", "PUT", A)).await, system.held(&token, hold("k2", "PUT", A)).await);
    assert_eq!(system.answer(&first, "never", Some("this is not ours")).await.0, 200);
    assert_eq!(system.outcome(&token, &alike, 0).await["status"], "denied", "it waited for the same");
    let before = system.dump().await;
    let never = system.hold(&token, hold("k3", "PUT", A)).await;
    assert_eq!((&never["status"], &never["message"]), (&json!("never"), &json!("this is not ours")), "{never}");
    assert_eq!((&never["decided_by"], &never["held_id"]), (&json!("reviewer"), &Value::Null));
    assert_eq!(system.dump().await, before, "nobody was asked");
    // It is about this rule: another program or path is asked about.
    system.held(&token, hold("k4", "PUT", "/repos/acme/b.md")).await;
    let system = system.restart().await;
    let listed = system.get("/v1/held?status=never").await;
    assert_eq!((listed["held"].as_array().unwrap().len(), &listed["held"][0]["held_id"]), (1, &json!(first)));
    let forget = format!("/v1/held/never/{first}");
    assert_eq!(system.call("DELETE", &forget, &token, None).await.0, 403);
    assert_eq!(system.call("DELETE", &forget, &system.reviewer, None).await.0, 204);
    assert_eq!(system.call("DELETE", &forget, &system.reviewer, None).await.0, 404);
    assert_eq!(system.get("/v1/held?status=never").await["held"], json!([]));
    system.held(&token, hold("k5", "PUT", A)).await;
}

/// 17: polling for one outcome never consumes another, nor itself.
#[tokio::test(flavor = "multi_thread")]
async fn rule_17_reading_an_outcome_consumes_nothing() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let mut ids = Vec::new();
    for (at, answer) in ["no", "once", "always", "never"].into_iter().enumerate() {
        let id = system.held(&token, hold(&format!("k{at}"), "PUT", &format!("/repos/acme/{at}"))).await;
        assert_eq!(system.answer(&id, answer, Some(answer)).await.0, 200);
        ids.push(id);
    }
    for _ in 0..3 {
        for (id, status) in ids.iter().zip(["denied", "once", "always", "never"]).rev() {
            let outcome = system.outcome(&token, id, 1).await;
            assert_eq!((&outcome["status"], &outcome["held_id"]), (&json!(status), &json!(id)));
        }
    }
}

/// A review token is of one request.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_to_what_was_shown() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let (one, two) =
        (system.held(&token, hold("k", "PUT", A)).await, system.held(&token, hold("k2", "DELETE", A)).await);
    let theirs = system.shown(&two).await["review_token"].clone();
    let before = system.dump().await;
    for wrong in [json!(""), json!("0".repeat(64)), theirs] {
        for answer in ["once", "session", "always", "no", "never"] {
            let (status, refused) = system.answer_with(&one, answer, None, &wrong).await;
            assert_eq!((status, &refused["error"]), (409, &json!("stale_review_token")), "{refused}");
            assert!(refused["held"]["review_token"].is_string(), "with what it is now: {refused}");
        }
    }
    assert_eq!(system.dump().await, before);
    // It stays good across a restart.
    let shown = system.shown(&one).await["review_token"].clone();
    let system = system.restart().await;
    assert_eq!(system.answer_with(&one, "once", None, &shown).await.0, 200);
}

/// A ceiling that became narrower while the request waited: a grant outside persists nothing.
#[tokio::test(flavor = "multi_thread")]
async fn rule_10_a_grant_outside_the_ceiling_persists_nothing() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let (waits, once) =
        (system.held(&token, hold("k", "PUT", A)).await, system.held(&token, hold("k2", "PUT", A)).await);
    assert_eq!(system.answer(&once, "once", None).await.0, 200);
    let System { gateway, dir, .. } = system;
    gateway.shutdown().await;
    let narrow = CEILING.replace("/repos/acme/**", "/repos/none/**");
    let config = Config { ceiling: Some((narrow, "narrow.yaml".to_owned())), ..common::config(dir.path()) };
    let system = System::start_in(dir, config).await;
    let before = system.dump().await;
    for answer in ["once", "session", "always"] {
        let (status, refused) = system.answer(&waits, answer, None).await;
        assert_eq!((status, &refused["error"]), (409, &json!("no_longer_fits")), "{refused}");
        assert!(refused["message"].as_str().unwrap().contains("outside_org_ceiling"), "{refused}");
    }
    assert_eq!(system.dump().await, before);
    assert_eq!(system.outcome(&token, &once, 0).await["status"], "refused", "what was answered before is not granted");
}

/// Mode auto: what needs no person is applied for a while, and nobody is asked; what needs one waits.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_automatic_asks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let ceiling = "@review(\"auto\")\npermit (principal, action in [Action::\"GET\", Action::\"HEAD\"], resource)
when { resource.host == \"api.github.com\" && resource.port == 443 };
permit (principal, action == Action::\"PUT\", resource)
when { resource.host == \"api.github.com\" && resource.port == 443 };\n";
    let ceiling = Some((ceiling.to_owned(), "ceiling.cedar".to_owned()));
    let config = Config { ceiling, mode: Mode::Auto, ..common::config(dir.path()) };
    let system = System::start_in(dir, config).await;
    let token = system.sandbox_with("dev", ASKS).await;
    let answer = system.hold(&token, hold("k", "GET", "/user")).await;
    assert_eq!((&answer["status"], &answer["version"]), (&json!("session"), &json!(2)), "{answer}");
    assert_eq!(answer["decided_by"], "auto");
    let bundle = system.bundle("dev").await;
    let yaml = bundle["policy_yaml"].as_str().unwrap();
    assert!(yaml.contains("/user") && yaml.contains("expires_at"), "a lease: {yaml}");
    assert_eq!(system.get("/v1/held?status=all").await["held"], json!([]));
    system.held(&token, hold("k2", "PUT", A)).await;
    // Each is a version: so they have the rate that questions have.
    let path = system.dir.path().join("data/narrowgate.db");
    let pool = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(path)).await.unwrap();
    let used_up = "UPDATE sandboxes SET questions_until = CAST(strftime('%s') AS INTEGER) + 10000";
    sqlx::query(used_up).execute(&pool).await.unwrap();
    let refused = system.hold(&token, hold("k3", "GET", "/user/repos")).await;
    assert_eq!(refused["status"], "refused", "{refused}");
    assert!(refused["message"].as_str().unwrap().starts_with("too_many_questions: "), "{refused}");
    assert_eq!(system.bundle("dev").await["version"], 2);
    assert_eq!(
        system.hold(&token, hold("k4", "GET", "/user")).await["version"],
        2,
        "what is in force asks for nothing"
    );
}
