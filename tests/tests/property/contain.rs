//! The prover against brute force: `Within` admits no counterexample, and every counterexample is one.

use arbitrary::Unstructured;
use narrowgate_core::cedar;
use narrowgate_core::compile::Compiled;
use narrowgate_core::decide::{Decision, Snapshot};
use narrowgate_core::policy::Role;
use narrowgate_core::request::Request;
use narrowgate_prover::{Ceiling, Options, Verdict, prove};
use narrowgate_tests::generators;
use narrowgate_tests::model::{Endpoint, Entry, Model, Rest, Rule};
use narrowgate_tests::oracles::{reads, reads_model};
use narrowgate_tests::sweep::Sweep;
use narrowgate_tests::universe::Universe;

use crate::for_all;

pub(crate) fn compiled(model: &Model, role: Role) -> Compiled {
    let policy = model.parse(role).unwrap_or_else(|errors| panic!("{errors}\n{:#}", model.to_json()));
    Compiled::policy(&policy).unwrap_or_else(|error| panic!("{error}\n{:#}", model.to_json()))
}

/// The counterexample is allowed by the candidate and by nothing in the ceiling: to the oracle, to Cedar's authorizer,
/// and to what would be enforced.
fn replays(candidate: &Model, ceiling: &Ceiling, request: &Request, in_ceiling: bool) {
    let context =
        || format!("{request:?}\ncandidate {:#}\nceiling\n{}", candidate.to_json(), ceiling.compiled().text());
    assert!(reads_model(candidate, request), "the candidate does not allow it: {}", context());
    assert!(!in_ceiling, "the ceiling allows it: {}", context());
    assert!(!cedar::is_allowed(ceiling.compiled(), request, ceiling.compiled().globs()), "{}", context());
    let policy = candidate.parse(Role::Policy).unwrap();
    let snapshot = Snapshot::new(policy.clone(), Compiled::policy(&policy).unwrap(), 1);
    assert!(matches!(snapshot.decide(request), Decision::Allow(_)), "{}", context());
}

fn judge(candidate: &Model, ceiling: &Model) -> bool {
    let prepared = Ceiling::new(compiled(ceiling, Role::Ceiling)).unwrap();
    let outcome = prove(&compiled(candidate, Role::Policy), &prepared, &Options::default());
    let context = || format!("candidate {:#}\nceiling {:#}", candidate.to_json(), ceiling.to_json());
    match outcome.verdict {
        Verdict::Within(proven) => {
            assert_eq!(proven.ceiling(), prepared.digest());
            let excess = Universe::of(&[candidate, ceiling])
                .find(|request| reads_model(candidate, request) && !reads_model(ceiling, request));
            assert!(excess.is_none(), "within, but for {excess:?}\n{}", context());
            true
        }
        Verdict::Exceeds(counterexample) => {
            let parsed = ceiling.parse(Role::Ceiling).unwrap();
            replays(candidate, &prepared, &counterexample.request, reads(&parsed, &counterexample.request));
            assert!(counterexample.curl().starts_with("curl "), "{}", counterexample.curl());
            false
        }
        Verdict::Unsupported(reason) => panic!("the rule language is supported: {reason:?}\n{}", context()),
        Verdict::Inconclusive(reason) => panic!("small policies are decided: {reason:?}\n{}", context()),
        Verdict::Disagree(_) => unreachable!("one engine is asked"),
    }
}

#[test]
fn the_verdict_is_what_brute_force_finds() {
    let (within, exceeds) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    for_all(500, 1024, |u: &mut Unstructured<'_>| {
        let (candidate, ceiling) = generators::pair(u)?;
        let count = if judge(&candidate, &ceiling) { &within } else { &exceeds };
        count.set(count.get() + 1);
        Ok(())
    });
    // Both answers must be common, or this test tests half of what it says.
    assert!(within.get() > 25 && exceeds.get() > 25, "{} within, {} exceed", within.get(), exceeds.get());
}

/// The two brute forces, the plain one and the fast one, are each other's judge.
#[test]
fn the_fast_brute_force_finds_what_the_plain_one_does() {
    let sweep = std::cell::RefCell::new(Sweep::default());
    for_all(200, 1024, |u: &mut Unstructured<'_>| {
        let (candidate, ceiling) = generators::pair(u)?;
        let exceeds = |request: &Request| reads_model(&candidate, request) && !reads_model(&ceiling, request);
        let plain = Universe::of(&[&candidate, &ceiling]).find(exceeds);
        let fast = sweep.borrow_mut().excess(&candidate, &ceiling);
        assert_eq!(plain.is_some(), fast.is_some(), "{plain:?} {fast:?}\n{candidate:?}\n{ceiling:?}");
        assert!(fast.is_none_or(|request| exceeds(&request)));
        Ok(())
    });
}

#[test]
fn a_policy_is_inside_itself() {
    for_all(200, 1024, |u: &mut Unstructured<'_>| {
        let model = generators::policy(u)?;
        assert!(judge(&model, &model), "{:#}", model.to_json());
        Ok(())
    });
}

/// Adding to a ceiling, short of denies, never turns within into exceeds.
#[test]
fn a_higher_ceiling_holds_what_a_lower_one_held() {
    for_all(150, 2048, |u: &mut Unstructured<'_>| {
        let (candidate, ceiling) = generators::pair(u)?;
        let mut higher = ceiling.clone();
        let mut more = generators::ceiling(u)?;
        for (at, entry) in more.entries.iter_mut().enumerate() {
            entry.name = format!("more-{at}");
            entry.endpoints.iter_mut().filter_map(|endpoint| endpoint.rest.as_mut()).for_each(|rest| rest.deny.clear());
        }
        higher.entries.extend(more.entries);
        if judge(&candidate, &ceiling) {
            assert!(judge(&candidate, &higher), "{:#}\n{:#}", candidate.to_json(), higher.to_json());
        }
        Ok(())
    });
}

