//! One judgement: the operation on the active policy, composed, compiled and proven against the ceiling. Pure but for
//! the clock; it neither stores nor signs. What it proves is the text that would be published, read back.

mod outcome;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use narrowgate_core::compile::{CompileError, Compiled, Origin};
use narrowgate_core::credentials::Credentials;
use narrowgate_core::digest::Digest;
use narrowgate_core::finding::Finding;
use narrowgate_core::policy::{Endpoint, Entry, Policy, Role, Traffic};
use narrowgate_core::proposal::{MergeError, Operation};
use narrowgate_plugins::{Illustration, Plugins};
use narrowgate_prover::{
    Ceiling, Change, Content, Counterexample, Evidence, Grounds, NoRepair, Options, Repair, Report, Verdict, automatic,
    findings, prove, repair,
};
use serde_json::Value;

pub(crate) use outcome::{Code, Fit, Judgement, Refused};
use outcome::{redundant, undecided};

use crate::clock;

/// The ceiling, ready to judge against, and what is known besides.
#[derive(Clone)]
pub(crate) struct Judge {
    pub(crate) ceiling: Arc<Ceiling>,
    pub(crate) credentials: Arc<Credentials>,
    /// In mode auto: the ceiling's part that needs no person, where there is one.
    pub(crate) automatic: Option<Arc<Option<Ceiling>>>,
    /// What gives policies and ceiling their words, and shows what an operation looks like.
    pub(crate) plugins: Plugins,
    pub(crate) options: Options,
}

