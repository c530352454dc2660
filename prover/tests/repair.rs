//! Repairs of rules as agents write them, under ceilings as people write them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use narrowgate_core::compile::Compiled;
use narrowgate_core::decide::{Layer, Reason};
use narrowgate_core::denial::DenialRecord;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::proposal::Proposal;
use narrowgate_prover::{Ceiling, Grounds, NoRepair, Options, Repair, Verdict, prove, repair};

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
        operations: Vec::new(),
    }
}

fn repaired(text: &str, bound: &str, evidence: &[DenialRecord]) -> Repair {
    let (policy, ceiling) = (policy(text), Ceiling::parse(bound, "ceiling").unwrap_or_else(|e| panic!("{e}\n{bound}")));
    let outcome = prove(&Compiled::policy(&policy).unwrap(), &ceiling, &Options::default());
    let Verdict::Exceeds(found) = outcome.verdict else { panic!("{:?}\n{text}\n{bound}", outcome.verdict) };
    let grounds = Grounds { base: None, evidence };
    let repair = repair(&policy, found.rule.as_ref().unwrap(), &ceiling, &grounds, &Options::default());
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
    let under = |forbid: &str| {
        let permit = "permit(principal, action, resource) when { resource.host like \"*.example.com\" };";
        format!("{permit}\nforbid(principal, action, resource) {forbid};")
    };
    let get = |more: &str| at(&format!("host: api.example.com, port: 443, protocol: rest, {more}"));
    let wide = |more: &str| at(&format!("host: '*.example.com', ports: [80, 443], protocol: rest, {more}"));
    let cases = [
        // A hole in the paths: exactly what the forbid takes, and no more.
        (
            get("access: read-only"),
            "when { context has path && context.path like \"/admin/*\" }",
            get("access: read-only, deny_rules: [{ method: '*', path: '/admin/*/**' }]"),
        ),
        (
            get("rules: [{ allow: { method: GET, path: /a/** } }]"),
            "when { context has path && context.path == \"/a/secret\" }",
            get("rules: [{ allow: { method: GET, path: /a/** } }], deny_rules: [{ method: GET, path: /a/secret }]"),
        ),
        // Everything but something.
        (
            get("rules: [{ allow: { method: GET, path: /** } }]"),
            "unless { context has path && context.path like \"/public/*\" }",
            get("rules: [{ allow: { method: GET, path: '/public/*/**' } }]"),
        ),
        (
            wide("access: read-only"),
            "when { resource.port == 80 }",
            at("host: '*.example.com', port: 443, protocol: rest, access: read-only"),
        ),
        (
            wide("access: read-only"),
            "unless { resource.host == \"api.example.com\" }",
            at("host: api.example.com, ports: [80, 443], protocol: rest, access: read-only"),
        ),
        (
            get("access: read-only"),
            "when { context.now >= 1780272000 }",
            get("access: read-only, expires_at: 2026-06-01T00:00:00Z"),
        ),
        // One host among many.
        (
            at("host: '*.example.com', port: 443, protocol: rest, rules: [{ allow: { method: GET, path: /** } }]"),
            "when { resource.host == \"vault.example.com\" }",
            at("host: '*.example.com', port: 443, protocol: rest, rules: [{ allow: { method: GET, path: /** } }] }, \
                { host: vault.example.com, port: 443, protocol: rest, deny_rules: [{ method: GET, path: /** }]"),
        ),
        // A method.
        (
            get("access: full"),
            "when { action == Action::\"DELETE\" }",
            get("rules: [{ allow: { method: '*', path: /** } }], deny_rules: [{ method: DELETE, path: /** }]")
                .replace("rules: [{ allow: { method: '*', path: /** } }]", "access: full"),
        ),
        // A value of a query key, and a key that repeats: the deny is for both.
        (
            get("rules: [{ allow: { method: GET, path: /a } }]"),
            "when { context has query && (context.query.repeated.contains(\"k\") || (context.query.hasTag(\"k\") && context.query.getTag(\"k\") like \"x*\")) }",
            get(
                "rules: [{ allow: { method: GET, path: /a } }], deny_rules: [{ method: GET, path: /a, query: { k: 'x*' } }]",
            ),
        ),
    ];
    for (asked, forbid, expect) in cases {
        check(&asked, &under(forbid), &[], &expect);
    }
    check(&get("access: read-only"), &under("when { action in Action::\"read\" }"), &[], "denied_by_ceiling");
    check(&get("access: read-only"), &under(""), &[], "denied_by_ceiling");
    // Who asks is nothing that a rule can say but by the executable.
    check(&get("access: read-only"), &under("unless { principal in Sandbox::\"dev\" }"), &[], "not_expressible");
}