/// A hand-written clause of a Cedar ceiling.
pub(crate) struct Clause {
    effect: &'static str,
    action: &'static str,
    when: Vec<String>,
}

impl Clause {
    pub(crate) fn draw(u: &mut Unstructured<'_>, effect: &'static str) -> arbitrary::Result<Clause> {
        // `connect`, which "admin" holds, has no path to speak of.
        let (action, http) = *u.choose(&[
            ("", false),
            ("in [Action::\"read\", Action::\"write\"]", true),
            ("in Action::\"admin\"", false),
            ("== Action::\"PUT\"", true),
            ("in [Action::\"GET\", Action::\"DELETE\", Action::\"OTHER\"]", true),
        ])?;
        let mut choices = vec![
            "resource.host like \"*.example.com\"",
            "resource.host == \"api.example.com\"",
            "resource.labels == 3",
            "resource.port == 443",
            "[80, 443].contains(resource.port)",
            "principal.path like \"/usr/*\"",
            "(principal.path == \"/usr/bin/curl\" || principal.ancestors.contains(\"/usr/bin/curl\"))",
            "context.now < 1800000000",
            "!(resource.host like \"api*\")",
        ];
        if http {
            choices.extend([
                "context.path like \"/a/*\"",
                "!(context.path like \"*/b/*\")",
                "context.segments.count <= 2",
                "(context.segments has h0 && context.segments.h0 like \"a*\")",
                "(context.query.hasTag(\"ref\") && context.query.getTag(\"ref\") like \"m*\")",
                "!context.query.hasTag(\"ref\")",
                "!context.query.repeated.contains(\"ref\")",
                "(if context.method == \"PUT\" then context.path like \"*a*\" else resource.port == 443)",
            ]);
        }
        let mut when = Vec::new();
        for _ in 0..u.int_in_range(0..=2)? {
            when.push((*u.choose(&choices)?).to_owned());
        }
        Ok(Clause { effect, action, when })
    }

    pub(crate) fn text(&self) -> String {
        let space = if self.action.is_empty() { "" } else { " " };
        let when = if self.when.is_empty() { "true".to_owned() } else { self.when.join(" && ") };
        format!("{}(principal, action{space}{}, resource) when {{ {when} }};\n", self.effect, self.action)
    }
}

/// The same question for ceilings written in Cedar, with Cedar's own authorizer as the judge.
#[test]
fn cedar_ceilings_too() {
    let (within, exceeds) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    for_all(150, 1024, |u: &mut Unstructured<'_>| {
        let candidate = generators::policy(u)?;
        let mut text = String::new();
        for _ in 0..u.int_in_range(1..=3)? {
            text += &Clause::draw(u, "permit")?.text();
        }
        if u.ratio(1, 3)? {
            text += &Clause::draw(u, "forbid")?.text();
        }
        let ceiling = Ceiling::parse(&text, "ceiling.cedar").unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mine = compiled(&candidate, Role::Policy);
        let allows = |request: &Request| cedar::is_allowed(ceiling.compiled(), request, ceiling.compiled().globs());
        match prove(&mine, &ceiling, &Options::default()).verdict {
            Verdict::Within(_) => {
                within.set(within.get() + 1);
                let universe = Universe::of(&[&candidate, &apart()]);
                let excess = universe.find(|request| reads_model(&candidate, request) && !allows(request));
                assert!(excess.is_none(), "within, but for {excess:?}\n{:#}\n{text}", candidate.to_json());
            }
            Verdict::Exceeds(counterexample) => {
                exceeds.set(exceeds.get() + 1);
                replays(&candidate, &ceiling, &counterexample.request, allows(&counterexample.request));
            }
            Verdict::Unsupported(reason) => panic!("{reason:?}\n{text}"),
            Verdict::Inconclusive(reason) => panic!("{reason:?}\n{:#}\n{text}", candidate.to_json()),
            Verdict::Disagree(_) => unreachable!("one engine is asked"),
        }
        Ok(())
    });
    assert!(exceeds.get() > 20 && within.get() > 3, "{} within, {} exceed", within.get(), exceeds.get());
}

/// A policy whose patterns tell apart what the clauses do, so that the universe has one request of each kind.
pub(crate) fn apart() -> Model {
    let rule = |method: &str, path: &str, query: &str| Rule {
        method: method.to_owned(),
        path: path.to_owned(),
        query: if query.is_empty() { Vec::new() } else { vec![("ref".to_owned(), vec![query.to_owned()])] },
    };
    let rules = ["/a/**", "/**/b/**", "/a*/**", "/*", "/*/*", "/**/*a*/**"].map(|path| rule("*", path, ""));
    let queries = ["m*", "*"].map(|query| rule("PUT", "/**", query));
    let endpoints =
        [("*.example.com", 443), ("**.example.com", 80), ("api.example.com", 8443), ("api*.example.com", 443)];
    let endpoints = endpoints.map(|(host, port)| Endpoint {
        host: host.to_owned(),
        ports: vec![port],
        rest: Some(Rest { access: None, rules: rules.iter().chain(&queries).cloned().collect(), deny: Vec::new() }),
        expires_at: Some(1_800_000_000),
    });
    let entry = |(at, binary): (usize, &str)| Entry {
        name: format!("apart-{at}"),
        binaries: vec![binary.to_owned()],
        endpoints: endpoints.to_vec(),
    };
    Model { entries: ["/usr/**", "/usr/bin/curl"].into_iter().enumerate().map(entry).collect() }
}
