//! What is in the way of a policy, by the solver: the same questions as in a proof, but with the ceiling's part named.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ptr;

use crate::lower::{Cube, Env};
use crate::replay::witness;
use crate::side::Side;
use crate::solve::{Budget, find_uncovered};

/// What is in the way of a piece.
pub(super) enum Obstacle<'c> {
    Nothing,
    /// There is nothing left of it to be in the way of.
    Empty,
    /// In the environment of this action, it reaches into this.
    Forbid(String, &'c Cube),
    /// In the environment of this action, these do not cover it.
    Uncovered(String, Vec<&'c Cube>),
    /// No answer.
    Unknown,
}

/// One alternative of one permit, and what is near it.
struct Part<'m, 'c> {
    env: &'m Env,
    cube: Cow<'m, Cube>,
    denied: Vec<&'m Cube>,
    near: Vec<&'c Cube>,
    forbids: Vec<&'c Cube>,
}

/// The first obstacle, and whether a request that can be sent shows it. Environments in which few permits are near come
/// first: what fails there need not be tried elsewhere.
pub(super) fn in_the_way<'c>(
    mine: &Side,
    ceiling: &'c Side,
    mut budget: Budget,
) -> Result<Option<(Obstacle<'c>, bool)>, ()> {
    let mut parts: Vec<Part<'_, 'c>> = Vec::new();
    let mut seen = HashSet::new();
    for (at, env) in mine.envs().iter().enumerate() {
        for cube in mine.permits.cubes(at) {
            let Some(bounded) = env.bound().map_or_else(|| Some(Cow::Borrowed(cube)), |b| cube.and(b).map(Cow::Owned))
            else {
                continue;
            };
            let denied = mine.forbids.near_in(at, cube);
            let (near, forbids) = (ceiling.permits.near_in(at, cube), ceiling.forbids.near_in(at, cube));
            // Of a plugin's actions, many are not told apart by anything near.
            if env.speaker().is_some() {
                let class = mine.vocabulary.classes().iter().position(|class| class.contains(at));
                let nearby = [&denied, &near, &forbids]
                    .map(|cubes| cubes.iter().copied().map(ptr::from_ref::<Cube>).collect::<Vec<_>>());
                if !seen.insert((class, ptr::from_ref(cube), nearby)) {
                    continue;
                }
            }
            parts.push(Part { env, cube: bounded, denied, near, forbids });
        }
    }
    parts.sort_by_key(|part| part.near.len());
    let (mut doubtful, mut alive) = (None, false);
    for Part { env, cube, denied, near, forbids } in parts {
        alive = alive || find_uncovered(&cube, &denied, &mut budget).map_err(drop)?.is_some();
        for forbid in forbids {
            let Some(part) = cube.and(forbid) else { continue };
            if let Some(point) = find_uncovered(&part, &denied, &mut budget).map_err(drop)? {
                let found = Obstacle::Forbid(env.action.clone(), forbid);
                match witness(&point, env) {
                    Ok(_) => return Ok(Some((found, true))),
                    Err(_) => doubtful = doubtful.or(Some((found, false))),
                }
            }
        }
        let cover: Vec<&Cube> = denied.iter().copied().chain(near.iter().copied()).collect();
        if let Some(point) = find_uncovered(&cube, &cover, &mut budget).map_err(drop)? {
            let found = Obstacle::Uncovered(env.action.clone(), near);
            match witness(&point, env) {
                Ok(_) => return Ok(Some((found, true))),
                Err(_) => doubtful = doubtful.or(Some((found, false))),
            }
        }
    }
    Ok(if alive { doubtful } else { Some((Obstacle::Empty, true)) })
}

pub(super) fn is_about(obstacle: &Obstacle<'_>, action: &str) -> bool {
    matches!(obstacle, Obstacle::Uncovered(about, _) | Obstacle::Forbid(about, _) if about == action)
}
