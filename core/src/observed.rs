//! Denials that a proxy tells the gateway about without being asked: what reviewers see of a sandbox whose agent proposes
//! nothing.
//!
//! They are counted before they are told, so that a program that tries again and again is one line with a number.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decide::{Layer, Reason};
use crate::denial::{DenialRecord, DeniedOperation};

/// At most so many denials are in one report.
pub const MOST_IN_REPORT: usize = 256;

/// `POST /v1/sandboxes/{name}/denials`, by the sandbox's proxy. The same `report` again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportDenials {
    /// The proxy's own name for the report: repeating it after a lost answer counts nothing twice.
    pub report: String,
    /// What was denied since the last report; at most 256.
    pub denials: Vec<ObservedDenial>,
    /// How many denials more there were than the proxy could keep.
    #[serde(default)]
    pub dropped: u64,
}

/// The answer to [`ReportDenials`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportAnswer {
    /// The draft proposals that were made of it: `p_…`.
    pub chunk_ids: Vec<String>,
}

/// Denials of the same thing, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObservedDenial {
    /// Where it was decided.
    pub layer: Layer,
    /// The destination's host.
    pub host: String,
    /// The destination's port.
    pub port: u16,
    /// The executable that asked; empty where it could not be identified.
    pub binary: String,
    /// The method, at L7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path without its query, at L7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What was not allowed in a plugin's words, where one spoke.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<DeniedOperation>,
    /// Why, the last time.
    pub reason: Reason,
    /// How often.
    pub count: u64,
    /// The first time, RFC 3339.
    pub first_seen: String,
    /// The last time, RFC 3339.
    pub last_seen: String,
    /// The last of them.
    pub denial_id: String,
    /// Told by the gateway: the draft that was made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk_id: Option<String>,
    /// Told by the gateway: why no draft was made of a denied connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_drafted: Option<String>,
}

/// `GET /v1/sandboxes/{name}/observed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObservedDenials {
    /// Those that nobody proposed a rule for, the last seen first.
    pub denials: Vec<ObservedDenial>,
    /// How many more there were that neither proxy nor gateway kept.
    pub dropped: u64,
}

impl ObservedDenial {
    /// One denial.
    pub fn of(record: &DenialRecord) -> ObservedDenial {
        ObservedDenial {
            layer: record.layer,
            host: record.host.clone(),
            port: record.port,
            binary: record.binary.clone(),
            method: record.method.clone(),
            path: record.path.clone(),
            operations: record.operations.clone(),
            reason: record.reason,
            count: 1,
            first_seen: record.time.clone(),
            last_seen: record.time.clone(),
            denial_id: record.denial_id.clone(),
            chunk_id: None,
            not_drafted: None,
        }
    }

    /// The last of them as evidence for a proposal.
    pub fn record(&self) -> DenialRecord {
        DenialRecord {
            denial_id: self.denial_id.clone(),
            time: self.last_seen.clone(),
            layer: self.layer,
            host: self.host.clone(),
            port: self.port,
            method: self.method.clone(),
            path: self.path.clone(),
            binary: self.binary.clone(),
            reason: self.reason,
            operations: self.operations.clone(),
        }
    }
}

/// Whether a denial for this reason is worth telling: a rule could have allowed it, and nobody said that none shall.
pub fn is_observed(reason: Reason) -> bool {
    matches!(reason, Reason::NoMatchingRule | Reason::LeaseExpired)
}