/// Whoever waits for a judgement holds this; once it is dropped, the judgement stops at the next look.
#[derive(Default)]
pub(crate) struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Judge {
    /// The same, for as long as somebody waits.
    pub(crate) fn while_awaited(&self, waiting: &Waiting) -> Judge {
        let options = Options { cancel: Some(Arc::clone(&waiting.0)), ..self.options.clone() };
        Judge { options, ..self.clone() }
    }

    /// The operations, one after another, on the active policy. `evidence` are the denials that they answer: findings
    /// are noted against them, and a repair keeps near them.
    pub(crate) fn operations(&self, active_yaml: &str, operations: &[Operation], evidence: &Evidence) -> Judgement {
        match self.compose(active_yaml, operations, evidence) {
            Ok(judgement) => judgement,
            Err(refused) => Judgement::Refused(refused),
        }
    }

    /// A whole policy: a baseline, or one that is in force already.
    pub(crate) fn policy(&self, policy_yaml: &str) -> Judgement {
        match self.read(policy_yaml, "the policy") {
            Ok((_, compiled)) => {
                self.contained(policy_yaml.to_owned(), &compiled, Vec::new(), |report, _| (report, Vec::new()))
            }
            Err(refused) => Judgement::Refused(refused),
        }
    }

    /// Whether the policy allows all that an entry allows, at this moment and by its own rules: what one of its denies
    /// forbids is not allowed, and what a lease allows is, until it ends. Where the prover cannot say, it is not.
    pub(crate) fn allows(&self, policy_yaml: &str, entry: &Entry, lasting: Lasting) -> bool {
        let mut entry = entry.clone();
        if lasting == Lasting::ForNow {
            let soon = clock::now().saturating_add(1);
            entry.endpoints.iter_mut().for_each(|endpoint| endpoint.expires_at = Some(soon));
        }
        let alone = Policy { entries: [("asked".to_owned(), entry)].into(), ..Policy::empty() };
        let (Ok((_, policy)), Ok(alone)) = (self.read(policy_yaml, "the active policy"), self.compiled(&alone)) else {
            return false;
        };
        self.is_within(&alone, policy)
    }

    fn compose(
        &self,
        active_yaml: &str,
        operations: &[Operation],
        evidence: &Evidence,
    ) -> Result<Judgement, Box<Refused>> {
        let (active_policy, active) = self.read(active_yaml, "the active policy")?;
        let base = without_over(active_policy, operations);
        let mut policy = base.clone();
        for operation in operations {
            policy = operation.apply(&policy).map_err(|e| match e {
                MergeError::NoChange(_) => redundant(),
                other => Refused::new(Code::Invalid, other.to_string()),
            })?;
        }
        let policy_yaml = policy.to_yaml();
        let (policy, candidate) = self.read(&policy_yaml, "the policy with this proposal")?;
        if candidate.digest() == active.digest() {
            return Err(redundant());
        }
        let base_compiled =
            self.compiled(&base).map_err(|e| Refused::new(Code::Invalid, format!("the active policy: {e}")))?;
        let change =
            Change { before: &base, before_compiled: &base_compiled, after: &policy, after_compiled: &candidate };
        let found = findings(&change, evidence, &self.credentials, &self.options);
        let mut judgement = self.contained(policy_yaml, &candidate, found, |report, at| {
            self.repaired(
                report,
                &policy,
                at,
                operations,
                &Grounds { base: Some(&base), evidence: &evidence.denials() },
            )
        });
        if let Judgement::Fits(fit) = &mut judgement {
            // Only what fits is compared: a refusal is the better answer for what does not.
            if self.is_equivalent(candidate.clone(), active) {
                return Err(redundant());
            }
            fit.automatic = self.automatic.as_ref().map(|part| {
                if operations.iter().any(|operation| matches!(operation, Operation::AddAllowRules { .. })) {
                    return Err(
                        "rules added to an endpoint cannot end by themselves; only addRule is automatic".to_owned()
                    );
                }
                automatic(&change, part.as_ref().as_ref(), &fit.findings, &self.options)
            });
        }
        Ok(judgement)
    }

    /// The report with what of the rule would fit, and the operations with that in them.
    fn repaired(
        &self,
        report: Report,
        candidate: &Policy,
        at: &Origin,
        operations: &[Operation],
        grounds: &Grounds<'_>,
    ) -> (Report, Vec<Value>) {
        let repair = repair(candidate, at, &self.ceiling, grounds, &self.options);
        let fitting = match (&repair, grounds.base) {
            (Repair::Rule(repaired), Some(base)) => repaired.operations(operations, base),
            _ => None,
        };
        match (&repair, fitting) {
            // A repair that cannot be posted is none.
            (Repair::Rule(_), None) => (report.with_repair(&Repair::None(NoRepair::NotExpressible), &[]), Vec::new()),
            (_, fitting) => {
                let fitting = fitting.unwrap_or_default();
                (report.with_repair(&repair, &fitting), fitting.iter().map(Operation::to_json).collect())
            }
        }
    }

    /// `repaired` adds to a report what would fit instead.
    fn contained(
        &self,
        policy_yaml: String,
        candidate: &Compiled,
        findings: Vec<Finding>,
        repaired: impl Fn(Report, &Origin) -> (Report, Vec<Value>),
    ) -> Judgement {
        let mut outcome = prove(candidate, &self.ceiling, &self.options);
        if let Verdict::Exceeds(found) = &mut outcome.verdict {
            **found = self.illustrated(found, candidate);
        }
        let report = Report::new(&outcome, candidate).with_findings(findings.clone());
        let (report, repair) = match &outcome.verdict {
            Verdict::Exceeds(found) => match &found.rule {
                Some(at) => repaired(report, at),
                None => (report, Vec::new()),
            },
            _ => (report, Vec::new()),
        };
        let report = serde_json::to_value(report).ok();
        let refused = match outcome.verdict {
            Verdict::Within(proven) => {
                return Judgement::Fits(Box::new(Fit { policy_yaml, proven, report, findings, automatic: None }));
            }
            Verdict::Exceeds(counterexample) => {
                let curl = counterexample.curl();
                let binary = match counterexample.request.process.path.as_str() {
                    "" => "any program",
                    path => path,
                };
                let message = format!(
                    "the policy would let {binary} do `{curl}`, which is outside the organisation's ceiling; \
                     {}",
                    if repair.is_empty() { "propose a narrower rule" } else { "the repair that comes with this fits" }
                );
                Refused { counterexample: Some(curl), repair, ..*Refused::new(Code::OutsideOrgCeiling, message) }
            }
            Verdict::Unsupported(reason) => undecided(Code::Unsupported, &reason),
            Verdict::Inconclusive(reason) => undecided(Code::Inconclusive, &reason),
            Verdict::Disagree(disagreement) => {
                tracing::error!(policy = %outcome.digests.policy, "{}", disagreement.reason.message);
                undecided(Code::Disagree, &disagreement.reason)
            }
        };
        Judgement::Refused(Box::new(Refused { report, findings, ..refused }))
    }

    /// As a plugin would be asked for it, where it is about an operation that the plugin knows how to show.
    fn illustrated(&self, found: &Counterexample, candidate: &Compiled) -> Counterexample {
        let shown = self.plugins.illustrate(&found.request).and_then(|Illustration { request, headers, body }| {
            found.shown_as(request, Content { headers, body }, candidate, &self.ceiling)
        });
        shown.unwrap_or_else(|| found.clone())
    }

    fn read(&self, yaml: &str, what: &str) -> Result<(Policy, Compiled), Box<Refused>> {
        let policy = Policy::parse(yaml, what, Role::Policy).map_err(|e| Refused::new(Code::Invalid, e.to_string()))?;
        let compiled = self.compiled(&policy).map_err(|e| Refused::new(Code::Invalid, e.to_string()))?;
        Ok((policy, compiled))
    }

    fn compiled(&self, policy: &Policy) -> Result<Compiled, CompileError> {
        Compiled::policy_over(policy, Role::Policy, self.plugins.schema())
    }

    /// Whether both allow exactly the same requests. Where the prover cannot say, they do not: a person decides.
    fn is_equivalent(&self, candidate: Compiled, active: Compiled) -> bool {
        self.is_within(&candidate, active.clone()) && self.is_within(&active, candidate)
    }

    fn is_within(&self, policy: &Compiled, bound: Compiled) -> bool {
        Ceiling::new(bound)
            .is_ok_and(|bound| matches!(prove(policy, &bound, &self.options).verdict, Verdict::Within(_)))
    }
}

