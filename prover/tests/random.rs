//! Random policies and ceilings: "within" admits no counterexample in a finite universe that is tried out whole, and
//! the fragment that the rule language compiles to always gets an answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use narrowgate_core::cedar::is_allowed;
use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::request::{Host, Method, Operation, PathOptions, Port, Process, Request, Target};
use narrowgate_prover::{Ceiling, Options, Verdict, prove};
use proptest::prelude::*;
use proptest::sample::select;

const HOSTS: [&str; 6] = ["a.x.com", "b.x.com", "a.a.x.com", "x.com", "x", "10.0.0.1"];
const HOST_PATTERNS: [&str; 7] = ["a.x.com", "b.x.com", "*.x.com", "**.x.com", "a*.x.com", "*b.x.com", "10.0.0.1"];
const PATHS: [&str; 16] = [
    "/",
    "/a",
    "/a/",
    "/b",
    "/ab",
    "/a/a",
    "/a/b",
    "/a/ab",
    "/b/a",
    "/b/",
    "/a/a/",
    "/a/b/a",
    "/b/a/b",
    "/a/a/a/a",
    "/b/ab/a/b",
    "/x/y/z",
];
const PATH_PATTERNS: [&str; 18] = [
    "/a", "/a/", "/a/b", "/a/*", "/a/**", "/**", "/*", "/*/*", "/a*", "/*b", "/a?", "/?/b", "/**/b", "/a/**/b",
    "/*/**", "/a*/**/b", "/?/**", "/**/a?",
];
const METHODS: [&str; 4] = ["GET", "HEAD", "PUT", "PURGE"];
const BINARIES: [&str; 4] = ["/bin/a", "/bin/*", "/bin/?", "/**/a"];

fn rule() -> impl Strategy<Value = String> {
    let query = prop_oneof![
        3 => Just(""),
        1 => select(vec![", query: { k: a }", ", query: { k: 'a*' }", ", query: { k: '*' }", ", query: { k: { any: [a, 'b*'] } }"]),
    ];
    (select(vec!["GET", "HEAD", "PUT", "PURGE", "'*'"]), select(PATH_PATTERNS.to_vec()), query)
        .prop_map(|(method, path, query)| format!("{{ method: {method}, path: \"{path}\"{query} }}"))
}

fn endpoint() -> impl Strategy<Value = String> {
    let rules = proptest::collection::vec(rule(), 1..4).prop_map(|rules| {
        format!("rules: [{}]", rules.iter().map(|r| format!("{{ allow: {r} }}")).collect::<Vec<_>>().join(", "))
    });
    let allow = prop_oneof![
        4 => rules,
        1 => select(vec!["access: read-only", "access: read-write", "access: full"]).prop_map(str::to_owned),
    ];
    let rest = (allow, proptest::collection::vec(rule(), 0..2)).prop_map(|(allow, denies)| {
        let denies = if denies.is_empty() { String::new() } else { format!(", deny_rules: [{}]", denies.join(", ")) };
        format!("protocol: rest, {allow}{denies}")
    });
    let traffic = prop_oneof![6 => rest.prop_map(|r| format!(", {r}")), 1 => Just(String::new())];
    let lease = prop_oneof![5 => Just(""), 1 => Just(", expires_at: 2026-06-01T00:00:00Z")];
    (select(HOST_PATTERNS.to_vec()), select(vec!["port: 443", "port: 80", "ports: [80, 443]"]), traffic, lease)
        .prop_map(|(host, port, traffic, lease)| format!("{{ host: \"{host}\", {port}{traffic}{lease} }}"))
}

fn document() -> impl Strategy<Value = String> {
    let binaries = prop_oneof![
        3 => Just(String::new()),
        1 => select(BINARIES.to_vec()).prop_map(|b| format!("    binaries: [{{ path: \"{b}\" }}]\n")),
    ];
    proptest::collection::vec((binaries, proptest::collection::vec(endpoint(), 1..3)), 1..3).prop_map(|entries| {
        let mut out = "version: 1\nnetwork_policies:\n".to_owned();
        for (n, (binaries, endpoints)) in entries.iter().enumerate() {
            out.push_str(&format!("  p{n}:\n    name: p{n}\n{binaries}    endpoints:\n"));
            endpoints.iter().for_each(|e| out.push_str(&format!("      - {e}\n")));
        }
        out
    })
}

