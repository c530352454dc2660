//! Sets of texts: lists that overlap, elements, emptiness, against every set that can be told from another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod plugins;

use std::collections::BTreeSet;

use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_prover::{Ceiling, Engine, Options, Verdict, prove};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// What rules and ceilings name, and one element that stands for all others.
const NAMED: [&str; 3] = ["a", "b", "c"];
const OTHER: &str = "z";

type Set = BTreeSet<&'static str>;

/// What a ceiling asks of a set.
#[derive(Debug, Clone)]
enum Atom {
    Among(Vec<&'static str>),
    Has(&'static str),
    Empty,
}

impl Atom {
    fn text(&self) -> String {
        match self {
            Atom::Among(list) => format!("{list:?}.containsAll(context.forge.labels)"),
            Atom::Has(element) => format!("context.forge.labels.contains({element:?})"),
            Atom::Empty => "context.forge.labels.isEmpty()".to_owned(),
        }
    }

    fn holds(&self, set: &Set) -> bool {
        match self {
            Atom::Among(list) => set.iter().all(|element| list.contains(element)),
            Atom::Has(element) => set.contains(element),
            Atom::Empty => set.is_empty(),
        }
    }
}

fn list() -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(NAMED.to_vec(), 1..=3)
}

fn clause() -> impl Strategy<Value = Vec<(Atom, bool)>> {
    let atom =
        prop_oneof![3 => list().prop_map(Atom::Among), 2 => select(&NAMED).prop_map(Atom::Has), 1 => Just(Atom::Empty)];
    vec((atom, any::<bool>()), 1..4)
}

fn sets() -> impl Iterator<Item = Set> {
    let elements = [NAMED[0], NAMED[1], NAMED[2], OTHER];
    (0..16_u8).map(move |bits| (0..4).filter(|n| bits >> n & 1 == 1).map(|n| elements[n]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]
    #[test]
    fn verdicts_are_those_of_every_set(
        allowed in vec(list(), 1..3),
        permits in vec(clause(), 1..4),
        forbids in vec(clause(), 0..2),
    ) {
        let rules: Vec<String> = allowed
            .iter()
            .map(|list| format!("{{ allow: {{ action: \"forge::issues.create\", where: {{ labels: {{ any: [{}] }} }} }} }}", list.join(", ")))
            .collect();
        let policy = format!(
            "version: 1\nnetwork_policies: {{ p: {{ endpoints: [{{ host: forge.example.com, port: 443, protocol: forge, rules: [{}] }}] }} }}\n",
            rules.join(", ")
        );
        let all = permits.iter().map(|clause| ("permit", clause)).chain(forbids.iter().map(|clause| ("forbid", clause)));
        let ceiling: String = all
            .map(|(effect, clause)| {
                let literal = |(atom, is): &(Atom, bool)| if *is { atom.text() } else { format!("!{}", atom.text()) };
                let when = clause.iter().map(literal).collect::<Vec<_>>().join(" && ");
                format!("{effect}(principal, action == Action::\"forge::issues.create\", resource) when {{ {when} }};\n")
            })
            .collect();
        let holds = |clause: &Vec<(Atom, bool)>, set: &Set| clause.iter().all(|(atom, is)| atom.holds(set) == *is);
        let exceeds = sets().find(|set| {
            let asked = allowed.iter().any(|list| Atom::Among(list.clone()).holds(set));
            let permitted = permits.iter().any(|clause| holds(clause, set));
            asked && (!permitted || forbids.iter().any(|clause| holds(clause, set)))
        });
        // What can never hold is refused where it is read.
        let Ok(bound) = Ceiling::parse_over(&ceiling, "ceiling.cedar", &plugins::schema()) else { return Ok(()) };
        let parsed = Policy::parse(&policy, "policy.yaml", Role::Policy).unwrap();
        let compiled = Compiled::policy_over(&parsed, Role::Policy, &plugins::schema()).unwrap();
        let options = Options { engine: Some(Engine::Exact), ..Options::default() };
        match (prove(&compiled, &bound, &options).verdict, exceeds) {
            (Verdict::Within(_), None) | (Verdict::Exceeds(_), Some(_)) => {}
            (verdict, exceeds) => prop_assert!(false, "{verdict:?}, and {exceeds:?} exceeds\n{policy}{ceiling}"),
        }
    }
}