/// For how long something would have to be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// At this moment.
    ForNow,
    /// As the rule says it.
    AsAsked,
}

/// What an approval must quote: a digest of the exact candidate and of everything that it was judged against.
pub(crate) fn review_token(
    id: &str,
    sandbox: &str,
    operation: &str,
    base: &str,
    credentials: &Credentials,
    fit: &Fit,
) -> String {
    let (candidate, ceiling, schema) =
        (fit.proven.policy().to_string(), fit.proven.ceiling().to_string(), fit.proven.schema().to_string());
    let credentials = credentials.digest().to_string();
    let plugins: String = fit.proven.plugins().iter().map(|(name, digest)| format!("{name}@{digest} ")).collect();
    let judged_against = [candidate.as_str(), &ceiling, &schema, &plugins, &credentials, &fit.policy_yaml];
    let parts = ["narrowgate review token 3", id, sandbox, operation, base].into_iter().chain(judged_against);
    Digest::of_parts(parts.map(str::as_bytes)).hex()
}

/// The policy without the entries that have ended and whose names are asked for again: a lease that is over keeps no
/// name. An entry with a deny is never over, since denies do not end.
fn without_over(mut policy: Policy, operations: &[Operation]) -> Policy {
    for operation in operations {
        if let Operation::AddRule { rule_name, .. } = operation
            && policy.entries.get(rule_name).is_some_and(is_over)
        {
            policy.entries.remove(rule_name);
        }
    }
    policy
}

/// Whether nothing of an entry is in force any more.
pub(crate) fn is_over(entry: &Entry) -> bool {
    let now = clock::now();
    let has_ended = |endpoint: &Endpoint| {
        let denies = matches!(&endpoint.traffic, Traffic::Rest(rest) if !rest.deny.is_empty());
        !denies && endpoint.expires_at.is_some_and(|end| end <= now)
    };
    entry.endpoints.iter().all(has_ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "
version: 1
network_policies:
  read:
    endpoints: [{ host: api.example, port: 443, protocol: rest, access: read-only }]
";

    #[test]
    fn a_judgement_that_nobody_waits_for_stops() {
        let judge = Judge {
            ceiling: Arc::new(Ceiling::open()),
            credentials: Arc::default(),
            automatic: None,
            plugins: Plugins::none(),
            options: Options::default(),
        };
        let waiting = Waiting::default();
        let judge = judge.while_awaited(&waiting);
        assert!(matches!(judge.policy(POLICY), Judgement::Fits(_)));
        drop(waiting);
        let Judgement::Refused(refused) = judge.policy(POLICY) else { unreachable!("it is cancelled") };
        assert_eq!(refused.code, Code::Inconclusive, "{}", refused.message);
    }
}
