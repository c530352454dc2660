//! Repairs of random rules: proven again, a part of what was asked for to the oracle too, and not to be made larger by
//! putting back any one thing that was taken away.

use std::cell::Cell;
use std::collections::BTreeMap;

use arbitrary::Unstructured;
use narrowgate_core::cedar;
use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::{Access, Allow, Endpoint, Entry, Policy, RestRule, Role, Rule, Traffic};
use narrowgate_core::request::Request;
use narrowgate_prover::{Ceiling, Grounds, NoRepair, Options, Repair, Repaired, Verdict, prove, repair};
use narrowgate_tests::generators;
use narrowgate_tests::model::Model;
use narrowgate_tests::oracles::reads_model;
use narrowgate_tests::universe::Universe;

use crate::contain::{Clause, apart, compiled};
use crate::for_all;

fn is_within(policy: &Policy, ceiling: &Ceiling) -> bool {
    let compiled = Compiled::policy(policy).unwrap();
    match prove(&compiled, ceiling, &Options::default()).verdict {
        Verdict::Within(_) => true,
        Verdict::Exceeds(_) => false,
        other => panic!("{other:?}\n{}", policy.to_yaml()),
    }
}

fn alone(key: &str, entry: &Entry) -> Policy {
    Policy { entries: BTreeMap::from([(key.to_owned(), entry.clone())]), ..Policy::empty() }
}

fn bound(policy: &Policy) -> Ceiling {
    Ceiling::new(Compiled::policy(policy).unwrap()).unwrap()
}

