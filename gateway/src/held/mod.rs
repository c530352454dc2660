//! Requests that wait for a person (`on_miss: ask`): `ask` has every gate that comes before somebody is asked, `answer`
//! is the reviewer's side, `outcome` the proxy's, `session` ends what was granted for one. `docs/held.md` has the protocol.
//!
//! What must stay true:
//! - Nobody is asked about what could not be granted, and nothing is granted but what was shown: the operation is stored
//!   with the request, and every grant is that operation, composed with the policy of that moment and proven anew.
//! - Whatever ends a request (an answer, the deadline, the client's leaving, the session's end) is one statement in
//!   `store::held` that only the first can win.
//! - Nothing that was refused leaves a trace in the database.
//! - What one sandbox asks of people is a share of its own (`ask`), and what waits is always shown (`answer`).

mod answer;
mod ask;
mod outcome;
mod session;
mod sweep;
mod view;

use narrowgate_core::denial::DenialRecord;
use narrowgate_core::policy::{Entry, Policy, Role};
use narrowgate_core::proposal::{Operation, Proposal};
use narrowgate_prover::Evidence;
use serde::de::DeserializeOwned;

use crate::clock;
use crate::failure::Failure;
use crate::judge::{Fit, Judgement, Lasting, Refused, is_over};
use crate::service::Service;
use crate::store::{HeldRow, NewProposal, VersionRow};
use crate::submit::subject;
use crate::token::new_id;
use crate::turns::Behalf;

pub(crate) use ask::{Asking, Gates};
pub(crate) use sweep::sweep;
pub(crate) use view::view;

/// What a held request's rule comes to on a policy.
enum Fitting {
    /// The policy allows it as it is: that policy, proven.
    Already(Box<Fit>),
    /// The policy with the rule is inside the ceiling.
    Fits(Box<Fit>),
    Refused(Box<Refused>),
}

impl Service {
    /// Composes the operation with the policy of now, and proves what results.
    async fn fitting(
        &self,
        active: &VersionRow,
        operation: &Operation,
        lasting: Lasting,
        record: &DenialRecord,
        behalf: Behalf<'_>,
    ) -> Result<Fitting, Failure> {
        let (yaml, operation, evidence) = (active.policy_yaml.clone(), operation.clone(), evidence(record));
        self.judged(behalf, move |judge| {
            if let Operation::AddRule { rule, .. } = &operation
                && judge.allows(&yaml, rule, lasting)
            {
                return match judge.policy(&yaml) {
                    Judgement::Fits(fit) => Fitting::Already(fit),
                    Judgement::Refused(refused) => Fitting::Refused(refused),
                };
            }
            match judge.operations(&yaml, &steps(&yaml, operation), &evidence) {
                Judgement::Fits(fit) => Fitting::Fits(fit),
                Judgement::Refused(refused) => Fitting::Refused(refused),
            }
        })
        .await
    }

    /// The proposal that a granted request becomes.
    fn proposal_of(
        &self,
        sandbox: &str,
        active: &VersionRow,
        operation: &Operation,
        record: &DenialRecord,
        intent_summary: String,
        fit: Box<Fit>,
    ) -> Result<NewProposal, Failure> {
        let (id, wire) = (new_id("p")?, json(operation)?);
        let judgement = Judgement::Fits(fit);
        let (judged, _) = self.recorded(&id, sandbox, &wire, active, &judgement);
        Ok(NewProposal {
            id,
            source: "held",
            binary: record.binary.clone(),
            intent_summary,
            denial_ids: json(&[&record.denial_id])?,
            evidence: json(&[record])?,
            subject: subject(operation, active)?,
            operation: wire,
            judged,
            now: clock::now(),
        })
    }
}

/// The operation on a policy that may have its rule for a while: what has an end makes way for what has a later one.
fn steps(active_yaml: &str, operation: Operation) -> Vec<Operation> {
    let Operation::AddRule { rule_name, rule } = &operation else { return vec![operation] };
    let Ok(policy) = Policy::parse(active_yaml, "the active policy", Role::Policy) else { return vec![operation] };
    match policy.entries.get(rule_name) {
        // What is over makes way by itself.
        Some(entry) if entry != rule && endless(entry) == endless(rule) && !is_over(entry) => {
            vec![Operation::RemoveRule { rule_name: rule_name.clone() }, operation]
        }
        _ => vec![operation],
    }
}

fn endless(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    entry.endpoints.iter_mut().for_each(|endpoint| endpoint.expires_at = None);
    entry
}

/// The operation with an end on every endpoint, in seconds since the Unix epoch.
fn ending(operation: &Operation, end: i64) -> Operation {
    let mut operation = operation.clone();
    if let Operation::AddRule { rule, .. } = &mut operation {
        for endpoint in &mut rule.endpoints {
            endpoint.expires_at = Some(endpoint.expires_at.map_or(end, |own| own.min(end)));
        }
    }
    operation
}

fn evidence(record: &DenialRecord) -> Evidence {
    Evidence::new(std::slice::from_ref(&record.denial_id), std::slice::from_ref(record))
}

/// A stored operation, through the reader that it came in by.
fn stored_operation(row: &HeldRow) -> Result<Operation, Failure> {
    read_operation(&row.operation).map_err(|detail| unreadable(row, "operation", &detail))
}

/// An operation in its wire form.
fn read_operation(wire: &str) -> Result<Operation, String> {
    let text = format!(r#"{{"intent_summary": "held", "operations": [{wire}]}}"#);
    let proposal = Proposal::parse(text.as_bytes()).map_err(|e| e.to_string())?;
    proposal.operations.into_iter().next().ok_or_else(|| "there is none".to_owned())
}

fn read<T: DeserializeOwned>(row: &HeldRow, what: &str, text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|e| unreadable(row, what, &e.to_string()))
}

fn unreadable(row: &HeldRow, what: &str, detail: &str) -> Failure {
    Failure::Internal(format!("held request {} has a {what} that does not read back: {detail}", row.id))
}

fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|e| Failure::Internal(format!("a held request does not serialise: {e}")))
}
