//! The JSON between the gateway and those who talk to it: the proxy and the command line.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::denial::DenialRecord;
use crate::digest::Digest;
use crate::dsse::{Envelope, TrustedKey, VerifyingKey};
use crate::finding::Finding;
use crate::held::HeldView;

/// What a proxy loads: one version of a sandbox's policy with its proof.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Bundle {
    /// The sandbox it is for.
    pub sandbox: String,
    /// Grows by one with every change.
    pub version: u64,
    /// The policy in the rule language.
    pub policy_yaml: String,
    /// The digest of the compiled policy; the certificate's subject.
    pub policy_hash: Digest,
    /// The signed statement that the policy is inside the ceiling.
    pub certificate: Envelope,
    /// Digests of the plugins that the proof assumes, by name.
    #[serde(default)]
    pub plugins: BTreeMap<String, Digest>,
}

/// `POST /v1/sandboxes`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSandbox {
    /// Lower-case letters, digits, `-`, `_` and `.`; at most 64.
    pub name: String,
    /// The baseline policy, YAML or JSON.
    pub policy_yaml: String,
}

/// The answer to [`CreateSandbox`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CreatedSandbox {
    /// The sandbox's name.
    pub name: String,
    /// The version of the baseline: 1.
    pub version: u64,
    /// The sandbox's bearer token; shown this once.
    pub token: String,
}

/// One sandbox.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SandboxView {
    /// The sandbox's name.
    pub name: String,
    /// The active version.
    pub version: u64,
    /// The digest of the active compiled policy.
    pub policy_hash: Digest,
    /// When it was created.
    pub created_at: String,
    /// How many of its proposals wait for a decision.
    pub pending: u64,
}

/// A list of sandboxes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Sandboxes {
    /// By name.
    pub sandboxes: Vec<SandboxView>,
}

/// `POST /v1/sandboxes/{name}/proposals` and `…/check`: the agent's proposal and what the proxy knows about it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitProposal {
    /// Why, in the agent's words.
    pub intent_summary: String,
    /// The denials it answers.
    #[serde(default)]
    pub denial_ids: Vec<String>,
    /// `addRule`, `removeRule`, `addAllowRules`, as the agent posted them.
    pub operations: Vec<Value>,
    /// The proposing process's executable, "" where unknown.
    #[serde(default)]
    pub binary: String,
    /// The proxy's own records of `denial_ids`.
    #[serde(default)]
    pub evidence: Vec<DenialRecord>,
}

/// 202: one entry per operation, in one of the two.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SubmitAnswer {
    /// Proposals that now wait for a decision.
    pub accepted_chunk_ids: Vec<String>,
    /// `code: explanation` per refused operation.
    pub rejection_reasons: Vec<String>,
    /// Per refused operation the largest part of it that fits, proven and ready to post; null where there is none.
    #[serde(default)]
    pub repairs: Vec<Value>,
}

/// The prover's advice without submitting. One verdict for all operations together, the first that is not within.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CheckAnswer {
    /// `within`, `exceeds`, `redundant`, `unsupported`, `inconclusive`, `disagree`.
    pub verdict: String,
    /// Where the proposal is broader than the denials it cites, and what it risks; without what only a reviewer may see.
    pub findings: Vec<Finding>,
    /// The tightest entry that covers the cited denials, ready to be an `addRule`'s `rule`; null where none is cited, and
    /// where the proposal is as tight already.
    pub tightest: Option<Value>,
    /// A request that the policy would allow and the ceiling does not, as a curl command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterexample: Option<String>,
    /// With `exceeds`: the operations as they would fit, proven and ready to post; empty where there is no such.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repair: Vec<Value>,
    /// Why, where the verdict is not `within`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where a proposal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProposalStatus {
    /// Waits for a person.
    Pending,
    /// In force since `activated_version`.
    Approved,
    /// Refused, by the prover or by a person.
    Rejected,
    /// A newer proposal took its place.
    Superseded,
    /// Nobody answered in time.
    Expired,
}

impl ProposalStatus {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ProposalStatus::Pending => "pending",
            ProposalStatus::Approved => "approved",
            ProposalStatus::Rejected => "rejected",
            ProposalStatus::Superseded => "superseded",
            ProposalStatus::Expired => "expired",
        }
    }
}

