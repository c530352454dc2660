//! Both engines about what requests mean: they agree, with a real solver.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod plugins;
mod solver;

use std::time::Duration;

use narrowgate_core::cedar::is_allowed;
use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::schema::Schema;
use narrowgate_prover::{Ceiling, Counterexample, Engine, Options, Verdict, prove};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use solver::solver;

fn compiled(text: &str, role: Role) -> Compiled {
    let schema = plugins::schema();
    match text.contains("network_policies") {
        true => {
            let policy = Policy::parse(text, "policy.yaml", role).unwrap_or_else(|e| panic!("{e}\n{text}"));
            Compiled::policy_over(&policy, role, &schema).unwrap_or_else(|e| panic!("{e}\n{text}"))
        }
        false => Compiled::cedar_over(text, "policy.cedar", &schema).unwrap_or_else(|e| panic!("{e}\n{text}")),
    }
}

fn endpoint(members: &str) -> String {
    format!("version: 1\nnetwork_policies:\n  p: {{ name: p, endpoints: [{{ {members} }}] }}\n")
}

/// Rules at the forge.
fn rules(rules: &[String]) -> String {
    let rules: Vec<String> = rules.iter().map(|rule| format!("{{ allow: {{ {rule} }} }}")).collect();
    endpoint(&format!("host: forge.example.com, port: 443, protocol: forge, rules: [{}]", rules.join(", ")))
}

fn on(action: &str, wanted: &str) -> String {
    rules(&[format!("action: \"{action}\", where: {{ {wanted} }}")])
}

/// `within`, or the counterexample, which the policy allows and the ceiling does not.
fn said(policy: &str, bound: &str, engine: Engine) -> Result<Option<Box<Counterexample>>, String> {
    let (policy, bound) = (compiled(policy, Role::Policy), compiled(bound, Role::Ceiling));
    let options = Options {
        engine: Some(engine),
        solver: Some(solver()),
        timeout: Duration::from_secs(30),
        ..Options::default()
    };
    match prove(&policy, &Ceiling::new(bound.clone()).unwrap(), &options).verdict {
        Verdict::Within(_) => Ok(None),
        Verdict::Exceeds(found) => {
            let globs = policy.globs().union(bound.globs());
            assert!(is_allowed(&policy, &found.request, &globs), "{found:?}");
            assert!(!is_allowed(&bound, &found.request, &globs), "{found:?}");
            Ok(Some(found))
        }
        Verdict::Disagree(disagreement) => panic!("{disagreement:?}\n{}\n{}", policy.text(), bound.text()),
        Verdict::Unsupported(reason) | Verdict::Inconclusive(reason) => {
            Err(format!("{}: {}", reason.code, reason.message))
        }
    }
}

fn check(policy: &str, bound: &str, within: bool) {
    for engine in [Engine::Exact, Engine::Smt] {
        match said(policy, bound, engine) {
            Ok(found) => assert_eq!(found.is_none(), within, "{engine:?}\n{policy}\n{bound}\n{found:?}"),
            Err(why) => panic!("{engine:?}: {why}\n{policy}\n{bound}"),
        }
    }
}

fn permit(action: &str, when: &str) -> String {
    format!("permit(principal, action == Action::\"{action}\", resource) when {{ {when} }};\n")
}

