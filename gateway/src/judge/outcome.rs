//! What comes out of a judgement: a candidate that may come into force, or why not, and who may read which part of that.

use narrowgate_core::finding::Finding;
use narrowgate_prover::{Proven, Reason};
use serde_json::Value;

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
    /// What is noted about the change.
    pub(crate) findings: Vec<Finding>,
    /// In mode auto: whether nobody needs to be asked, or why a person does.
    pub(crate) automatic: Option<Result<(), String>>,
}

impl Fit {
    /// Whether it may come into force without a person.
    pub(crate) fn is_automatic(&self) -> bool {
        self.automatic == Some(Ok(()))
    }
}

/// Why not.
pub(crate) struct Refused {
    pub(crate) code: Code,
    /// For the agent: says nothing of the ceiling but the counterexample.
    pub(crate) message: String,
    /// A request that the candidate allows and the ceiling does not, as a curl command.
    pub(crate) counterexample: Option<String>,
    /// The operations as they would fit, as JSON: nothing of the ceiling but what the proposal has of it.
    pub(crate) repair: Vec<Value>,
    /// For the operator: may name what is in the ceiling.
    pub(crate) detail: Option<String>,
    pub(crate) report: Option<Value>,
    /// What is noted about the change, where it came to that.
    pub(crate) findings: Vec<Finding>,
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

    pub(super) fn new(code: Code, message: impl Into<String>) -> Box<Refused> {
        Box::new(Refused {
            code,
            message: message.into(),
            counterexample: None,
            repair: Vec::new(),
            detail: None,
            report: None,
            findings: Vec::new(),
        })
    }
}

pub(super) fn undecided(code: Code, reason: &Reason) -> Refused {
    let message = format!("the prover could not decide this ({}); a narrower rule may do", reason.code);
    Refused { detail: Some(format!("{}: {}", reason.code, reason.message)), ..*Refused::new(code, message) }
}

pub(super) fn redundant() -> Box<Refused> {
    let message = "already allowed by the active policy, or forbidden by one of its deny rules, which no allow overrides; nothing would change";
    Refused::new(Code::Redundant, message)
}
