//! What authors of ceilings and policies are told, and that it is true.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use narrowgate_core::cedar::is_allowed;
use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_prover::analyse::{self, Analysis, Concern, Finding, FindingKind, concern};
use narrowgate_prover::{Ceiling, Options, Verdict, prove};
use proptest::prelude::*;

fn ceiling(text: &str) -> Ceiling {
    Ceiling::parse(text, "ceiling").unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// A finding in a line: `redundant policy1 by policy0: curl …`.
fn line(finding: &Finding) -> String {
    let mut out = finding.kind.name().to_owned();
    for word in finding.policy.iter().chain(&finding.actions) {
        out += &format!(" {word}");
    }
    if !finding.by.is_empty() {
        out += &format!(" by {}", finding.by.join(" "));
    }
    match &finding.witness {
        Some(witness) => format!("{out}: {}", witness.curl()),
        None => out,
    }
}

fn lines(analysis: &Analysis) -> Vec<String> {
    let not =
        analysis.not_analysed.iter().map(|not| format!("not_analysed {} {}: {}", not.policy, not.code, not.message));
    analysis.findings.iter().map(line).chain(not).collect()
}

/// What is said about a ceiling, apart from actions that it does not cover.
fn check(text: &str, expect: &[&str]) {
    let ceiling = ceiling(text);
    let analysis = analyse::ceiling(&ceiling, &Options::default());
    let found: Vec<String> =
        lines(&analysis).into_iter().filter(|line| !line.starts_with("action_not_covered")).collect();
    assert_eq!(found, expect, "{text}");
    for finding in &analysis.findings {
        let Some(witness) = &finding.witness else { continue };
        let allowed = is_allowed(ceiling.compiled(), &witness.request, ceiling.compiled().globs());
        let expect = matches!(finding.kind, FindingKind::Redundant | FindingKind::AllowsEverything);
        assert_eq!(allowed, expect, "{}\n{text}", line(finding));
    }
}

fn get(condition: &str) -> String {
    format!("permit(principal, action == Action::\"GET\", resource) when {{ {condition} }};\n")
}

fn deny(condition: &str) -> String {
    format!("forbid(principal, action, resource) when {{ {condition} }};\n")
}

const A: &str = "resource.host == \"a.example\"";

#[test]
fn a_sound_ceiling_has_no_findings() {
    check(&get(A), &[]);
    check(&[get(A), get("resource.host == \"b.example\""), deny("resource.port == 22")].concat(), &[]);
    // Overlapping is not redundant, and a hole is not a shadow.
    check(
        &[
            get(&format!("{A} && context.path like \"/a/*\"")),
            get(&format!("{A} && context.path like \"/*/b\"")),
            deny("resource.host like \"*.example\" && resource.port == 22"),
        ]
        .concat(),
        &[],
    );
    let everything = ceiling(&format!(
        "permit(principal, action, resource) when {{ {A} }}; forbid(principal, action == Action::\"connect\", resource);"
    ));
    assert_eq!(lines(&analyse::ceiling(&everything, &Options::default())), Vec::<String>::new());
}

#[test]
fn what_never_applies_is_named() {
    let check = |text: &str, expect: &str, message: &str| {
        check(text, &[expect]);
        let analysis = analyse::ceiling(&ceiling(text), &Options::default());
        assert!(analysis.findings[0].message().ends_with(message), "{}", analysis.findings[0].message());
    };
    let contradiction = format!("{A} && resource.port == 1 && resource.port == 2");
    check(&[get(A), get(&contradiction)].concat(), "permit_never_applies policy1", "it allows nothing");
    check(&[get(A), deny("resource.port == 0")].concat(), "forbid_never_applies policy1", "it forbids nothing");
    // Only an engine that knows what a canonical request is can say so.
    for (never, what) in [
        ("context.path like \"*/../*\"", "path"),
        ("context.path like \"a*\" && resource.port == 443", "path"),
        ("resource.host like \"*A*\"", "host"),
        ("resource.labels == 0 && resource.host like \"*.example\"", "host"),
        ("context.path like \"/a/*\" && context.segments.count == 1", "path"),
        ("resource.host like \"*A*\" || context.path like \"a*\"", "host or path"),
    ] {
        let message = format!("; there can be no such {what}");
        check(&[get(A), get(never)].concat(), "permit_never_applies policy1", &message);
    }
    for never in [
        "resource.port > 443 && resource.port < 444",
        "resource.host == \"a.example\" && resource.host like \"b*\"",
        "context.query.hasTag(\"k\") && context.query.repeated.contains(\"k\")",
    ] {
        check(&[get(A), get(never)].concat(), "permit_never_applies policy1", "");
    }
}

#[test]
fn shadows_are_shown_with_the_forbids() {
    check(
        &[get(&format!("{A} && resource.port == 443")), deny(A)].concat(),
        &["shadowed_by_forbid policy0 by policy1: curl 'https://a.example/'"],
    );
    // Neither forbid is enough; the third has nothing to do with it.
    check(
        &[
            get(&format!("{A} && context.path like \"/x*\"")),
            deny("context has path && context.path like \"/x\""),
            deny("resource.host == \"z.example\""),
            deny("context has path && context.path like \"/x*y\""),
            deny("context has path && context.path like \"/x*\" && context.path != \"/x\""),
        ]
        .concat(),
        &["shadowed_by_forbid policy0 by policy1 policy4: curl 'https://a.example/x'"],
    );
}

#[test]
fn redundant_permits_are_shown_with_what_covers_them() {
    let narrow = format!("{A} && context.path like \"/a/*\"");
    check(&[get(&narrow), get(A)].concat(), &["redundant policy0 by policy1: curl 'https://a.example/a/x'"]);
    // Of two that mean the same, one stays.
    check(
        &[get(A), get(A), get(A)].concat(),
        &[
            "redundant policy1 by policy0: curl 'https://a.example/'",
            "redundant policy2 by policy0: curl 'https://a.example/'",
        ],
    );
    // By two together, and a forbid may take what they do not cover.
    let halves = [get(&format!("{A} && resource.port < 1000")), get(&format!("{A} && resource.port > 1000"))].concat();
    check(&[get(&narrow), halves.clone()].concat(), &[]);
    check(
        &[get(&narrow), halves, deny("resource.port == 1000")].concat(),
        &["redundant policy0 by policy1 policy2: curl 'https://a.example/a/x'"],
    );
    // For review by the machine: a wider permit that wants a person does not say the same.
    let auto = format!("@review(\"auto\")\n{}", get(&narrow));
    check(&[auto.clone(), get(A)].concat(), &[]);
    check(
        &[auto.clone(), format!("@review(\"auto\")\n{}", get(A))].concat(),
        &["redundant policy0 by policy1: curl 'https://a.example/a/x'"],
    );
    check(
        &[get(&narrow), format!("@review(\"auto\")\n{}", get(A))].concat(),
        &["redundant policy0 by policy1: curl 'https://a.example/a/x'"],
    );
}

#[test]
fn what_is_unbounded_and_what_is_not_covered_is_named() {
    check(
        "permit(principal, action == Action::\"GET\", resource);",
        &["allows_everything GET by policy0: curl 'https://example.com/'"],
    );
    check(
        "permit(principal, action in Action::\"write\", resource) when { resource.port >= 100 };
         permit(principal, action in [Action::\"POST\", Action::\"PATCH\"], resource) when { resource.port < 200 };",
        &["allows_everything POST PATCH by policy0 policy1: curl -X POST 'https://example.com/'"],
    );
    check(
        "permit(principal, action in Action::\"read\", resource); forbid(principal, action, resource) when { resource.port == 22 };",
        &[],
    );
    let uncovered = |text: &str| lines(&analyse::ceiling(&ceiling(text), &Options::default()));
    assert_eq!(
        uncovered(&format!("permit(principal, action in Action::\"read\", resource) when {{ {A} }};")),
        ["action_not_covered POST PUT PATCH DELETE OTHER connect: curl -X POST 'https://example.com/'"]
    );
    assert_eq!(
        uncovered(&format!(
            "permit(principal, action, resource) when {{ {A} }};
             forbid(principal, action, resource) when {{ {A} && resource.port > 0 && context has path && context.method == \"PUT\" }};"
        )),
        ["action_not_covered PUT: curl -X PUT 'https://example.com/'"]
    );
}

#[test]
fn what_is_not_modelled_is_named_and_never_counts_against_others() {
    let odd = "permit(principal, action, resource) when { resource.port + 1 == 444 };\n";
    let found = lines(&analyse::ceiling(&ceiling(&[odd, &get(A)].concat()), &Options::default()));
    let named = "not_analysed policy0 unsupported_construct: uses a construct that the exact engine does not model: +";
    assert_eq!(found, [named]);
    let odd = odd.replace("permit", "forbid");
    check(&[&odd, "permit(principal, action == Action::\"GET\", resource);"].concat(), &[named]);
}

#[test]
fn policies_are_told_about_their_rules() {
    let policy = |members: &str| {
        let text = format!(
            "version: 1\nnetwork_policies:\n  p:\n    endpoints:\n      - {{ host: a.example, port: 443, protocol: rest, {members} }}\n"
        );
        let policy = Policy::parse(&text, "policy.yaml", Role::Policy).unwrap_or_else(|e| panic!("{e}\n{text}"));
        lines(&analyse::policy(&Compiled::policy(&policy).unwrap(), &Options::default()))
    };
    let allow = |rules: &[&str]| {
        let each: Vec<String> = rules.iter().map(|rule| format!("{{ allow: {{ {rule} }} }}")).collect();
        format!("rules: [{}]", each.join(", "))
    };
    assert_eq!(policy("access: read-only"), Vec::<String>::new());
    assert_eq!(
        policy(&allow(&["method: GET, path: \"/**\"", "method: HEAD, path: /a", "method: PUT, path: /a"])),
        ["redundant p/endpoints/0/rules/1 by p/endpoints/0/rules/0: curl --head 'https://a.example/a'"]
    );
    let denied = allow(&["method: PUT, path: \"/a/**\"", "method: PUT, path: \"/b/**\""])
        + ", deny_rules: [{ method: \"*\", path: \"/a/**\" }, { method: PUT, path: \"/c/../d\" }]";
    let error = Policy::parse(&denied, "x", Role::Policy);
    assert!(error.is_err());
    let denied = denied.replace(", { method: PUT, path: \"/c/../d\" }", "");
    assert_eq!(
        policy(&denied),
        ["shadowed_by_forbid p/endpoints/0/rules/0 by p/endpoints/0/deny_rules/0: curl -X PUT 'https://a.example/a'"]
    );
}

#[test]
fn the_budget_is_kept_and_what_it_leaves_open_is_named() {
    let text: String = (0..40).map(|n| get(&format!("context.path like \"*{n}*a*{n}*b*\""))).collect();
    let ceiling = ceiling(&text);
    let none = Options { timeout: Duration::ZERO, ..Options::default() };
    let few = Options { max_states: 3, ..Options::default() };
    for (options, code) in [(none, "timeout"), (few, "resource_limit")] {
        let analysis = analyse::ceiling(&ceiling, &options);
        assert!(analysis.findings.iter().all(|f| f.kind == FindingKind::ActionNotCovered), "{:?}", lines(&analysis));
        assert!(analysis.not_analysed.iter().any(|not| not.code == code), "{:?}", lines(&analysis));
    }
}

/// A bound on the work, whatever else the machine does: so many states for each policy.
fn little_work() -> Options {
    Options { timeout: Duration::from_secs(120), max_states: 10_000, ..Options::default() }
}

#[test]
fn a_thousand_permits_are_no_trouble() {
    let same_host = |n: usize| get(&format!("{A} && context.path like \"/repos/*/d{n}/*\""));
    let other_hosts = |n: usize| get(&format!("resource.host == \"h{n}.example\" && context.path like \"/d/*\""));
    let wild_hosts = |n: usize| get(&format!("resource.host like \"*.h{n}.example\" && context.path like \"/d/*\""));
    for (case, one) in
        [("one host", &same_host as &dyn Fn(usize) -> String), ("hosts", &other_hosts), ("wild", &wild_hosts)]
    {
        let text: String = (0..1000).map(one).chain([one(7), deny("resource.port == 22")]).collect();
        let ceiling = ceiling(&text);
        let started = Instant::now();
        let analysis = analyse::ceiling(&ceiling, &little_work());
        eprintln!("{case}: {:?}", started.elapsed());
        let found: Vec<&str> = analysis.findings.iter().filter_map(|f| f.policy.as_deref()).collect();
        assert_eq!((found, analysis.not_analysed.len()), (vec!["policy1000"], 0), "{case}");
    }
}

#[test]
fn a_thousand_findings_are_no_trouble() {
    let one = |n: usize| get(&format!("{A} && context.path like \"/repos/d{n}/*\" && resource.port == {}", n % 3 + 1));
    let wide = get(&format!("{A} && resource.port < 3"));
    let shadow = deny(&format!("{A} && resource.port == 3"));
    let text: String = (0..1000).map(one).chain([wide, shadow]).collect();
    let ceiling = ceiling(&text);
    let started = Instant::now();
    let analysis = analyse::ceiling(&ceiling, &little_work());
    eprintln!("{:?}", started.elapsed());
    let count = |kind| analysis.findings.iter().filter(|finding| finding.kind == kind).count();
    assert_eq!((count(FindingKind::Redundant), count(FindingKind::ShadowedByForbid)), (667, 333));
    assert_eq!(analysis.not_analysed, []);
}

fn names(concern: &Concern) -> String {
    match concern {
        Concern::Forbidden(ids) => format!("forbidden {}", ids.join(" ")),
        Concern::Uncovered(near) => {
            let each: Vec<String> = near.iter().map(|n| format!("{} lacks {}", n.policy, n.lacks.join(", "))).collect();
            format!("near {}", each.join("; "))
        }
    }
}

#[test]
fn a_counterexample_names_what_it_is_about() {
    let policy = "version: 1\nnetwork_policies:\n  p:\n    endpoints:\n      - { host: a.example, port: 443, protocol: rest, rules: [{ allow: { method: PUT, path: \"/x/**\", query: { k: v } } }] }\n";
    let policy = Compiled::policy(&Policy::parse(policy, "p.yaml", Role::Policy).unwrap()).unwrap();
    let check = |text: &str, expect: &str| {
        let ceiling = ceiling(text);
        let outcome = prove(&policy, &ceiling, &Options::default());
        let Verdict::Exceeds(found) = &outcome.verdict else { panic!("{:?}", outcome.verdict) };
        assert_eq!(names(&concern(&ceiling, found)), expect, "{text}");
    };
    let all = format!("permit(principal, action, resource) when {{ {A} }};\n");
    check(
        &[all.clone(), deny("resource.port == 443"), deny("resource.port == 80"), deny(A)].concat(),
        "forbidden policy1 policy3",
    );
    // A forbid outside the fragment is named as well: Cedar says which decide.
    check(&[get(A), deny("resource.port + 1 == 444")].concat(), "forbidden policy1");
    check(&get(A), "near policy0 lacks action");
    check(&get(&format!("{A} && context.path like \"/y/*\"")), "near policy0 lacks action, path");
    check(&get("resource.host == \"b.example\""), "near ");
    check(
        &[
            get(A),
            format!(
                "permit(principal, action == Action::\"PUT\", resource) when {{ {A} && context.path like \"/x/y/*\" }};"
            ),
            format!("permit(principal, action == Action::\"PUT\", resource) when {{ {A} && resource.port == 80 }};"),
        ]
        .concat(),
        "near policy1 lacks path",
    );
    check(
        &format!(
            "permit(principal, action == Action::\"PUT\", resource) when {{ {A} && context.query.hasTag(\"k\") && context.query.getTag(\"k\") == \"w\" }};"
        ),
        "near policy0 lacks query parameter \"k\"",
    );
}

fn random_policy() -> impl Strategy<Value = String> {
    let effect = prop_oneof![4 => Just("permit"), 1 => Just("forbid")];
    let action = prop_oneof![
        Just("action == Action::\"GET\""),
        Just("action in Action::\"read\""),
        Just("action in [Action::\"GET\", Action::\"PUT\"]"),
    ];
    let path = proptest::sample::select(vec!["/a*", "/b*", "/*a", "/a/*", "/*/a*", "/a/b", "*b*", "/a", "/*", "a*"]);
    let port = proptest::sample::select(vec!["> 0", "== 443", "< 443", "> 80", "!= 443", "<= 80"]);
    let auto = prop_oneof![3 => Just(""), 1 => Just("@review(\"auto\") ")];
    (effect, action, path, port, auto).prop_map(|(effect, action, path, port, auto)| {
        let auto = if effect == "permit" { auto } else { "" };
        format!(
            "{auto}{effect}(principal, {action}, resource) when {{ resource.host == \"a.example\" && context.path like \"{path}\" && resource.port {port} }};\n"
        )
    })
}

/// Whether the one allows no more than the other.
fn within(one: &str, other: &str) -> bool {
    let one = Compiled::cedar(one, "one.cedar").unwrap();
    match prove(&one, &ceiling(other), &Options::default()).verdict {
        Verdict::Within(_) => true,
        Verdict::Exceeds(_) => false,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// What is said to do nothing can go, all of it at once, and the prover sees no difference; what is not said to
    /// do nothing cannot.
    #[test]
    fn findings_are_exactly_what_can_go(policies in proptest::collection::vec(random_policy(), 1..7)) {
        let whole = policies.concat();
        let analysis = analyse::ceiling(&ceiling(&whole), &Options::default());
        prop_assert!(analysis.not_analysed.is_empty(), "{:?}", lines(&analysis));
        let flagged: Vec<String> = analysis.findings.iter().filter_map(|f| f.policy.clone()).collect();
        let without = |gone: &dyn Fn(usize) -> bool, only: &dyn Fn(&str) -> bool| -> String {
            let kept = policies.iter().enumerate().filter(|(n, text)| !gone(*n) && only(text));
            // A permit that nothing satisfies, so that there is always a policy.
            kept.map(|(_, text)| text.as_str()).chain([get("resource.port == 0").as_str()]).collect()
        };
        let is_flagged = |n: usize| flagged.contains(&format!("policy{n}"));
        let reduced = without(&is_flagged, &|_| true);
        prop_assert!(within(&whole, &reduced) && within(&reduced, &whole), "{:?}\n{whole}", lines(&analysis));
        let auto = |text: &str| text.starts_with('@') || text.starts_with("forbid");
        let (machine, reduced_machine) = (without(&|_| false, &auto), without(&is_flagged, &auto));
        prop_assert!(within(&machine, &reduced_machine), "{:?}\n{whole}", lines(&analysis));
        for (n, text) in policies.iter().enumerate().filter(|(n, text)| !is_flagged(*n) && text.contains("permit")) {
            let gone = |m: usize| m == n || is_flagged(m);
            let smaller = !within(&reduced, &without(&gone, &|_| true));
            let for_machines = text.starts_with('@') && !within(&reduced_machine, &without(&gone, &auto));
            prop_assert!(smaller || for_machines, "policy{n} does nothing\n{whole}");
        }
    }
}
