//! One judgement: the operation on the active policy, composed, compiled and proven against the ceiling. Pure but for
//! time spent; it neither stores nor signs. What it proves is the text that would be published, read back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use narrowgate_core::compile::Compiled;
use narrowgate_core::digest::Digest;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::proposal::{MergeError, Operation};
use narrowgate_prover::{Ceiling, Options, Proven, Reason, Report, Verdict, prove};
use serde_json::Value;

/// The ceiling, ready to judge against.
pub(crate) struct Judge {
    pub(crate) ceiling: Arc<Ceiling>,
    pub(crate) options: Options,
}

/// What came out.
pub(crate) enum Judgement {
    /// Inside the ceiling.
    Fits(Box<Fit>),
    /// Anything else.
    Refused(Box<Refused>),
}

/// A candidate that may come into force.
pub(crate) struct Fit {
    /// The text that was proven.
    pub(crate) policy_yaml: String,
    /// The only thing that can be signed.
    pub(crate) proven: Proven,
    /// For the reviewer.
    pub(crate) report: Option<Value>,
}

/// Why not.
pub(crate) struct Refused {
    pub(crate) code: Code,
    /// For the agent: says nothing of the ceiling but the counterexample.
    pub(crate) message: String,
    /// A request that the candidate allows and the ceiling does not, as a curl command.
    pub(crate) counterexample: Option<String>,
    /// For the operator: may name what is in the ceiling.
    pub(crate) detail: Option<String>,
    pub(crate) report: Option<Value>,
}

/// What kind of no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The operation does not fit the active policy, or the result is not a policy.
    Invalid,
    /// Nothing would change.
    Redundant,
    /// There is a counterexample.
    OutsideOrgCeiling,
    /// Outside the fragment that the prover decides.
    Unsupported,
    /// The prover ran into a limit.
    Inconclusive,
    /// The prover's two engines contradict each other.
    Disagree,
}

impl Code {
    /// What a rejection reason begins with.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Code::Invalid => "invalid",
            Code::Redundant => "redundant",
            Code::OutsideOrgCeiling => "outside_org_ceiling",
            Code::Unsupported | Code::Inconclusive | Code::Disagree => "not_proven",
        }
    }

    /// The verdict in one word.
    pub(crate) fn verdict(self) -> &'static str {
        match self {
            Code::Invalid => "invalid",
            Code::Redundant => "redundant",
            Code::OutsideOrgCeiling => "exceeds",
            Code::Unsupported => "unsupported",
            Code::Inconclusive => "inconclusive",
            Code::Disagree => "disagree",
        }
    }

    /// Whether a reviewer should see that it was tried: the prover spoke, and did not say yes.
    pub(crate) fn is_kept(self) -> bool {
        matches!(self, Code::OutsideOrgCeiling | Code::Unsupported | Code::Inconclusive | Code::Disagree)
    }
}

impl Refused {
    pub(crate) fn reason(&self) -> String {
        format!("{}: {}", self.code.as_str(), self.message)
    }

