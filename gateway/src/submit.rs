//! From an agent's proposal to one pending or refused row per operation.

use std::collections::BTreeSet;

use narrowgate_core::denial::DenialRecord;
use narrowgate_core::finding::Finding;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::proposal::{MAX_BYTES, Operation, Proposal};
use narrowgate_core::wire::{CheckAnswer, SubmitAnswer, SubmitProposal};
use narrowgate_prover::Evidence;
use serde_json::Value;

use crate::clock;
use crate::config::Mode;
use crate::failure::Failure;
use crate::judge::{Judgement, review_token};
use crate::service::Service;
use crate::store::{NewProposal, Refreshed, VersionRow};
use crate::token::new_id;
use crate::turns::Behalf;

/// A sandbox whose agent keeps proposing must not fill the reviewer's inbox, or the disk.
const MAX_PENDING: u64 = 100;
const MAX_EVIDENCE: usize = 100;

/// A submission whose operations are read.
pub(crate) struct Submission {
    body: SubmitProposal,
    operations: Vec<Operation>,
}

impl Submission {
    /// Reads the body and the operations in it.
    pub(crate) fn parse(body: &[u8]) -> Result<Submission, Failure> {
        let body: SubmitProposal = serde_json::from_slice(body).map_err(|e| invalid(e.to_string(), String::new()))?;
        // The proposal's own members, as the agent posted them, through the one reader of proposals.
        let members = serde_json::json!({
            "intent_summary": body.intent_summary, "denial_ids": body.denial_ids, "operations": body.operations,
        });
        let members = members.to_string();
        if members.len() > MAX_BYTES {
            return Err(Failure::TooLarge { limit: MAX_BYTES });
        }
        let proposal = Proposal::parse(members.as_bytes()).map_err(|e| invalid(e.message, e.pointer))?;
        if body.evidence.len() > MAX_EVIDENCE {
            return Err(invalid(
                format!("{} records; at most {MAX_EVIDENCE}", body.evidence.len()),
                "/evidence".to_owned(),
            ));
        }
        if body.binary.len() > 4096 || body.binary.chars().any(char::is_control) {
            return Err(invalid("not the path of an executable".to_owned(), "/binary".to_owned()));
        }
        Ok(Submission { body, operations: proposal.operations })
    }
}

impl Submission {
    /// The denials it cites, as far as the proxy's records of them came along.
    fn evidence(&self) -> Evidence {
        Evidence::new(&self.body.denial_ids, &self.body.evidence)
    }
}

/// One operation as judged.
struct JudgedOne {
    wire: String,
    judged: Refreshed,
    /// Whether it is worth a row.
    is_kept: bool,
    is_automatic: bool,
    /// The operation as it would fit, where it does not and there is such a part.
    repair: Value,
}

/// A submission as judged: what to answer, once what is kept of it is stored.
pub(crate) struct Judged {
    answer: SubmitAnswer,
    rows: Vec<NewProposal>,
    /// The ids of those that nobody needs to be asked about.
    automatic: Vec<String>,
}

impl Service {
    /// Judges each operation on the active policy; what fits waits for a person, what does not is refused here.
    /// Changes nothing, so that a caller who goes away leaves nothing to be judged on its behalf.
    pub(crate) async fn judge_submission(&self, sandbox: &str, submission: Submission) -> Result<Judged, Failure> {
        let active = self.sandbox(sandbox).await?.active;
        let mut answer =
            SubmitAnswer { accepted_chunk_ids: Vec::new(), rejection_reasons: Vec::new(), repairs: Vec::new() };
        if self.mode == Mode::Locked {
            answer.rejection_reasons =
                vec!["locked: the policy cannot be changed at this time".to_owned(); submission.operations.len()];
            answer.repairs = vec![Value::Null; submission.operations.len()];
            return Ok(Judged { answer, rows: Vec::new(), automatic: Vec::new() });
        }
        let mut room = MAX_PENDING.saturating_sub(self.store.pending(sandbox).await?);
        let evidence = submission.evidence();
        let (mut rows, mut automatic) = (Vec::new(), Vec::new());
        for operation in &submission.operations {
            if room == 0 {
                answer
                    .rejection_reasons
                    .push(format!("too_many_pending: {MAX_PENDING} proposals wait for a decision already"));
                answer.repairs.push(Value::Null);
                continue;
            }
            let id = new_id("p")?;
            let one = self.judge_operation(&id, sandbox, &active, operation, &evidence).await?;
            match &one.judged.rejection_reason {
                None => {
                    room -= 1;
                    answer.accepted_chunk_ids.push(id.clone());
                }
                Some(reason) => {
                    answer.rejection_reasons.push(reason.clone());
                    answer.repairs.push(one.repair.clone());
                }
            }
            if one.is_automatic {
                automatic.push(id.clone());
            }
            if one.is_kept {
                rows.push(row(id, &submission.body, one.wire, subject(operation, &active)?, one.judged)?);
            }
        }
        Ok(Judged { answer, rows, automatic })
    }

