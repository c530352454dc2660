//! The largest sub-rule that fits: what a refusal offers instead of a mere no.
//!
//! A rule is a product of independent parts (hosts, ports, methods, paths, query, a plugin's attributes, executables,
//! time), and so is what a repair may be of it: the same shape, each part tightened, with denies where the ceiling has
//! holes. [`repair`] takes the entry that exceeds apart into permissions, keeps those that fit as they are, cuts the others
//! to what the ceiling has of them, and puts them together to an entry that can be posted again. Nothing is offered that
//! [`prove`] did not find within: alone, and in its place in the whole policy.
//!
//! The rejected alternative was the union of everything that fits. It is larger, but no longer a rule that a person
//! would write, and it would list the ceiling to whoever asks for too much. Where several parts are maximal, the one
//! nearest the denials that the proposal cites is offered: it is what was needed.
//!
//! The search never does I/O, asks a bounded number of questions, and gives the same answer to the same question
//! unless time runs out.

mod cut;
mod entry;
mod grow;
mod hints;
mod meet;
mod obstacle;
mod operation;
mod piece;
mod post;
mod said;
mod search;
mod shrink;
mod steps;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use narrowgate_core::compile::{Compiled, Origin};
use narrowgate_core::denial::DenialRecord;
use narrowgate_core::policy::{Entry, Policy, Role};
use narrowgate_core::schema::Schema;

use self::entry::one;
use self::piece::denies;
use self::search::Limits;
use crate::ceiling::Ceiling;
use crate::engine::Engine;
use crate::prove::{Options, Proven, prove};
use crate::verdict::Verdict;

/// A repair takes no longer than this, whatever a proof may take.
const LONGEST: Duration = Duration::from_secs(1);
/// Questions to the solver in one repair.
const QUESTIONS: usize = 1500;
/// So many entries of one policy are repaired.
const ENTRIES: usize = 16;

/// What a repair has to go by besides the policy that exceeds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Grounds<'a> {
    /// What is in force: of an entry that is here already, only what the candidate adds to it may change.
    pub base: Option<&'a Policy>,
    /// The denied requests that the change answers, as the proxy recorded them.
    pub evidence: &'a [DenialRecord],
}

/// What came of it.
#[derive(Debug, Clone)]
pub enum Repair {
    /// A smaller rule fits.
    Rule(Box<Repaired>),
    /// None was found, and why.
    None(NoRepair),
}

/// An entry that fits in its place.
#[derive(Debug, Clone)]
pub struct Repaired {
    /// The key of the entry that the counterexample was about.
    pub rule_name: String,
    /// What to put there.
    pub rule: Entry,
    /// The other entries that exceeded and fit now, by key.
    pub also: BTreeMap<String, Entry>,
    /// The keys of entries that exceed and of which no part was found to fit: they are not in `policy`.
    pub remaining: Vec<String>,
    /// The candidate with all of that in it.
    pub policy: Policy,
    /// That `policy` is within the ceiling.
    pub proven: Proven,
    /// Whether the search came to its end. Where time or questions ran out before, it fits, but something larger may
    /// too.
    pub complete: bool,
}

/// Why there is no repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRepair {
    /// The ceiling permits nothing of what the rule allows.
    NothingInCommon,
    /// It permits some of it, and forbids all of that again.
    DeniedByCeiling,
    /// Some of it is inside, but no rule was found that says which.
    NotExpressible,
    /// All of it that is inside is allowed by the policy in force already.
    AlreadyAllowed,
    /// Time or questions ran out first.
    NotFoundInTime,
    /// The ceiling or the policy is not one that can be decided.
    Undecided,
}

impl NoRepair {
    /// All of them.
    pub const ALL: [NoRepair; 6] = [
        NoRepair::NothingInCommon,
        NoRepair::DeniedByCeiling,
        NoRepair::NotExpressible,
        NoRepair::AlreadyAllowed,
        NoRepair::NotFoundInTime,
        NoRepair::Undecided,
    ];

    /// As in a report's `repair_reason`.
    pub fn code(self) -> &'static str {
        match self {
            NoRepair::NothingInCommon => "nothing_in_common",
            NoRepair::DeniedByCeiling => "denied_by_ceiling",
            NoRepair::NotExpressible => "not_expressible",
            NoRepair::AlreadyAllowed => "already_allowed",
            NoRepair::NotFoundInTime => "not_found_in_time",
            NoRepair::Undecided => "undecided",
        }
    }
}

