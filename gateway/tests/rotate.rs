//! A new signing key: who may ask for it, and that everything in force is signed by it afterwards, whatever else goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs;

use common::{System, config, put};
use narrowgate_core::keys::KeySet;
use narrowgate_core::wire::{Bundle, Keys};
use serde_json::{Value, json};

async fn rotate(system: &System, body: Value) -> (u16, Value) {
    system.call("POST", "/v1/keys/rotate", &system.admin, Some(body)).await
}

async fn keys(system: &System) -> Keys {
    serde_json::from_value(system.get("/v1/keys").await).unwrap()
}

async fn signer(system: &System, name: &str) -> String {
    let bundle: Bundle = serde_json::from_value(system.bundle(name).await).unwrap();
    bundle.certificate.signatures[0].keyid.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_admin_replaces_the_key_and_only_for_a_while() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let before = keys(&system).await;
    for (caller, body, status) in [
        (&token, json!({}), 403),
        (&system.reviewer, json!({}), 403),
        (&system.admin, json!({"overlap_seconds": 90 * 24 * 3600 + 1}), 400),
        (&system.admin, json!({"overlap_seconds": -1}), 400),
        (&system.admin, json!({"overlap_seconds": "1h"}), 400),
        (&system.admin, json!({"overlap": 5}), 400),
        (&system.admin, json!("now"), 400),
    ] {
        let (got, answer) = system.call("POST", "/v1/keys/rotate", caller, Some(body.clone())).await;
        assert_eq!(got, status, "{body}: {answer}");
    }
    let unknown = common::call(system.gateway.addr(), "POST", "/v1/keys/rotate", None, Some("{}".to_owned())).await;
    assert_eq!(unknown.0, 401);
    assert_eq!(keys(&system).await.keys, before.keys);
    assert_eq!(system.bundle("dev").await["version"], 1);

    let (status, answer) = rotate(&system, json!({})).await;
    assert_eq!((status, &answer["sequence"]), (200, &json!(2)), "{answer}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let week = answer["keys"][1]["not_after"].as_u64().unwrap() - now;
    assert!((604_790..=604_800).contains(&week), "7 days unless it is said: {week}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_in_force_is_signed_anew_and_the_chain_can_be_followed() {
    let system = System::start().await;
    for name in ["one", "two", "gone"] {
        system.sandbox(name).await;
    }
    assert_eq!(system.call("DELETE", "/v1/sandboxes/gone", &system.admin, None).await.0, 204);
    let first = keys(&system).await;
    let current = first.keys[0].trusted().unwrap().key;
    assert_eq!((first.sequence, first.sets.len()), (1, 1));
    for sequence in 2..=4 {
        assert_eq!(rotate(&system, json!({"overlap_seconds": 60})).await.0, 200);
        let now = keys(&system).await;
        assert_eq!((now.sequence, now.keys.len() as u64), (sequence, sequence));
        for name in ["one", "two"] {
            assert_eq!(signer(&system, name).await, now.keys[0].keyid);
            assert_eq!(system.bundle(name).await["version"], sequence);
        }
    }
    let now = keys(&system).await;
    let set = KeySet::newest(&now.sets, 1, &current, 0).unwrap().unwrap();
    assert_eq!(set.trusted()[0], now.keys[0].trusted().unwrap());
    let history = system.get("/v1/sandboxes/one/history").await;
    let approvers: Vec<_> = history["versions"].as_array().unwrap().iter().map(|v| v["approver"].clone()).collect();
    assert_eq!(approvers, ["admin", "gateway", "gateway", "gateway"]);
    // Given up as stolen: the keys before are trusted no longer than now.
    let (_, answer) = rotate(&system, json!({"overlap_seconds": 0})).await;
    assert_eq!(answer["keys"].as_array().unwrap().len(), 4, "the stolen one is not among them: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn approvals_and_new_sandboxes_meanwhile_are_by_the_new_key_too() {
    let system = System::start().await;
    let token = system.sandbox("dev").await;
    let rotations = async {
        for _ in 0..6 {
            let (status, answer) = rotate(&system, json!({"overlap_seconds": 60})).await;
            assert_eq!(status, 200, "{answer}");
        }
    };
    let creations = async {
        for n in 0..6 {
            system.sandbox(&format!("new-{n}")).await;
        }
    };
    let approvals = async {
        for n in 0..6 {
            let id =
                system.submit("dev", &token, put(&format!("docs-{n}"), &format!("/repos/acme/{n}/**"))).await.unwrap();
            // What the reviewer saw may be of a version that the new key has replaced.
            let mut token = system.review_token(&id).await;
            loop {
                let (status, answer) = system.approve(&id, &token).await;
                match status {
                    200 => break,
                    409 => token = answer["proposal"]["review_token"].clone(),
                    _ => panic!("{status}: {answer}"),
                }
            }
        }
    };
    tokio::join!(rotations, creations, approvals);
    let current = keys(&system).await.keys[0].keyid.clone();
    for name in ["dev", "new-0", "new-1", "new-2", "new-3", "new-4", "new-5"] {
        assert_eq!(signer(&system, name).await, current, "{name}");
    }
    let yaml = system.bundle("dev").await["policy_yaml"].as_str().unwrap().to_owned();
    assert!((0..6).all(|n| yaml.contains(&format!("docs-{n}"))), "no approval was lost: {yaml}");
}

/// Killed after the key was replaced and before every policy was signed anew: the next start does that.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_kill_left_unsigned_is_signed_at_the_next_start() {
    let system = System::start().await;
    system.sandbox("dev").await;
    let System { gateway, dir, .. } = system;
    gateway.shutdown().await;
    let (database, data) = (dir.path().join("before.db"), dir.path().join("data"));
    fs::copy(data.join("narrowgate.db"), &database).unwrap();
    let usual = config(dir.path());
    let system = System::start_in(dir, usual).await;
    assert_eq!(rotate(&system, json!({"overlap_seconds": 60})).await.0, 200);
    let System { gateway, dir, .. } = system;
    gateway.shutdown().await;
    fs::copy(&database, data.join("narrowgate.db")).unwrap();
    let usual = config(dir.path());
    let system = System::start_in(dir, usual).await;
    assert_eq!(system.bundle("dev").await["version"], 2);
    assert_eq!(signer(&system, "dev").await, keys(&system).await.keys[0].keyid);
    let system = system.restart().await;
    assert_eq!(system.bundle("dev").await["version"], 2, "once is enough");
}
