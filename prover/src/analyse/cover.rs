//! Which policies cover something that is covered: the ones to show an author.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::lower::Cube;
use crate::solve::{Budget, Exhausted, find_uncovered};

/// What has to be covered: parts, each with what covers it anyway and the candidates by policy.
pub(super) struct Covered<'a> {
    /// A part, within what the proxy enforces of its environment.
    pub(super) target: Cow<'a, Cube>,
    pub(super) anyway: Vec<&'a Cube>,
    pub(super) candidates: Vec<(usize, &'a Cube)>,
}

/// Policies that together cover everything in `parts`, none of which can be left out. `parts` must be covered by all
/// candidates together; where they are not, what is returned covers as much as they do.
pub(super) fn blame(parts: &[Covered<'_>], budget: &mut Budget) -> Result<BTreeSet<usize>, Exhausted> {
    /// So many are each tried without.
    const MINIMISED: usize = 12;
    let mut used: BTreeSet<usize> = BTreeSet::new();
    for covered in parts {
        while let Some(next) = next(covered, &used, budget)? {
            used.insert(next);
        }
    }
    if used.len() > MINIMISED {
        return Ok(used);
    }
    for policy in used.clone() {
        let mut fewer = used.clone();
        fewer.remove(&policy);
        let mut enough = true;
        for covered in parts {
            enough = enough && open(covered, &fewer, budget)?.is_none();
        }
        if enough {
            used = fewer;
        }
    }
    Ok(used)
}

/// A further policy that is needed, preferably one that is enough; `None` where nothing is open that one covers.
fn next(covered: &Covered<'_>, used: &BTreeSet<usize>, budget: &mut Budget) -> Result<Option<usize>, Exhausted> {
    /// So many that contain a point are each asked whether they are enough.
    const ALONE: usize = 8;
    let Some(point) = open(covered, used, budget)? else { return Ok(None) };
    let hit: BTreeSet<usize> =
        covered.candidates.iter().filter(|(_, cube)| point.is_in(cube)).map(|(policy, _)| *policy).collect();
    for policy in hit.iter().take(ALONE) {
        let mut more = used.clone();
        more.insert(*policy);
        if open(covered, &more, budget)?.is_none() {
            return Ok(Some(*policy));
        }
    }
    // INVARIANT: this ends. `point` is in nothing used, so what is added is new.
    Ok(hit.into_iter().next())
}

fn open(
    covered: &Covered<'_>,
    used: &BTreeSet<usize>,
    budget: &mut Budget,
) -> Result<Option<crate::solve::Point>, Exhausted> {
    let by = covered.candidates.iter().filter(|(policy, _)| used.contains(policy)).map(|(_, cube)| *cube);
    let obstacles: Vec<&Cube> = covered.anyway.iter().copied().chain(by).collect();
    find_uncovered(&covered.target, &obstacles, budget)
}
