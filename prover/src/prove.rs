//! The question, asked of the exact engine.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use narrowgate_core::certificate::{Containment, Envelope, Statement};
use narrowgate_core::compile::Compiled;
use narrowgate_core::digest::Digest;
use narrowgate_core::schema;

use crate::ceiling::{Ceiling, Side};
use crate::lower::{Cube, Env, NotLowered, Unsupported};
use crate::replay::{Refused, Witness, confirms, witness};
use crate::sign::{Approval, SigningKey};
use crate::solve::{Budget, Exhausted, MOST_CUBES, Point, find_uncovered};
use crate::verdict::{Counterexample, Digests, Outcome, Reason, Verdict};

/// What a proof may cost.
#[derive(Debug, Clone)]
pub struct Options {
    /// After this long, lowering the candidate included, the verdict is `Inconclusive("timeout")`.
    pub timeout: Duration,
    /// After about this many automaton states it is `Inconclusive("resource_limit")`. A state takes some 500 bytes.
    pub max_states: usize,
    /// Once this is set the verdict is `Inconclusive("cancelled")`: for callers whose own caller may go away.
    pub cancel: Option<Arc<AtomicBool>>,
}

/// Two options are equal where they set the same limits and have the same flag, not one of the same value.
impl PartialEq for Options {
    fn eq(&self, other: &Options) -> bool {
        let same_flag = match (&self.cancel, &other.cancel) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        self.timeout == other.timeout && self.max_states == other.max_states && same_flag
    }
}

impl Eq for Options {}

impl Default for Options {
    fn default() -> Options {
        Options { timeout: Duration::from_secs(10), max_states: 500_000, cancel: None }
    }
}

/// The proof that a policy is inside a ceiling. [`prove`] is its only maker.
#[derive(Debug, Clone)]
pub struct Proven {
    digests: Digests,
    environments_checked: usize,
}

impl Proven {
    /// The name and version of the engine, as certificates carry it.
    pub const ENGINE: &'static str = concat!("exact/", env!("CARGO_PKG_VERSION"));

    /// The digest of the policy that was proven.
    pub fn policy(&self) -> Digest {
        self.digests.policy
    }

    /// The digest of the ceiling.
    pub fn ceiling(&self) -> Digest {
        self.digests.ceiling
    }

    /// The digest of the Cedar schema.
    pub fn schema(&self) -> Digest {
        self.digests.schema
    }

    /// How many request environments were checked: every one that the schema has.
    pub fn environments_checked(&self) -> usize {
        self.environments_checked
    }

    /// The proof and an approval of it, for another process to check.
    pub fn certify(&self, key: &SigningKey, approval: &Approval) -> Envelope {
        let predicate = Containment {
            verdict: "within".to_owned(),
            ceiling: self.digests.ceiling,
            schema: self.digests.schema,
            plugins: self.digests.plugins.clone(),
            engines: vec![Proven::ENGINE.to_owned()],
            environments_checked: self.environments_checked,
            sandbox: approval.sandbox.clone(),
            version: approval.version,
            approver: approval.approver.clone(),
            approved_at: approval.time,
            expires_at: approval.expires,
        };
        key.sign(&Statement::new(self.digests.policy, predicate))
    }
}