    /// The same for those who may read the ceiling.
    pub(crate) fn reason_in_full(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{}: {detail}", self.code.as_str()),
            None => self.reason(),
        }
    }

    fn new(code: Code, message: impl Into<String>) -> Box<Refused> {
        Box::new(Refused { code, message: message.into(), counterexample: None, detail: None, report: None })
    }
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
        Judge { ceiling: Arc::clone(&self.ceiling), options }
    }

    /// The operations, one after another, on the active policy.
    pub(crate) fn operations(&self, active_yaml: &str, operations: &[Operation]) -> Judgement {
        match self.compose(active_yaml, operations) {
            Ok(judgement) => judgement,
            Err(refused) => Judgement::Refused(refused),
        }
    }

    /// A whole policy: a baseline, or one that is in force already.
    pub(crate) fn policy(&self, policy_yaml: &str) -> Judgement {
        match read(policy_yaml, "the policy") {
            Ok((_, compiled)) => self.contained(policy_yaml.to_owned(), &compiled),
            Err(refused) => Judgement::Refused(refused),
        }
    }

    fn compose(&self, active_yaml: &str, operations: &[Operation]) -> Result<Judgement, Box<Refused>> {
        let (mut policy, active) = read(active_yaml, "the active policy")?;
        for operation in operations {
            policy = operation.apply(&policy).map_err(|e| match e {
                MergeError::NoChange(_) => redundant(),
                other => Refused::new(Code::Invalid, other.to_string()),
            })?;
        }
        let policy_yaml = policy.to_yaml();
        let (_, candidate) = read(&policy_yaml, "the policy with this proposal")?;
        if candidate.digest() == active.digest() {
            return Err(redundant());
        }
        let judgement = self.contained(policy_yaml, &candidate);
        // Only what fits is compared: a refusal is the better answer for what does not.
        if matches!(judgement, Judgement::Fits(_)) && self.is_equivalent(candidate, active) {
            return Err(redundant());
        }
        Ok(judgement)
    }

    fn contained(&self, policy_yaml: String, candidate: &Compiled) -> Judgement {
        let outcome = prove(candidate, &self.ceiling, &self.options);
        let report = serde_json::to_value(Report::new(&outcome, candidate)).ok();
        let refused = match outcome.verdict {
            Verdict::Within(proven) => return Judgement::Fits(Box::new(Fit { policy_yaml, proven, report })),
            Verdict::Exceeds(counterexample) => {
                let curl = counterexample.curl();
                let binary = match counterexample.request.process.path.as_str() {
                    "" => "any program",
                    path => path,
                };
                let message = format!(
                    "the policy would let {binary} do `{curl}`, which is outside the organisation's ceiling; \
                     propose a narrower rule"
                );
                Refused { counterexample: Some(curl), ..*Refused::new(Code::OutsideOrgCeiling, message) }
            }
            Verdict::Unsupported(reason) => undecided(Code::Unsupported, &reason),
            Verdict::Inconclusive(reason) => undecided(Code::Inconclusive, &reason),
            Verdict::Disagree(disagreement) => {
                tracing::error!(policy = %outcome.digests.policy, "{}", disagreement.reason.message);
                undecided(Code::Disagree, &disagreement.reason)
            }
        };
        Judgement::Refused(Box::new(Refused { report, ..refused }))
    }

    /// Whether both allow exactly the same requests. Where the prover cannot say, they do not: a person decides.
    fn is_equivalent(&self, candidate: Compiled, active: Compiled) -> bool {
        let within = |policy: &Compiled, bound: &Compiled| {
            Ceiling::new(bound.clone())
                .is_ok_and(|bound| matches!(prove(policy, &bound, &self.options).verdict, Verdict::Within(_)))
        };
        within(&candidate, &active) && within(&active, &candidate)
    }
}

/// What an approval must quote: a digest of the exact candidate and of everything that it was judged against.
pub(crate) fn review_token(id: &str, sandbox: &str, operation: &str, base: &str, fit: &Fit) -> String {
    let (candidate, ceiling, schema) =
        (fit.proven.policy().to_string(), fit.proven.ceiling().to_string(), fit.proven.schema().to_string());
    let parts =
        ["narrowgate review token 1", id, sandbox, operation, base, &candidate, &ceiling, &schema, &fit.policy_yaml];
    Digest::of_parts(parts.map(str::as_bytes)).hex()
}

fn read(yaml: &str, what: &str) -> Result<(Policy, Compiled), Box<Refused>> {
    let policy = Policy::parse(yaml, what, Role::Policy).map_err(|e| Refused::new(Code::Invalid, e.to_string()))?;
    let compiled = Compiled::policy(&policy).map_err(|e| Refused::new(Code::Invalid, e.to_string()))?;
    Ok((policy, compiled))
}

fn undecided(code: Code, reason: &Reason) -> Refused {
    let message = format!("the prover could not decide this ({}); a narrower rule may do", reason.code);
    Refused { detail: Some(format!("{}: {}", reason.code, reason.message)), ..*Refused::new(code, message) }
}

fn redundant() -> Box<Refused> {
    let message = "already allowed by the active policy, or forbidden by one of its deny rules, which no allow overrides; nothing would change";
    Refused::new(Code::Redundant, message)
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
        let judge = Judge { ceiling: Arc::new(Ceiling::open()), options: Options::default() };
        let waiting = Waiting::default();
        let judge = judge.while_awaited(&waiting);
        assert!(matches!(judge.policy(POLICY), Judgement::Fits(_)));
        drop(waiting);
        let Judgement::Refused(refused) = judge.policy(POLICY) else { unreachable!("it is cancelled") };
        assert_eq!(refused.code, Code::Inconclusive, "{}", refused.message);
    }
}
