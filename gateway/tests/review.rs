//! Approvals: of exactly what was seen, one after another, whole or not at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::time::Duration;

use common::{System, config, policy, put, rule};
use narrowgate_gateway::{Config, Mode};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_review_token_applies_nothing() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let first = system.submit("dev", &token, put("docs", "/repos/acme/docs/**")).await.unwrap();
    let second = system.submit("dev", &token, rule("git", "PUT", "/repos/acme/src/**", "/usr/bin/git")).await.unwrap();
    let (seen_first, seen_second) = (system.review_token(&first).await, system.review_token(&second).await);
    assert_ne!(seen_first, seen_second);
    for wrong in [json!(""), json!("0".repeat(64)), seen_second.clone()] {
        let (status, answer) = system.approve(&first, &wrong).await;
        assert_eq!((status, &answer["error"]), (409, &json!("stale_review_token")), "{answer}");
        assert_eq!(answer["proposal"]["review_token"], seen_first);
    }
    assert_eq!(system.approve(&first, &seen_first).await.0, 200);

    let (status, answer) = system.approve(&second, &seen_second).await;
    assert_eq!((status, &answer["error"]), (409, &json!("stale_review_token")));
    assert_eq!(answer["proposal"]["status"], "pending");
    assert_eq!(system.bundle("dev").await["version"], 2, "nothing was applied");
    let refreshed = answer["proposal"]["review_token"].clone();
    assert_ne!(refreshed, seen_second);
    assert_eq!(system.review_token(&second).await, refreshed);
    assert_eq!(system.approve(&second, &refreshed).await.0, 200);
    let yaml = system.bundle("dev").await["policy_yaml"].as_str().unwrap().to_owned();
    assert_eq!(policy(&yaml).entries.len(), 3, "both are in force");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_pointless_is_refused_when_looked_at() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let narrow = system.submit("dev", &token, put("narrow", "/repos/acme/docs/a")).await.unwrap();
    let taken = system.submit("dev", &token, rule("docs", "PUT", "/repos/acme/**", "/usr/bin/git")).await.unwrap();
    // The same subject as `narrow`, the same name as `taken`.
    let both = json!({"addRule": {"ruleName": "docs", "rule": {"binaries": [{"path": "/usr/bin/curl"}], "endpoints": [
        {"host": "api.github.com", "port": 443, "protocol": "rest", "rules": [
            {"allow": {"method": "PUT", "path": "/repos/acme/docs/a"}}, {"allow": {"method": "DELETE", "path": "/repos/acme/docs/a"}}]},
    ]}}});
    let seen = system.review_token(&taken).await;
    let wide = system.submit("dev", &token, both).await.unwrap();
    assert_eq!(system.get(&format!("/v1/proposals/{narrow}")).await["status"], "superseded");
    assert_eq!(system.approve(&wide, &system.review_token(&wide).await).await.0, 200);

    let (status, answer) = system.approve(&taken, &seen).await;
    assert_eq!((status, &answer["error"]), (409, &json!("stale_review_token")));
    assert_eq!(answer["proposal"]["status"], "rejected", "its name is taken now: {answer}");
    assert!(answer["proposal"]["rejection_reason"].as_str().unwrap().starts_with("invalid: "), "{answer}");
    assert_eq!(system.bundle("dev").await["version"], 2);
}

