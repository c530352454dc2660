//! The exact engine's way through the question: each permit of the candidate, in each request environment, against the
//! union of what covers it and, apart, against each forbid of the ceiling.

use std::collections::HashSet;

use crate::ceiling::Side;
use crate::lower::{Cube, Env};
use crate::replay::{Refused, Witness, witness};
use crate::solve::{Budget, Exhausted, Point, find_uncovered};

/// What the engine comes to.
pub(crate) enum Found {
    Nothing,
    Witness {
        witness: Box<Witness>,
        policy: String,
    },
    /// Points were found, but none that could be made a request.
    NotCanonical,
    Exhausted(Exhausted),
}

pub(crate) struct Attempt<'a> {
    candidate: &'a Side,
    ceiling: &'a Side,
    budget: Budget,
    /// Questions that had no witness: target and obstacles by address. Most repeat from method to method.
    proven: HashSet<(*const Cube, Vec<*const Cube>, Vec<*const Cube>)>,
    environments_checked: usize,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(candidate: &'a Side, ceiling: &'a Side, budget: Budget) -> Attempt<'a> {
        Attempt { candidate, ceiling, budget, proven: HashSet::new(), environments_checked: 0 }
    }

    /// How many request environments were looked at so far.
    pub(crate) fn environments_checked(&self) -> usize {
        self.environments_checked
    }

    pub(crate) fn run(&mut self) -> Found {
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
