//! Held requests as reviewers see them.

use narrowgate_core::denial::DenialRecord;
use narrowgate_core::digest::Digest;
use narrowgate_core::held::{HeldStatus, HeldView};

use super::{read, unreadable};
use crate::clock::rfc3339;
use crate::failure::Failure;
use crate::store::HeldRow;
use crate::token::Role;

/// The view; only a reviewer, who can answer, is shown what an answer must quote.
pub(crate) fn view(row: &HeldRow, role: Role) -> Result<HeldView, Failure> {
    let record: DenialRecord = read(row, "record", &row.record)?;
    let status = status(row)?;
    Ok(HeldView {
        held_id: row.id.clone(),
        sandbox: row.sandbox.clone(),
        status,
        created_at: rfc3339(row.created_at),
        deadline: rfc3339(row.deadline),
        layer: record.layer,
        host: record.host,
        port: record.port,
        method: record.method,
        path: record.path,
        operations: record.operations,
        requests: row.requests,
        process: read(row, "process", &row.process)?,
        operation: read(row, "operation", &row.operation)?,
        review_token: (status == HeldStatus::Waiting && role == Role::Reviewer).then(|| review_token(row)),
        decided_at: row.decided_at.map(rfc3339),
        decided_by: row.decided_by.clone(),
        reason: row.reason.clone(),
        chunk_id: row.proposal.clone(),
    })
}

/// The database's CHECK holds that it is one.
pub(super) fn status(row: &HeldRow) -> Result<HeldStatus, Failure> {
    let found = HeldStatus::ALL.into_iter().find(|status| status.as_str() == row.status);
    found.ok_or_else(|| unreadable(row, "status", &row.status))
}

/// What an answer must quote: a digest of all that the reviewer sees and that would be granted. It is the request's own
/// and stays the same; whether it still fits is found when it is granted.
pub(super) fn review_token(row: &HeldRow) -> String {
    let parts = ["narrowgate held review token 1", &row.id, &row.sandbox, &row.operation, &row.process, &row.record];
    Digest::of_parts(parts.map(str::as_bytes)).hex()
}

/// What was asked, in a line.
pub(super) fn what(record: &DenialRecord) -> String {
    let DenialRecord { host, port, .. } = record;
    match (&record.method, &record.path) {
        _ if !record.operations.is_empty() => {
            let actions: Vec<&str> = record.operations.iter().map(|operation| operation.action.as_str()).collect();
            format!("{} on {host}:{port}", actions.join(", "))
        }
        (Some(method), Some(path)) => format!("{method} {host}:{port}{path}"),
        _ => format!("connect to {host}:{port}"),
    }
}
