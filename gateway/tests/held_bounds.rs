//! What one sandbox's requests can use up, and what they cannot: questions, rows, and what was another's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::System;
use common::held::{ASKS, asking, hold};
use narrowgate_gateway::Mode;
use serde_json::{Value, json};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

const A: &str = "/repos/acme/a.md";

async fn database(system: &System) -> SqlitePool {
    let path = system.dir.path().join("data/narrowgate.db");
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(path)).await.unwrap()
}

/// The session that asks.
fn of(session: &str, mut body: Value) -> Value {
    body["session"] = json!(session);
    body
}

/// Copies of a held request as they would be after `UPDATE`s like this one, `count` of them, asked after it.
async fn copies(system: &System, id: &str, sandbox: &str, status: &str, count: i64) {
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
        INSERT INTO held (id, sandbox, session, key, status, record, process, operation, rule, created_at, deadline, decided_at, decided_by)
        SELECT id || ?2 || i, (SELECT max(id) FROM sandboxes WHERE name = ?2), session, key || ?3 || i, ?3, record, process, operation, rule,
        created_at, deadline, CASE ?3 WHEN 'waiting' THEN NULL ELSE created_at END, CASE ?3 WHEN 'denied' THEN 'reviewer' END
        FROM n, held WHERE id = ?4";
    let pool = database(system).await;
    sqlx::query(sql).bind(count).bind(sandbox).bind(status).bind(id).execute(&pool).await.unwrap();
    pool.close().await;
}

/// A sandbox whose requests differ each time does not keep people busy for ever: after a burst, its questions are few.
#[tokio::test(flavor = "multi_thread")]
async fn questions_have_a_rate() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let other = system.sandbox_with("other", ASKS).await;
    let first = system.held(&token, hold("k0", "PUT", A)).await;
    let pool = database(&system).await;
    // As after 998 of 1,000, a moment ago: one takes ten seconds to be paid for.
    let after = |questions: i64| {
        let sql = "UPDATE sandboxes SET questions_until = CAST(strftime('%s') AS INTEGER) + 10 * ? WHERE name = 'dev'";
        sqlx::query(sql).bind(questions).execute(&pool)
    };
    after(998).await.unwrap();
    for n in 1..=2 {
        let id = system.held(&token, hold(&format!("k{n}"), "PUT", &format!("/repos/acme/{n}"))).await;
        assert_eq!(system.leave(&token, &id).await, 204, "also one that was taken back was asked");
    }
    let before = system.dump().await;
    let refused = system.hold(&token, hold("k3", "PUT", "/repos/acme/3")).await;
    assert_eq!((&refused["status"], &refused["held_id"]), (&json!("refused"), &Value::Null), "{refused}");
    let message = refused["message"].as_str().unwrap();
    assert!(message.starts_with("too_many_questions: ") && message.contains("1000"), "{message}");
    let seconds: i64 = message.rsplit_once("in ").unwrap().1.trim_end_matches(" s").parse().unwrap();
    assert!((1..=10).contains(&seconds), "when to try again: {message}");
    assert_eq!(system.dump().await, before, "it leaves no trace");
    // What was asked is still answered, the same key is no new question, and others are not held up.
    assert_eq!(system.held(&token, hold("k0", "PUT", A)).await, first);
    let (status, asked) = system.call("POST", "/v1/sandboxes/other/held", &other, Some(hold("k", "PUT", A))).await;
    assert_eq!((status, &asked["status"]), (200, &json!("waiting")), "{asked}");
    // A new process of the gateway is no new burst, and a new session is none.
    let system = system.restart().await;
    assert_eq!(system.session(&token, Some("s2")).await, 204);
    let again = system.hold(&token, of("s2", hold("k3", "PUT", "/repos/acme/3"))).await;
    assert_eq!(again["status"], "refused", "{again}");
    // Time passes.
    after(990).await.unwrap();
    system.held(&token, of("s2", hold("k4", "PUT", "/repos/acme/4"))).await;
    // A clock that was set back does not silence a sandbox until it is there again, and is no new burst.
    after(1_000_000).await.unwrap();
    system.held(&token, of("s2", hold("back", "PUT", "/repos/acme/back"))).await;
    let refused = system.hold(&token, of("s2", hold("k5", "PUT", "/repos/acme/5"))).await;
    let message = refused["message"].as_str().unwrap();
    let seconds: i64 = message.rsplit_once("in ").unwrap().1.trim_end_matches(" s").parse().unwrap();
    assert!(seconds <= 10, "{message}");
}

