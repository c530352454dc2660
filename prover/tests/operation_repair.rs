//! Repairs of rules about what requests mean.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod plugins;

use std::collections::BTreeMap;

use narrowgate_core::compile::Compiled;
use narrowgate_core::decide::{Layer, Reason};
use narrowgate_core::denial::{DenialRecord, DeniedOperation};
use narrowgate_core::policy::{Allow, Entry, OperationRule, Policy, Role, Rule, Traffic, Wanted};
use narrowgate_core::proposal::Proposal;
use narrowgate_prover::{Ceiling, Grounds, Options, Repair, Verdict, prove, repair};
use proptest::prelude::*;
use proptest::sample::select;

fn document(entry: &str) -> String {
    format!("version: 1\nnetwork_policies:\n  p: {{ name: p, {entry} }}\n")
}

fn at(endpoint: &str) -> String {
    document(&format!("endpoints: [{{ {endpoint} }}]"))
}

/// An endpoint of the forge that allows and denies so.
fn forge(more: &str) -> String {
    at(&format!("host: forge.example.com, port: 443, protocol: forge, {more}"))
}

/// Rules, in flow style and without the `allow` around each; after `--`, denies.
fn rules(rules: &[&str]) -> String {
    let (allow, deny) = match rules.iter().position(|rule| *rule == "--") {
        Some(at) => (&rules[..at], &rules[at + 1..]),
        None => (rules, &[][..]),
    };
    let allow: Vec<String> = allow.iter().map(|rule| format!("{{ allow: {{ {rule} }} }}")).collect();
    let deny: Vec<String> = deny.iter().map(|rule| format!("{{ {rule} }}")).collect();
    let deny = if deny.is_empty() { String::new() } else { format!(", deny_rules: [{}]", deny.join(", ")) };
    forge(&format!("rules: [{}]{deny}", allow.join(", ")))
}

/// `action: forge::contents.write, where: { … }`.
fn write(wanted: &str) -> String {
    match wanted {
        "" => "action: \"forge::contents.write\"".to_owned(),
        wanted => format!("action: \"forge::contents.write\", where: {{ {wanted} }}"),
    }
}

fn one(rule: &str) -> String {
    rules(&[rule])
}

