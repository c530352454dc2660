//! Repairs of rules as agents write them, under ceilings as people write them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use narrowgate_core::compile::Compiled;
use narrowgate_core::decide::{Layer, Reason};
use narrowgate_core::denial::DenialRecord;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_prover::{Ceiling, Grounds, Options, Repair, Verdict, prove, repair};

/// A document with this entry.
fn document(entry: &str) -> String {
    format!("version: 1\nnetwork_policies:\n  p: {{ name: p, {entry} }}\n")
}

/// One endpoint, for any binary.
fn at(endpoint: &str) -> String {
    document(&format!("endpoints: [{{ {endpoint} }}]"))
}

/// Rules on api.example.com:443, in flow style and without the `allow` around each.
fn rules(rules: &[&str]) -> String {
    let rules: Vec<String> = rules.iter().map(|rule| format!("{{ allow: {{ {rule} }} }}")).collect();
    at(&format!("host: api.example.com, port: 443, protocol: rest, rules: [{}]", rules.join(", ")))
}

fn policy(text: &str) -> Policy {
    Policy::parse(text, "policy.yaml", Role::Policy).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn denied(line: &str) -> DenialRecord {
    let words: Vec<&str> = line.split(' ').collect();
    let [binary, method, host, port, path] = words[..] else { panic!("{line}") };
    DenialRecord {
        denial_id: "d_1".to_owned(),
        time: "2026-01-01T00:00:00Z".to_owned(),
        layer: if method == "CONNECT" { Layer::L4 } else { Layer::L7 },
        host: host.to_owned(),
        port: port.parse().unwrap(),
        method: Some(method.to_owned()).filter(|method| method != "CONNECT"),
        path: Some(path.to_owned()).filter(|_| method != "CONNECT"),
        binary: binary.to_owned(),
        reason: Reason::NoMatchingRule,
    }
}

fn repaired(text: &str, bound: &str, evidence: &[DenialRecord]) -> Repair {
    let (policy, ceiling) = (policy(text), Ceiling::parse(bound, "ceiling").unwrap_or_else(|e| panic!("{e}\n{bound}")));
    let outcome = prove(&Compiled::policy(&policy).unwrap(), &ceiling, &Options::default());
    let Verdict::Exceeds(found) = outcome.verdict else { panic!("{:?}\n{text}\n{bound}", outcome.verdict) };
    let grounds = Grounds { base: None, evidence };
    let started = std::time::Instant::now();
    let repair = repair(&policy, found.rule.as_ref().unwrap(), &ceiling, &grounds, &Options::default());
    eprintln!("{:?}", started.elapsed());
    if let Repair::Rule(repair) = &repair {
        // What is offered is a rule that can be posted, and is proven again from its text.
        let again = Policy::parse(&repair.policy.to_yaml(), "again", Role::Policy).unwrap();
        assert_eq!(again.entries["p"], repair.rule);
        let again = prove(&Compiled::policy(&again).unwrap(), &ceiling, &Options::default());
        assert!(matches!(again.verdict, Verdict::Within(_)), "{:?}", again.verdict);
    }
    repair
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

#[test]
fn paths_are_tightened() {
    let get = |path: &str| rules(&[&format!("method: GET, path: \"{path}\"")]);
    for (asked, bound, expect) in [
        ("/**", "/a/**", "/a/**"),
        ("/a/**", "/a/*", "/a/*"),
        ("/repos/**", "/repos/acme/*/contents/**", "/repos/acme/*/contents/**"),
        ("/*/acme/**", "/repos/**", "/repos/acme/**"),
        ("/a*/**", "/*b/c/**", "/a*b/c/**"),
        ("/**/x", "/a/**", "/a/**/x"),
        ("/a/*.md", "/*/b*", "/a/b*.md"),
        ("/**", "/a?/x", "/a?/x"),
        ("/**", "/a*/**/b", "/a*/**/b"),
    ] {
        check(&get(asked), &get(bound), &[], &get(expect));
    }
    check(&get("/a/**"), &get("/b/**"), &[], "nothing_in_common");
}

#[test]
fn methods_are_those_of_the_ceiling() {
    let preset = |access: &str| at(&format!("host: api.example.com, port: 443, protocol: rest, access: {access}"));
    check(&preset("full"), &preset("read-only"), &[], &preset("read-only"));
    check(&preset("full"), &preset("read-write"), &[], &preset("read-write"));
    check(&preset("read-write"), &preset("read-only"), &[], &preset("read-only"));
    check(
        &rules(&["method: '*', path: /a"]),
        &preset("read-only"),
        &[],
        &rules(&["method: GET, path: /a", "method: OPTIONS, path: /a"]),
    );
    check(
        &rules(&["method: '*', path: /a"]),
        &rules(&["method: PURGE, path: /**", "method: HEAD, path: /**"]),
        &[],
        &rules(&["method: HEAD, path: /a", "method: PURGE, path: /a"]),
    );
    check(
        &rules(&["method: GET, path: /a"]),
        &rules(&["method: HEAD, path: /**"]),
        &[],
        &rules(&["method: HEAD, path: /a"]),
    );
    check(&rules(&["method: DELETE, path: /a"]), &preset("read-only"), &[], "nothing_in_common");
    // A wide path for reading, a narrow one for writing.
    let bound = rules(&["method: GET, path: /**", "method: PUT, path: /docs/**"]);
    check(&rules(&["method: '*', path: /**"]), &bound, &[], &bound);
}

#[test]
fn hosts_ports_leases_and_queries_are_tightened() {
    let rest = |host: &str, more: &str| at(&format!("host: \"{host}\", {more}, protocol: rest, access: read-only"));
    check(
        &rest("**.example.com", "port: 443"),
        &rest("*.example.com", "port: 443"),
        &[],
        &rest("*.example.com", "port: 443"),
    );
    check(
        &rest("**.example.com", "port: 443"),
        &rest("api.example.com", "port: 443"),
        &[],
        &rest("api.example.com", "port: 443"),
    );
    check(
        &rest("a*.example.com", "port: 443"),
        &rest("*i.example.com", "port: 443"),
        &[],
        &rest("a*i.example.com", "port: 443"),
    );
    check(
        &rest("api.example.com", "ports: [80, 443, 8443]"),
        &rest("*.example.com", "ports: [443, 8443]"),
        &[],
        &rest("api.example.com", "ports: [443, 8443]"),
    );
    let lease = "port: 443, expires_at: 2026-06-01T00:00:00Z";
    check(&rest("api.example.com", "port: 443"), &rest("api.example.com", lease), &[], &rest("api.example.com", lease));
    let query = |query: &str| rules(&[&format!("method: GET, path: /a{query}")]);
    check(&query(""), &query(", query: { ref: main }"), &[], &query(", query: { ref: main }"));
    check(
        &query(", query: { ref: 'm*' }"),
        &query(", query: { ref: { any: ['*n', x] } }"),
        &[],
        &query(", query: { ref: 'm*n' }"),
    );
    let two = format!(
        "{}      - {{ host: api.example.com, port: 80, protocol: rest, access: read-only }}\n",
        rest("api.example.com", "port: 443")
            .replace("{ name: p, endpoints: [", "\n    name: p\n    endpoints:\n      - ")
            .replace("] }\n", "\n")
    );
    check(&rest("api.example.com", "ports: [80, 443, 8443]"), &two, &[], &rest("api.example.com", "ports: [80, 443]"));
}

#[test]
fn binaries_are_tightened() {
    let by = |binaries: &str| {
        document(&format!(
            "{binaries}endpoints: [{{ host: api.example.com, port: 443, protocol: rest, access: read-only }}]"
        ))
    };
    check(&by(""), &by("binaries: [{ path: /usr/bin/curl }], "), &[], &by("binaries: [{ path: /usr/bin/curl }], "));
    check(
        &by(""),
        &by("binaries: [{ path: /usr/bin/curl }, { path: /usr/bin/git }], "),
        &[],
        &by("binaries: [{ path: /usr/bin/curl }, { path: /usr/bin/git }], "),
    );
    check(
        &by("binaries: [{ path: /usr/bin/curl }, { path: /usr/bin/git }], "),
        &by("binaries: [{ path: /usr/bin/git }], "),
        &[],
        &by("binaries: [{ path: /usr/bin/git }], "),
    );
    check(
        &by("binaries: [{ path: /usr/** }], "),
        &by("binaries: [{ path: '/usr/bin/*' }], "),
        &[],
        &by("binaries: [{ path: '/usr/bin/*' }], "),
    );
    // Descendants of curl are not in the ceiling, and no rule says "curl itself alone".
    let own = "permit(principal, action in Action::\"read\", resource) when { principal.path == \"/usr/bin/curl\" };";
    check(&by("binaries: [{ path: /usr/bin/curl }], "), own, &[], "not_expressible");
}

#[test]
fn opaque_bytes_become_requests_where_only_those_fit() {
    let l4 = |host: &str| at(&format!("host: \"{host}\", port: 443"));
    let read = at("host: api.example.com, port: 443, protocol: rest, access: read-only");
    check(&l4("api.example.com"), &read, &[], &read);
    check(&l4("**.example.com"), &l4("api.example.com"), &[], &l4("api.example.com"));
}

#[test]
fn forbids_are_stepped_around() {
    let all = "permit(principal, action, resource) when { resource.host like \"*.example.com\" };\n";
    let l7 = |methods: &str| format!("{all}forbid(principal, action, resource) when {{ {methods} }};");
    let get = |more: &str| at(&format!("host: api.example.com, port: 443, protocol: rest, {more}"));
    check(
        &get("access: read-only"),
        &l7("context has path && context.path like \"/admin/*\""),
        &[],
        &get("access: read-only, deny_rules: [{ method: '*', path: '/admin/*/**' }]"),
    );
}
