//! A repair as what an agent can post.

use narrowgate_core::policy::{Allow, Entry, Policy, Traffic};
use narrowgate_core::proposal::Operation;

use super::Repaired;

impl Repaired {
    /// The operations that were `posted` to change `base`, with the repair in them. Those of which nothing fits are left
    /// out; `None` where no operations make this policy of `base`.
    pub fn operations(&self, posted: &[Operation], base: &Policy) -> Option<Vec<Operation>> {
        let mut out = Vec::new();
        let mut policy = base.clone();
        for operation in posted {
            let repaired = match operation {
                Operation::AddRule { rule_name, .. } if self.remaining.contains(rule_name) => continue,
                Operation::AddRule { rule_name, rule } => {
                    let rule = self.policy.entries.get(rule_name).unwrap_or(rule).clone();
                    Operation::AddRule { rule_name: rule_name.clone(), rule }
                }
                Operation::AddAllowRules { rule_name, host, port, .. } => {
                    let rules = |entry: Option<&Entry>| {
                        let endpoints = entry.into_iter().flat_map(|entry| &entry.endpoints);
                        let mut there = endpoints.filter(|e| e.host == *host && e.ports.contains(port));
                        match there.next().map(|endpoint| &endpoint.traffic) {
                            Some(Traffic::Rest(rest)) => match &rest.allow {
                                Allow::Rules(rules) => rules.clone(),
                                Allow::Access(_) => Vec::new(),
                            },
                            _ => Vec::new(),
                        }
                    };
                    let before = rules(policy.entries.get(rule_name));
                    let mut rules = rules(self.policy.entries.get(rule_name));
                    rules.retain(|rule| !before.contains(rule));
                    if rules.is_empty() {
                        continue;
                    }
                    let (rule_name, host, port) = (rule_name.clone(), host.clone(), *port);
                    Operation::AddAllowRules { rule_name, host, port, rules }
                }
                Operation::RemoveRule { .. } => operation.clone(),
            };
            policy = repaired.apply(&policy).ok()?;
            out.push(repaired);
        }
        (policy == self.policy && !out.is_empty()).then_some(out)
    }
}