    /// Stores what is kept of a submission, and announces it.
    pub(crate) async fn submit(&self, sandbox: &str, judged: Judged) -> Result<SubmitAnswer, Failure> {
        if !self.store.submit(sandbox, &judged.rows).await? {
            return Err(Failure::no_sandbox(sandbox));
        }
        self.changed();
        for id in &judged.automatic {
            // It is stored and pending: where this fails, a person decides.
            if let Err(failure) = self.apply(id).await {
                tracing::warn!(sandbox, proposal = id, %failure, "not applied automatically");
            }
        }
        Ok(judged.answer)
    }

    /// The same judgement of all operations together, without storing anything.
    pub(crate) async fn check(&self, sandbox: &str, submission: Submission) -> Result<CheckAnswer, Failure> {
        let active = self.sandbox(sandbox).await?.active;
        let evidence = submission.evidence();
        let (operations, for_judge) = (submission.operations, evidence.clone());
        let judgement = self
            .judged(Behalf::Sandbox(sandbox), move |judge| {
                judge.operations(&active.policy_yaml, &operations, &for_judge)
            })
            .await?;
        let (verdict, findings, counterexample, repair, reason) = match judgement {
            Judgement::Fits(fit) => ("within", fit.findings, None, Vec::new(), None),
            Judgement::Refused(refused) => {
                let reason = refused.reason();
                (refused.code.verdict(), refused.findings, refused.counterexample, refused.repair, Some(reason))
            }
        };
        // Where nothing could be tighter, there is nothing to offer.
        let tightest = if findings.iter().any(|f| f.tightest.is_some()) { evidence.tightest() } else { None };
        let findings = findings.into_iter().map(Finding::without_credentials).collect();
        Ok(CheckAnswer { verdict: verdict.to_owned(), findings, tightest, counterexample, repair, reason })
    }

    /// One operation's wire form and judgement, and what to do about it.
    async fn judge_operation(
        &self,
        id: &str,
        sandbox: &str,
        active: &VersionRow,
        operation: &Operation,
        evidence: &Evidence,
    ) -> Result<JudgedOne, Failure> {
        let judge = async |operation: Operation| {
            let (yaml, evidence) = (active.policy_yaml.clone(), evidence.clone());
            self.judged(Behalf::Sandbox(sandbox), move |judge| judge.operations(&yaml, &[operation], &evidence)).await
        };
        let mut operation = operation.clone();
        let mut judgement = judge(operation.clone()).await?;
        if let Judgement::Fits(fit) = &judgement
            && fit.is_automatic()
            && let Some(leased) = self.leased(&operation)
        {
            operation = leased;
            judgement = judge(operation.clone()).await?;
        }
        let wire = serde_json::to_string(&operation)
            .map_err(|e| Failure::Internal(format!("an operation does not serialise: {e}")))?;
        let (judged, is_kept) = self.recorded(id, sandbox, &wire, active, &judgement);
        let is_automatic = matches!(&judgement, Judgement::Fits(fit) if fit.is_automatic());
        let repair = match &judgement {
            Judgement::Refused(refused) => refused.repair.first().cloned().unwrap_or_default(),
            Judgement::Fits(_) => Value::Null,
        };
        Ok(JudgedOne { wire, judged, is_kept, is_automatic, repair })
    }

