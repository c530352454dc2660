//! A lowered policy set by policy: what the prover keeps by request environment and host.

use std::collections::HashMap;

use cedar_policy::Effect;
use narrowgate_core::compile::Compiled;

use crate::ceiling::{Entry, Index, Side};
use crate::lower::{Cube, Env};

/// A policy set to ask questions about.
pub(super) struct View<'a> {
    side: &'a Side,
    /// By the side's numbers.
    pub(super) rules: Vec<Rule<'a>>,
    owner: HashMap<*const Cube, usize>,
}

/// One policy.
pub(super) struct Rule<'a> {
    pub(super) id: &'a str,
    pub(super) permit: bool,
    /// Whether what fits inside may be applied without a person.
    pub(super) auto: bool,
    /// Its alternatives, by environment.
    pub(super) parts: Vec<Part<'a>>,
}

/// One alternative of a policy, in one environment.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) env: usize,
    pub(super) cube: &'a Cube,
}

impl<'a> View<'a> {
    pub(super) fn of(compiled: &Compiled, side: &'a Side) -> View<'a> {
        let mut rules: Vec<Rule<'a>> = side
            .ids
            .iter()
            .map(|id| {
                let policy = compiled.policies().policy(&cedar_policy::PolicyId::new(id));
                Rule {
                    id,
                    permit: policy.is_some_and(|policy| policy.effect() == Effect::Permit),
                    auto: policy.is_some_and(|policy| policy.annotation("review") == Some("auto")),
                    parts: Vec::new(),
                }
            })
            .collect();
        let mut owner = HashMap::new();
        for (env, index) in side.permits.iter().enumerate().chain(side.forbids.iter().enumerate()) {
            for entry in index.entries() {
                let (Some(cube), Some(rule)) = (entry.cube(), rules.get_mut(entry.policy)) else { continue };
                rule.parts.push(Part { env, cube });
                owner.insert(std::ptr::from_ref(cube), entry.policy);
            }
        }
        View { side, rules, owner }
    }

    /// The request environments.
    pub(super) fn envs(&self) -> &'a [Env] {
        &self.side.envs
    }

    /// The permits that can have a point in common with a part, with their numbers.
    pub(super) fn permits_near(&self, part: Part<'a>) -> Vec<(usize, &'a Cube)> {
        self.near(&self.side.permits, part)
    }

    /// The forbids that can have a point in common with a part, with their numbers.
    pub(super) fn forbids_near(&self, part: Part<'a>) -> Vec<(usize, &'a Cube)> {
        self.near(&self.side.forbids, part)
    }

    /// All permits of an environment.
    pub(super) fn permits(&self, env: usize) -> Vec<(usize, &'a Cube)> {
        all(&self.side.permits, env)
    }

    /// All forbids of an environment.
    pub(super) fn forbids(&self, env: usize) -> Vec<(usize, &'a Cube)> {
        all(&self.side.forbids, env)
    }

    fn near(&self, indices: &'a [Index], part: Part<'a>) -> Vec<(usize, &'a Cube)> {
        let near = indices.get(part.env).map(|index| index.near(part.cube)).unwrap_or_default();
        near.into_iter().filter_map(|cube| Some((*self.owner.get(&std::ptr::from_ref(cube))?, cube))).collect()
    }
}

fn all(indices: &[Index], env: usize) -> Vec<(usize, &Cube)> {
    let entries = indices.get(env).map(Index::entries).unwrap_or_default();
    entries.iter().filter_map(|entry: &Entry| Some((entry.policy, entry.cube()?))).collect()
}
