//! Is this policy inside that ceiling?
//!
//! [`prove`] answers for every canonical request: [`Verdict::Within`] carries a [`Proven`], which nothing else can
//! make; [`Verdict::Exceeds`] carries a request that the policy allows and the ceiling does not, replayed through
//! Cedar's own authorizer; [`Verdict::Unsupported`] and [`Verdict::Inconclusive`] say why there is no answer,
//! [`Verdict::Disagree`] that two engines contradict each other, and none of these is ever a yes.
//!
//! The way through:
//! - `lower` reads Cedar's syntax tree, the artefact that is enforced, into constraints on one variable each;
//! - `solve` looks for a point of one cube outside a union of others, with `language` for what constrains strings;
//! - [`prove`] asks that question for each permit of the policy in each request environment, and replays the answer;
//! - [`analyse`] asks it more, for whoever writes ceilings;
//! - [`repair`] finds the largest part of a rule that does fit, by the obstacles that the solver names;
//! - `smt` asks an SMT solver the same question by another way, as a second opinion and for what is outside the exact
//!   engine's fragment: [`Options::engine`];
//! - [`SigningKey`] and [`Proven::certify`] carry a proof across a process edge, [`Report`] carries an outcome to
//!   people and scripts.
//!
//! The rejected alternative was to hand the whole question to an SMT solver alone. Every condition that Cedar can put on a
//! request here is about one variable, so the question decomposes: what takes a solver of word equations seconds is
//! a search among a handful of small automata. There is also no product automaton over all rules: each obstacle is
//! only considered once a point shows that it matters.

pub mod analyse;
mod ceiling;
mod engine;
mod exact;
mod find;
mod findings;
mod language;
mod lower;
mod operation;
mod prove;
mod repair;
mod replay;
mod report;
mod side;
mod sign;
mod smt;
mod solve;
mod verdict;

#[cfg(test)]
mod plugin_attributes;

pub use ceiling::{Ceiling, CeilingError};
pub use engine::{Engine, Solver};
pub use findings::{Change, Evidence, automatic, automatic_part, findings, is_interpreter};
pub use prove::{Options, Proven, prove};
pub use repair::{Grounds, NoRepair, Repair, Repaired, repair};
pub use report::{Report, ReportCounterexample, ReportDigests, ReportQuery, ReportRepair, ReportRule};
pub use sign::{Approval, KeyError, SigningKey};
pub use verdict::{Content, Counterexample, Digests, Disagreement, Outcome, Reason, Verdict};