/// What the proxy enforces is no way around, and nothing more is supposed.
#[test]
fn methods_and_hosts_are_those_of_the_vocabulary() {
    let (write, read) = ("forge::contents.write", "forge::contents.read");
    let any = "permit(principal, action, resource);";
    for (policy, bound, within) in [
        (on(write, "owner: a"), permit(write, "context.method == \"PUT\""), false),
        (on(write, "owner: a"), permit(write, "context.method != \"PUT\""), false),
        (on(write, "owner: a"), permit(write, "context.method != \"POST\""), true),
        (on(write, "owner: a"), permit(write, "context.method == \"PUT\" || context.method == \"DELETE\""), true),
        (
            on(write, "owner: a"),
            format!(
                "{any} forbid(principal, action, resource) when {{ context has method && context.method == \"POST\" }};"
            ),
            true,
        ),
        (on(read, "owner: a"), permit(read, "context.method == \"GET\""), false),
        (on(read, "owner: a"), permit(read, "context.method == \"GET\" || context.method == \"HEAD\""), true),
        (permit(write, "true"), permit(write, "resource.host == \"forge.example.com\""), true),
        (permit(write, "true"), permit(write, "resource.host like \"*.example.com\" && resource.labels == 3"), true),
        (permit(write, "true"), permit(write, "resource.host == \"other.example.com\""), false),
        (
            permit("tools::tools.call", "true"),
            permit("tools::tools.call", "resource.host like \"*.example.com\""),
            false,
        ),
        // A request by method and path is one of the operations that the method carries.
        (
            endpoint(
                "host: forge.example.com, port: 443, protocol: rest, rules: [{ allow: { method: PUT, path: /a } }]",
            ),
            format!("{any} forbid(principal, action == Action::\"forge::pulls.merge\", resource);"),
            false,
        ),
        (
            endpoint(
                "host: forge.example.com, port: 443, protocol: rest, rules: [{ allow: { method: PUT, path: /a } }]",
            ),
            format!("{any} forbid(principal, action == Action::\"forge::repos.delete\", resource);"),
            true,
        ),
        (
            endpoint("host: forge.example.com, port: 443"),
            format!("{any} forbid(principal, action == Action::\"forge::repos.delete\", resource);"),
            false,
        ),
    ] {
        check(&policy, &bound, within);
    }
}

#[test]
fn every_kind_of_attribute() {
    let (write, issue, merge, call) =
        ("forge::contents.write", "forge::issues.create", "forge::pulls.merge", "tools::tools.call");
    let tools = |wanted: &str| {
        endpoint(&format!(
            "host: api.example.com, port: 443, protocol: tools, rules: [{{ allow: {{ action: \"{call}\", where: {{ {wanted} }} }} }}]"
        ))
    };
    let fields = "context.tools has arguments && context.tools.arguments.hasTag(\"p\")";
    for (policy, bound, within) in [
        (on(write, "path: 'docs/**'"), permit(write, "context.forge.path like \"docs*\""), true),
        (on(write, "path: 'docs/**'"), permit(write, "context.forge.path like \"docs/*\""), false),
        (on(write, "path: 'docs/*'"), on(write, "path: 'docs/**'"), true),
        (
            on(write, "branch: 'bot/*'"),
            permit(write, "context.forge has branch && context.forge.branch like \"bot/*\""),
            true,
        ),
        (on(write, "owner: a"), permit(write, "!(context.forge has branch)"), false),
        (on(merge, "number: { any: [1, 2] }"), permit(merge, "context.forge.number < 3"), true),
        (on(merge, "number: { any: [1, 3] }"), permit(merge, "context.forge.number < 3"), false),
        (on(merge, "force: false"), permit(merge, "!context.forge.force"), true),
        (on(merge, "owner: a"), permit(merge, "!context.forge.force"), false),
        (
            on(issue, "labels: { any: [a, b] }"),
            permit(issue, "[\"a\", \"b\", \"c\"].containsAll(context.forge.labels)"),
            true,
        ),
        (on(issue, "labels: { any: [a, b] }"), permit(issue, "context.forge.labels.contains(\"a\")"), false),
        (on(issue, "labels: { any: [] }"), permit(issue, "context.forge.labels.isEmpty()"), true),
        (on(issue, "owner: a"), permit(issue, "context.forge.labels.isEmpty()"), false),
        (on(issue, "owner: a"), permit(issue, "if context.forge has draft then context.forge.draft else true"), false),
        (
            tools("arguments: { p: '/work/**' }"),
            permit(call, &format!("{fields} && context.tools.arguments.getTag(\"p\") like \"/work*\"")),
            true,
        ),
        (
            tools("arguments: { p: '/work/**' }"),
            permit(call, &format!("{fields} && context.tools.arguments.getTag(\"p\") == \"/work\"")),
            false,
        ),
        (tools("name: read"), permit(call, fields), false),
    ] {
        check(&policy, &bound, within);
    }
}