#[test]
fn ceilings_in_cedar_bound_as_those_in_yaml_do() {
    let get = |path: &str| rules(&[&format!("method: GET, path: \"{path}\"")]);
    let permit = |when: &str| format!("permit(principal, action, resource) when {{ {when} }};");
    let http = |when: &str| permit(&format!("context has path && {when}"));
    let segments = "context has segments && context.segments has h0 && context.segments.h0 == \"repos\" && context.segments has h1 && \
                    context.segments.h1 == \"acme\"";
    for (asked, bound, expect) in [
        ("/**", http("context.path like \"/repos/*\""), "/repos/*/**"),
        ("/**", http("context.path like \"/repos*\""), "/repos*/**"),
        ("/**", http("context.path == \"/repos\""), "/repos"),
        ("/repos/**", http("context.path like \"*.md\""), "/repos/**/*.md"),
        ("/**", permit(segments), "/repos/acme/**"),
        ("/x/**", http("context.segments.count <= 2"), "/x/*"),
        ("/**", http("[\"/a\", \"/b\"].contains(context.path)"), "/a"),
    ] {
        check(&get(asked), &bound, &[], &get(expect));
    }
    let host = |host: &str| at(&format!("host: \"{host}\", port: 443, protocol: rest, access: read-only"));
    check(
        &host("**.example.com"),
        &permit("resource.host like \"*.example.com\" && resource.labels == 3"),
        &[],
        &host("*.example.com"),
    );
    check(
        &host("*.example.com"),
        &permit("resource.host like \"api*.example.com\" && resource.port < 1024"),
        &[],
        &host("api*.example.com"),
    );
    check(
        &host("**.example.com"),
        &permit("resource in Endpoint::\"api.example.com:443\""),
        &[],
        &host("api.example.com"),
    );
    check(
        &host("api.example.com"),
        "permit(principal, action == Action::\"GET\", resource);",
        &[],
        &at(
            "host: api.example.com, port: 443, protocol: rest, rules: [{ allow: { method: GET, path: /** } }], deny_rules: [{ method: HEAD, path: /** }]",
        ),
    );
    // A key that must not be there: an allow cannot say that, a deny can.
    check(
        &get("/a"),
        &http("!context.query.hasTag(\"token\") && !context.query.repeated.contains(\"token\")"),
        &[],
        &at(
            "host: api.example.com, port: 443, protocol: rest, rules: [{ allow: { method: GET, path: /a } }], deny_rules: [{ method: GET, path: /a, query: { token: '*' } }]",
        ),
    );
}

#[test]
fn of_several_the_one_nearest_the_denials() {
    let get = |path: &str| rules(&[&format!("method: GET, path: \"{path}\"")]);
    let bound = rules(&["method: GET, path: /a/**", "method: GET, path: /b/**", "method: GET, path: /c/deep/**"]);
    let at_path = |path: &str| format!("/usr/bin/curl GET api.example.com 443 {path}");
    // Without evidence a fixed choice: the widest at a glance, then the ceiling's order.
    check(&get("/**"), &bound, &[], &get("/a/**"));
    check(&get("/**"), &bound, &[&at_path("/b/x")], &get("/b/**"));
    check(&get("/**"), &bound, &[&at_path("/c/deep/er")], &get("/c/deep/**"));
    // Not inside, but near.
    check(&get("/**"), &bound, &[&at_path("/c/shallow")], &get("/c/deep/**"));
    let hosts =
        "permit(principal, action, resource) when { [\"a.example.com\", \"b.example.com\"].contains(resource.host) };";
    let host = |host: &str| at(&format!("host: \"{host}\", port: 443, protocol: rest, access: read-only"));
    check(&host("*.example.com"), hosts, &["/usr/bin/curl GET b.example.com 443 /x"], &host("b.example.com"));
    // Reading for everyone, writing for curl alone: which is it for?
    let bound = format!(
        "{}  q: {{ name: q, binaries: [{{ path: /usr/bin/curl }}], endpoints: [{{ host: api.example.com, port: 443, protocol: rest, access: read-write }}] }}\n",
        host("api.example.com")
    );
    let asked = at("host: api.example.com, port: 443, protocol: rest, access: read-write");
    check(&asked, &bound, &["/usr/bin/curl GET api.example.com 443 /x"], &host("api.example.com"));
    let curl = document(
        "binaries: [{ path: /usr/bin/curl }], endpoints: [{ host: api.example.com, port: 443, protocol: rest, access: read-write }]",
    );
    check(&asked, &bound, &["/usr/bin/curl PUT api.example.com 443 /x"], &curl);
}

