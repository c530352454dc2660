//! Requests that wait for a person: what the proxy, the gateway and reviewers say to each other about them.
//!
//! A proxy that meets `on_miss: ask` and a request that no rule allows posts a [`Hold`]. The gateway derives the narrowest
//! rule that would let it through, judges it as any proposal, and asks nobody where it does not fit. Reviewers see a
//! [`HeldView`] and post a [`HeldAnswer`]; the proxy learns of it as a [`HeldOutcome`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::denial::{DenialRecord, DeniedOperation};
use crate::wire::Bundle;

/// No proxy has more requests wait than this, for all answers together.
pub const MOST_REQUESTS: u32 = 4096;

/// `POST /v1/sandboxes/{name}/held`, by the sandbox's proxy. The same `key` again is the same held request.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// The proxy's own name for it, unique in its session: repeating the call after a lost answer asks nobody twice.
    pub key: String,
    /// The session of the proxy: what is granted for the session ends with it.
    pub session: String,
    /// What was asked, as a denial would record it; its narrowest rule is what would be granted.
    pub record: DenialRecord,
    /// Whether requests can be read at this destination; if not, opaque bytes would be granted.
    pub inspected: bool,
    /// Who asks.
    pub process: HeldProcess,
}

/// The process whose request waits, as the system sees it: nothing here is the process's own word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldProcess {
    /// As the proxy's machine numbers it.
    pub pid: i32,
    /// The executable.
    pub binary: String,
    /// The executable's SHA-256, in hex.
    pub sha256: String,
    /// The executables of the parents, nearest first.
    #[serde(default)]
    pub ancestors: Vec<String>,
    /// The command line, with secrets taken out.
    #[serde(default)]
    pub command: String,
}

/// Where a held request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeldStatus {
    /// A person is asked.
    Waiting,
    /// Let through, this once.
    Once,
    /// Granted until the session ends.
    Session,
    /// Granted for good, as a proposal that was judged and approved.
    Always,
    /// A person said no to this one.
    Denied,
    /// A person said no to this and to all like it; or had said so before.
    Never,
    /// Nobody answered in time.
    TimedOut,
    /// Whoever asked went away.
    Cancelled,
    /// Nobody is asked: it cannot be granted, or may not be.
    Refused,
}

impl HeldStatus {
    /// Every one of them.
    pub const ALL: [HeldStatus; 9] = [
        HeldStatus::Waiting,
        HeldStatus::Once,
        HeldStatus::Session,
        HeldStatus::Always,
        HeldStatus::Denied,
        HeldStatus::Never,
        HeldStatus::TimedOut,
        HeldStatus::Cancelled,
        HeldStatus::Refused,
    ];

    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            HeldStatus::Waiting => "waiting",
            HeldStatus::Once => "once",
            HeldStatus::Session => "session",
            HeldStatus::Always => "always",
            HeldStatus::Denied => "denied",
            HeldStatus::Never => "never",
            HeldStatus::TimedOut => "timed_out",
            HeldStatus::Cancelled => "cancelled",
            HeldStatus::Refused => "refused",
        }
    }
}

/// The answer to [`Hold`], and to `GET /v1/sandboxes/{name}/held/{id}?wait=S&requests=N` (a long poll: `waiting` at its
/// end; `N` is how many requests wait for the answer by now).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct HeldOutcome {
    /// `h_…`; absent where nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_id: Option<String>,
    /// Where it stands.
    pub status: HeldStatus,
    /// Until when it waits, RFC 3339; absent where nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// Who answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// The reviewer's words; with `refused`, why nobody is asked, which says nothing of the ceiling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// With `once`: the policy in force with the rule added, certified for this held request alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Bundle>,
    /// With `session` and `always`: the version that has the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

/// `POST /v1/held/{id}/answer`, by a reviewer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldAnswer {
    /// What to do.
    pub answer: Answer,
    /// For whoever asked to read; at most 2,000 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The review token of the view that the reviewer saw: nothing else is granted.
    pub review_token: String,
}

/// What a reviewer can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Let through those that wait now.
    Once,
    /// Grant what is shown until the session ends.
    Session,
    /// Grant what is shown for good.
    Always,
    /// Not this one.
    No,
    /// Not this one, and do not ask again.
    Never,
}

/// A held request as reviewers see it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct HeldView {
    /// `h_…`
    pub held_id: String,
    /// The sandbox that it is from.
    pub sandbox: String,
    /// Where it stands.
    pub status: HeldStatus,
    /// Since when.
    pub created_at: String,
    /// Until when an answer counts.
    pub deadline: String,
    /// `l4` or `l7`.
    pub layer: crate::decide::Layer,
    /// The destination's host.
    pub host: String,
    /// The destination's port.
    pub port: u16,
    /// The method, at L7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path without its query, at L7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What it is in a plugin's words, where one spoke.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<DeniedOperation>,
    /// How many requests wait for this answer, which may differ in query and body; after `once`, how many it let through.
    /// From 1 to [`MOST_REQUESTS`], as the proxy said last; absent where it did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// Who asks.
    pub process: HeldProcess,
    /// Exactly what `session` and `always` grant, in its wire form: `{"addRule": {"ruleName": …, "rule": …}}`.
    pub operation: Value,
    /// What an answer must quote; present while waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_token: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
    /// Who answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// Their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// With `session` and `always`: the proposal that it became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_id: Option<String>,
}

/// `GET /v1/held`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct HeldList {
    /// Oldest first.
    pub held: Vec<HeldView>,
}

/// `PUT /v1/sandboxes/{name}/session`, by the sandbox's proxy when it starts and when it stops: what was granted for a
/// session that ends goes, and so does what waits there. A sandbox has one proxy at a time, so that one that starts ends
/// the session of any other; one that stops ends its own only, since the next one may run already.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The session that runs from now on: all others end. `null` where none is said to run.
    pub session: Option<String>,
    /// With `session` null, the one session that ends; where absent too, all of them do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

impl Session {
    /// This one runs from now on, and no other.
    pub fn running(session: impl Into<String>) -> Session {
        Session { session: Some(session.into()), ended: None }
    }

    /// This one is over; of others, nothing is said.
    pub fn over(session: impl Into<String>) -> Session {
        Session { session: None, ended: Some(session.into()) }
    }
}