fn policy(text: &str) -> Policy {
    Policy::parse(text, "policy.yaml", Role::Policy).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn compiled(policy: &Policy) -> Compiled {
    Compiled::policy_over(policy, Role::Policy, &plugins::schema())
        .unwrap_or_else(|e| panic!("{e}\n{}", policy.to_yaml()))
}

/// `/usr/bin/curl PUT forge.example.com 443 /path forge::contents.write {"owner": "acme"}`
fn denied(line: &str) -> DenialRecord {
    let words: Vec<&str> = line.splitn(7, ' ').collect();
    let [binary, method, host, port, path, action, attributes] = words[..] else { panic!("{line}") };
    DenialRecord {
        denial_id: "d_1".to_owned(),
        time: "2026-01-01T00:00:00Z".to_owned(),
        layer: Layer::L7,
        host: host.to_owned(),
        port: port.parse().unwrap(),
        method: Some(method.to_owned()),
        path: Some(path.to_owned()),
        binary: binary.to_owned(),
        reason: Reason::NoMatchingRule,
        operations: vec![DeniedOperation {
            plugin: action.split_once("::").unwrap().0.to_owned(),
            action: action.to_owned(),
            attributes: serde_json::from_str(attributes).unwrap(),
        }],
    }
}

fn is_within(policy: &Policy, bound: &Ceiling) -> bool {
    match prove(&compiled(policy), bound, &Options::default()).verdict {
        Verdict::Within(_) => true,
        Verdict::Exceeds(_) => false,
        other => panic!("{other:?}\n{}\n{}", policy.to_yaml(), bound.compiled().text()),
    }
}

fn alone(entry: &Entry) -> Policy {
    Policy { entries: BTreeMap::from([("p".to_owned(), entry.clone())]), ..Policy::empty() }
}

fn bound(policy: &Policy) -> Ceiling {
    Ceiling::new(compiled(policy)).unwrap()
}

/// Repairs `text`, and holds what is offered against the prover: it is within, a part of what was asked for, and not
/// nothing.
fn repaired(text: &str, ceiling: &str, evidence: &[DenialRecord]) -> Repair {
    let schema = plugins::schema();
    let ceiling = Ceiling::parse_over(ceiling, "ceiling", &schema).unwrap_or_else(|e| panic!("{e}\n{ceiling}"));
    let policy = policy(text);
    let outcome = prove(&compiled(&policy), &ceiling, &Options::default());
    let Verdict::Exceeds(found) = outcome.verdict else { panic!("{:?}\n{text}", outcome.verdict) };
    let grounds = Grounds { base: None, evidence };
    let repair = repair(&policy, found.rule.as_ref().unwrap(), &ceiling, &grounds, &Options::default());
    if let Repair::Rule(repair) = &repair {
        let again = Policy::parse(&repair.policy.to_yaml(), "again", Role::Policy).unwrap();
        assert_eq!(again.entries["p"], repair.rule);
        assert!(is_within(&again, &ceiling), "{}", again.to_yaml());
        assert!(is_within(&alone(&repair.rule), &bound(&policy)), "{}", again.to_yaml());
        let nothing = Ceiling::parse_over("forbid(principal, action, resource);", "nothing.cedar", &schema).unwrap();
        assert!(!is_within(&again, &nothing), "{}", again.to_yaml());
        if repair.complete {
            for wider in wider(&repair.rule, &policy.entries["p"]) {
                let is_part = is_within(&alone(&wider), &bound(&policy));
                let is_wider = !is_within(&alone(&wider), &bound(&again)) && is_within(&again, &bound(&alone(&wider)));
                let fits = is_within(&alone(&wider), &ceiling);
                assert!(!(is_part && is_wider && fits), "{} fits too\n{}", alone(&wider).to_yaml(), again.to_yaml());
            }
        }
    }
    repair
}

/// The entry with one condition less, with one as it was asked for, or without one of its denies.
fn wider(rule: &Entry, asked: &Entry) -> Vec<Entry> {
    let asked: Vec<&OperationRule> = asked
        .endpoints
        .iter()
        .flat_map(|endpoint| match &endpoint.traffic {
            Traffic::Rest(rest) => rest.rules().filter_map(Rule::operation).collect(),
            Traffic::Opaque => Vec::new(),
        })
        .collect();
    let mut out = Vec::new();
    for (at, endpoint) in rule.endpoints.iter().enumerate() {
        let Traffic::Rest(rest) = &endpoint.traffic else { continue };
        let mut with = |allow: &Allow, deny: &[Rule]| {
            let mut entry = rule.clone();
            if let Traffic::Rest(rest) = &mut entry.endpoints[at].traffic {
                (rest.allow, rest.deny) = (allow.clone(), deny.to_vec());
            }
            out.push(entry);
        };
        for gone in 0..rest.deny.len() {
            let mut deny = rest.deny.clone();
            deny.remove(gone);
            with(&rest.allow, &deny);
        }
        let Allow::Rules(rules) = &rest.allow else { continue };
        for (number, rule) in rules.iter().enumerate() {
            let Rule::Operation(rule) = rule else { continue };
            let mut changed = |change: &dyn Fn(&mut BTreeMap<String, Wanted>)| {
                let mut rules = rules.clone();
                if let Rule::Operation(rule) = &mut rules[number] {
                    change(&mut rule.attributes);
                }
                with(&Allow::Rules(rules), &rest.deny);
            };
            for name in rule.attributes.keys() {
                changed(&|attributes| drop(attributes.remove(name)));
                for wanted in
                    asked.iter().filter(|asked| asked.action() == rule.action()).filter_map(|a| a.attributes.get(name))
                {
                    changed(&|attributes| drop(attributes.insert(name.clone(), wanted.clone())));
                }
            }
        }
    }
    out
}

/// The repaired entry is `expect`, or the reason why there is none.
fn check(text: &str, bound: &str, evidence: &[&str], expect: &str) {
    let evidence: Vec<DenialRecord> = evidence.iter().map(|line| denied(line)).collect();
    match repaired(text, bound, &evidence) {
        Repair::Rule(repair) => {
            assert!(expect.contains("network_policies"), "expected {expect}\n{}\n{bound}", repair.rule.to_json());
            let expect = policy(expect).entries["p"].clone();
            assert_eq!(repair.rule.to_json().to_string(), expect.to_json().to_string(), "\n{text}\n{bound}");
        }
        Repair::None(why) => assert_eq!(why.code(), expect, "\n{text}\n{bound}"),
    }
}

fn permit(when: &str) -> String {
    format!("permit(principal, action == Action::\"forge::contents.write\", resource) when {{ {when} }};\n")
}

fn forbid(when: &str) -> String {
    format!("forbid(principal, action == Action::\"forge::contents.write\", resource) when {{ {when} }};\n")
}

#[test]
fn attributes_are_tightened_as_the_ceiling_says() {
    let acme = "context.forge.owner == \"acme\"";
    for (asked, bound, expect) in [
        ("", permit(acme), "owner: acme"),
        ("repo: site", permit(acme), "owner: acme, repo: site"),
        ("owner: { any: [acme, other] }", permit(acme), "owner: acme"),
        (
            "owner: { any: [acme, other, more] }",
            permit("[\"more\", \"acme\"].contains(context.forge.owner)"),
            "owner: { any: [acme, more] }",
        ),
        ("owner: '*'", permit("context.forge.owner like \"acme*\""), "owner: 'acme*'"),
        ("owner: '*-x'", permit("context.forge.owner like \"acme*\""), "owner: 'acme*-x'"),
        // Paths: what Cedar's star crosses is a subtree but for its root.
        (
            "path: 'docs/**'",
            permit("context.forge.path like \"docs/a/*\" || context.forge.path == \"docs/a\""),
            "path: 'docs/a/**'",
        ),
        ("path: '**'", one(&write("path: 'docs/**'")), "path: 'docs/**'"),
        ("path: 'docs/**'", one(&write("path: 'docs/*'")), "path: 'docs/*'"),
        ("path: '**/x.md'", one(&write("path: 'docs/**'")), "path: 'docs/**/x.md'"),
        // The branch may be absent, and then the ceiling's condition does not hold.
        ("", permit("context.forge has branch && context.forge.branch == \"bot\""), "branch: bot"),
        ("", permit("context.forge has branch"), "branch: '**'"),
        ("branch: 'bot/**'", one(&write("branch: { any: ['bot/a', 'b'] }")), "branch: 'bot/a'"),
    ] {
        check(&one(&write(asked)), &bound, &[], &one(&write(expect)));
    }
    check(&one(&write("owner: other")), &permit(acme), &[], "nothing_in_common");
    let other = "permit(principal, action == Action::\"forge::repos.read\", resource);";
    check(&one(&write("")), other, &[], "nothing_in_common");
    check(
        &one(&write("")),
        &permit("context.forge.path like \"docs/*\""),
        &[],
        &rules(&[&write("path: 'docs/**'"), "--", &write("path: docs")]),
    );
}

#[test]
fn every_kind_of_attribute() {
    let merge = |wanted: &str| one(&format!("action: \"forge::pulls.merge\", where: {{ {wanted} }}"));
    let issue = |wanted: &str| one(&format!("action: \"forge::issues.create\", where: {{ {wanted} }}"));
    let call = |wanted: &str| {
        at(&format!(
            "host: api.example.com, port: 443, protocol: tools, rules: [{{ allow: {{ action: \"tools::tools.call\", where: {{ {wanted} }} }} }}]"
        ))
    };
    let on = |action: &str, when: &str| {
        format!("permit(principal, action == Action::\"{action}\", resource) when {{ {when} }};")
    };
    let pulls = |when: &str| on("forge::pulls.merge", when);
    let issues = |when: &str| on("forge::issues.create", when);
    let calls = |when: &str| on("tools::tools.call", when);
    for (asked, bound, expect) in [
        (merge("owner: acme"), pulls("context.forge.number == 7"), merge("number: 7, owner: acme")),
        (
            merge("owner: acme"),
            pulls("context.forge.number > 2 && context.forge.number < 5"),
            merge("number: { any: [3, 4] }, owner: acme"),
        ),
        (
            merge("number: { any: [1, 2, 3] }"),
            pulls("context.forge.number <= 2 && context.forge.number >= 0"),
            merge("number: { any: [1, 2] }"),
        ),
        (merge("owner: acme"), pulls("!context.forge.force"), merge("force: false, owner: acme")),
        (
            issue("owner: acme"),
            issues("[\"a\", \"b\"].containsAll(context.forge.labels)"),
            issue("labels: { any: [a, b] }, owner: acme"),
        ),
        (
            issue("labels: { any: [b, c] }"),
            issues("[\"a\", \"b\"].containsAll(context.forge.labels)"),
            issue("labels: { any: [b] }"),
        ),
        (issue("owner: acme"), issues("context.forge.labels.isEmpty()"), issue("labels: { any: [] }, owner: acme")),
        (
            issue("owner: acme"),
            issues("context.forge has draft && context.forge.draft"),
            issue("draft: true, owner: acme"),
        ),
        (
            call("name: read"),
            calls(
                "context.tools has arguments && context.tools.arguments.hasTag(\"path\") && context.tools.arguments.getTag(\"path\") == \"/work\"",
            ),
            call("arguments: { path: /work }, name: read"),
        ),
        (
            call("arguments: { path: '/work/**', mode: r }"),
            call("arguments: { path: '/work/a/**' }"),
            call("arguments: { mode: r, path: '/work/a/**' }"),
        ),
    ] {
        check(&asked, &bound, &[], &expect);
    }
    // Numbers without end cannot be listed, and "has this element" cannot be said of a set.
    check(&merge("owner: acme"), &pulls("context.forge.number > 2"), &[], "not_expressible");
    check(&issue("owner: acme"), &issues("context.forge.labels.contains(\"a\")"), &[], "not_expressible");
}

#[test]
fn hosts_ports_binaries_and_times_too() {
    let asked = "binaries: [{ path: /usr/bin/git }, { path: /usr/bin/curl }], endpoints: [{ host: forge.example.com, ports: [80, 443], protocol: forge, rules: [{ allow: { action: \"forge::repos.read\" } }] }]";
    let bound = document(
        "binaries: [{ path: /usr/bin/git }], endpoints: [{ host: forge.example.com, port: 443, protocol: forge, expires_at: 2026-06-01T00:00:00Z, rules: [{ allow: { action: \"forge::repos.read\", where: { owner: acme } } }] }]",
    );
    check(&document(asked), &bound, &[], &bound);
}

#[test]
fn what_is_forbidden_is_denied() {
    let everything = "permit(principal, action, resource);\n";
    let under = |forbid: &str| format!("{everything}{forbid}");
    for (asked, bound, expect) in [
        ("owner: acme", forbid("context.forge.path == \"secret\""), vec!["owner: acme", "path: secret"]),
        ("owner: acme", forbid("context.forge.path like \"secret/*\""), vec!["owner: acme", "path: 'secret/**'"]),
        ("owner: acme", forbid("context.forge has branch && context.forge.branch == \"main\""), vec!["owner: acme", "branch: main"]),
        ("owner: acme", forbid("context.forge.repo == \"infra\" && context.forge.path == \"x\""), vec!["owner: acme", "path: x, repo: infra"]),
        // Everything but something.
        ("", "forbid(principal, action == Action::\"forge::contents.write\", resource) unless { context.forge.owner == \"acme\" };".to_owned(), vec!["owner: acme"]),
    ] {
        let expect = match &expect[..] {
            [allow] => one(&write(allow)),
            [allow, deny] => rules(&[&write(allow), "--", &write(deny)]),
            _ => panic!(),
        };
        check(&one(&write(asked)), &under(&bound), &[], &expect);
    }
    check(
        &one(&write("owner: acme")),
        &under("forbid(principal, action in Action::\"write\", resource);"),
        &[],
        "denied_by_ceiling",
    );
    // One label of an issue is enough for the forbid, and for the deny.
    let issue = "action: \"forge::issues.create\", where: { owner: acme }";
    check(
        &one(issue),
        &under(
            "forbid(principal, action == Action::\"forge::issues.create\", resource) when { context.forge.labels.contains(\"security\") };",
        ),
        &[],
        &rules(&[issue, "--", "action: \"forge::issues.create\", where: { labels: security }"]),
    );
    let force = "forbid(principal, action == Action::\"forge::pulls.merge\", resource) when { context.forge.force };";
    let merge = "action: \"forge::pulls.merge\"";
    check(&one(merge), &under(force), &[], &one(&format!("{merge}, where: {{ force: false }}")));
}

/// A ceiling that knows nothing of the plugin bounds its actions by what is on the wire, and a deny can say that.
#[test]
fn ceilings_about_requests_bound_operations() {
    let rest = |more: &str| at(&format!("host: forge.example.com, port: 443, protocol: rest, {more}"));
    let admin = "method: '*', path: '/admin/**'";
    check(
        &one(&write("owner: acme")),
        &rest(&format!("access: full, deny_rules: [{{ {admin} }}]")),
        &[],
        &rules(&[&write("owner: acme"), "--", admin]),
    );
    let delete = "method: DELETE, path: '/**'";
    check(&one(&write("")), &rest("access: read-write"), &[], &rules(&[&write(""), "--", delete]));
    check(&one(&write("")), &permit("context.method == \"PUT\""), &[], &rules(&[&write(""), "--", delete]));
    check(&one(&write("")), &rest("access: read-only"), &[], "nothing_in_common");
    // That a path must be there is nothing that an action's rule can say.
    check(&one(&write("")), &rest("rules: [{ allow: { method: '*', path: '/repos/**' } }]"), &[], "not_expressible");
}

#[test]
fn presets_become_smaller_ones_and_actions() {
    let preset = |access: &str| forge(&format!("access: {access}"));
    check(&preset("read-write"), &preset("read-only"), &[], &preset("read-only"));
    check(&preset("full"), &preset("read-write"), &[], &preset("read-write"));
    // All reading, and of writing one action in part.
    let bound = format!(
        "permit(principal, action in Action::\"read\", resource);\n{}",
        permit("context.forge.owner == \"acme\"")
    );
    let both = document(&format!(
        "endpoints: [{{ host: forge.example.com, port: 443, protocol: forge, access: read-only }}, {{ host: forge.example.com, port: 443, protocol: forge, rules: [{{ allow: {{ {} }} }}] }}]",
        write("owner: acme")
    ));
    check(&preset("read-write"), &bound, &[], &both);
    check(&preset("full"), &permit("context.forge.owner == \"acme\""), &[], &one(&write("owner: acme")));
    // A forbid of one action takes that one out.
    let bound =
        "permit(principal, action, resource);\nforbid(principal, action == Action::\"forge::repos.delete\", resource);";
    check(&preset("full"), bound, &[], &forge("access: full, deny_rules: [{ action: \"forge::repos.delete\" }]"));
}

#[test]
fn one_rule_is_not_turned_into_another() {
    // Of a mixed entry, what fits is kept as it is and nothing is lost.
    let read = "action: \"forge::repos.read\"";
    let get = "method: GET, path: /status";
    let bound = format!(
        "permit(principal, action == Action::\"forge::repos.read\", resource);\n{}permit(principal, action == Action::\"GET\", resource) when {{ context.path == \"/status\" }};\n{}",
        permit("context.forge.owner == \"acme\""),
        "permit(principal, action == Action::\"HEAD\", resource);\npermit(principal, action in [Action::\"forge::repos.read\", Action::\"forge::contents.read\", Action::\"tools::tools.list\"], resource);\n",
    );
    check(&rules(&[get, read, &write("")]), &bound, &[], &rules(&[get, read, &write("owner: acme")]));
    check(&rules(&[&write("owner: x"), read]), &bound, &[], &one(read));
    check(&rules(&["action: \"forge::repos.delete\"", read]), &bound, &[], &one(read));
}

#[test]
fn requests_at_a_plugins_host_are_what_they_mean() {
    let put = |path: &str| {
        at(&format!(
            "host: forge.example.com, port: 443, protocol: rest, rules: [{{ allow: {{ method: PUT, path: \"{path}\" }} }}]"
        ))
    };
    // The ceiling says it by paths: so does the repair.
    let bound = "permit(principal, action, resource) when { context has path && context.path like \"/docs/*\" };";
    check(&put("/**"), bound, &[], &put("/docs/*/**"));
    // It says it by owners, which paths do not say.
    let bound = format!(
        "permit(principal, action == Action::\"PUT\", resource);\n{}",
        permit("context.forge.owner == \"acme\"")
    );
    check(&put("/x"), &bound, &[], "not_expressible");
    // A forbid of an action is a deny of it.
    let bound =
        "permit(principal, action, resource);\nforbid(principal, action == Action::\"forge::pulls.merge\", resource);";
    check(
        &put("/x"),
        bound,
        &[],
        &at(
            "host: forge.example.com, port: 443, protocol: rest, rules: [{ allow: { method: PUT, path: /x } }], deny_rules: [{ action: \"forge::pulls.merge\" }]",
        ),
    );
}

/// A rule about requests asks for each action that they can be, whatever another rule says of that action.
#[test]
fn what_a_rule_about_requests_asked_for_is_not_lost_to_another() {
    let merge = |wanted: &str| format!("action: \"forge::pulls.merge\", where: {{ {wanted} }}");
    let bound = "permit(principal, action == Action::\"forge::pulls.merge\", resource) when { context.forge.force };";
    check(&rules(&[&merge("number: 7"), "method: PUT, path: /**"]), bound, &[], &one(&merge("force: true")));
}

#[test]
fn of_several_the_one_nearest_the_denials() {
    let bound =
        [permit("context.forge.owner == \"a\""), permit("context.forge.owner == \"b\" && context.forge.path == \"x\"")]
            .concat();
    let put =
        |attributes: &str| format!("/usr/bin/curl PUT forge.example.com 443 /p forge::contents.write {attributes}");
    check(&one(&write("")), &bound, &[], &one(&write("owner: a")));
    let asked = put(r#"{"owner": "b", "repo": "r", "path": "x"}"#);
    check(&one(&write("")), &bound, &[&asked], &one(&write("owner: b, path: x")));
    // Not inside, but near.
    let asked = put(r#"{"owner": "b", "repo": "r", "path": "y"}"#);
    check(&one(&write("")), &bound, &[&asked], &one(&write("owner: { any: [b, a] }, path: x")));
}

#[test]
fn a_repair_is_what_can_be_posted() {
    let base = policy(&one("action: \"forge::repos.read\""));
    let bound = format!(
        "permit(principal, action in Action::\"read\", resource);\n{}",
        permit("context.forge.owner == \"acme\"")
    );
    let ceiling = Ceiling::parse_over(&bound, "ceiling.cedar", &plugins::schema()).unwrap();
    let posted = |wanted: &str| {
        let rules = format!(r#"{{"allow":{{"action":"forge::contents.write"{wanted}}}}}"#);
        let more = format!(
            r#"{{"addAllowRules":{{"ruleName":"p","host":"forge.example.com","port":443,"rules":[{rules}]}}}}"#
        );
        let body = format!(r#"{{"intent_summary": "x", "operations": [{more}]}}"#);
        (Proposal::parse(body.as_bytes()).unwrap().operations, more)
    };
    let (operations, _) = posted("");
    let candidate = operations.iter().fold(base.clone(), |policy, operation| operation.apply(&policy).unwrap());
    let Verdict::Exceeds(found) = prove(&compiled(&candidate), &ceiling, &Options::default()).verdict else { panic!() };
    let grounds = Grounds { base: Some(&base), evidence: &[] };
    let Repair::Rule(repair) = repair(&candidate, &found.rule.unwrap(), &ceiling, &grounds, &Options::default()) else {
        panic!()
    };
    let repaired = repair.operations(&operations, &base).expect("it can be posted");
    let lines: Vec<String> = repaired.iter().map(|operation| operation.to_json().to_string()).collect();
    assert_eq!(lines, [posted(r#","where":{"owner":"acme"}"#).1]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
    /// `repaired` holds each against the prover; what is said not to be is asked about again.
    #[test]
    fn random_rules_under_random_ceilings(
        asked in proptest::collection::vec(wanted(), 1..3),
        permits in proptest::collection::vec(wanted(), 1..4),
        forbids in proptest::collection::vec(wanted(), 0..3),
    ) {
        let listed = |all: &[String]| all.iter().map(|wanted| write(wanted)).collect::<Vec<_>>();
        let (allow, deny) = (listed(&permits), listed(&forbids));
        let mut both: Vec<&str> = allow.iter().map(String::as_str).collect();
        if !deny.is_empty() {
            both.push("--");
            both.extend(deny.iter().map(String::as_str));
        }
        let ceiling_text = rules(&both);
        let asked = listed(&asked);
        let text = rules(&asked.iter().map(String::as_str).collect::<Vec<_>>());
        let ceiling = Ceiling::parse_over(&ceiling_text, "ceiling", &plugins::schema()).unwrap();
        if !is_within(&policy(&text), &ceiling) {
            repaired(&text, &ceiling_text, &[]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
    /// The same of every kind of rule, under ceilings in Cedar.
    #[test]
    fn random_rules_under_random_cedar(
        allow in proptest::collection::vec(rule(), 1..3),
        preset in select(vec!["", "", "", "access: read-write", "access: full"]),
        clauses in proptest::collection::vec(clause(), 1..6),
        near in any::<bool>(),
    ) {
        let asked = match preset {
            "" => rules(&allow.iter().map(String::as_str).collect::<Vec<_>>()),
            preset => forge(preset),
        };
        let ceiling_text = clauses.concat();
        let ceiling = Ceiling::parse_over(&ceiling_text, "ceiling.cedar", &plugins::schema());
        // Strict validation refuses what is never true, such as a method that no action at hand is.
        let Ok(ceiling) = ceiling else { return Ok(()) };
        let evidence = denied(r#"/usr/bin/curl PUT forge.example.com 443 /p forge::contents.write {"owner": "a", "repo": "r", "path": "d/x"}"#);
        if !is_within(&policy(&asked), &ceiling) {
            repaired(&asked, &ceiling_text, if near { std::slice::from_ref(&evidence) } else { &[] });
        }
    }
}

fn rule() -> impl Strategy<Value = String> {
    let merge = select(vec!["number: 7", "number: { any: [1, 2] }, force: false", "owner: a"]);
    let issue = select(vec!["labels: { any: [a, b] }", "draft: true", "owner: a", "labels: { any: [] }"]);
    prop_oneof![
        3 => wanted().prop_map(|wanted| write(&wanted)),
        1 => merge.prop_map(|wanted| format!("action: \"forge::pulls.merge\", where: {{ {wanted} }}")),
        1 => issue.prop_map(|wanted| format!("action: \"forge::issues.create\", where: {{ {wanted} }}")),
        1 => select(vec!["method: PUT, path: /**", "method: '*', path: /a/**"]).prop_map(str::to_owned),
    ]
}

fn clause() -> impl Strategy<Value = String> {
    let effect = prop_oneof![3 => Just("permit"), 1 => Just("forbid")];
    let on = |action: &'static str, atoms: Vec<&'static str>| {
        proptest::collection::vec((select(atoms), any::<bool>()), 1..3).prop_map(move |atoms| {
            let literal = |(atom, not): (&str, bool)| if not { format!("!({atom})") } else { atom.to_owned() };
            (action, atoms.into_iter().map(literal).collect::<Vec<_>>().join(" && "))
        })
    };
    let write = vec![
        "context.forge.owner == \"a\"",
        "context.forge.owner like \"a*\"",
        "context.forge.path like \"d/*\"",
        "[\"d\", \"e/f\"].contains(context.forge.path)",
        "context.forge has branch",
        "(context.forge has branch && context.forge.branch like \"bot/*\")",
        "context.method == \"PUT\"",
        "resource.port == 443",
    ];
    let merge = vec![
        "context.forge.number == 7",
        "context.forge.number < 3",
        "context.forge.force",
        "context.forge.owner == \"a\"",
    ];
    let issue = vec![
        "[\"a\", \"c\"].containsAll(context.forge.labels)",
        "context.forge.labels.contains(\"a\")",
        "context.forge.labels.isEmpty()",
        "(context.forge has draft && context.forge.draft)",
    ];
    let group = vec![
        "context.path like \"/a/*\"",
        "context.method == \"PUT\"",
        "resource.port == 443",
        "principal.path == \"/usr/bin/git\"",
    ];
    let what = prop_oneof![
        4 => on("action == Action::\"forge::contents.write\"", write),
        1 => on("action == Action::\"forge::pulls.merge\"", merge),
        1 => on("action == Action::\"forge::issues.create\"", issue),
        2 => on("action in [Action::\"PUT\", Action::\"operation:PUT\"]", group),
        1 => Just(("action in Action::\"read\"", "resource.port == 443".to_owned())),
    ];
    (effect, what)
        .prop_map(|(effect, (action, when))| format!("{effect}(principal, {action}, resource) when {{ {when} }};\n"))
}

fn wanted() -> impl Strategy<Value = String> {
    let owner = select(vec!["", "owner: a", "owner: { any: [a, b] }", "owner: 'a*'", "owner: '*b'"]);
    let path = select(vec!["", "path: 'd/**'", "path: 'd/*'", "path: d/x", "path: '**/x'", "path: { any: [d, e/f] }"]);
    let branch = select(vec!["", "branch: main", "branch: 'bot/**'", "branch: '**'"]);
    (owner, path, branch).prop_map(|(owner, path, branch)| {
        [owner, path, branch].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    })
}
