//! What `prove` is asked about: a policy, laid over a baseline, changed by a proposal; and which of the files each of
//! its rules came from.

use std::path::Path;

use narrowgate_core::policy::{Allow, Policy, Role, Rule, Traffic};
use narrowgate_core::proposal::{Operation, Proposal};

use crate::exit::Failure;
use crate::files;
use crate::source::{Place, Source};

/// What would be in force.
pub(crate) struct Candidate {
    pub(crate) policy: Policy,
    /// What is in force: the baseline; without one the policy that a proposal is for; without that nothing.
    pub(crate) before: Policy,
    own: Source,
    /// The keys that the policy file itself has.
    own_keys: Vec<String>,
    baseline: Option<Source>,
    proposed: Option<Proposed>,
}

struct Proposed {
    source: Source,
    /// Each operation, with the policy before and after it.
    steps: Vec<(Operation, Policy, Policy)>,
}

impl Candidate {
    /// The baseline, the policy over it, the proposal's operations over both.
    pub(crate) fn read(policy: &Path, baseline: Option<&Path>, proposal: Option<&Path>) -> Result<Candidate, Failure> {
        let (own, mut composed) = rules(policy)?;
        let own_keys = composed.entries.keys().cloned().collect();
        let mut before = if proposal.is_some() { composed.clone() } else { Policy::empty() };
        let baseline = match baseline {
            None => None,
            Some(path) => {
                let (source, mut under) = rules(path)?;
                before = under.clone();
                under.on_miss = composed.on_miss;
                under.filesystem = composed.filesystem.take().or(under.filesystem);
                under.entries.append(&mut composed.entries);
                // Two policies that are each valid may overlap (L4 beside inspected) where they meet.
                let both = format!("{} over {}", policy.display(), path.display());
                composed = Policy::parse(&under.to_yaml(), &both, Role::Policy).map_err(Failure::invalid)?;
                Some(source)
            }
        };
        let mut candidate = Candidate { policy: composed, before, own, own_keys, baseline, proposed: None };
        if let Some(path) = proposal {
            candidate.propose(path)?;
        }
        Ok(candidate)
    }

    fn propose(&mut self, path: &Path) -> Result<(), Failure> {
        let named = |error: &dyn std::fmt::Display| Failure::invalid(format!("{}: {error}", path.display()));
        let text = files::read(path)?;
        let proposal = Proposal::parse(text.as_bytes()).map_err(|error| named(&error))?;
        let mut steps = Vec::new();
        for operation in proposal.operations {
            let after = operation.apply(&self.policy).map_err(|error| named(&error))?;
            let before = std::mem::replace(&mut self.policy, after.clone());
            steps.push((operation, before, after));
        }
        self.proposed = Some(Proposed { source: Source::document(path.display().to_string(), text), steps });
        Ok(())
    }

    /// The proposal's operations, and the policy that they change.
    pub(crate) fn proposed(&self) -> Option<(&Policy, Vec<Operation>)> {
        let steps = &self.proposed.as_ref()?.steps;
        let (_, base, _) = steps.first()?;
        Some((base, steps.iter().map(|(operation, ..)| operation.clone()).collect()))
    }

    /// The policy file's first line.
    pub(crate) fn start(&self) -> Place<'_> {
        self.own.start()
    }

    /// Where the part of the candidate that a JSON pointer names was written.
    pub(crate) fn place(&self, pointer: &str) -> Place<'_> {
        let mut steps = pointer.strip_prefix("/network_policies/").unwrap_or_default().splitn(2, '/');
        let (key, rest) = (steps.next().unwrap_or_default(), steps.next().unwrap_or_default());
        if let Some(place) = self.proposed.as_ref().and_then(|proposed| proposed.place(key, rest)) {
            return place;
        }
        match &self.baseline {
            Some(baseline) if !self.own_keys.iter().any(|own| own == key) => baseline.pointer(pointer),
            _ => self.own.pointer(pointer),
        }
    }
}

impl Proposed {
    /// Where an entry's part was proposed, if it was. The last operation that wrote it counts.
    fn place(&self, key: &str, rest: &str) -> Option<Place<'_>> {
        for (number, (operation, before, after)) in self.steps.iter().enumerate().rev() {
            if operation.rule_name() != key {
                continue;
            }
            match operation {
                Operation::AddRule { .. } => {
                    return Some(self.source.pointer(&format!("/operations/{number}/addRule/rule/{rest}")));
                }
                Operation::AddAllowRules { rules, .. } => {
                    let mut parts = rest.split('/').skip(1);
                    let endpoint = parts.next().and_then(|part| part.parse::<usize>().ok());
                    let list = parts.next();
                    let rule = parts.next().and_then(|part| part.parse::<usize>().ok());
                    let (Some(endpoint), Some("rules"), Some(rule)) = (endpoint, list, rule) else { continue };
                    if allowed(before, key, endpoint).get(rule).is_some() {
                        continue;
                    }
                    let added = allowed(after, key, endpoint).get(rule)?;
                    let at = rules.iter().position(|proposed| proposed == added)?;
                    let tail: Vec<&str> = parts.collect();
                    let pointer = format!("/operations/{number}/addAllowRules/rules/{at}/{}", tail.join("/"));
                    return Some(self.source.pointer(pointer.trim_end_matches('/')));
                }
                Operation::RemoveRule { .. } => return None,
            }
        }
        None
    }
}

fn allowed<'a>(policy: &'a Policy, key: &str, endpoint: usize) -> &'a [Rule] {
    let endpoint = policy.entries.get(key).and_then(|entry| entry.endpoints.get(endpoint));
    match endpoint.map(|endpoint| &endpoint.traffic) {
        Some(Traffic::Rest(rest)) => match &rest.allow {
            Allow::Rules(rules) => rules,
            Allow::Access(_) => &[],
        },
        _ => &[],
    }
}

/// A policy file, as text and as what it says.
fn rules(path: &Path) -> Result<(Source, Policy), Failure> {
    let (name, text) = (path.display().to_string(), files::read(path)?);
    let policy = Policy::parse(&text, &name, Role::Policy).map_err(Failure::invalid)?;
    Ok((Source::document(name, text), policy))
}
