//! A request in a cube and in no obstacle: what every question to the exact engine comes down to.

use crate::lower::{Cube, Env};
use crate::replay::{Refused, Witness, witness};
use crate::solve::{Budget, Exhausted, find_uncovered};

/// Whether there is one.
pub(crate) enum Request {
    /// None is, over all canonical requests.
    None,
    Some(Box<Witness>),
    /// Points are, but none was made a request of: no claim either way.
    Doubt,
}

/// Where the engine's universe is larger than what can occur, a point that cannot is put aside and the search goes on,
/// a limited number of times.
pub(crate) fn find_request(
    target: &Cube,
    obstacles: &[&Cube],
    env: &Env,
    budget: &mut Budget,
) -> Result<Request, Exhausted> {
    const TRIES: usize = 16;
    let mut narrowed: Option<Cube> = match env.bound() {
        Some(bound) => match target.and(bound) {
            Some(bounded) => Some(bounded),
            None => return Ok(Request::None),
        },
        None => None,
    };
    // Whether a point was put aside that a request might yet be made of.
    let mut doubt = false;
    let none = |doubt| if doubt { Request::Doubt } else { Request::None };
    for _ in 0..TRIES {
        let target = narrowed.as_ref().unwrap_or(target);
        let Some(point) = find_uncovered(target, obstacles, budget)? else { return Ok(none(doubt)) };
        match witness(&point, env) {
            Ok(witness) => return Ok(Request::Some(Box::new(witness))),
            Err(Refused { var, word, never }) => {
                doubt |= !never;
                let without = match var.universe() {
                    Some(_) => target.without(&var, &word),
                    // Of other kinds nothing is ever refused alone.
                    None => return Ok(Request::Doubt),
                };
                match without {
                    Some(rest) => narrowed = Some(rest),
                    None => return Ok(none(doubt)),
                }
            }
        }
    }
    Ok(Request::Doubt)
}