    /// What a judgement leaves in a row.
    pub(crate) fn recorded(
        &self,
        id: &str,
        sandbox: &str,
        wire: &str,
        active: &VersionRow,
        judgement: &Judgement,
    ) -> (Refreshed, bool) {
        let credentials = &self.judge.credentials;
        let (verdict, report, token, reason, kept) = match judgement {
            Judgement::Fits(fit) => {
                let token = review_token(id, sandbox, wire, &active.policy_hash, credentials, fit);
                ("within", &fit.report, Some(token), None, true)
            }
            Judgement::Refused(refused) => {
                (refused.code.verdict(), &refused.report, None, Some(refused.reason()), refused.code.is_kept())
            }
        };
        let not_automatic = match judgement {
            Judgement::Fits(fit) => fit.automatic.clone().and_then(Result::err),
            Judgement::Refused(_) => None,
        };
        let judged = Refreshed {
            base_version: active.version(),
            ceiling_digest: self.ceiling.digest.to_string(),
            credentials_digest: credentials.digest().to_string(),
            not_automatic,
            verdict: verdict.to_owned(),
            report: report.as_ref().map(ToString::to_string),
            review_token: token,
            rejection_reason: reason,
        };
        (judged, kept)
    }
}

/// What the proposal is about. Two with the same subject are two attempts at the same thing.
pub(crate) fn subject(operation: &Operation, active: &VersionRow) -> Result<String, Failure> {
    let mut subject = BTreeSet::new();
    let mut about = |host: &str, ports: &[u16], binaries: &[String]| {
        for port in ports {
            subject.extend(binaries.iter().map(|binary| format!("{host}:{port} {binary}")));
        }
    };
    match operation {
        Operation::AddRule { rule, .. } => {
            let binaries = binaries(rule);
            for endpoint in &rule.endpoints {
                let ports: Vec<u16> = endpoint.ports.iter().map(|port| port.get()).collect();
                about(endpoint.host.as_str(), &ports, &binaries);
            }
        }
        Operation::AddAllowRules { rule_name, host, port, .. } => {
            let policy = Policy::parse(&active.policy_yaml, "the active policy", Role::Policy)
                .map_err(|e| Failure::Internal(e.to_string()))?;
            let binaries = policy.entries.get(rule_name).map(binaries).unwrap_or_default();
            about(host.as_str(), &[port.get()], &binaries);
        }
        Operation::RemoveRule { rule_name } => {
            subject.insert(format!("remove {rule_name}"));
        }
    }
    Ok(Vec::from_iter(subject).join("\n"))
}

fn binaries(entry: &narrowgate_core::policy::Entry) -> Vec<String> {
    if entry.binaries.is_empty() {
        return vec!["*".to_owned()];
    }
    entry.binaries.iter().map(|binary| binary.as_str().to_owned()).collect()
}

fn row(
    id: String,
    body: &SubmitProposal,
    operation: String,
    subject: String,
    judged: Refreshed,
) -> Result<NewProposal, Failure> {
    let json = |value: serde_json::Result<String>| {
        value.map_err(|e| Failure::Internal(format!("a proposal does not serialise: {e}")))
    };
    let evidence: Vec<DenialRecord> = body.evidence.iter().cloned().map(without_query).collect();
    Ok(NewProposal {
        id,
        source: "agent",
        binary: body.binary.clone(),
        intent_summary: body.intent_summary.clone(),
        denial_ids: json(serde_json::to_string(&body.denial_ids))?,
        evidence: json(serde_json::to_string(&evidence))?,
        operation,
        subject,
        judged,
        now: clock::now(),
    })
}

/// The proxy sends none; a caller with its token that does shall not get it stored.
pub(crate) fn without_query(mut record: DenialRecord) -> DenialRecord {
    if let Some(path) = &mut record.path
        && let Some(at) = path.find(['?', '#'])
    {
        path.truncate(at);
    }
    record
}

fn invalid(message: String, pointer: String) -> Failure {
    Failure::Invalid { code: "invalid_proposal", message, pointer: Some(pointer) }
}
