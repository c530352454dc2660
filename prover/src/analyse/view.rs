//! A lowered policy set by policy: what the prover keeps by request environment and host.

use cedar_policy::Effect;
use narrowgate_core::compile::Compiled;

use crate::lower::{Cube, Env};
use crate::side::{Index, Side};

/// A policy set to ask questions about.
pub(super) struct View<'a> {
    side: &'a Side,
    /// By the side's numbers.
    pub(super) rules: Vec<Rule<'a>>,
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
        for entry in side.permits.entries().iter().chain(side.forbids.entries()) {
            let Some(rule) = rules.get_mut(entry.policy) else { continue };
            rule.parts.extend(entry.envs.iter().map(|env| Part { env, cube: &entry.cube }));
        }
        rules.iter_mut().for_each(|rule| rule.parts.sort_by_key(|part| part.env));
        View { side, rules }
    }

    /// The request environments.
    pub(super) fn envs(&self) -> &'a [Env] {
        self.side.envs()
    }

    /// Which of the groups of environments whose requests have the same methods and hosts an environment is in.
    pub(super) fn class(&self, env: usize) -> Option<usize> {
        self.side.vocabulary.classes().iter().position(|class| class.contains(env))
    }

    /// The permits that can have a point in common with a part, with their numbers.
    pub(super) fn permits_near(&self, part: Part<'a>) -> Vec<(usize, &'a Cube)> {
        near(&self.side.permits, part)
    }

    /// The forbids that can have a point in common with a part, with their numbers.
    pub(super) fn forbids_near(&self, part: Part<'a>) -> Vec<(usize, &'a Cube)> {
        near(&self.side.forbids, part)
    }

    /// All permits of an environment.
    pub(super) fn permits(&self, env: usize) -> Vec<(usize, &'a Cube)> {
        all(&self.side.permits, env)
    }

    /// All forbids of an environment.
    pub(super) fn forbids(&self, env: usize) -> Vec<(usize, &'a Cube)> {
        all(&self.side.forbids, env)
    }
}

fn near<'a>(index: &'a Index, part: Part<'a>) -> Vec<(usize, &'a Cube)> {
    let here = index.near(part.cube).into_iter().filter(|entry| entry.envs.contains(part.env));
    here.map(|entry| (entry.policy, &entry.cube)).collect()
}

fn all(index: &Index, env: usize) -> Vec<(usize, &Cube)> {
    let here = index.entries().iter().filter(|entry| entry.envs.contains(env));
    here.map(|entry| (entry.policy, &entry.cube)).collect()
}
