//! Which policies a question about one permit needs.
//!
//! A permit of the ceiling that has no request in common with the candidate's permit cannot cover any of it, and a
//! forbid of the candidate that has none cannot take any away. Leaving them out leaves the answer as it is; asking
//! about everything at once is what SMT solvers do not finish. Every forbid of the ceiling stays.
//!
//! The exact engine says what has a request in common. Were it wrong, the ceiling would allow less or the candidate
//! more than they do, and "within" would only be harder to reach: the second opinion stays one.

use std::collections::BTreeSet;
use std::time::Instant;

use smol_str::SmolStr;

use crate::lower::Cube;
use crate::side::{Index, Side};
use crate::solve::{Budget, find_uncovered};

/// How far the exact engine looks for a request that two rules have in common. Past that, they may have one.
const STATES: usize = 2_000;

/// The two sides as the exact engine reads them, where it can.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slices<'a> {
    /// `None` where the candidate was too large to be read: then nothing is left out.
    pub(super) candidate: Option<&'a Side>,
    pub(super) ceiling: &'a Side,
}

impl<'a> Slices<'a> {
    /// The candidate's policies in `all` of which a request of this action may be.
    pub(super) fn in_play(&self, action: &str, all: &[&'a str]) -> Vec<&'a str> {
        let Some((side, at)) = self.candidate.and_then(|side| Some((side, position(side, action)?))) else {
            return all.to_vec();
        };
        let here: BTreeSet<&str> =
            [&side.permits, &side.forbids].into_iter().flat_map(|index| ids(side, index, at, |_| true)).collect();
        all.iter().filter(|id| here.contains(*id) || is_unread(side, id)).copied().collect()
    }

    /// The policies of `forbids` (the candidate's) and of `permits` (the ceiling's) that may have a request of this
    /// action in common with the permit.
    pub(super) fn beside(
        &self,
        permit: &str,
        action: &str,
        forbids: &[&'a str],
        permits: &[&'a str],
        deadline: Instant,
    ) -> (Vec<&'a str>, Vec<&'a str>) {
        let target = self.candidate.filter(|side| !is_unread(side, permit)).and_then(|side| {
            let at = position(side, action)?;
            let here = side.permits.entries().iter().filter(|entry| entry.envs.contains(at));
            let own = here.filter(|entry| side.ids.get(entry.policy).is_some_and(|id| id == permit));
            Some((side, own.map(|entry| &entry.cube).collect::<Vec<&Cube>>()))
        });
        let Some((candidate, target)) = target else {
            return (forbids.to_vec(), permits.to_vec());
        };
        let near = |side: &'a Side, index: &'a Index, all: &[&'a str]| {
            let Some(at) = position(side, action) else { return all.to_vec() };
            let overlaps = |cube: &Cube| {
                let both = target.iter().filter_map(|mine| mine.and(cube));
                both.into_iter().any(|both| {
                    let mut budget = Budget::new(STATES, deadline);
                    !matches!(find_uncovered(&both, &[], &mut budget), Ok(None))
                })
            };
            let near: BTreeSet<&str> = ids(side, index, at, overlaps).collect();
            all.iter().filter(|id| near.contains(*id) || is_unread(side, id)).copied().collect()
        };
        (near(candidate, &candidate.forbids, forbids), near(self.ceiling, &self.ceiling.permits, permits))
    }
}

fn position(side: &Side, action: &str) -> Option<usize> {
    side.envs().iter().position(|env| env.action == action)
}

/// The policies with a cube in an environment that is one of those wanted.
fn ids<'a>(
    side: &'a Side,
    index: &'a Index,
    env: usize,
    is_wanted: impl Fn(&Cube) -> bool,
) -> impl Iterator<Item = &'a str> {
    let here = index.entries().iter().filter(move |entry| entry.envs.contains(env) && is_wanted(&entry.cube));
    here.filter_map(|entry| side.ids.get(entry.policy).map(SmolStr::as_str))
}

/// Whether the exact engine does not model a policy, so that nothing is known of where it applies.
fn is_unread(side: &Side, id: &str) -> bool {
    side.unsupported_permits.iter().chain(&side.unsupported_forbids).any(|(unread, _)| unread == id)
}
