//! Rows as callers see them. What a sandbox may not know is left out here, in one place.

use narrowgate_core::policy::{self, Policy};
use narrowgate_core::wire::{History, ProposalStatus, ProposalView, SandboxView, VersionView};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::clock::rfc3339;
use crate::drafts;
use crate::failure::Failure;
use crate::review::HINTS;
use crate::store::{ProposalRow, SandboxRow, VersionRow};
use crate::token::Role;

/// A proposal. The prover's report names the ceiling's digest and the review token is for reviewers: a sandbox sees
/// neither, nor who decided. Of the report it sees the repair, which is a part of what it proposed.
pub(crate) fn proposal(row: &ProposalRow, role: Role, timed_out: bool) -> Result<ProposalView, Failure> {
    let reviewer = role != Role::Sandbox;
    let report: Option<Value> = row.report.as_deref().map(|text| read(row, "report", text)).transpose()?;
    let repair = report.as_ref().and_then(|report| report.pointer("/repair/operations/0")).cloned();
    let mut hints: Vec<String> = read(row, "hints", &row.hints)?;
    if row.verdict == "exceeds" && hints.is_empty() {
        hints.push("outside_org_ceiling".to_owned());
    }
    let operation: Value = read(row, "operation", &row.operation)?;
    let draft = row.hits();
    let (confidence, notes) = match &draft {
        Some((hits, minutes)) => advice(row, &operation, (*hits, *minutes), report.as_ref(), reviewer),
        None => (None, Vec::new()),
    };
    Ok(ProposalView {
        chunk_id: row.id.clone(),
        sandbox: row.sandbox.clone(),
        status: status(row)?,
        source: row.source.clone(),
        binary: row.binary.clone(),
        intent_summary: row.intent_summary.clone(),
        denial_ids: read(row, "denial ids", &row.denial_ids)?,
        evidence: read(row, "evidence", &row.evidence)?,
        removed: removed(row, &operation)?,
        operation,
        report: report.filter(|_| reviewer),
        validation_result: row.verdict.clone(),
        repair,
        not_automatic: row.not_automatic.clone().filter(|_| reviewer && row.is_pending()),
        rejection_reason: row.rejection_reason.clone(),
        guidance: guidance(row, &hints),
        hints,
        created_at: rfc3339(row.created_at),
        decided_at: row.decided_at.map(rfc3339),
        decided_by: row.decided_by.clone().filter(|_| reviewer),
        activated_version: row.activated_version(),
        review_token: row.review_token.clone().filter(|_| reviewer),
        timed_out,
        hit_count: draft.map(|(hits, _)| hits),
        first_seen: row.first_seen.map(rfc3339),
        last_seen: row.last_seen.map(rfc3339),
        confidence,
        notes,
    })
}

/// What is said of a draft besides the verdict.
fn advice(
    row: &ProposalRow,
    operation: &Value,
    (hits, minutes): (u64, u64),
    report: Option<&Value>,
    reviewer: bool,
) -> (Option<f64>, Vec<String>) {
    let endpoint = operation.pointer("/addRule/rule/endpoints/0");
    let host = endpoint.and_then(|endpoint| endpoint.get("host")).and_then(Value::as_str).unwrap_or_default();
    let port = endpoint.and_then(|endpoint| endpoint.get("port")).and_then(Value::as_u64).unwrap_or_default();
    let port = u16::try_from(port).unwrap_or_default();
    let confidence = drafts::confidence(hits, minutes, &row.binary, host);
    (Some(confidence), drafts::notes(&row.binary, host, port, report, reviewer))
}

/// The entry that a `removeRule` takes away; `None` where the policy it was judged on has none of that name.
fn removed(row: &ProposalRow, operation: &Value) -> Result<Option<Value>, Failure> {
    let (Some(yaml), Some(name)) =
        (&row.base_policy, operation.pointer("/removeRule/ruleName").and_then(Value::as_str))
    else {
        return Ok(None);
    };
    let policy = Policy::parse(yaml, "the policy", policy::Role::Policy).map_err(|e| {
        Failure::Internal(format!("version {} of {:?} does not read back: {e}", row.base_version(), row.sandbox))
    })?;
    Ok(policy.entries.get(name).map(policy::Entry::to_json))
}

/// A sandbox and its active version.
pub(crate) fn sandbox(row: &SandboxRow) -> Result<SandboxView, Failure> {
    Ok(SandboxView {
        name: row.name.clone(),
        version: row.active.version(),
        policy_hash: hash(&row.active)?,
        created_at: rfc3339(row.created_at),
        pending: row.pending,
    })
}

/// A sandbox's versions.
pub(crate) fn history(rows: &[VersionRow]) -> Result<History, Failure> {
    let version = |row: &VersionRow| {
        Ok(VersionView {
            version: row.version(),
            policy_hash: hash(row)?,
            created_at: rfc3339(row.created_at),
            approver: row.approver.clone(),
            chunk_id: row.proposal.clone(),
            intent_summary: row.intent_summary.clone(),
        })
    };
    Ok(History { versions: rows.iter().map(version).collect::<Result<_, Failure>>()? })
}

/// Reads a status; the database's CHECK holds that it is one.
pub(crate) fn parse_status(text: &str) -> Option<ProposalStatus> {
    use ProposalStatus::{Approved, Expired, Pending, Rejected, Superseded};
    [Pending, Approved, Rejected, Superseded, Expired].into_iter().find(|status| status.as_str() == text)
}

/// What the agent should do next.
fn guidance(row: &ProposalRow, hints: &[String]) -> Option<String> {
    let hinted: Vec<&str> =
        HINTS.iter().filter(|(name, _)| hints.iter().any(|hint| hint == name)).map(|(_, text)| *text).collect();
    match row.status.as_str() {
        "pending" => {
            Some("A person has been asked. Wait for the decision; do not try other ways to the same end.".to_owned())
        }
        "approved" => Some("Retry the request once the proxy has loaded the new policy.".to_owned()),
        "superseded" => Some(
            "A newer proposal of yours about the same endpoint and binary took its place; wait for that one."
                .to_owned(),
        ),
        _ if hinted.is_empty() => Some("Read the reason; propose again only with a rule that answers it.".to_owned()),
        _ => Some(format!("Before you propose again: {}.", hinted.join("; "))),
    }
}

fn status(row: &ProposalRow) -> Result<ProposalStatus, Failure> {
    parse_status(&row.status)
        .ok_or_else(|| Failure::Internal(format!("proposal {} has status {:?}", row.id, row.status)))
}

fn hash(row: &VersionRow) -> Result<narrowgate_core::digest::Digest, Failure> {
    row.policy_hash
        .parse()
        .map_err(|_| Failure::Internal(format!("version {} has the policy hash {:?}", row.version(), row.policy_hash)))
}

/// A column that holds JSON.
pub(crate) fn read<T: DeserializeOwned>(row: &ProposalRow, what: &str, text: &str) -> Result<T, Failure> {
    serde_json::from_str(text)
        .map_err(|e| Failure::Internal(format!("proposal {} has {what} that do not read back: {e}", row.id)))
}
