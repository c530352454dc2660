//! What an author should know about a ceiling or a policy that is valid: which parts of it do nothing, and where it
//! does more than parts of it suggest. Every claim is the exact engine's, over all canonical requests, and comes with
//! a request that Cedar's authorizer was asked about, with the policies that are to blame, or both.
//!
//! Nothing here opens a door: a wrong finding would mislead an author, never allow a request. What cannot be analysed
//! is named in [`Analysis::not_analysed`] and never passes for sound.

mod concern;
mod cover;
mod probe;
mod report;
mod rules;
mod view;

use std::time::{Duration, Instant};

use narrowgate_core::compile::Compiled;

pub use concern::{Concern, Near, concern};
pub use probe::Sample;
pub use report::{CheckReport, CheckedFile, FindingReport, PlaceReport};

use crate::ceiling::Ceiling;
use crate::lower::{NotLowered, Unsupported};
use crate::prove::Options;
use crate::side::Side;
use crate::solve::{Budget, Exhausted};
use rules::Analyst;

/// What was found, in the order of the text.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// Empty for a text in which every part counts.
    pub findings: Vec<Finding>,
    /// What there is no answer for; empty where the analysis is complete.
    pub not_analysed: Vec<NotAnalysed>,
    /// How many policies there are, analysed or not.
    pub policies: usize,
    /// How long it took, without parsing.
    pub time: Duration,
}

/// One thing that an author should know.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The policy it is about; `None` where it is about all of them.
    pub policy: Option<String>,
    /// The policies that together are why: the forbids, the permits that cover it, the permits that allow everything.
    pub by: Vec<String>,
    /// The actions it is about, that of opaque bytes last; empty where it is about every action that the policy names.
    pub actions: Vec<String>,
    /// For what never applies: what of a request cannot be as the policy wants it (`path`, `host`), where it is one
    /// thing that cannot and not several that contradict each other.
    pub impossible: Vec<String>,
    /// A request that shows it. `None` only where there can be none.
    pub witness: Option<Box<Sample>>,
}

/// What a finding says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// No canonical request satisfies a permit's conditions.
    PermitNeverApplies,
    /// No canonical request satisfies a forbid's conditions: it bounds nothing.
    ForbidNeverApplies,
    /// Every request that a permit matches is forbidden.
    ShadowedByForbid,
    /// Every request that a permit would allow is allowed by others. A permit for automatic review is only redundant
    /// to others of its kind. All the redundant ones can go at once.
    Redundant,
    /// Every request with these actions is allowed: there is no bound on them.
    AllowsEverything,
    /// No request with these actions is allowed, and no forbid says that this is meant.
    ActionNotCovered,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing; a sound ceiling may have it.
    Note,
    /// Probably not what was meant.
    Warning,
}

/// A policy that was not analysed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAnalysed {
    /// Its id; empty where it is about all of them.
    pub policy: String,
    /// Stable and in snake case: `unsupported_construct`, `resource_limit`, `timeout`, `cancelled`,
    /// `spurious_witness`.
    pub code: &'static str,
    /// For a person.
    pub message: String,
}

impl FindingKind {
    /// Stable and in snake case.
    pub fn name(self) -> &'static str {
        match self {
            FindingKind::PermitNeverApplies => "permit_never_applies",
            FindingKind::ForbidNeverApplies => "forbid_never_applies",
            FindingKind::ShadowedByForbid => "shadowed_by_forbid",
            FindingKind::Redundant => "redundant",
            FindingKind::AllowsEverything => "allows_everything",
            FindingKind::ActionNotCovered => "action_not_covered",
        }
    }

    /// How much it matters.
    pub fn level(self) -> Level {
        match self {
            FindingKind::ActionNotCovered => Level::Note,
            _ => Level::Warning,
        }
    }
}

impl Level {
    /// `note` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Note => "note",
            Level::Warning => "warning",
        }
    }
}

impl Finding {
    /// The finding in a sentence, without the names of policies.
    pub fn message(&self) -> String {
        /// So many actions are named in a sentence; a plugin may have hundreds.
        const NAMED: usize = 12;
        let named = self.actions.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let actions = match self.actions.len().saturating_sub(NAMED) {
            0 => named,
            more => format!("{named} and {more} more"),
        };
        let impossible = match self.impossible.join(" or ") {
            none if none.is_empty() => String::new(),
            some => format!("; there can be no such {some}"),
        };
        match self.kind {
            FindingKind::PermitNeverApplies => {
                format!("no request satisfies this permit: it allows nothing{impossible}")
            }
            FindingKind::ForbidNeverApplies => {
                format!("no request satisfies this forbid: it forbids nothing{impossible}")
            }
            FindingKind::ShadowedByForbid => "everything that this permit matches is forbidden".to_owned(),
            FindingKind::Redundant => "everything that this permit allows is allowed without it".to_owned(),
            FindingKind::AllowsEverything => format!("every request is allowed on {actions}: there is no bound"),
            FindingKind::ActionNotCovered => {
                format!("nothing is allowed on {actions}, and no forbid says that this is meant")
            }
        }
    }
}

/// Analyses a ceiling.
pub fn ceiling(ceiling: &Ceiling, options: &Options) -> Analysis {
    let start = Instant::now();
    let analyst = Analyst::new(ceiling.compiled(), ceiling.side(), options, start);
    analyst.run(true, start)
}

/// Analyses a policy: its rules, and not what it leaves open, which is what a policy is for.
pub fn policy(policy: &Compiled, options: &Options) -> Analysis {
    let start = Instant::now();
    let mut budget = Budget::new(options.max_states, start + options.timeout).cancelled_by(options.cancel.as_ref());
    match Side::of(policy, &mut budget) {
        Ok(side) => Analyst::new(policy, &side, options, start).run(false, start),
        Err(error) => {
            let (code, message) = match error {
                NotLowered::Unsupported(Unsupported(what)) => ("unsupported_construct", format!("the schema: {what}")),
                NotLowered::Exhausted(what) => exhausted(what, options),
            };
            Analysis {
                findings: Vec::new(),
                not_analysed: vec![NotAnalysed { policy: String::new(), code, message }],
                policies: policy.policies().policies().count(),
                time: start.elapsed(),
            }
        }
    }
}

/// The ceiling's policies that the exact engine does not model, each with the construct that puts it there.
pub fn unsupported(ceiling: &Ceiling) -> Vec<(String, String)> {
    let side = ceiling.side();
    side.unsupported_permits.iter().chain(&side.unsupported_forbids).cloned().collect()
}

fn exhausted(what: Exhausted, options: &Options) -> (&'static str, String) {
    match what {
        Exhausted::Time => ("timeout", format!("no answer within {:?}", options.timeout)),
        Exhausted::States => ("resource_limit", format!("no answer within {} automaton states", options.max_states)),
        Exhausted::Cubes => ("resource_limit", "too many combinations of alternatives".to_owned()),
        Exhausted::Cancelled => ("cancelled", "the caller gave up".to_owned()),
    }
}
