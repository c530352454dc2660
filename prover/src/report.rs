//! An outcome for people and scripts: `narrowgate prove --format json`.

use std::collections::BTreeMap;

use narrowgate_core::compile::Compiled;
use narrowgate_core::denial::DeniedOperation;
use narrowgate_core::digest::Digest;
use narrowgate_core::finding::Finding;
use narrowgate_core::proposal::Operation;
use narrowgate_core::request::{Operation as Asked, Request};
use narrowgate_core::vocabulary::Meaning;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::repair::Repair;
use crate::verdict::{Counterexample, Outcome, Verdict, curl};

/// The contract's JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// 1.
    pub schema_version: u32,
    /// `within`, `exceeds`, `unsupported`, `inconclusive`, or `disagree` where two engines contradict each other.
    pub verdict: String,
    /// Whose verdict it is: `exact`, `smt` or `both`.
    pub engine: String,
    /// Microseconds of solving alone, after parsing and lowering.
    pub engine_time_us: f64,
    /// Microseconds until the SMT solver was ready, where one was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub solver_start_us: Option<f64>,
    /// For `exceeds`: a request that the policy allows and the ceiling does not.
    pub counterexample: Option<ReportCounterexample>,
    /// The candidate's rule that allows it.
    pub rule: Option<ReportRule>,
    /// For `exceeds`: the largest part of the rule that is inside the ceiling.
    pub repair: Option<ReportRepair>,
    /// Why there is none: `nothing_in_common`, `denied_by_ceiling`, `not_expressible`, `already_allowed`,
    /// `not_found_in_time`, `undecided`, or `not_computed`.
    pub repair_reason: Option<String>,
    /// What a reviewer should know before granting what is new: how it is broader than its evidence, what it risks.
    pub findings: Vec<Finding>,
    /// For `unsupported` and `inconclusive`, in snake case.
    pub reason_code: Option<String>,
    /// The same for a person.
    pub reason: Option<String>,
    /// How many request environments were looked at.
    pub environments_checked: usize,
    /// The exact inputs.
    pub digests: ReportDigests,
}

/// A request that the policy allows and the ceiling does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportCounterexample {
    /// The executable's path, empty for one that could not be identified.
    pub binary: String,
    /// Executables that it descends from, where that matters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<String>,
    /// The sandbox.
    pub sandbox: String,
    /// The destination's host.
    pub host: String,
    /// The destination's port.
    pub port: u16,
    /// `rest`, a plugin's name, or `l4` for opaque bytes.
    pub protocol: String,
    /// The Cedar action.
    pub action: String,
    /// The HTTP method; absent for opaque bytes.
    pub method: Option<String>,
    /// The canonical path; absent for opaque bytes.
    pub path: Option<String>,
    /// The decoded query.
    pub query: BTreeMap<String, ReportQuery>,
    /// What a plugin makes of it.
    pub operation: Option<DeniedOperation>,
    /// When it is made, in seconds since the Unix epoch.
    pub now: i64,
    /// Always true: Cedar's authorizer confirmed it.
    pub replayed: bool,
    /// The request as a command.
    pub curl: String,
}

/// A query key's value, or its values where it repeats.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ReportQuery {
    /// The key occurs once.
    One(String),
    /// It repeats.
    Repeated(Vec<String>),
}

/// A rule by its place in the policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportRule {
    /// The entry's key; the Cedar policy's id for hand-written Cedar.
    pub policy: String,
    /// The endpoint's index; absent for hand-written Cedar.
    pub endpoint: Option<usize>,
    /// The rule's index; absent for presets and L4.
    pub rule: Option<usize>,
}

/// A rule that fits where the one that was found to exceed stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportRepair {
    /// The entry's key.
    pub rule_name: String,
    /// What to put there: an `addRule`'s `rule`.
    pub rule: Value,
    /// `within`: it is proven, alone and with the rest of the policy.
    pub verdict: String,
    /// Whether the search came to its end: where it did not, something larger may fit too.
    pub complete: bool,
    /// Other entries that exceeded too, as they fit, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub also: BTreeMap<String, Value>,
    /// The keys of entries that exceed and of which nothing was found to fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remaining: Vec<String>,
    /// For a proposal: its operations with the repair in them, ready to post.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Value>,
}

/// What the verdict is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportDigests {
    /// The compiled policy.
    pub policy: Digest,
    /// The compiled ceiling.
    pub ceiling: Digest,
    /// The Cedar schema.
    pub schema: Digest,
    /// Plugins by name.
    pub plugins: BTreeMap<String, Digest>,
}