/// Every reviewer looks, approves, and looks again where it was told that things changed.
async fn approve_until_done(system: &System, id: &str) {
    loop {
        let (status, answer) = system.approve(id, &system.review_token(id).await).await;
        match status {
            200 => return,
            409 => assert!(matches!(answer["error"].as_str(), Some("stale_review_token" | "busy")), "{answer}"),
            _ => panic!("{status}: {answer}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_approvals_lose_none() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(
            system
                .submit(
                    "dev",
                    &token,
                    rule(&format!("r{n}"), "PUT", &format!("/repos/acme/{n}"), &format!("/usr/bin/p{n}")),
                )
                .await
                .unwrap(),
        );
    }
    // First with the tokens of now: only one can get through, whatever the order.
    let mut seen = Vec::new();
    for id in &ids {
        seen.push(system.review_token(id).await);
    }
    let [a, b, c] = [0, 1, 2].map(|n| system.approve(&ids[n], &seen[n]));
    let (a, b, c) = tokio::join!(a, b, c);
    let mut statuses = [a.0, b.0, c.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409]);

    let pending = system.get("/v1/proposals?status=pending").await;
    let left: Vec<String> =
        pending["proposals"].as_array().unwrap().iter().map(|p| p["chunk_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(left.len(), 7);
    let (one, two) = left.split_at(4);
    let run = async |ids: &[String]| {
        for id in ids {
            approve_until_done(&system, id).await;
        }
    };
    tokio::join!(run(one), run(two));
    let bundle = system.bundle("dev").await;
    assert_eq!(bundle["version"], 9);
    assert_eq!(policy(bundle["policy_yaml"].as_str().unwrap()).entries.len(), 9);
    let history = system.get("/v1/sandboxes/dev/history").await;
    assert_eq!(history["versions"].as_array().unwrap().len(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_approval_twice_applies_once() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let id = system.submit("dev", &token, put("docs", "/repos/acme/**")).await.unwrap();
    let seen = system.review_token(&id).await;
    let (a, b, c) = tokio::join!(system.approve(&id, &seen), system.approve(&id, &seen), system.approve(&id, &seen));
    let mut statuses = [a.0, b.0, c.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409]);
    assert_eq!(system.bundle("dev").await["version"], 2);
}

/// A caller that goes away in the middle of its approval, at any moment, leaves the old state or the new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_approval_cut_off_is_whole_or_absent() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    for n in 0..24_u64 {
        let id = system.submit("dev", &token, put(&format!("r{n}"), &format!("/repos/acme/{n}"))).await.unwrap();
        let seen = system.review_token(&id).await;
        let before = system.bundle("dev").await["version"].as_u64().unwrap();
        tokio::select! {
            _ = system.approve(&id, &seen) => {}
            () = tokio::time::sleep(Duration::from_micros(n * 400)) => {}
        }
        // It may still be under way, for as long as the disk takes. A look that it changes under says nothing; one that
        // it does not must be whole.
        let path = format!("/v1/proposals/{id}");
        let (view, bundle, later) = (system.get(&path).await, system.bundle("dev").await, system.get(&path).await);
        let applied =
            |bundle: &Value| policy(bundle["policy_yaml"].as_str().unwrap()).entries.contains_key(&format!("r{n}"));
        if view["status"] == later["status"] {
            let approved = view["status"] == "approved";
            assert!(approved || view["status"] == "pending", "{n}: {view}");
            assert_eq!(
                (applied(&bundle), &bundle["version"]),
                (approved, &json!(before + u64::from(approved))),
                "{n}: {view}"
            );
        }
        // Once more: it applies now, unless the first one came to its end before. Either way it has been applied once.
        let (status, answer) = system.approve(&id, &seen).await;
        assert!(status == 200 || (status == 409 && answer["error"] == "not_pending"), "{n}: {status} {answer}");
        let (view, bundle) = (system.get(&path).await, system.bundle("dev").await);
        assert_eq!(
            (&view["status"], &view["activated_version"]),
            (&json!("approved"), &json!(before + 1)),
            "{n}: {view}"
        );
        assert_eq!((applied(&bundle), &bundle["version"]), (true, &json!(before + 1)), "{n}: {view}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_shows_the_entry_that_goes() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let added = system.submit("dev", &token, put("docs", "/repos/acme/docs/**")).await.unwrap();
    assert!(system.get(&format!("/v1/proposals/{added}")).await["removed"].is_null());
    assert_eq!(system.approve(&added, &system.review_token(&added).await).await.0, 200);
    let id = system.submit("dev", &token, json!({"removeRule": {"ruleName": "docs"}})).await.unwrap();
    let path = format!("/v1/proposals/{id}");
    let expected = json!("/repos/acme/docs/**");
    let view = system.get(&path).await;
    assert_eq!(view["removed"]["endpoints"][0]["rules"][0]["allow"]["path"], expected, "{view}");
    assert_eq!(system.approve(&id, &view["review_token"]).await.0, 200);
    // It is in force, and the entry is gone: the view still says what went.
    assert_eq!(system.get(&path).await["removed"]["endpoints"][0]["rules"][0]["allow"]["path"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn locked_means_locked() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let id = system.submit("dev", &token, put("docs", "/repos/acme/**")).await.unwrap();
    let seen = system.review_token(&id).await;
    let System { gateway, dir, .. } = system;
    gateway.shutdown().await;
    let locked = Config { mode: Mode::Locked, ..config(dir.path()) };
    let system = System::start_in(dir, locked).await;
    let reason = system.submit("dev", &token, put("more", "/repos/acme/more")).await.unwrap_err();
    assert!(reason.starts_with("locked: "), "{reason}");
    let (status, answer) = system.approve(&id, &seen).await;
    assert_eq!((status, &answer["error"]), (409, &json!("locked")));
    assert_eq!(system.bundle("dev").await["version"], 1);
    let (status, _) = system
        .call("POST", &format!("/v1/proposals/{id}/reject"), &system.reviewer, Some(json!({"reason": "frozen"})))
        .await;
    assert_eq!(status, 200, "a no is possible in every mode");
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_not_promised() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let id = system.submit("dev", &token, put("docs", "/repos/acme/**")).await.unwrap();
    let body = |durability: &str, seen: &Value| Some(json!({"review_token": seen, "durability": durability}));
    let seen = system.review_token(&id).await;
    let path = format!("/v1/proposals/{id}/approve");
    let (status, answer) = system.call("POST", &path, &system.reviewer, body("lease", &seen)).await;
    assert_eq!((status, &answer["pointer"]), (400, &json!("/durability")));
    assert_eq!(system.call("POST", &path, &system.reviewer, body("durable", &seen)).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_does_not_overflow() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let mut refused = 0;
    for n in 0..105 {
        let operation = rule(&format!("r{n}"), "PUT", "/repos/acme/a", &format!("/usr/bin/p{n}"));
        if let Err(reason) = system.submit("dev", &token, operation).await {
            assert!(reason.starts_with("too_many_pending: "), "{reason}");
            refused += 1;
        }
    }
    assert_eq!(refused, 5);
}

/// What waits for a decision is never hidden behind what was decided, nor behind what other sandboxes ask for.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_decision_is_always_listed() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let id = system.submit("dev", &token, put("docs", "/repos/acme/docs/**")).await.unwrap();
    let path = system.dir.path().join("data/narrowgate.db");
    let pool = sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(path)).await.unwrap();
    let copies = async |sandbox: &str, status: &str, count: i64| {
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
            INSERT INTO proposals (id, sandbox, status, source, binary, intent_summary, denial_ids, evidence, operation, subject,
              base_version, ceiling_digest, credentials_digest, verdict, report, review_token, created_at, decided_at, decided_by)
            SELECT id || ?2 || i, (SELECT max(id) FROM sandboxes WHERE name = ?2), ?3, source, binary, intent_summary, denial_ids, evidence,
              operation, subject, base_version, ceiling_digest, credentials_digest, verdict, report,
              CASE ?3 WHEN 'pending' THEN review_token END, created_at, CASE ?3 WHEN 'rejected' THEN created_at END,
              CASE ?3 WHEN 'rejected' THEN 'gateway' END FROM n, proposals WHERE id = ?4";
        sqlx::query(sql).bind(count).bind(sandbox).bind(status).bind(&id).execute(&pool).await.unwrap();
    };
    let listed = async |query: &str| -> Vec<String> {
        let proposals = system.get(&format!("/v1/proposals{query}")).await["proposals"].as_array().unwrap().clone();
        proposals.iter().map(|view| view["chunk_id"].as_str().unwrap().to_owned()).collect()
    };
    copies("dev", "rejected", 1200).await;
    for query in ["", "?sandbox=dev", "?status=pending"] {
        let ids = listed(query).await;
        assert!(ids.len() <= 1000 && ids[0] == id, "{query}: {} without it", ids.len());
    }
    for name in ["a", "b"] {
        system.sandbox(name).await;
        copies(name, "pending", 600).await;
    }
    let ids = listed("?status=pending").await;
    let of = |name: &str| ids.iter().filter(|one| one.starts_with(&format!("{id}{name}"))).count();
    assert_eq!((ids.len(), &ids[0]), (1000, &id));
    assert!((499..=500).contains(&of("a")) && (499..=500).contains(&of("b")), "{} and {}", of("a"), of("b"));
}