#[test]
fn what_fits_stays_as_it_is() {
    let bound = rules(&["method: GET, path: /**", "method: PUT, path: /docs/**"]);
    let asked = rules(&[
        "method: GET, path: /x",
        "method: PUT, path: /**",
        "method: GET, path: /y",
        "method: DELETE, path: /z",
    ]);
    check(
        &asked,
        &bound,
        &[],
        &rules(&["method: GET, path: /x", "method: PUT, path: /docs/**", "method: GET, path: /y"]),
    );
    // An agent's own deny stays.
    let own = at(
        "host: api.example.com, port: 443, protocol: rest, rules: [{ allow: { method: PUT, path: /** } }], deny_rules: [{ method: '*', path: /docs/x }]",
    );
    let expect = own.replace("path: /** ", "path: /docs/** ");
    check(&own, &bound, &[], &expect);
    // What it denies itself is no repair, though it would fit.
    let itself = "host: api.example.com, port: 443, protocol: rest, rules: [{ allow: { method: GET, path: /x } }, \
                  { allow: { method: DELETE, path: /y } }], deny_rules: [{ method: GET, path: /x }]";
    check(&at(itself), &bound, &[], "nothing_in_common");
    // Two endpoints of which one does not fit at all.
    let one = "host: api.example.com, port: 443, protocol: rest, rules: [{ allow: { method: GET, path: /a } }]";
    check(
        &at(&format!("{one} }}, {{ host: other.example.com, port: 443, protocol: rest, access: read-only")),
        &bound,
        &[],
        &at(one),
    );
}

