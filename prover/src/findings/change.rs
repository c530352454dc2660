//! The policy before and after, and what of it is new.

use std::collections::HashMap;

use narrowgate_core::compile::{Compiled, Origin};
use narrowgate_core::policy::{Access, Allow, Endpoint, Entry, Policy, Rule, Traffic};
use narrowgate_core::vocabulary::PluginName;

/// A policy in force and the one that would take its place.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The policy in force; an empty one where there is none.
    pub before: &'a Policy,
    /// What it compiles to.
    pub before_compiled: &'a Compiled,
    /// The policy that would be in force.
    pub after: &'a Policy,
    /// What it compiles to.
    pub after_compiled: &'a Compiled,
}

/// One thing that an endpoint allows: what becomes one Cedar permit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant<'a> {
    pub(super) key: &'a str,
    pub(super) entry: &'a Entry,
    /// The endpoint's index.
    pub(super) at: usize,
    pub(super) endpoint: &'a Endpoint,
    pub(super) what: What<'a>,
}

/// What is allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum What<'a> {
    Opaque,
    Preset(Access),
    Rule(usize, &'a Rule),
}

impl<'a> Change<'a> {
    /// What the policy after allows by a rule that the policy before does not have.
    pub(super) fn added(&self) -> Vec<Grant<'a>> {
        missing(self.after, self.before)
    }

    /// Whether a deny of the policy before is gone, so that rules which are not new may allow more.
    pub(super) fn lifts_a_deny(&self) -> bool {
        let after: Vec<_> = denies(self.after).collect();
        denies(self.before).any(|deny| !after.contains(&deny))
    }

    /// Whether a deny is new.
    pub(super) fn adds_a_deny(&self) -> bool {
        let before: Vec<_> = denies(self.before).collect();
        denies(self.after).any(|deny| !before.contains(&deny))
    }

    /// Whether a rule of the policy before is gone.
    pub(super) fn removes(&self) -> bool {
        self.lifts_a_deny() || !missing(self.before, self.after).is_empty()
    }
}

/// What `these` allow by a rule that `those` do not have, wherever it stands there.
fn missing<'a>(these: &'a Policy, those: &Policy) -> Vec<Grant<'a>> {
    // Most rules stand where they stood; only the others are worth a search.
    let by_place: HashMap<String, Grant<'_>> = grants(those).map(|grant| (grant.id(), grant)).collect();
    let is_there = |grant: &Grant<'_>| {
        by_place.get(&grant.id()).is_some_and(|same| same.says_the_same(grant))
            || by_place.values().any(|other| other.says_the_same(grant))
    };
    grants(these).filter(|grant| !is_there(grant)).collect()
}

/// Everything that a policy allows, in its order.
pub(super) fn grants(policy: &Policy) -> impl Iterator<Item = Grant<'_>> {
    policy.entries.iter().flat_map(|(key, entry)| {
        entry.endpoints.iter().enumerate().flat_map(move |(at, endpoint)| {
            let whats: Vec<What<'_>> = match &endpoint.traffic {
                Traffic::Opaque => vec![What::Opaque],
                Traffic::Rest(rest) => match &rest.allow {
                    Allow::Access(access) => vec![What::Preset(*access)],
                    Allow::Rules(rules) => rules.iter().enumerate().map(|(n, rule)| What::Rule(n, rule)).collect(),
                },
            };
            whats.into_iter().map(move |what| Grant { key, entry, at, endpoint, what })
        })
    })
}

type Deny<'a> = (&'a Entry, &'a Endpoint, &'a Rule);

/// Denies as they are compiled: with their binaries, host and ports.
fn denies(policy: &Policy) -> impl Iterator<Item = impl PartialEq + use<'_>> {
    let all = policy.entries.values().flat_map(|entry| entry.endpoints.iter().map(move |endpoint| (entry, endpoint)));
    let all = all.flat_map(|(entry, endpoint)| match &endpoint.traffic {
        Traffic::Rest(rest) => rest.deny.iter().map(|rule| (entry, endpoint, rule)).collect::<Vec<Deny<'_>>>(),
        Traffic::Opaque => Vec::new(),
    });
    all.map(|(entry, endpoint, rule)| (&entry.binaries, &endpoint.host, &endpoint.ports, rule))
}

impl Grant<'_> {
    /// The id of its Cedar permit.
    pub(super) fn id(&self) -> String {
        let rule = match self.what {
            What::Rule(number, _) => Some(number),
            What::Opaque | What::Preset(_) => None,
        };
        Origin { policy: self.key.to_owned(), endpoint: self.at, rule, deny: false }.id()
    }

    /// The JSON pointer of its endpoint.
    pub(super) fn endpoint_pointer(&self) -> String {
        format!("{}/endpoints/{}", self.entry_pointer(), self.at)
    }

    /// The JSON pointer of its entry. Keys have no character that a pointer would escape.
    pub(super) fn entry_pointer(&self) -> String {
        format!("/network_policies/{}", self.key)
    }

    /// The JSON pointer of what allows: the rule, the preset, or the endpoint.
    pub(super) fn pointer(&self) -> String {
        match self.what {
            What::Opaque => self.endpoint_pointer(),
            What::Preset(_) => format!("{}/access", self.endpoint_pointer()),
            What::Rule(number, _) => format!("{}/rules/{number}", self.endpoint_pointer()),
        }
    }

    /// What it allows, as a reviewer reads it.
    pub(super) fn text(&self) -> String {
        match self.what {
            What::Opaque => "opaque bytes".to_owned(),
            What::Preset(access) => format!("access: {}", access.as_str()),
            What::Rule(_, Rule::Rest(rule)) => format!("{} {}", rule.method.as_str(), rule.path.as_str()),
            What::Rule(_, Rule::Operation(rule)) => rule.to_string(),
        }
    }

    /// The plugin whose protocol its endpoint speaks.
    pub(super) fn plugin(&self) -> Option<&PluginName> {
        match &self.endpoint.traffic {
            Traffic::Rest(rest) => rest.protocol.as_ref(),
            Traffic::Opaque => None,
        }
    }

    /// `host:port` or `host:port,port`.
    pub(super) fn place(&self) -> String {
        let ports: Vec<String> = self.endpoint.ports.iter().map(ToString::to_string).collect();
        format!("{}:{}", self.endpoint.host.as_str(), ports.join(","))
    }

    fn says_the_same(&self, other: &Grant<'_>) -> bool {
        let what = match (self.what, other.what) {
            (What::Rule(_, a), What::Rule(_, b)) => a == b,
            // A preset is one of methods or of a plugin's actions.
            (a, b) => a == b && self.plugin() == other.plugin(),
        };
        what && self.endpoint.host == other.endpoint.host
            && self.endpoint.ports == other.endpoint.ports
            && self.endpoint.expires_at == other.endpoint.expires_at
            && self.entry.binaries == other.entry.binaries
    }
}