fn cedar() -> impl Strategy<Value = String> {
    let http = select(vec![
        "context.path like \"/a*\"",
        "context.path like \"*b\"",
        "context.path like \"/*/*\"",
        "context.path == \"/a\"",
        "context.segments.count > 1",
        "context.segments.count == 2",
        "(context.segments has h1 && context.segments.h1 == \"b\")",
        "(context.segments has t1 && context.segments.t1 like \"a*\")",
        "context.path_globs.contains(\"/a?\")",
        "context.query.hasTag(\"k\")",
        "(context.query.hasTag(\"k\") && context.query.getTag(\"k\") like \"*a\")",
        "context.query.repeated.contains(\"k\")",
        "context.method == \"PURGE\"",
        "[\"GET\", \"PURGE\"].contains(context.method)",
    ]);
    let any = select(vec![
        "resource.host == \"a.x.com\"",
        "resource.host like \"*.x.com\"",
        "resource.labels == 3",
        "resource.labels < 3",
        "resource.port == 443",
        "resource.port > 100",
        "principal.path == \"/bin/a\"",
        "principal.path like \"/bin/*\"",
        "principal.ancestors.contains(\"/bin/a\")",
        "[\"b.x.com\", \"x\"].contains(resource.host)",
        "action in Action::\"read\"",
        "action == Action::\"PUT\"",
        "context.now < 1780000000",
        "principal in Sandbox::\"s\"",
        "principal.sha256 == \"\"",
    ]);
    let atom = prop_oneof![any.prop_map(str::to_owned), http.prop_map(|c| format!("(context has path && {c})"))];
    let condition = atom.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|c| format!("!({c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    });
    let policy = (select(vec!["permit", "permit", "permit", "forbid"]), condition)
        .prop_map(|(effect, condition)| format!("{effect}(principal, action, resource) when {{ {condition} }};\n"));
    proptest::collection::vec(policy, 1..5).prop_map(|policies| policies.concat())
}

/// Every combination of a few values for each part of a request.
fn universe() -> Vec<Request> {
    let mut out = Vec::new();
    let processes = [("/bin/a", vec![]), ("/bin/xy", vec!["/bin/a".to_owned()]), ("", vec![])];
    for (path, ancestors) in processes {
        let process = Process { path: path.to_owned(), ancestors, sandbox: "s".to_owned(), ..Process::default() };
        for host in HOSTS {
            for (port, now) in [(443, 0), (80, 0), (443, 1_900_000_000)] {
                let mut add = |operation| {
                    let (host, port) = (Host::parse(host).unwrap(), Port::new(port).unwrap());
                    out.push(Request { process: process.clone(), host, port, operation, now });
                };
                add(Operation::Connect);
                for path in PATHS {
                    // A query where it makes little difference would only take time.
                    let queries: &[&str] =
                        if path == "/a" || path == "/a/b" { &["", "?k=a", "?k=bb", "?k=a&k=a"] } else { &[""] };
                    for query in queries {
                        let target = Target::parse(&format!("{path}{query}"), &PathOptions::default()).unwrap();
                        for method in METHODS {
                            add(Operation::Http {
                                method: Method::parse(method).unwrap(),
                                target: target.clone(),
                                meaning: None,
                            });
                        }
                    }
                }
            }
        }
    }
    out
}

fn compiled(text: &str) -> Compiled {
    // As a ceiling is read: entries may overlap, which only makes the question harder.
    let policy = Policy::parse(text, "random.yaml", Role::Ceiling).unwrap_or_else(|e| panic!("{e}\n{text}"));
    Compiled::policy(&policy).unwrap()
}

fn agrees(candidate: &Compiled, ceiling: &Ceiling) -> Result<(), TestCaseError> {
    let outcome = prove(candidate, ceiling, &Options::default());
    let globs = candidate.globs().union(ceiling.compiled().globs());
    let exceeds = |r: &Request| is_allowed(candidate, r, &globs) && !is_allowed(ceiling.compiled(), r, &globs);
    match outcome.verdict {
        Verdict::Exceeds(found) => prop_assert!(exceeds(&found.request)),
        Verdict::Within(_) => {
            if let Some(missed) = universe().iter().find(|r| exceeds(r)) {
                return Err(TestCaseError::fail(format!("not within: {missed:?}")));
            }
        }
        Verdict::Unsupported(reason) | Verdict::Inconclusive(reason) => {
            return Err(TestCaseError::fail(format!("no answer: {reason:?}")));
        }
        Verdict::Disagree(_) => unreachable!("one engine is asked"),
    }
    Ok(())
}

proptest! {
    // More with PROPTEST_CASES.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(96)) })]

    #[test]
    fn rules_against_rules(policy in document(), bound in document()) {
        agrees(&compiled(&policy), &Ceiling::new(compiled(&bound)).unwrap())?;
    }

    #[test]
    fn rules_against_a_part_of_a_union_of_themselves(policy in document(), more in document()) {
        // Both inside and not, often closely.
        let bound = format!("{policy}{}", more.split_once("network_policies:\n").unwrap().1.replace("  p", "  q"));
        agrees(&compiled(&policy), &Ceiling::new(compiled(&bound)).unwrap())?;
        agrees(&compiled(&bound), &Ceiling::new(compiled(&policy)).unwrap())?;
    }

    #[test]
    fn rules_against_cedar(policy in document(), bound in cedar()) {
        agrees(&compiled(&policy), &Ceiling::parse(&bound, "c.cedar").unwrap())?;
    }

    #[test]
    fn cedar_against_cedar(policy in cedar(), bound in cedar()) {
        agrees(&Compiled::cedar(&policy, "p.cedar").unwrap(), &Ceiling::parse(&bound, "c.cedar").unwrap())?;
    }
}
