//! An analysis for scripts: `narrowgate check --format json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Analysis, Finding, NotAnalysed};
use crate::report::ReportCounterexample;

/// What `narrowgate check --format json` prints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckReport {
    /// In the order of the command line.
    pub files: Vec<CheckedFile>,
}

/// One file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckedFile {
    /// As it was named.
    pub file: String,
    /// `policy`, `ceiling`, `proposal`, or `file` where it could not be read.
    pub kind: String,
    /// Whether it can be used.
    pub valid: bool,
    /// What is in it, where it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Everything that is wrong, where it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// What its author should know. Empty for a proposal.
    #[serde(default)]
    pub findings: Vec<FindingReport>,
    /// Microseconds that the analysis took; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis_us: Option<u64>,
}

/// One thing that an author should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingReport {
    /// `permit_never_applies`, `forbid_never_applies`, `shadowed_by_forbid`, `redundant`, `allows_everything`,
    /// `action_not_covered` or `not_analysed`.
    pub name: String,
    /// `note` or `warning`.
    pub level: String,
    /// In a sentence.
    pub message: String,
    /// The policy it is about; absent where it is about the whole file.
    pub policy: Option<PlaceReport>,
    /// The policies that together are why.
    pub by: Vec<PlaceReport>,
    /// The actions it is about; empty where it is about all that the policy names.
    pub actions: Vec<String>,
    /// A request that shows it, confirmed by Cedar's authorizer; absent where there can be none.
    pub witness: Option<ReportCounterexample>,
    /// For `not_analysed`: `unsupported_construct`, `resource_limit`, `timeout`, `cancelled` or `spurious_witness`.
    pub reason_code: Option<String>,
}

/// A policy in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlaceReport {
    /// The Cedar policy's id, as `narrowgate compile` prints it.
    pub id: String,
    /// In the rule language: the JSON pointer of the rule.
    pub pointer: Option<String>,
    /// Where it starts: line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// Where it ends.
    pub end_line: usize,
    /// The column behind its last character.
    pub end_column: usize,
}

impl FindingReport {
    /// The reports of an analysis; `place` says where a policy stands.
    pub fn all(analysis: &Analysis, place: impl Fn(&str) -> PlaceReport) -> Vec<FindingReport> {
        let found = analysis.findings.iter().map(|finding| FindingReport::of(finding, &place));
        found.chain(analysis.not_analysed.iter().map(|not| FindingReport::not_analysed(not, &place))).collect()
    }

    fn of(finding: &Finding, place: &impl Fn(&str) -> PlaceReport) -> FindingReport {
        FindingReport {
            name: finding.kind.name().to_owned(),
            level: finding.kind.level().as_str().to_owned(),
            message: finding.message(),
            policy: finding.policy.as_deref().map(place),
            by: finding.by.iter().map(|id| place(id)).collect(),
            actions: finding.actions.clone(),
            witness: finding.witness.as_ref().map(|sample| ReportCounterexample::of(&sample.request, &sample.query)),
            reason_code: None,
        }
    }

    fn not_analysed(not: &NotAnalysed, place: &impl Fn(&str) -> PlaceReport) -> FindingReport {
        FindingReport {
            name: "not_analysed".to_owned(),
            level: "warning".to_owned(),
            message: format!("not analysed: {}", not.message),
            policy: Some(not.policy.as_str()).filter(|id| !id.is_empty()).map(place),
            by: Vec::new(),
            actions: Vec::new(),
            witness: None,
            reason_code: Some(not.code.to_owned()),
        }
    }
}
