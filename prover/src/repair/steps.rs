//! One thing of what was asked for, put back: the steps that a repair must not leave open.

use std::collections::BTreeMap;

use narrowgate_core::policy::{Allow, Endpoint, Entry, OperationRule, RestRule, Rule, Traffic};

use super::grow::restored;

/// Every entry that differs from `rule` in one thing, as `asked` has it: its executables, a destination, a method, a
/// path, a query, an end, or a deny that `rule` has and `asked` may not. Many are no wider, or not part of what was
/// asked for: the caller proves which are.
pub(super) fn steps(rule: &Entry, asked: &Entry) -> Vec<Entry> {
    let mut out = vec![Entry { binaries: asked.binaries.clone(), ..rule.clone() }];
    for binary in asked.binaries.iter().filter(|binary| !rule.binaries.contains(binary)) {
        let mut wider = rule.clone();
        wider.binaries.push(binary.clone());
        out.push(wider);
    }
    for (at, endpoint) in rule.endpoints.iter().enumerate() {
        out.extend(of_endpoint(endpoint, asked).into_iter().filter(|wider| wider != endpoint).filter_map(|wider| {
            let mut entry = rule.clone();
            *entry.endpoints.get_mut(at)? = wider;
            Some(entry)
        }));
    }
    out
}

fn of_endpoint(endpoint: &Endpoint, asked: &Entry) -> Vec<Endpoint> {
    let mut out = Vec::new();
    for before in &asked.endpoints {
        out.push(Endpoint { traffic: before.traffic.clone(), ..endpoint.clone() });
        out.push(Endpoint { host: before.host.clone(), ..endpoint.clone() });
        out.push(Endpoint { expires_at: before.expires_at, ..endpoint.clone() });
        for port in before.ports.iter().filter(|port| !endpoint.ports.contains(port)) {
            let mut wider = endpoint.clone();
            wider.ports.push(*port);
            wider.ports.sort_unstable();
            out.push(wider);
        }
    }
    let Traffic::Rest(rest) = &endpoint.traffic else { return out };
    let mut with = |change: &dyn Fn(&mut narrowgate_core::policy::Rest)| {
        let mut rest = rest.clone();
        change(&mut rest);
        out.push(Endpoint { traffic: Traffic::Rest(rest), ..endpoint.clone() });
    };
    for gone in 0..rest.deny.len() {
        with(&|rest| drop(rest.deny.remove(gone)));
    }
    let Allow::Rules(rules) = &rest.allow else { return out };
    let wider = || asked.endpoints.iter().flat_map(rules_of);
    for more in wider() {
        with(&|rest| rest.allow = Allow::Rules([rules.as_slice(), std::slice::from_ref(more)].concat()));
    }
    for (at, rule) in rules.iter().enumerate() {
        for to in wider().flat_map(|wider| relaxed(rule, wider)).chain(freed(rule)) {
            let mut changed = rules.clone();
            if let Some(slot) = changed.get_mut(at) {
                *slot = to;
            }
            with(&|rest| rest.allow = Allow::Rules(changed.clone()));
        }
    }
    out
}

/// The rule with one thing of a wider one.
fn relaxed(rule: &Rule, wider: &Rule) -> Vec<Rule> {
    match (rule, wider) {
        (Rule::Rest(rule), Rule::Rest(wider)) => [
            RestRule { path: wider.path.clone(), ..rule.clone() },
            RestRule { query: wider.query.clone(), ..rule.clone() },
            RestRule { method: wider.method.clone(), ..rule.clone() },
        ]
        .map(Rule::Rest)
        .into(),
        (Rule::Operation(rule), Rule::Operation(wider)) if rule.action() == wider.action() => {
            rule.attributes.keys().flat_map(|name| restored(rule, wider, name)).map(Rule::Operation).collect()
        }
        _ => Vec::new(),
    }
}

/// An action's rule without a condition on one of its attributes: a rule about requests, or a preset, may have asked for
/// the action whatever its attributes are.
fn freed(rule: &Rule) -> Vec<Rule> {
    let Rule::Operation(rule) = rule else { return Vec::new() };
    let Ok(anyhow) = OperationRule::new(rule.action(), BTreeMap::new()) else { return Vec::new() };
    rule.attributes.keys().flat_map(|name| restored(rule, &anyhow, name)).map(Rule::Operation).collect()
}

fn rules_of(endpoint: &Endpoint) -> &[Rule] {
    match &endpoint.traffic {
        Traffic::Rest(rest) => match &rest.allow {
            Allow::Rules(rules) => rules,
            Allow::Access(_) => &[],
        },
        Traffic::Opaque => &[],
    }
}