/// The end of one session is not the end of another: an old proxy that stops late takes only its own with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_by_its_own_name() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let end = async |session: Value, ended: &str| {
        let body = json!({"session": session, "ended": ended});
        system.call("PUT", "/v1/sandboxes/dev/session", &token, Some(body)).await
    };
    assert_eq!(system.session(&token, Some("old")).await, 204);
    assert_eq!(system.session(&token, Some("new")).await, 204);
    let granted = system.held(&token, of("new", hold("k", "PUT", A))).await;
    assert_eq!(system.answer(&granted, "session", None).await.0, 200);
    let waits = system.held(&token, of("new", hold("k2", "DELETE", A))).await;
    let once = system.held(&token, of("new", hold("k3", "DELETE", "/repos/acme/b.md"))).await;
    assert_eq!(system.answer(&once, "once", None).await.0, 200);
    let tables = async || {
        let mut dump = system.dump().await;
        dump.retain(|table, _| table.starts_with("held") || matches!(table.as_str(), "versions" | "events"));
        dump
    };
    let before = tables().await;
    for _ in 0..2 {
        assert_eq!(end(Value::Null, "old").await.0, 204);
    }
    assert_eq!(tables().await, before, "nothing of it was left");
    assert_eq!(system.outcome(&token, &waits, 0).await["status"], "waiting");
    assert!(system.outcome(&token, &once, 0).await["grant"].is_object());
    // One that nobody heard of before is over from then on.
    assert_eq!(end(Value::Null, "unheard").await.0, 204);
    let late = system.hold(&token, of("unheard", hold("k4", "DELETE", A))).await;
    assert!(late["message"].as_str().unwrap().starts_with("session_ended"), "{late}");
    assert_eq!(system.session(&token, Some("unheard")).await, 409);
    // Its own end is.
    assert_eq!(end(Value::Null, "new").await.0, 204);
    assert_eq!(system.outcome(&token, &waits, 0).await["status"], "cancelled");
    assert_eq!(system.outcome(&token, &once, 0).await["status"], "refused");
    assert!(!system.bundle("dev").await["policy_yaml"].as_str().unwrap().contains(A));
    // Both at once would say two things.
    for (session, ended, pointer) in [(json!("a"), "b", "/ended"), (Value::Null, "a b", "/ended")] {
        let (status, refused) = end(session, ended).await;
        assert_eq!((status, &refused["pointer"]), (400, &json!(pointer)), "{refused}");
    }
}

/// What was granted for a session ends with it, also where somebody was allowed more under its name since; that stays.
#[tokio::test(flavor = "multi_thread")]
async fn an_extended_session_grant_ends_with_the_session() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let id = system.held(&token, hold("k", "PUT", A)).await;
    let (_, view) = system.answer(&id, "session", None).await;
    let name = view["operation"]["addRule"]["ruleName"].as_str().unwrap().to_owned();
    let more = json!({"addAllowRules": {"ruleName": name, "host": "api.github.com", "port": 443,
        "rules": [{"allow": {"method": "PUT", "path": "/repos/acme/more.md"}}]}});
    let chunk = system.submit("dev", &token, more).await.unwrap();
    assert_eq!(system.approve(&chunk, &system.review_token(&chunk).await).await.0, 200);
    let extended = system.bundle("dev").await["policy_yaml"].as_str().unwrap().to_owned();
    assert!(extended.contains(A) && extended.contains("more.md"), "{extended}");
    assert_eq!(system.session(&token, Some("s2")).await, 204);
    let bundle = system.bundle("dev").await;
    let after = bundle["policy_yaml"].as_str().unwrap();
    assert!(!after.contains(A), "what was granted for the session is gone: {after}");
    assert!(after.contains("/repos/acme/more.md"), "what was approved beside it stays: {after}");
    let end = |policy: &str| policy.lines().find(|line| line.contains("expires_at")).map(str::to_owned);
    assert!(end(after).is_some() && end(after) == end(&extended), "and lasts no longer than it did: {after}");
    let history = system.get("/v1/sandboxes/dev/history").await;
    assert_eq!(history["versions"][3]["approver"], "session ended", "{history}");
    // It was taken out once: what has that name now is nobody's session's.
    assert_eq!(system.session(&token, None).await, 204);
    assert_eq!(system.bundle("dev").await, bundle);
}

