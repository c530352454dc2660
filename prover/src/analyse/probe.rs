//! One question to the engine, answered with a request.

use std::collections::BTreeMap;

use cedar_policy::{Authorizer, Effect, Policy, PolicyId, PolicySet};
use narrowgate_core::cedar;
use narrowgate_core::compile::Compiled;
use narrowgate_core::request::Request;

use crate::find::{Request as Found, find_request};
use crate::lower::{Cube, Env};
use crate::replay::Witness;
use crate::solve::{Budget, Exhausted};
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

/// Asks.
pub(super) fn probe(target: &Cube, obstacles: &[&Cube], env: &Env, budget: &mut Budget) -> Result<Probe, Exhausted> {
    Ok(match find_request(target, obstacles, env, budget)? {
        Found::None => Probe::None,
        Found::Doubt => Probe::Doubt,
        Found::Some(witness) => {
            let Witness { request, query } = *witness;
            Probe::Some(Box::new(Sample { request, query }))
        }
    })
}

/// Which policies of a set a request satisfies, by Cedar's own authorizer. Permits are asked about one at a time: in a
/// large set the others are most of it.
pub(super) struct Replay<'a> {
    compiled: &'a Compiled,
    forbids: PolicySet,
}

/// What Cedar says about a request.
pub(super) struct Replayed {
    /// Of the permits that were asked about.
    pub(super) permits: Vec<String>,
    /// Of all forbids.
    pub(super) forbids: Vec<String>,
}

impl<'a> Replay<'a> {
    /// `None` where a policy cannot be taken apart from the others, which static policies can.
    pub(super) fn new(compiled: &'a Compiled) -> Option<Replay<'a>> {
        let forbids = compiled.policies().policies().filter(|policy| policy.effect() == Effect::Forbid);
        Some(Replay { compiled, forbids: PolicySet::from_policies(forbids.cloned()).ok()? })
    }

    /// `None` where something cannot be evaluated.
    pub(super) fn of(&self, permits: &[&str], request: &Request) -> Option<Replayed> {
        let permits = permits.iter().map(|id| self.compiled.policies().policy(&PolicyId::new(id)).cloned());
        let permits = PolicySet::from_policies(permits.collect::<Option<Vec<Policy>>>()?).ok()?;
        let (asked, entities) = cedar::request(request, self.compiled.schema(), self.compiled.globs()).ok()?;
        let reasons = |set: &PolicySet| {
            let response = Authorizer::new().is_authorized(&asked, set, &entities);
            let reasons = response.diagnostics().reason().map(ToString::to_string).collect();
            response.diagnostics().errors().next().is_none().then_some(reasons)
        };
        Some(Replayed { permits: reasons(&permits)?, forbids: reasons(&self.forbids)? })
    }
}
