//! What is told about rules in a plugin's words: findings about changes, and analyses of ceilings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod plugins;

use std::sync::Arc;
use std::time::{Duration, Instant};

use narrowgate_core::cedar::is_allowed;
use narrowgate_core::compile::Compiled;
use narrowgate_core::credentials::Credentials;
use narrowgate_core::denial::DenialRecord;
use narrowgate_core::finding::{Finding, FindingName};
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::proposal::Proposal;
use narrowgate_core::schema::Schema;
use narrowgate_prover::analyse::{self, FindingKind};
use narrowgate_prover::{
    Ceiling, Change, Evidence, Grounds, Options, Repair, Verdict, automatic, automatic_part, findings, prove, repair,
};
use serde_json::{Value, json};

fn policy(text: &str) -> Policy {
    Policy::parse(text, "policy.yaml", Role::Policy).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn over(policy: &Policy, schema: &Arc<Schema>) -> Compiled {
    Compiled::policy_over(policy, Role::Policy, schema).unwrap_or_else(|e| panic!("{e}\n{}", policy.to_yaml()))
}

/// A policy with these endpoints, in flow style, for curl.
fn curl(endpoints: &str) -> Policy {
    policy(&format!(
        "version: 1\nnetwork_policies:\n  p: {{ name: p, binaries: [{{ path: /usr/bin/curl }}], endpoints: [{endpoints}] }}\n"
    ))
}

fn forge(more: &str) -> String {
    format!("{{ host: forge.example.com, port: 443, protocol: forge, {more} }}")
}

/// One rule about an action of the forge.
fn rule(action: &str, wanted: &str) -> String {
    forge(&format!("rules: [{{ allow: {{ action: \"forge::{action}\", where: {{ {wanted} }} }} }}]"))
}

fn denial(id: usize, action: &str, method: &str, attributes: Value) -> DenialRecord {
    serde_json::from_value(json!({
        "denial_id": format!("d_{id}"), "time": "2026-11-20T21:00:00Z", "layer": "l7", "host": "forge.example.com", "port": 443,
        "method": method, "path": "/x", "binary": "/usr/bin/curl", "reason": "no_matching_rule",
        "operations": [{ "plugin": "forge", "action": format!("forge::{action}"), "attributes": attributes }],
    }))
    .unwrap()
}

fn put() -> DenialRecord {
    denial(1, "contents.write", "PUT", json!({ "owner": "acme", "repo": "site", "path": "docs/a.md" }))
}

fn evidence(records: &[&DenialRecord]) -> Evidence {
    let records: Vec<DenialRecord> = records.iter().map(|record| (*record).clone()).collect();
    let cited: Vec<String> = records.iter().map(|record| record.denial_id.clone()).collect();
    Evidence::new(&cited, &records)
}

fn noted(before: &Policy, after: &Policy, evidence: &Evidence, credentials: &str) -> Vec<Finding> {
    let schema = plugins::schema();
    let (before_compiled, after_compiled) = (over(before, &schema), over(after, &schema));
    let change = Change { before, before_compiled: &before_compiled, after, after_compiled: &after_compiled };
    let credentials = Credentials::parse(credentials, "credentials.yaml").unwrap();
    findings(&change, evidence, &credentials, &Options::default())
}

const NONE: &str = "version: 1\ncredentials: []\n";

/// What the endpoint, proposed for the denials, gives rise to, as `name segment`. What is offered instead gives rise to
/// nothing.
fn check(endpoint: &str, denials: &[&DenialRecord], expect: &[&str]) {
    let found = noted(&Policy::empty(), &curl(endpoint), &evidence(denials), NONE);
    let shown: Vec<String> = found.iter().map(|finding| format!("{} {}", finding.name, finding.segment)).collect();
    assert_eq!(shown, expect, "{endpoint}\n{found:#?}");
    for finding in &found {
        assert!(finding.detail.ends_with('.') && finding.detail.len() < 300, "{}", finding.detail);
        assert!(curl(endpoint).to_json().pointer(&finding.at).is_some(), "{}", finding.at);
        let Some(tightest) = &finding.tightest else { continue };
        let body = json!({ "intent_summary": "t",
            "operations": [{ "addRule": { "ruleName": tightest["name"], "rule": tightest } }] });
        let operations = Proposal::parse(body.to_string().as_bytes()).unwrap().operations;
        let after = operations[0].apply(&Policy::empty()).unwrap();
        assert_eq!(noted(&Policy::empty(), &after, &evidence(denials), NONE), [], "{tightest}");
    }
}

#[test]
fn what_is_broader_than_its_evidence() {
    let write = |wanted: &str| rule("contents.write", wanted);
    let exact = "owner: acme, repo: site, path: docs/a.md";
    check(&write(exact), &[&put()], &[]);
    check(&write("owner: acme, repo: site"), &[&put()], &["recursive_path path"]);
    check(&write("owner: acme"), &[&put()], &["recursive_path path", "recursive_path repo"]);
    check(&write("owner: acme, repo: site, path: 'docs/**'"), &[&put()], &["recursive_path path=docs/**"]);
    check(&write("owner: acme, repo: site, path: 'docs/*'"), &[&put()], &["path_wildcard path=docs/*"]);
    check(&write("owner: '**', repo: site, path: docs/a.md"), &[&put()], &["recursive_path owner=**"]);
    check(
        &write("owner: { any: [acme, other] }, repo: site, path: docs/a.md"),
        &[&put()],
        &["path_wildcard owner=other"],
    );
    // The branch was not said, and a rule cannot say so.
    let on = denial(
        2,
        "contents.write",
        "PUT",
        json!({ "owner": "acme", "repo": "site", "path": "docs/a.md", "branch": "b" }),
    );
    check(&write(&format!("{exact}, branch: b")), &[&on], &[]);
    check(&write(exact), &[&on], &["recursive_path branch"]);
    // Two denials, and the values of both.
    let other = denial(3, "contents.write", "PUT", json!({ "owner": "other", "repo": "site", "path": "docs/a.md" }));
    check(&write("owner: { any: [acme, other] }, repo: site, path: docs/a.md"), &[&put(), &other], &[]);
    // Nothing is cited: what every such operation has.
    check(&write("owner: acme"), &[], &["recursive_path path", "recursive_path repo"]);
    check(&write(exact), &[], &[]);
    // Something else was denied.
    check(
        &rule("repos.delete", "owner: acme, repo: site"),
        &[&put()],
        &["unrelated_to_denial forge::repos.delete owner=acme repo=site"],
    );
    check(
        &write("owner: other, repo: site, path: docs/a.md"),
        &[&put()],
        &["unrelated_to_denial forge::contents.write owner=other path=docs/a.md repo=site"],
    );
}

#[test]
fn every_kind_of_attribute() {
    let merged = denial(1, "pulls.merge", "PUT", json!({ "owner": "a", "repo": "b", "number": 7, "force": false }));
    let merge = |wanted: &str| rule("pulls.merge", wanted);
    check(&merge("owner: a, repo: b, number: 7, force: false"), &[&merged], &[]);
    check(&merge("owner: a, repo: b, number: 7"), &[&merged], &["recursive_path force"]);
    check(&merge("owner: a, repo: b, number: { any: [7, 8] }, force: false"), &[&merged], &["path_wildcard number=8"]);
    let filed = denial(1, "issues.create", "POST", json!({ "owner": "a", "repo": "b", "labels": ["x", "y"] }));
    let issue = |wanted: &str| rule("issues.create", wanted);
    check(&issue("owner: a, repo: b, labels: { any: [x, y] }"), &[&filed], &[]);
    check(&issue("owner: a, repo: b, labels: { any: [x, y, z] }"), &[&filed], &["path_wildcard labels=z"]);
    check(&issue("owner: a, repo: b"), &[&filed], &["recursive_path labels"]);
    let unlabelled = denial(1, "issues.create", "POST", json!({ "owner": "a", "repo": "b", "labels": [] }));
    check(&issue("owner: a, repo: b, labels: { any: [] }"), &[&unlabelled], &[]);
    check(&issue("owner: a, repo: b"), &[&unlabelled], &["recursive_path labels"]);
    let tools = |wanted: &str| {
        format!(
            "{{ host: api.example.com, port: 443, protocol: tools, rules: [{{ allow: {{ action: \"tools::tools.call\", where: {{ {wanted} }} }} }}] }}"
        )
    };
    let mut called = denial(1, "x", "POST", json!({ "name": "read", "arguments": { "path": "/work/a", "mode": "r" } }));
    called.host = "api.example.com".to_owned();
    (called.operations[0].plugin, called.operations[0].action) = ("tools".to_owned(), "tools::tools.call".to_owned());
    check(&tools("name: read, arguments: { path: /work/a, mode: r }"), &[&called], &[]);
    check(&tools("name: read, arguments: { path: /work/a }"), &[&called], &["recursive_path arguments.mode"]);
    check(
        &tools("name: read, arguments: { path: '/work/**', mode: r }"),
        &[&called],
        &["recursive_path arguments.path=/work/**"],
    );
    check(&tools("name: read"), &[&called], &["recursive_path arguments"]);
}

#[test]
fn presets_against_the_groups_that_were_denied() {
    let preset = |access: &str| forge(&format!("access: {access}"));
    let read = denial(1, "repos.read", "GET", json!({ "owner": "a", "repo": "b" }));
    check(&preset("read-only"), &[&read], &["recursive_path access: read-only"]);
    check(&preset("read-write"), &[&read], &["method_any access: read-write", "recursive_path access: read-write"]);
    check(&preset("read-write"), &[&put(), &read], &["recursive_path access: read-write"]);
    check(&preset("full"), &[&put(), &read], &["method_any access: full", "recursive_path access: full"]);
    check(
        &preset("read-only"),
        &[&put()],
        &["unrelated_to_denial access: read-only", "recursive_path access: read-only"],
    );
}

const CREDENTIALS: &str = "version: 1\ncredentials:\n  - { name: token, host: forge.example.com, scope: full }\n";

/// The risks of putting `after` in the place of `before`, as `name: what would be asked`.
fn risks(before: &str, after: &str, expect: &[&str]) {
    let before = if before.is_empty() { Policy::empty() } else { curl(before) };
    let found = noted(&before, &curl(after), &Evidence::none(), CREDENTIALS);
    let risks = found.iter().filter(|finding| finding.name <= FindingName::CapabilityExpansion);
    let shown: Vec<String> =
        risks.map(|risk| format!("{} {}", risk.name, risk.detail.split(' ').next().unwrap())).collect();
    assert_eq!(shown, expect, "{}\n{found:#?}", curl(after).to_yaml());
}

#[test]
fn what_would_newly_be_possible_with_credentials() {
    let (read, write) = (rule("repos.read", "owner: a"), rule("contents.write", "owner: a"));
    let both = |a: &str, b: &str| format!("{a}, {b}");
    risks("", &read, &["credential_reach_expansion /usr/bin/curl"]);
    // Reading more is no new capability; writing is, and each other action that changes something.
    risks(&read, &both(&read, &rule("contents.read", "owner: b")), &[]);
    risks(&read, &both(&read, &rule("search.run", "query: a")), &[]);
    risks(&read, &both(&read, &write), &["capability_expansion forge::contents.write"]);
    risks(&write, &both(&write, &rule("contents.write", "owner: b")), &[]);
    risks(&write, &both(&write, &rule("pulls.merge", "owner: b")), &["capability_expansion forge::pulls.merge"]);
    risks(&forge("access: read-write"), &both(&forge("access: read-write"), &write), &[]);
    risks(
        &forge("access: read-write"),
        &both(&forge("access: read-write"), &rule("repos.delete", "owner: a")),
        &["capability_expansion forge::repos.delete"],
    );
    // A method that was there carries what it carries.
    let put = "{ host: forge.example.com, port: 443, protocol: rest, rules: [{ allow: { method: PUT, path: /x } }] }";
    risks(put, &both(put, &rule("pulls.merge", "owner: b")), &[]);
    // A deny that goes.
    let denied = forge("access: full, deny_rules: [{ action: \"forge::repos.delete\" }]");
    risks(&denied, &forge("access: full"), &["capability_expansion forge::repos.delete"]);
}

#[test]
fn what_is_automatic() {
    let marked = "@review(\"auto\")\npermit(principal, action == Action::\"forge::contents.write\", resource) when { context.forge.owner == \"acme\" };\n\
                  permit(principal, action, resource);\n";
    let schema = plugins::schema();
    let ceiling = Ceiling::parse_over(marked, "c.cedar", &schema).unwrap();
    let part = automatic_part(&ceiling);
    let check = |endpoint: &str, expect: &str| {
        let (before, after) = (Policy::empty(), curl(endpoint));
        let (before_compiled, after_compiled) = (over(&before, &schema), over(&after, &schema));
        let change = Change {
            before: &before,
            before_compiled: &before_compiled,
            after: &after,
            after_compiled: &after_compiled,
        };
        let found = findings(&change, &evidence(&[&put()]), &Credentials::none(), &Options::default());
        let why = automatic(&change, part.as_ref(), &found, &Options::default()).err().unwrap_or_default();
        assert!(if expect.is_empty() { why.is_empty() } else { why.contains(expect) }, "{endpoint}: {why:?}");
    };
    check(&rule("contents.write", "owner: acme, repo: site, path: docs/a.md"), "");
    check(&rule("contents.write", "owner: acme, repo: site"), "there are findings: recursive_path");
    check(&rule("repos.read", "owner: acme, repo: site"), "there are findings: unrelated_to_denial");
    let method =
        "{ host: forge.example.com, port: 443, protocol: rest, rules: [{ allow: { method: PUT, path: /x } }] }";
    check(method, "outside the ceiling's permits that are marked");
}

/// What is said about a ceiling, as `kind policy: impossible`, apart from actions that it does not cover.
fn analysed(text: &str, expect: &[&str]) {
    let ceiling = Ceiling::parse_over(text, "c.cedar", &plugins::schema()).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let analysis = analyse::ceiling(&ceiling, &Options::default());
    assert!(analysis.not_analysed.is_empty(), "{:?}\n{text}", analysis.not_analysed);
    let told = analysis.findings.iter().filter(|finding| finding.kind != FindingKind::ActionNotCovered);
    let shown: Vec<String> = told
        .clone()
        .map(|finding| {
            let about: Vec<&str> = finding.policy.iter().chain(&finding.impossible).map(String::as_str).collect();
            format!("{} {} by {}", finding.kind.name(), about.join(" "), finding.by.join(" "))
        })
        .collect();
    assert_eq!(shown, expect, "{text}");
    for finding in told {
        let Some(witness) = &finding.witness else { continue };
        let allowed = is_allowed(ceiling.compiled(), &witness.request, ceiling.compiled().globs());
        let expect = matches!(finding.kind, FindingKind::Redundant | FindingKind::AllowsEverything);
        assert_eq!(allowed, expect, "{finding:?}\n{text}");
    }
}

#[test]
fn what_ceilings_say_of_operations() {
    let permit = |action: &str, when: &str| {
        format!("permit(principal, action == Action::\"forge::{action}\", resource) when {{ {when} }};\n")
    };
    analysed(&permit("contents.write", "context.forge.owner == \"acme\""), &[]);
    // What the proxy enforces is part of what can be.
    analysed(&permit("contents.write", "context.method == \"POST\""), &["permit_never_applies policy0 method by "]);
    analysed(
        &permit("contents.write", "resource.host == \"other.example.com\""),
        &["permit_never_applies policy0 host by "],
    );
    // Not for the first action that it is about, but for another.
    analysed(
        "permit(principal, action in Action::\"write\", resource) when { context.method == \"PUT\" && resource.port == 443 };",
        &[],
    );
    analysed(
        "permit(principal, action, resource) when { resource.port == 443 };\nforbid(principal, action in [Action::\"forge::contents.read\", Action::\"forge::repos.delete\"], resource) when { context.method == \"DELETE\" };",
        &[],
    );
    let acme = permit("contents.write", "context.forge.owner == \"acme\"");
    analysed(
        &[
            acme.clone(),
            permit("contents.write", "context.forge.owner == \"acme\" && context.forge.path like \"docs/*\""),
        ]
        .concat(),
        &["redundant policy1 by policy0"],
    );
    // Redundant only because of what carries it.
    analysed(
        &[permit("contents.write", "context.method == \"PUT\" || context.method == \"DELETE\""), acme.clone()].concat(),
        &["redundant policy1 by policy0", "allows_everything  by policy0"],
    );
    analysed(
        &[acme, "forbid(principal, action, resource) when { context has forge && context.forge has owner && context.forge.owner like \"a*\" };".to_owned()].concat(),
        &["shadowed_by_forbid policy0 by policy1"],
    );
    analysed("permit(principal, action, resource);", &["allows_everything  by policy0"]);
}

/// A ceiling of 100 rules over a plugin of 200 actions.
fn large(schema: &Schema) -> String {
    let actions: Vec<&str> = schema.requests().filter(|id| id.starts_with("big::")).collect();
    let mut text = String::new();
    for n in 0..60 {
        let action = actions[n * 3 % actions.len()];
        text += &format!(
            "permit(principal, action == Action::\"{action}\", resource) when {{ context.big.owner == \"o{n}\" && context.big.path like \"docs/{n}/*\" }};\n"
        );
    }
    for n in 0..25 {
        text += &format!(
            "permit(principal, action in [Action::\"big:read\", Action::\"big:write\"], resource) when {{ context.big.owner == \"p{n}\" && context.big has ref && context.big.ref like \"bot/{n}-*\" }};\n"
        );
    }
    for n in 0..10 {
        text += &format!(
            "permit(principal, action in [Action::\"read\", Action::\"write\"], resource) when {{ resource.host == \"h{n}.example.com\" && context.path like \"/a{n}/*\" }};\n"
        );
    }
    for n in 0..5 {
        text += &format!(
            "forbid(principal, action in Action::\"delete\", resource) when {{ context has big && context.big.repo == \"r{n}\" }};\n"
        );
    }
    text
}

#[test]
fn hundreds_of_actions_are_no_trouble() {
    let started = Instant::now();
    let schema = plugins::big(200);
    let mut times = vec![("schema", started.elapsed())];
    let mut measure = |what: &'static str, started: Instant| times.push((what, started.elapsed()));
    let started = Instant::now();
    let ceiling = Ceiling::parse_over(&large(&schema), "c.cedar", &schema).unwrap();
    measure("ceiling", started);
    let started = Instant::now();
    let analysis = analyse::ceiling(&ceiling, &Options::default());
    measure("analyse", started);
    let of = |kind| analysis.findings.iter().filter(|finding| finding.kind == kind).count();
    assert!(analysis.not_analysed.is_empty(), "{:?}", analysis.not_analysed);
    assert_eq!(
        (analysis.policies, of(FindingKind::Redundant), of(FindingKind::PermitNeverApplies)),
        (100, 0, 0),
        "{:?}",
        analysis.findings
    );
    let endpoint = |more: &str| curl(&format!("{{ host: big.example.com, port: 443, protocol: big, {more} }}"));
    let inside = over(
        &endpoint("rules: [{ allow: { action: \"big::part0.read\", where: { owner: o0, path: 'docs/0/a/**' } } }]"),
        &schema,
    );
    let started = Instant::now();
    assert!(matches!(prove(&inside, &ceiling, &Options::default()).verdict, Verdict::Within(_)));
    measure("prove", started);
    let started = Instant::now();
    let bound = over(&endpoint("access: read-only"), &schema);
    measure("compile", started);
    let started = Instant::now();
    let bound = Ceiling::new(bound).unwrap();
    measure("prepare a bound", started);
    let started = Instant::now();
    assert!(matches!(prove(&inside, &bound, &Options::default()).verdict, Verdict::Within(_)));
    measure("prove a part", started);
    for (what, more) in
        [("rule", "rules: [{ allow: { action: \"big::part0.read\" } }]"), ("preset", "access: read-only")]
    {
        let asked = endpoint(more);
        let started = Instant::now();
        let Verdict::Exceeds(found) = prove(&over(&asked, &schema), &ceiling, &Options::default()).verdict else {
            panic!()
        };
        let repaired = repair(&asked, &found.rule.unwrap(), &ceiling, &Grounds::default(), &Options::default());
        measure(if what == "rule" { "repair of a rule" } else { "repair of a preset" }, started);
        assert!(matches!(&repaired, Repair::Rule(_)), "{what}: {repaired:?}");
    }
    println!("{times:#?}");
    // Without optimisation and on a busy machine; it is some tenths of a second with.
    assert!(times.iter().all(|(_, took)| *took < Duration::from_secs(10)), "{times:?}");
}