impl Report {
    /// The report of `candidate`'s outcome.
    pub fn new(outcome: &Outcome, candidate: &Compiled) -> Report {
        let (verdict, counterexample, reason) = match &outcome.verdict {
            Verdict::Within(_) => ("within", None, None),
            Verdict::Exceeds(counterexample) => ("exceeds", Some(counterexample.as_ref()), None),
            Verdict::Unsupported(reason) => ("unsupported", None, Some(reason)),
            Verdict::Inconclusive(reason) => ("inconclusive", None, Some(reason)),
            Verdict::Disagree(disagreement) => ("disagree", None, Some(&disagreement.reason)),
        };
        Report {
            schema_version: 1,
            verdict: verdict.to_owned(),
            engine: outcome.engine.as_str().to_owned(),
            engine_time_us: outcome.engine_time.as_nanos() as f64 / 1000.0,
            solver_start_us: (!outcome.solver_start.is_zero()).then(|| outcome.solver_start.as_nanos() as f64 / 1000.0),
            counterexample: counterexample
                .map(|c| ReportCounterexample { curl: c.curl(), ..ReportCounterexample::of(&c.request, &c.query) }),
            rule: counterexample.map(|c| ReportRule::new(c, candidate)),
            repair: None,
            repair_reason: counterexample.map(|_| "not_computed".to_owned()),
            findings: Vec::new(),
            reason_code: reason.map(|r| r.code.to_owned()),
            reason: reason.map(|r| r.message.clone()),
            environments_checked: outcome.environments_checked,
            digests: ReportDigests {
                policy: outcome.digests.policy,
                ceiling: outcome.digests.ceiling,
                schema: outcome.digests.schema,
                plugins: outcome.digests.plugins.clone(),
            },
        }
    }
}

impl Report {
    /// The same, with what [`crate::findings`] noted about the change that led to the candidate.
    pub fn with_findings(self, findings: Vec<Finding>) -> Report {
        Report { findings, ..self }
    }

    /// The same with what fits instead: `operations` are the proposal's with the repair in them, where there is one.
    pub fn with_repair(self, repair: &Repair, operations: &[Operation]) -> Report {
        match repair {
            Repair::Rule(repaired) => {
                let also = repaired.also.iter().map(|(key, entry)| (key.clone(), entry.to_json()));
                let repair = ReportRepair {
                    rule_name: repaired.rule_name.clone(),
                    rule: repaired.rule.to_json(),
                    verdict: "within".to_owned(),
                    complete: repaired.complete,
                    also: also.collect(),
                    remaining: repaired.remaining.clone(),
                    operations: operations.iter().map(Operation::to_json).collect(),
                };
                Report { repair: Some(repair), repair_reason: None, ..self }
            }
            Repair::None(why) => Report { repair: None, repair_reason: Some(why.code().to_owned()), ..self },
        }
    }
}

impl ReportCounterexample {
    pub(crate) fn of(request: &Request, query: &BTreeMap<String, Vec<String>>) -> ReportCounterexample {
        let said = request.operation.meaning();
        let (protocol, method, path) = match &request.operation {
            Asked::Connect => ("l4", None, None),
            Asked::Http { method, target, .. } => (
                said.map_or("rest", Meaning::plugin),
                Some(method.as_str().to_owned()),
                Some(target.path.as_str().to_owned()),
            ),
        };
        let query = query.iter().map(|(key, values)| {
            let value = match values.as_slice() {
                [one] => ReportQuery::One(one.clone()),
                many => ReportQuery::Repeated(many.to_vec()),
            };
            (key.clone(), value)
        });
        ReportCounterexample {
            binary: request.process.path.clone(),
            ancestors: request.process.ancestors.clone(),
            sandbox: request.process.sandbox.clone(),
            host: request.host.as_str().to_owned(),
            port: request.port.get(),
            protocol: protocol.to_owned(),
            action: request.operation.action().to_owned(),
            method,
            path,
            query: query.collect(),
            operation: said.map(DeniedOperation::of),
            now: request.now,
            replayed: true,
            curl: curl(request),
        }
    }
}

impl ReportRule {
    fn new(counterexample: &Counterexample, candidate: &Compiled) -> ReportRule {
        match candidate.origin(&counterexample.policy_id) {
            Some(origin) => {
                ReportRule { policy: origin.policy.clone(), endpoint: Some(origin.endpoint), rule: origin.rule }
            }
            None => ReportRule { policy: counterexample.policy_id.clone(), endpoint: None, rule: None },
        }
    }
}
