//! One question to the engine, answered with a request.

use std::collections::BTreeMap;

use cedar_policy::{Authorizer, Decision, Policy, PolicyId, PolicySet};
use narrowgate_core::cedar;
use narrowgate_core::compile::Compiled;
use narrowgate_core::request::Request;

use crate::lower::{Cube, Env};
use crate::replay::{Refused, Witness, witness};
use crate::solve::{Budget, Exhausted, find_uncovered};
use crate::verdict::curl;

/// A request that shows something.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Sample {
    /// The request.
    pub request: Request,
    /// The decoded query: each key with its values, of which there are several where a key repeats.
    pub query: BTreeMap<String, Vec<String>>,
}

impl Sample {
    /// The request as a command for a shell.
    pub fn curl(&self) -> String {
        curl(&self.request)
    }
}

/// Whether a request is in a cube and in no obstacle.
pub(super) enum Probe {
    /// None is, over all canonical requests.
    None,
    Some(Box<Sample>),
    /// Points are, but none was made a request of: no claim either way.
    Doubt,
}

/// Asks. A point that is no request is put aside and the search goes on, a limited number of times.
pub(super) fn probe(target: &Cube, obstacles: &[&Cube], env: &Env, budget: &mut Budget) -> Result<Probe, Exhausted> {
    const TRIES: usize = 16;
    let mut narrowed: Option<Cube> = None;
    let mut doubt = false;
    for _ in 0..TRIES {
        let target = narrowed.as_ref().unwrap_or(target);
        let Some(point) = find_uncovered(target, obstacles, budget)? else {
            return Ok(if doubt { Probe::Doubt } else { Probe::None });
        };
        match witness(&point, env) {
            Ok(Witness { request, query }) => return Ok(Probe::Some(Box::new(Sample { request, query }))),
            Err(Refused { var, word, never }) => {
                doubt |= !never;
                match target.without(&var, &word) {
                    Some(rest) => narrowed = Some(rest),
                    None => return Ok(if doubt { Probe::Doubt } else { Probe::None }),
                }
            }
        }
    }
    Ok(Probe::Doubt)
}

/// Which of `ids` a request satisfies, by Cedar's own authorizer; `None` where one of them cannot be evaluated.
pub(super) fn satisfied(compiled: &Compiled, ids: &[&str], request: &Request) -> Option<Vec<String>> {
    let (asked, entities) = cedar::request(request, compiled.globs()).ok()?;
    let mut out = Vec::new();
    for id in ids {
        let policy: Policy = compiled.policies().policy(&PolicyId::new(id))?.clone();
        let mut alone = PolicySet::new();
        alone.add(policy).ok()?;
        let response = Authorizer::new().is_authorized(&asked, &alone, &entities);
        if response.diagnostics().errors().next().is_some() {
            return None;
        }
        // A forbid alone denies as no policy at all would, but is then the reason.
        if response.decision() == Decision::Allow || response.diagnostics().reason().next().is_some() {
            out.push((*id).to_owned());
        }
    }
    Some(out)
}
