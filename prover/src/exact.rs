//! The exact engine's way through the question: each permit of the candidate, in each request environment, against the
//! union of what covers it and, apart, against each forbid of the ceiling.

use crate::lower::Cube;
use crate::replay::{Refused, Witness, witness};
use crate::side::{Entry, Side};
use crate::solve::{Bits, Budget, Exhausted, Point, find_uncovered};

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

/// The question, being answered.
pub(crate) struct Attempt<'a> {
    candidate: &'a Side,
    ceiling: &'a Side,
    budget: Budget,
    /// Environments in which some permit of the candidate was looked at, or none applies.
    checked: usize,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(candidate: &'a Side, ceiling: &'a Side, budget: Budget) -> Attempt<'a> {
        Attempt { candidate, ceiling, budget, checked: 0 }
    }

    /// How many request environments the answer is about: all of them, unless a witness or a limit came first.
    pub(crate) fn environments_checked(&self) -> usize {
        self.checked
    }

    pub(crate) fn run(&mut self) -> Found {
        let mut missed = false;
        let candidate = self.candidate;
        for entry in candidate.permits.entries() {
            match self.permit(entry) {
                Found::Nothing => {}
                Found::NotCanonical => missed = true,
                found => return found,
            }
        }
        self.checked = candidate.envs.len();
        if missed { Found::NotCanonical } else { Found::Nothing }
    }

    /// Whether one alternative of one permit is inside the ceiling. It is where every request in it, but for those
    /// that the candidate denies itself, is in a permit and in no forbid of the ceiling.
    fn permit(&mut self, entry: &'a Entry) -> Found {
        let denied = self.candidate.forbids.near(&entry.cube);
        let covered = self.ceiling.permits.near(&entry.cube);
        let forbidden = self.ceiling.forbids.near(&entry.cube);
        if let Err(exhausted) = self.budget.work(8 + denied.len() + covered.len() + 8 * forbidden.len()) {
            return Found::Exhausted(exhausted);
        }
        let mut missed = false;
        for envs in alike(entry, [&denied, &covered, &forbidden]) {
            let here = |entries: &[&'a Entry]| -> Vec<&'a Cube> {
                entries.iter().filter(|entry| envs.is_subset(&entry.envs)).map(|entry| &entry.cube).collect()
            };
            match self.question(&entry.cube, &envs, here(&denied), &here(&covered), &here(&forbidden)) {
                Found::Nothing => {}
                Found::NotCanonical => missed = true,
                Found::Witness { witness, .. } => {
                    let policy = self.candidate.ids.get(entry.policy).map(ToString::to_string).unwrap_or_default();
                    return Found::Witness { witness, policy };
                }
                exhausted => return exhausted,
            }
        }
        if missed { Found::NotCanonical } else { Found::Nothing }
    }

    /// The same for environments that nothing near tells apart; the first of them stands for all.
    fn question(
        &mut self,
        target: &Cube,
        envs: &Bits,
        denied: Vec<&Cube>,
        covered: &[&Cube],
        forbidden: &[&Cube],
    ) -> Found {
        let all: Vec<&Cube> =
            [target].into_iter().chain([&denied, covered, forbidden].into_iter().flatten().copied()).collect();
        let impossible = if all.iter().any(|cube| cube.asks_for_empty()) { Cube::impossible(&all) } else { Vec::new() };
        let denied: Vec<&Cube> = denied.into_iter().chain(&impossible).collect();
        let covered: Vec<&Cube> = denied.iter().chain(covered).copied().collect();
        let forbidden: Vec<Cube> = forbidden.iter().filter_map(|forbid| target.and(forbid)).collect();
        let mut missed = false;
        let questions = [(target, &covered)].into_iter().chain(forbidden.iter().map(|part| (part, &denied)));
        for (target, obstacles) in questions {
            match self.search(target, obstacles, envs) {
                Found::Nothing => {}
                Found::NotCanonical => missed = true,
                found => return found,
            }
        }
        if missed { Found::NotCanonical } else { Found::Nothing }
    }

    /// A request in `target` and in no obstacle. Where the engine's universe is larger than what can occur, a point
    /// that cannot is put aside and the search goes on, a limited number of times.
    fn search(&mut self, target: &Cube, obstacles: &[&Cube], envs: &Bits) -> Found {
        const TRIES: usize = 16;
        let Some(env) = envs.iter().next().and_then(|first| self.candidate.envs.get(first)) else {
            return Found::Nothing;
        };
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
                Ok(witness) => {
                    self.checked += 1;
                    return Found::Witness { witness: Box::new(witness), policy: String::new() };
                }
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

/// The environments of an entry, in groups that no cube near it tells apart: each question is asked once for a group.
fn alike(entry: &Entry, near: [&Vec<&Entry>; 3]) -> Vec<Bits> {
    let mut groups = vec![entry.envs.as_ref().clone()];
    let mut seen: Vec<&Bits> = vec![&entry.envs];
    for other in near.into_iter().flatten() {
        // Few distinct sets exist, and each is kept once.
        if seen.iter().any(|known| std::ptr::eq(*known, other.envs.as_ref())) {
            continue;
        }
        seen.push(&other.envs);
        groups = groups
            .iter()
            .flat_map(|group| [group.and(&other.envs), group.minus(&other.envs)])
            .filter(|group| !group.is_empty())
            .collect();
    }
    groups.sort_by_key(|group| group.iter().next());
    groups
}