#[test]
fn several_entries_are_repaired_together() {
    let endpoint = |access: &str| format!("[{{ host: api.example.com, port: 443, protocol: rest, access: {access} }}]");
    let bound = document(&format!("endpoints: {}", endpoint("read-only")));
    let text = format!(
        "version: 1\nnetwork_policies:\n  a: {{ endpoints: {} }}\n  b: {{ endpoints: {} }}\n  c: {{ endpoints: [{{ host: other.example.com, port: 443, protocol: rest, rules: [{{ allow: {{ method: PUT, path: /a }} }}] }}] }}\n",
        endpoint("read-write"),
        endpoint("full")
    );
    let (policy, ceiling) = (policy(&text), Ceiling::parse(&bound, "ceiling").unwrap());
    let Verdict::Exceeds(found) = prove(&Compiled::policy(&policy).unwrap(), &ceiling, &Options::default()).verdict
    else {
        panic!()
    };
    let Repair::Rule(repair) =
        repair(&policy, &found.rule.unwrap(), &ceiling, &Grounds::default(), &Options::default())
    else {
        panic!()
    };
    assert_eq!((repair.rule_name.as_str(), &repair.remaining), ("a", &vec!["c".to_owned()]));
    assert_eq!(repair.also.keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(repair.policy.entries.len(), 2);
    assert_eq!(repair.proven.policy(), Compiled::policy(&repair.policy).unwrap().digest());
}

#[test]
fn a_repair_is_what_can_be_posted() {
    let base = policy(&rules(&["method: GET, path: /x"]));
    let bound = Ceiling::parse(&rules(&["method: GET, path: /**", "method: PUT, path: /docs/**"]), "ceiling").unwrap();
    let post = |operations: &str| {
        let body = format!("{{\"intent_summary\": \"x\", \"operations\": [{operations}]}}");
        let posted = Proposal::parse(body.as_bytes()).unwrap().operations;
        let candidate = posted.iter().fold(base.clone(), |policy, operation| operation.apply(&policy).unwrap());
        let verdict = prove(&Compiled::policy(&candidate).unwrap(), &bound, &Options::default()).verdict;
        let Verdict::Exceeds(found) = verdict else { panic!("{verdict:?}") };
        let grounds = Grounds { base: Some(&base), evidence: &[] };
        match repair(&candidate, &found.rule.unwrap(), &bound, &grounds, &Options::default()) {
            Repair::Rule(repair) => {
                let operations = repair.operations(&posted, &base).expect("it can be posted");
                let applied =
                    operations.iter().fold(base.clone(), |policy, operation| operation.apply(&policy).unwrap());
                assert_eq!(applied, repair.policy);
                let lines: Vec<String> = operations.iter().map(|operation| operation.to_json().to_string()).collect();
                lines.join("\n")
            }
            Repair::None(why) => why.code().to_owned(),
        }
    };
    let more = |rules: &str| {
        format!(r#"{{"addAllowRules":{{"ruleName":"p","host":"api.example.com","port":443,"rules":[{rules}]}}}}"#)
    };
    assert_eq!(
        post(&more(r#"{"allow":{"method":"PUT","path":"/**"}}"#)),
        more(r#"{"allow":{"method":"PUT","path":"/docs/**"}}"#)
    );
    // What is there already is not offered again.
    assert_eq!(post(&more(r#"{"allow":{"method":"DELETE","path":"/x"}}"#)), "nothing_in_common");
    assert_eq!(
        post(
            r#"{"addRule":{"ruleName":"q","rule":{"endpoints":[{"host":"api.example.com","port":443,"protocol":"rest","rules":[{"allow":{"method":"PUT","path":"/d*/**"}}]}]}}}"#
        ),
        r#"{"addRule":{"ruleName":"q","rule":{"name":"q","endpoints":[{"host":"api.example.com","port":443,"protocol":"rest","rules":[{"allow":{"method":"PUT","path":"/docs/**"}}]}]}}}"#
    );
}

#[test]
fn a_repair_never_takes_away_what_is_allowed_beside_it() {
    // The ceiling forbids GET under /x and nothing else: a deny of every method there would revoke the PUT.
    let bound = "permit(principal, action, resource);\nforbid(principal, action in Action::\"read\", resource) when { context has path && context.path like \"/x/*\" };";
    let text = "version: 1\nnetwork_policies:\n  p: { name: p, endpoints: [{ host: api.example.com, port: 443, protocol: rest, access: read-only }] }\n  q: { endpoints: [{ host: api.example.com, port: 443, protocol: rest, rules: [{ allow: { method: PUT, path: /x/y } }] }] }\n";
    let expect = at(
        "host: api.example.com, port: 443, protocol: rest, access: read-only, deny_rules: [{ method: GET, path: '/x/*/**' }, { method: OPTIONS, path: '/x/*/**' }]",
    );
    check(text, bound, &[], &expect);
}

#[test]
fn the_search_is_bounded_and_its_answer_stable() {
    let asked = at("host: '**.example.com', ports: [80, 443], protocol: rest, access: full");
    let evidence = [denied("/usr/bin/curl GET api.example.com 443 /r7/a/x/y")];
    for permits in [50, 1000] {
        let many: Vec<String> = (0..permits).map(|n| format!("method: GET, path: \"/r{n}/*/x/**\"")).collect();
        let bound = rules(&many.iter().map(String::as_str).collect::<Vec<_>>());
        let answer = || {
            let started = std::time::Instant::now();
            let Repair::Rule(repair) = repaired(&asked, &bound, &evidence) else { panic!() };
            // The search itself takes a second at most; proofs and a busy machine come on top of it.
            assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
            (repair.complete, repair.rule.to_json().to_string())
        };
        let (first, second) = (answer(), answer());
        assert!(first.1.contains("\"/r7/*/x/**\""), "{first:?}");
        assert!(first == second || !(first.0 && second.0), "{first:?}\n{second:?}");
    }
    // Nobody waits: no answer, and soon.
    let (policy, ceiling) = (policy(&asked), Ceiling::parse(&rules(&["method: GET, path: /a"]), "ceiling").unwrap());
    let Verdict::Exceeds(found) = prove(&Compiled::policy(&policy).unwrap(), &ceiling, &Options::default()).verdict
    else {
        panic!()
    };
    let cancel = Some(std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true)));
    let cancelled = Options { cancel, ..Options::default() };
    let answer = repair(&policy, &found.rule.unwrap(), &ceiling, &Grounds::default(), &cancelled);
    assert!(matches!(answer, Repair::None(NoRepair::NotFoundInTime)), "{answer:?}");
}