/// One operation of a proposal. A sandbox sees its own without `review_token`, `report`, `not_automatic`
/// and `decided_by`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProposalView {
    /// `p_…`
    pub chunk_id: String,
    /// The sandbox whose policy it would change.
    pub sandbox: String,
    /// Where it stands.
    pub status: ProposalStatus,
    /// `agent`: posted through policy.local.
    pub source: String,
    /// The proposing process's executable, "" where unknown.
    pub binary: String,
    /// Why, in the agent's words.
    pub intent_summary: String,
    /// The denials it answers.
    pub denial_ids: Vec<String>,
    /// The proxy's records of them.
    pub evidence: Vec<DenialRecord>,
    /// The operation in its wire form: `{"addRule": {"ruleName": …, "rule": …}}`.
    pub operation: Value,
    /// With `removeRule`: the entry that goes, as it is in the version that the proposal was judged on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Value>,
    /// The prover's report on the composed candidate, as `prove --format json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Value>,
    /// `within`, `exceeds`, …: the prover's verdict, in one word.
    pub validation_result: String,
    /// With `exceeds`: the operation as it would fit, proven and ready to post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<Value>,
    /// In mode auto: why it was not applied at once, for the reviewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_automatic: Option<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejection_reason: Option<String>,
    /// What to do next, for the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance: Option<String>,
    /// The reviewer's hints, by name.
    #[serde(default)]
    pub hints: Vec<String>,
    /// When it was submitted.
    pub created_at: String,
    /// When it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<String>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// The version that put it in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_version: Option<u64>,
    /// What an approval must quote; present while pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_token: Option<String>,
    /// A long poll ended without a decision.
    #[serde(default)]
    pub timed_out: bool,
}

/// A list of proposals.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Proposals {
    /// Oldest first.
    pub proposals: Vec<ProposalView>,
}

/// `POST /v1/proposals/{id}/approve`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// The review token of the view that the reviewer saw.
    pub review_token: String,
    /// `durable` (the default). A lease is what mode auto grants; for one by a person, the rule has `expires_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<String>,
}

/// `POST /v1/proposals/{id}/reject`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reject {
    /// For the agent to read.
    pub reason: String,
    /// `too_broad`, `use_l7_not_l4`, `wrong_binary_scope`, `wrong_endpoint`, `needs_time_limit`, `outside_org_ceiling`.
    #[serde(default)]
    pub hints: Vec<String>,
}

/// One version of a sandbox's policy.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct VersionView {
    /// 1 is the baseline.
    pub version: u64,
    /// The digest of the compiled policy.
    pub policy_hash: Digest,
    /// When it came into force.
    pub created_at: String,
    /// Who approved it.
    pub approver: String,
    /// The proposal that it came from; none for the baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_id: Option<String>,
    /// That proposal's own reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent_summary: Option<String>,
}

/// A sandbox's versions.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// Oldest first.
    pub versions: Vec<VersionView>,
}

/// A key that certificates are verified with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyView {
    /// As in a certificate's signature.
    pub keyid: String,
    /// `ed25519`
    pub algorithm: String,
    /// The raw 32 bytes, standard base64.
    pub public_key: String,
    /// For a key that was replaced: when its trust ends, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<i64>,
}

/// `GET /v1/keys`, and what a proxy pins of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Keys {
    /// The gateway's keys, the current one first.
    pub keys: Vec<KeyView>,
    /// How many keys the gateway has had; 0 where that is not known.
    #[serde(default)]
    pub sequence: u64,
    /// The newest signed key sets, the newest last: by them, who trusts an older key learns of the current one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<Envelope>,
}

/// `POST /v1/keys/rotate`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// For how many seconds the current key stays trusted beside the new one: 7 days where absent, at most 90 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_seconds: Option<u64>,
}

impl KeyView {
    /// An Ed25519 key as it is listed.
    pub fn of(trusted: &TrustedKey) -> KeyView {
        KeyView {
            keyid: trusted.key.keyid(),
            algorithm: "ed25519".to_owned(),
            public_key: trusted.key.to_base64(),
            not_after: trusted.until,
        }
    }

    /// The key, where it is an Ed25519 key.
    pub fn trusted(&self) -> Option<TrustedKey> {
        let key = (self.algorithm == "ed25519").then(|| VerifyingKey::from_base64(&self.public_key)).flatten()?;
        Some(TrustedKey { key, until: self.not_after })
    }
}

/// `GET /v1/ceiling`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CeilingView {
    /// The ceiling as it was given.
    pub text: String,
    /// The file it was read from; "" for an open ceiling.
    pub file: String,
    /// The digest of the compiled ceiling.
    pub digest: Digest,
}

/// Every error of the gateway.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ApiError {
    /// A code in snake case.
    pub error: String,
    /// For a person.
    pub message: String,
    /// The JSON pointer of what is wrong with the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// With `stale_review_token`: the proposal as it stands now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Box<ProposalView>>,
    /// With `not_waiting`, `stale_review_token` and `no_longer_fits`: the held request as it stands now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Box<HeldView>>,
}
