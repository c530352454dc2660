//! Requests that wait for a person.

mod answers;
mod body;
mod disconnect;
mod gateway;
mod grants;
mod groups;
mod lifetime;
mod line;

use std::sync::Arc;
use std::time::Duration;

use narrowgate_core::held::{HeldOutcome, HeldStatus};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::gateway::Gateway;
use super::rig::{Answer, POLICY, Rig};
use crate::held::Event;
use crate::trust::Trust;

/// A proxy whose policy has people asked, a gateway that asks them, and somebody who watches.
struct Held {
    rig: Rig,
    gateway: Gateway,
    events: mpsc::Receiver<Event>,
}

/// The policy in force: everything that is asked about here is missing from it.
fn asking() -> String {
    POLICY
        .replace("version: 1\n", "version: 1\non_miss: ask\nask_timeout: 60s\n")
        .replace("access: full", "rules: [{ allow: { method: GET, path: /ok } }]")
        .replace("raw.test", "rawer.test")
}

/// The same with these endpoints.
fn with(endpoints: &str) -> String {
    format!("{}  more:\n    name: more\n    endpoints:\n      - {endpoints}\n", asking())
}

/// What the question about `PUT /new/x` is granted.
fn granting() -> String {
    with("{ host: plain.test, port: 80, protocol: rest, rules: [{ allow: { method: PUT, path: /new/x } }] }")
}

/// A deny rule for it.
fn denying() -> String {
    asking().replace("path: /ok } }]", "path: /ok } }], deny_rules: [{ method: \"*\", path: /new/** }]")
}

impl Held {
    async fn new() -> Held {
        let gateway = Gateway::start().await;
        let (observer, events) = mpsc::channel(1000);
        let client = gateway.client.clone();
        let rig = Rig::with(|config| {
            config.gateway = client;
            config.observer = Some(observer);
        })
        .await;
        let trust = Trust::open(&gateway.client, rig.dir.path()).await.unwrap();
        rig.shared.held.trust(Arc::new(trust));
        rig.enforce(&asking(), 1);
        Held { rig, gateway, events }
    }

    /// Sends `head` on a connection of its own; the answer, some day.
    async fn send(&self, head: &str) -> JoinHandle<Answer> {
        let mut client = self.rig.dial().await;
        client.send(&format!("{head}\r\n\r\n")).await;
        tokio::spawn(async move { client.answer_in(Duration::from_secs(60)).await })
    }

    /// The request that most of this is about.
    async fn put(&self) -> JoinHandle<Answer> {
        self.send("PUT http://plain.test/new/x?token=s3cret HTTP/1.1\r\nhost: plain.test\r\ncontent-length: 0").await
    }

    /// Until `count` requests wait for one answer.
    async fn waiting(&self, count: usize) {
        for _ in 0..1000 {
            if self.rig.shared.held.list().iter().any(|group| group["requests"] == count) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not {count} that wait within 20 seconds");
    }

    fn event(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// The audit lines, parsed.
    fn lines(&self) -> Vec<Value> {
        self.rig.audit().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Lets everything that is under way come to where it waits.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}

fn refused(message: &str) -> HeldOutcome {
    HeldOutcome {
        held_id: None,
        status: HeldStatus::Refused,
        deadline: None,
        decided_by: None,
        message: Some(message.to_owned()),
        grant: None,
        version: None,
    }
}