/// For a person.
impl std::fmt::Display for NoRepair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            NoRepair::NothingInCommon => "the ceiling permits nothing of what the rule allows",
            NoRepair::DeniedByCeiling => "what the ceiling permits of the rule, it forbids again",
            NoRepair::NotExpressible => "some of the rule is inside the ceiling, but no rule was found that says which",
            NoRepair::AlreadyAllowed => "what is inside the ceiling is allowed already",
            NoRepair::NotFoundInTime => "none was found in time",
            NoRepair::Undecided => "the prover cannot decide this",
        })
    }
}

/// The largest part of the entry at `at` that is inside `ceiling`, and of any other entry of `candidate` that is not.
///
/// `at` is what a counterexample's `rule` names. `options` bound each proof; the search as a whole is bounded too, by
/// the timeout or a second, whichever is less.
pub fn repair(candidate: &Policy, at: &Origin, ceiling: &Ceiling, grounds: &Grounds<'_>, options: &Options) -> Repair {
    // What the exact engine cannot say is not worth a solver's time at each step of a search.
    let options = &Options { engine: Some(Engine::Exact), ..options.clone() };
    let deadline = Instant::now() + options.timeout.min(LONGEST);
    let mut limits = Limits { questions: QUESTIONS, deadline, cancel: options.cancel.clone(), ran_out: false };
    let brief = Options { timeout: options.timeout.min(LONGEST), ..options.clone() };
    let mut policy = candidate.clone();
    let mut repaired: BTreeMap<String, Entry> = BTreeMap::new();
    let mut remaining = Vec::new();
    let mut key = at.policy.clone();
    for _ in 0..ENTRIES {
        match one(&policy, &key, ceiling, grounds, &brief, &mut limits) {
            Ok(entry) => {
                policy.entries.insert(key.clone(), entry.clone());
                repaired.insert(key.clone(), entry);
            }
            Err(why) if key == at.policy => return Repair::None(why),
            Err(_) => {
                let rest = policy.entries.remove(&key).as_ref().and_then(denies);
                policy.entries.extend(rest.map(|rest| (key.clone(), rest)));
                remaining.push(key.clone());
            }
        }
        let Some((text, compiled)) = read_back(&policy, ceiling.compiled().schema()) else {
            return Repair::None(NoRepair::NotExpressible);
        };
        match prove(&compiled, ceiling, options).verdict {
            Verdict::Within(_) if grounds.base.is_some_and(|base| is_within(&compiled, base, options)) => {
                return Repair::None(NoRepair::AlreadyAllowed);
            }
            Verdict::Within(proven) => {
                let Some(rule) = repaired.remove(&at.policy) else { break };
                let rule_name = at.policy.clone();
                return Repair::Rule(Box::new(Repaired {
                    rule_name,
                    rule,
                    also: repaired,
                    remaining,
                    policy: text,
                    proven,
                    complete: !limits.ran_out,
                }));
            }
            Verdict::Exceeds(found) => match found.rule {
                Some(next) if !repaired.contains_key(&next.policy) && !remaining.contains(&next.policy) => {
                    key = next.policy;
                }
                _ => break,
            },
            Verdict::Unsupported(_) | Verdict::Inconclusive(_) | Verdict::Disagree(_) => {
                return Repair::None(NoRepair::Undecided);
            }
        }
    }
    Repair::None(if limits.ran_out { NoRepair::NotFoundInTime } else { NoRepair::NotExpressible })
}

fn is_within(policy: &Compiled, bound: &Policy, options: &Options) -> bool {
    let bound = Compiled::policy_over(bound, Role::Policy, policy.schema()).ok();
    let bound = bound.and_then(|bound| Ceiling::new(bound).ok());
    bound.is_some_and(|bound| matches!(prove(policy, &bound, options).verdict, Verdict::Within(_)))
}

/// The policy as it is read from its own text: what an agent could post.
fn read_back(policy: &Policy, schema: &Arc<Schema>) -> Option<(Policy, Compiled)> {
    let read = Policy::parse(&policy.to_yaml(), "repair", Role::Policy).ok().filter(|read| read == policy)?;
    let compiled = Compiled::policy_over(&read, Role::Policy, schema).ok()?;
    Some((read, compiled))
}