/// Whether every canonical request that `candidate` allows is allowed by `ceiling`.
pub fn prove(candidate: &Compiled, ceiling: &Ceiling, options: &Options) -> Outcome {
    let deadline = Instant::now() + options.timeout;
    let digests = Digests {
        policy: candidate.digest(),
        ceiling: ceiling.digest(),
        schema: schema::digest(),
        plugins: BTreeMap::new(),
    };
    let mut budget = Budget::new(options.max_states, deadline).cancelled_by(options.cancel.as_ref());
    let side = match Side::of(candidate, &mut budget) {
        Ok(side) => side,
        Err(reason) => {
            let verdict = match reason {
                NotLowered::Unsupported(Unsupported(what)) => Verdict::Unsupported(Reason {
                    code: "unsupported_construct",
                    message: format!("the schema: {what}"),
                }),
                NotLowered::Exhausted(what) => Verdict::Inconclusive(exhausted(what, options)),
            };
            return Outcome { verdict, engine_time: Duration::ZERO, environments_checked: 0, digests };
        }
    };
    let start = Instant::now();
    let mut attempt =
        Attempt { candidate: &side, ceiling: ceiling.side(), budget, proven: HashSet::new(), environments_checked: 0 };
    let found = attempt.run();
    let engine_time = start.elapsed();
    let environments_checked = attempt.environments_checked;
    let verdict = match found {
        Found::Nothing => match gap(&side, ceiling.side()) {
            _ if environments_checked == 0 => Verdict::Inconclusive(Reason {
                code: "no_environments",
                message: "the schema admits no request, so nothing was checked".to_owned(),
            }),
            Some(reason) => Verdict::Unsupported(reason),
            None => Verdict::Within(Proven { digests: digests.clone(), environments_checked }),
        },
        Found::Witness { witness, policy } if confirms(&witness.request, candidate, ceiling.compiled()) => {
            let rule = candidate.origin(&policy).cloned();
            let Witness { request, query } = *witness;
            Verdict::Exceeds(Box::new(Counterexample { request, policy_id: policy, rule, query }))
        }
        Found::Witness { .. } | Found::NotCanonical => match doubt(&side, ceiling.side()) {
            Some(reason) => Verdict::Unsupported(reason),
            None => Verdict::Inconclusive(Reason {
                code: "spurious_counterexample",
                message: "every counterexample that was found is no request that can occur".to_owned(),
            }),
        },
        Found::Exhausted(what) => Verdict::Inconclusive(exhausted(what, options)),
    };
    Outcome { verdict, engine_time, environments_checked, digests }
}

fn exhausted(what: Exhausted, options: &Options) -> Reason {
    let (code, message) = match what {
        Exhausted::Time => ("timeout", format!("no answer within {:?}", options.timeout)),
        Exhausted::States => ("resource_limit", format!("no answer within {} automaton states", options.max_states)),
        Exhausted::Cubes => {
            let message = format!("the policy has more than {MOST_CUBES} combinations of binaries and rules");
            ("resource_limit", message)
        }
        Exhausted::Cancelled => ("cancelled", "the caller gave up".to_owned()),
    };
    Reason { code, message }
}

/// What stands in the way of "within": permits of the candidate and forbids of the ceiling that were not modelled.
/// Leaving out a permit of the ceiling or a forbid of the candidate only makes "within" harder.
fn gap(candidate: &Side, ceiling: &Side) -> Option<Reason> {
    let mine = candidate.unsupported_permits.first().map(|p| ("the policy", p));
    let theirs = ceiling.unsupported_forbids.first().map(|p| ("the ceiling", p));
    mine.or(theirs).map(|(whose, (id, what))| unsupported(whose, id, what))
}

/// What may have made a counterexample that Cedar does not confirm: anything that was not modelled.
fn doubt(candidate: &Side, ceiling: &Side) -> Option<Reason> {
    let mine = candidate.unsupported_forbids.first().map(|p| ("the policy", p));
    let theirs = ceiling.unsupported_permits.first().map(|p| ("the ceiling", p));
    let reason = mine.or(theirs).map(|(whose, (id, what))| unsupported(whose, id, what));
    reason.or_else(|| gap(candidate, ceiling))
}

fn unsupported(whose: &str, id: &str, what: &str) -> Reason {
    let message = format!("{whose}'s {id:?} uses a construct that the exact engine does not model: {what}");
    Reason { code: "unsupported_construct", message }
}

enum Found {
    Nothing,
    Witness {
        witness: Box<Witness>,
        policy: String,
    },
    /// Points were found, but none that could be made a request.
    NotCanonical,
    Exhausted(Exhausted),
}