/// The schema's text does not say for which hosts a plugin speaks: its digest does.
#[test]
fn plugins_are_compared_by_their_digests() {
    let [mine, theirs] =
        ["forge.example.com", "other.example.com"].map(|host| Schema::with([plugins::forge_at(host)]).unwrap());
    assert_eq!(mine.digest(), theirs.digest());
    let policy = Policy::parse(&on("forge::repos.read", "owner: a"), "policy.yaml", Role::Policy).unwrap();
    let policy = Compiled::policy_over(&policy, Role::Policy, &mine).unwrap();
    let verdict = |schema| prove(&policy, &Ceiling::open_over(schema), &Options::default()).verdict;
    assert!(matches!(verdict(&mine), Verdict::Within(_)));
    assert!(matches!(verdict(&theirs), Verdict::Unsupported(_)));
}

fn wanted() -> impl Strategy<Value = String> {
    let parts: Vec<Vec<&str>> = vec![
        vec!["", "owner: a", "owner: { any: [a, b] }", "owner: 'a*'"],
        vec!["", "", "path: 'd/**'", "path: 'd/*'", "path: d/x"],
        vec!["", "", "branch: main", "branch: 'bot/**'", "branch: '**'"],
    ];
    let parts = parts.into_iter().map(select).collect::<Vec<_>>();
    parts.prop_map(|parts| parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "))
}

fn clause() -> impl Strategy<Value = String> {
    let atom = select(vec![
        "context.forge.owner == \"a\"",
        "context.forge.owner like \"a*\"",
        "context.forge.path like \"d/*\"",
        "context.forge.path == \"d\"",
        "context.forge has branch",
        "(context.forge has branch && context.forge.branch like \"bot/*\")",
        "context.method == \"PUT\"",
        "resource.port == 443",
        "context.path like \"/x*\"",
    ]);
    let not = any::<bool>();
    let literal = (atom, not).prop_map(|(atom, not)| if not { format!("!({atom})") } else { atom.to_owned() });
    proptest::collection::vec(literal, 1..3).prop_map(|literals| literals.join(" && "))
}

/// The same pairs on every machine; few, for each takes the solver some time.
#[test]
fn random_pairs() {
    const PAIRS: usize = 60;
    let write = "forge::contents.write";
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = (wanted(), proptest::collection::vec((clause(), proptest::bool::weighted(0.25)), 1..4));
    let (mut within, mut exceeds, mut silent) = (0, 0, 0);
    for pair in 0..PAIRS {
        let (wanted, clauses) = strategy.new_tree(&mut runner).unwrap().current();
        let policy = match wanted.as_str() {
            "" => rules(&[format!("action: \"{write}\"")]),
            wanted => on(write, wanted),
        };
        let bound: String = clauses
            .iter()
            .map(|(when, forbid)| {
                let effect = if *forbid { "forbid" } else { "permit" };
                format!("{effect}(principal, action == Action::\"{write}\", resource) when {{ {when} }};\n")
            })
            .collect();
        let wide = "permit(principal, action in Action::\"write\", resource);";
        let bound = if pair % 2 == 0 { format!("{bound}{wide}") } else { bound };
        match said(&policy, &bound, Engine::Both) {
            Ok(None) => within += 1,
            Ok(Some(_)) => exceeds += 1,
            Err(why) => {
                println!("{why}\n{policy}\n{bound}");
                silent += 1;
            }
        }
    }
    println!("{within} within, {exceeds} exceed, {silent} without an answer");
    assert!(within * 5 >= PAIRS && exceeds * 5 >= PAIRS && silent * 10 <= PAIRS, "{within} {exceeds} {silent}");
}
