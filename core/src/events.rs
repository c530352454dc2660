//! What reviewers follow on `GET /v1/inbox/events`: server-sent events whose `id` is a sequence number, to go on from
//! with `Last-Event-ID`.
//!
//! | event | data |
//! |---|---|
//! | `proposal` | [`ProposalSummary`]: one that waits |
//! | `decision` | [`ProposalSummary`]: one that does not wait any more |
//! | `activation` | [`Activation`]: a policy came into force |
//! | `held` | [`HeldView`](crate::held::HeldView): a request waits; without `review_token` |
//! | `held_outcome` | [`HeldView`](crate::held::HeldView): it does not any more |
//! | `gap` | [`Gap`]: events are missing; list anew what waits |

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::wire::ProposalStatus;

/// A proposal, as far as a list shows it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProposalSummary {
    /// `p_…`
    pub chunk_id: String,
    /// The sandbox whose policy it would change.
    pub sandbox: String,
    /// Where it stands.
    pub status: ProposalStatus,
    /// Who made it: `agent`, `held` and so on.
    pub source: String,
    /// The proposing process's executable, "" where unknown.
    pub binary: String,
    /// Why, in the agent's words.
    pub intent_summary: String,
    /// The operation in its wire form.
    pub operation: Value,
    /// The prover's verdict, in one word.
    pub validation_result: String,
    /// When it was submitted, RFC 3339.
    pub created_at: String,
    /// When it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection_reason: Option<String>,
    /// The version that put it in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_version: Option<u64>,
}

/// A version of a sandbox's policy came into force.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Activation {
    /// The sandbox.
    pub sandbox: String,
    /// The version.
    pub version: u64,
    /// The digest of the compiled policy.
    pub policy_hash: Digest,
    /// Who approved it.
    pub approver: String,
    /// The proposal that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_id: Option<String>,
    /// When, RFC 3339.
    pub created_at: String,
}

/// Some of the events between what the reader has and this one are not kept any more; those that are, follow. It is said
/// once for each event that is missing, and again to a reader who comes back with a place before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// The last event that the reader has.
    pub after: u64,
    /// The oldest one from which on all are kept.
    pub oldest: u64,
}
