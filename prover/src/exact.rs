//! The exact engine's way through the question: each permit of the candidate, in each request environment, against the
//! union of what covers it and, apart, against each forbid of the ceiling.

use crate::find::{Request, find_request};
use crate::lower::Cube;
use crate::replay::Witness;
use crate::side::{Entry, Side};
use crate::solve::{Bits, Budget, Exhausted};

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
        self.checked = candidate.envs().len();
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
        for envs in alike(entry, self.candidate.vocabulary.classes(), [&denied, &covered, &forbidden]) {
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

    fn search(&mut self, target: &Cube, obstacles: &[&Cube], envs: &Bits) -> Found {
        let Some(env) = envs.iter().next().and_then(|first| self.candidate.envs().get(first)) else {
            return Found::Nothing;
        };
        match find_request(target, obstacles, env, &mut self.budget) {
            Ok(Request::None) => Found::Nothing,
            Ok(Request::Doubt) => Found::NotCanonical,
            Ok(Request::Some(witness)) => {
                self.checked += 1;
                Found::Witness { witness, policy: String::new() }
            }
            Err(exhausted) => Found::Exhausted(exhausted),
        }
    }
}

/// The environments of an entry, in groups that neither their own bounds nor any cube near it tell apart: each question is
/// asked once for a group.
fn alike(entry: &Entry, classes: &[Bits], near: [&Vec<&Entry>; 3]) -> Vec<Bits> {
    let mut groups: Vec<Bits> =
        classes.iter().map(|class| class.and(&entry.envs)).filter(|group| !group.is_empty()).collect();
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