struct Attempt<'a> {
    candidate: &'a Side,
    ceiling: &'a Side,
    budget: Budget,
    /// Questions that had no witness: target and obstacles by address. Most repeat from method to method.
    proven: HashSet<(*const Cube, Vec<*const Cube>, Vec<*const Cube>)>,
    environments_checked: usize,
}

impl<'a> Attempt<'a> {
    fn run(&mut self) -> Found {
        let mut missed = false;
        let candidate = self.candidate;
        for (at, env) in candidate.envs.iter().enumerate() {
            self.environments_checked += 1;
            let Some(permits) = candidate.permits.get(at) else { continue };
            for entry in permits.entries() {
                let Some(cube) = entry.cube() else { continue };
                match self.permit(at, env, cube) {
                    Found::Nothing => {}
                    Found::NotCanonical => missed = true,
                    Found::Witness { witness, .. } => {
                        let policy = candidate.ids.get(entry.policy).cloned().unwrap_or_default();
                        return Found::Witness { witness, policy };
                    }
                    exhausted => return exhausted,
                }
            }
        }
        if missed { Found::NotCanonical } else { Found::Nothing }
    }

    /// Whether one alternative of one permit is inside the ceiling. It is where every request in it, but for those
    /// that the candidate denies itself, is in a permit and in no forbid of the ceiling.
    fn permit(&mut self, at: usize, env: &Env, cube: &'a Cube) -> Found {
        let near = |indices: &'a [crate::ceiling::Index]| indices.get(at).map(|i| i.near(cube)).unwrap_or_default();
        let denied = near(&self.candidate.forbids);
        let mut covered = denied.clone();
        covered.extend(near(&self.ceiling.permits));
        let forbidden = near(&self.ceiling.forbids);
        if let Err(exhausted) = self.budget.work(8 + covered.len() + 8 * forbidden.len()) {
            return Found::Exhausted(exhausted);
        }
        let address = |cubes: &[&Cube]| cubes.iter().map(|c| std::ptr::from_ref::<Cube>(c)).collect::<Vec<_>>();
        // `OTHER` has a method of its own; everywhere else equal cubes are equal questions.
        let key = (std::ptr::from_ref(cube), address(&covered), address(&forbidden));
        if self.proven.contains(&key) {
            return Found::Nothing;
        }
        let mut missed = false;
        let forbidden_parts: Vec<Cube> = forbidden.iter().filter_map(|forbid| cube.and(forbid)).collect();
        let questions = [(cube, &covered)].into_iter().chain(forbidden_parts.iter().map(|part| (part, &denied)));
        for (target, obstacles) in questions {
            match self.search(target, obstacles, env) {
                Found::Nothing => {}
                Found::NotCanonical => missed = true,
                found => return found,
            }
        }
        if missed {
            return Found::NotCanonical;
        }
        self.proven.insert(key);
        Found::Nothing
    }

    /// A request in `target` and in no obstacle. Where the engine's universe is larger than what can occur, a point
    /// that cannot is put aside and the search goes on, a limited number of times.
    fn search(&mut self, target: &Cube, obstacles: &[&Cube], env: &Env) -> Found {
        const TRIES: usize = 16;
        let mut narrowed: Option<Cube> = None;
        // Whether a point was put aside that a request might yet be made of.
        let mut missed = false;
        let nothing = |missed| if missed { Found::NotCanonical } else { Found::Nothing };
        for _ in 0..TRIES {
            let target = narrowed.as_ref().unwrap_or(target);
            let point: Point = match find_uncovered(target, obstacles, &mut self.budget) {
                Ok(None) => return nothing(missed),
                Ok(Some(point)) => point,
                Err(exhausted) => return Found::Exhausted(exhausted),
            };
            match witness(&point, env) {
                Ok(witness) => return Found::Witness { witness: Box::new(witness), policy: String::new() },
                Err(Refused { var, word, never }) => {
                    missed |= !never;
                    match target.without(&var, &word) {
                        Some(rest) => narrowed = Some(rest),
                        None => return nothing(missed),
                    }
                }
            }
        }
        Found::NotCanonical
    }
}