/// The outcome of one that waited long is there after its answer, however many were asked and ended since.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_wait_is_not_forgotten_before_a_short_one() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let (id, other) = (
        system.held(&token, hold("k", "PUT", A)).await,
        system.held(&token, hold("k2", "PUT", "/repos/acme/b.md")).await,
    );
    assert_eq!(system.answer(&other, "no", None).await.0, 200);
    let long_ago = "UPDATE held SET created_at = created_at - 1000, decided_at = decided_at - 1000 WHERE id = ?";
    sqlx::query(long_ago).bind(&other).execute(&database(&system).await).await.unwrap();
    copies(&system, &other, "dev", "denied", 1200).await;
    assert_eq!(system.answer(&id, "no", Some("it took me a while")).await.0, 200);
    system.held(&token, hold("k3", "PUT", "/repos/acme/c.md")).await;
    let outcome = system.outcome(&token, &id, 0).await;
    assert_eq!((&outcome["status"], &outcome["message"]), (&json!("denied"), &json!("it took me a while")));
    let ended = system.dump().await["held"].iter().filter(|row| row.contains("'denied'")).count();
    assert_eq!(ended, 1000, "and the others are bounded");
}

/// What waits is never hidden behind what has ended, nor behind what others ask.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_always_listed() {
    let (system, token) = asking(Mode::Manual, ASKS).await;
    let id = system.held(&token, hold("k", "PUT", A)).await;
    copies(&system, &id, "dev", "denied", 1500).await;
    let listed = async |query: &str| {
        let held = system.get(&format!("/v1/held{query}")).await["held"].as_array().unwrap().clone();
        let ids: Vec<String> = held.iter().map(|view| view["held_id"].as_str().unwrap().to_owned()).collect();
        ids
    };
    for query in ["?status=all", "?sandbox=dev&status=all", "?status=waiting", ""] {
        let ids = listed(query).await;
        assert!(ids.contains(&id) && ids.len() <= 1000, "{query}: {} without it", ids.len());
    }
    // Six others with all that they may ask: everybody's oldest are there, and it is still in the order of asking.
    for name in ["a", "b", "c", "d", "e", "f"] {
        system.sandbox_with(name, ASKS).await;
        copies(&system, &id, name, "waiting", 200).await;
    }
    let ids = listed("").await;
    assert_eq!((ids.len(), &ids[0]), (1000, &id));
    let of = |ids: &[String], name: &str| ids.iter().filter(|one| one.starts_with(&format!("{id}{name}"))).count();
    for name in ["a", "b", "c", "d", "e", "f"] {
        assert!(ids.contains(&format!("{id}{name}1")), "{name}");
        assert!((166..=167).contains(&of(&ids, name)), "{name}: {}", of(&ids, name));
    }
    // However long their command lines are, a client that takes 16 MiB gets an answer, with a part of everybody's.
    let long = "UPDATE held SET process = json_set(process, '$.command', ?) WHERE sandbox > 1";
    sqlx::query(long).bind("x".repeat(60_000)).execute(&database(&system).await).await.unwrap();
    let answer = system.get("/v1/held").await;
    let ids: Vec<String> =
        serde_json::from_value(answer["held"].as_array().unwrap().iter().map(|v| v["held_id"].clone()).collect())
            .unwrap();
    assert!(answer.to_string().len() < 16 << 20, "{} bytes", answer.to_string().len());
    assert_eq!(ids[0], id);
    for name in ["a", "b", "c", "d", "e", "f"] {
        assert!((20..=25).contains(&of(&ids, name)), "{name}: {}", of(&ids, name));
    }
}