/// How often each thing came of a repair.
#[derive(Default)]
struct Counts(Cell<BTreeMap<&'static str, usize>>);

impl Counts {
    fn add(&self, what: &'static str) {
        let mut all = self.0.take();
        *all.entry(what).or_default() += 1;
        self.0.set(all);
    }
}

fn judge(candidate: &Model, ceiling: &Ceiling, others: &[&Model], counts: &Counts) {
    let policy = candidate.parse(Role::Policy).unwrap();
    let outcome = prove(&Compiled::policy(&policy).unwrap(), ceiling, &Options::default());
    let Verdict::Exceeds(found) = outcome.verdict else { return };
    let at = found.rule.unwrap();
    let allows = |request: &Request| cedar::is_allowed(ceiling.compiled(), request, ceiling.compiled().globs());
    let context = || format!("candidate {:#}\nceiling\n{}", candidate.to_json(), ceiling.compiled().text());
    match repair(&policy, &at, ceiling, &Grounds::default(), &Options::default()) {
        Repair::Rule(repaired) => {
            counts.add("repaired");
            // From its text, as it would be posted.
            let read = Policy::parse(&repaired.policy.to_yaml(), "repaired", Role::Policy).unwrap();
            assert!(is_within(&read, ceiling), "{}\n{}", read.to_yaml(), context());
            let before = alone(&at.policy, policy.entries.get(&at.policy).unwrap());
            let after = alone(&at.policy, &repaired.rule);
            let (before, after) = (Model::of(&before), Model::of(&after));
            let universe = Universe::of(&[others, &[candidate, &before, &after]].concat());
            let whole = Model::of(&read);
            let excess = universe.find(|request| {
                let allowed = reads_model(&after, request);
                allowed && (!reads_model(&before, request) || (reads_model(&whole, request) && !allows(request)))
            });
            assert!(excess.is_none(), "{excess:?}\n{:#}\n{}", after.to_json(), context());
            let nothing = Ceiling::parse("forbid(principal, action, resource);", "nothing.cedar").unwrap();
            assert!(!is_within(&alone(&at.policy, &repaired.rule), &nothing), "{:#}\n{}", after.to_json(), context());
            if repaired.complete {
                counts.add("complete");
                is_maximal(&repaired, &policy, ceiling, counts, &context);
            }
        }
        Repair::None(why) => {
            counts.add(why.code());
            if matches!(why, NoRepair::NothingInCommon | NoRepair::DeniedByCeiling) {
                // What denies beside the rule is part of what was asked for.
                let mut asked = policy.clone();
                asked.entries.retain(|key, _| *key == at.policy);
                let asked = Model::of(&asked);
                let universe = Universe::of(&[others, &[candidate]].concat());
                let common = universe.find(|request| reads_model(&asked, request) && allows(request));
                assert!(common.is_none(), "{why:?}, but {common:?}\n{}", context());
            }
        }
    }
}

/// Every way of putting one thing back makes it exceed, or is no change, or more than was asked for.
fn is_maximal(repaired: &Repaired, policy: &Policy, ceiling: &Ceiling, counts: &Counts, context: &dyn Fn() -> String) {
    let key = &repaired.rule_name;
    let asked = policy.entries.get(key).unwrap();
    let (whole, now) = (bound(&alone(key, asked)), bound(&alone(key, &repaired.rule)));
    for wider in relaxations(&repaired.rule, asked) {
        let mut candidate = repaired.policy.clone();
        candidate.entries.insert(key.clone(), wider.clone());
        let entry = alone(key, &wider);
        if Policy::parse(&candidate.to_yaml(), "wider", Role::Policy).is_err()
            || !is_within(&entry, &whole)
            || is_within(&entry, &now)
            || !is_within(&alone(key, &repaired.rule), &bound(&entry))
        {
            continue;
        }
        counts.add("relaxations");
        assert!(
            !is_within(&candidate, ceiling),
            "this fits and is larger: {}\nthan {}\n{}",
            wider.to_json(),
            repaired.rule.to_json(),
            context()
        );
    }
}

fn relaxations(rule: &Entry, asked: &Entry) -> Vec<Entry> {
    let mut out = vec![Entry { binaries: asked.binaries.clone(), ..rule.clone() }];
    for binary in &asked.binaries {
        let mut wider = rule.clone();
        wider.binaries.push(binary.clone());
        out.push(wider);
    }
    for (at, endpoint) in rule.endpoints.iter().enumerate() {
        let mut with = |endpoint: Endpoint| {
            let mut wider = rule.clone();
            wider.endpoints[at] = endpoint;
            out.push(wider);
        };
        for before in &asked.endpoints {
            with(Endpoint { host: before.host.clone(), ..endpoint.clone() });
            with(Endpoint { expires_at: before.expires_at, ..endpoint.clone() });
            for port in before.ports.iter().filter(|port| !endpoint.ports.contains(port)) {
                let mut wider = endpoint.clone();
                wider.ports.push(*port);
                wider.ports.sort_unstable();
                with(wider);
            }
            with(Endpoint { traffic: before.traffic.clone(), ..endpoint.clone() });
        }
        let Traffic::Rest(rest) = &endpoint.traffic else { continue };
        for gone in 0..rest.deny.len() {
            let mut rest = rest.clone();
            rest.deny.remove(gone);
            with(Endpoint { traffic: Traffic::Rest(rest), ..endpoint.clone() });
        }
        let Allow::Rules(rules) = &rest.allow else { continue };
        for wider in asked.endpoints.iter().flat_map(rules_of) {
            for (at, rule) in rules.iter().enumerate() {
                let Rule::Rest(rule) = rule else { continue };
                let relaxed = [
                    RestRule { path: wider.path.clone(), ..rule.clone() },
                    RestRule { query: wider.query.clone(), ..rule.clone() },
                    RestRule { method: wider.method.clone(), ..rule.clone() },
                ];
                for relaxed in relaxed {
                    let mut rest = rest.clone();
                    let mut rules = rules.clone();
                    rules[at] = Rule::Rest(relaxed);
                    rest.allow = Allow::Rules(rules);
                    with(Endpoint { traffic: Traffic::Rest(rest), ..endpoint.clone() });
                }
            }
        }
    }
    out
}

fn rules_of(endpoint: &Endpoint) -> Vec<RestRule> {
    match &endpoint.traffic {
        Traffic::Rest(rest) => match &rest.allow {
            Allow::Rules(rules) => rules.iter().filter_map(Rule::rest).cloned().collect(),
            Allow::Access(Access::Full | Access::ReadOnly | Access::ReadWrite) => Vec::new(),
        },
        Traffic::Opaque => Vec::new(),
    }
}

#[test]
fn under_ceilings_in_the_rule_language() {
    let counts = Counts::default();
    for_all(60, 1024, |u: &mut Unstructured<'_>| {
        let (candidate, ceiling) = generators::pair(u)?;
        let prepared = Ceiling::new(compiled(&ceiling, Role::Ceiling)).unwrap();
        judge(&candidate, &prepared, &[&ceiling], &counts);
        Ok(())
    });
    let counts = counts.0.take();
    eprintln!("{counts:?}");
    // How many there are is chance; without one, nothing was tested.
    assert!(counts.get("repaired").is_some_and(|n| *n > 0), "{counts:?}");
}

#[test]
fn under_ceilings_in_cedar() {
    let counts = Counts::default();
    for_all(40, 1024, |u: &mut Unstructured<'_>| {
        let candidate = generators::policy(u)?;
        let mut text = String::new();
        for _ in 0..u.int_in_range(1..=3)? {
            text += &Clause::draw(u, "permit")?.text();
        }
        for _ in 0..u.int_in_range(0..=2)? {
            text += &Clause::draw(u, "forbid")?.text();
        }
        let ceiling = Ceiling::parse(&text, "ceiling.cedar").unwrap_or_else(|error| panic!("{error}\n{text}"));
        judge(&candidate, &ceiling, &[&apart()], &counts);
        Ok(())
    });
    let counts = counts.0.take();
    eprintln!("{counts:?}");
    // How many there are is chance; without one, nothing was tested.
    assert!(counts.get("repaired").is_some_and(|n| *n > 0), "{counts:?}");
}
