//! Verdicts on policies and ceilings as people write them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use narrowgate_core::cedar::is_allowed;
use narrowgate_core::certificate::verify;
use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::schema::Schema;
use narrowgate_prover::{Approval, Ceiling, Options, Outcome, Report, SigningKey, Verdict, prove};

/// A rule-language document with one endpoint on api.example.com:443, from the endpoint's members in flow style.
fn rest(members: &str) -> String {
    document(&format!("host: api.example.com, port: 443, protocol: rest, {members}"))
}

fn document(endpoint: &str) -> String {
    format!("version: 1\nnetwork_policies:\n  p:\n    name: p\n    endpoints:\n      - {{ {endpoint} }}\n")
}

fn candidate(text: &str) -> Compiled {
    if text.contains("network_policies") {
        let policy = Policy::parse(text, "policy.yaml", Role::Policy).unwrap_or_else(|e| panic!("{e}\n{text}"));
        Compiled::policy(&policy).unwrap()
    } else {
        Compiled::cedar(text, "policy.cedar").unwrap_or_else(|e| panic!("{e}\n{text}"))
    }
}

fn ceiling(text: &str) -> Ceiling {
    Ceiling::parse(text, "ceiling").unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The verdict in a line: `within`, `exceeds: <curl>` or the reason's code.
fn check(policy: &str, bound: &str, expect: &str) -> Outcome {
    let (candidate, ceiling) = (candidate(policy), ceiling(bound));
    let outcome = prove(&candidate, &ceiling, &Options::default());
    let line = match &outcome.verdict {
        Verdict::Within(proven) => {
            assert_eq!(proven.policy(), candidate.digest());
            assert_eq!(outcome.environments_checked, 9);
            "within".to_owned()
        }
        Verdict::Exceeds(found) => {
            let globs = candidate.globs().union(ceiling.compiled().globs());
            assert!(is_allowed(&candidate, &found.request, &globs));
            assert!(!is_allowed(ceiling.compiled(), &found.request, &globs));
            format!("exceeds: {}", found.curl())
        }
        Verdict::Unsupported(reason) | Verdict::Inconclusive(reason) => format!("{}: {}", reason.code, reason.message),
        Verdict::Disagree(disagreement) => disagreement.reason.message.clone(),
    };
    assert_eq!(line, expect, "\n--- policy\n{policy}\n--- ceiling\n{bound}\n--- compiled\n{}", candidate.text());
    outcome
}

fn rules(rules: &str) -> String {
    rest(&format!("rules: [{rules}]"))
}

#[test]
fn paths() {
    let allow = |method: &str, path: &str| rules(&format!("{{ allow: {{ method: {method}, path: \"{path}\" }} }}"));
    let inside = [
        ("/a/b", "/a/b"),
        ("/a/b", "/a/*"),
        ("/a/b", "/a/**"),
        ("/a/*", "/a/**"),
        ("/a", "/a/**"),
        ("/a/*/c", "/a/**"),
        ("/a/*/c", "/a/*/*"),
        ("/a/**", "/**"),
        ("/a/b*/c.md", "/a/*/*.md"),
        ("/a/**/z", "/a/**"),
        ("/a/x/**/z", "/a/**/z"),
        ("/a/*/**/z", "/a/**/z"),
        ("/a?c/d", "/a*/d"),
        ("/a?c/d", "/a?c/*"),
        ("/a/b/**/*.md", "/a/**/*.md"),
        ("/repos/*/contents/*.md", "/repos/*/contents/*"),
        ("/%2F/a", "/*/a"),
    ];
    for (policy, bound) in inside {
        check(&allow("GET", policy), &allow("GET", bound), "within");
    }
    let outside = [
        ("/a/*", "/a/b", "/a/x"),
        ("/a/**", "/a/*", "/a"),
        ("/a/**", "/a/b/**", "/a"),
        ("/**", "/a/**", "/"),
        ("/a/*/c", "/a/b/c", "/a/x/c"),
        ("/a/**/z", "/a/*/z", "/a/z"),
        ("/a/*.md", "/a/b*.md", "/a/.md"),
        ("/a*c/d", "/a?c/d", "/ac/d"),
        ("/a/*/**", "/a/*", "/a/x/x"),
        ("/a/b", "/a/c", "/a/b"),
        ("/a/", "/a", "/a/"),
    ];
    for (policy, bound, path) in outside {
        let expect = format!("exceeds: curl 'https://api.example.com{path}'");
        check(&allow("GET", policy), &allow("GET", bound), &expect);
    }
    check(&allow("PUT", "/a/**"), &allow("GET", "/**"), "exceeds: curl -X PUT 'https://api.example.com/a'");
    check(&allow("HEAD", "/a"), &allow("GET", "/**"), "within");
    check(&allow("GET", "/a"), &allow("HEAD", "/**"), "exceeds: curl 'https://api.example.com/a'");
    check(&allow("PURGE", "/a"), &allow("'*'", "/**"), "within");
    check(&allow("'*'", "/a"), &allow("PURGE", "/**"), "exceeds: curl 'https://api.example.com/a'");
}

#[test]
fn unions_cover_and_denies_carve() {
    let get = |path: &str| format!("{{ allow: {{ method: GET, path: \"{path}\" }} }}");
    let union = rules(&["/a", "/a/*", "/a/*/**"].map(get).join(", "));
    check(&rules(&get("/a/**")), &union, "within");
    let hole = rules(&["/a", "/a/x*", "/a/*/*/**"].map(get).join(", "));
    check(&rules(&get("/a/**")), &hole, "exceeds: curl 'https://api.example.com/a/a'");
    let carved = rest("access: read-only, deny_rules: [{ method: GET, path: \"/secret/**\" }]");
    check(&rest("access: read-only"), &carved, "exceeds: curl 'https://api.example.com/secret'");
    check(&carved, &carved, "within");
    let wider = rest("access: read-only, deny_rules: [{ method: '*', path: \"/s*/**\" }]");
    check(&wider, &carved, "within");
    check(&carved, &wider, "exceeds: curl 'https://api.example.com/s'");
}

#[test]
fn queries() {
    let get = |query: &str| rules(&format!("{{ allow: {{ method: GET, path: \"/a\", query: {query} }} }}"));
    check(&get("{ ref: main }"), &get("{ ref: main }"), "within");
    check(&get("{ ref: main }"), &get("{ ref: 'm*' }"), "within");
    check(&get("{ ref: main, x: '1' }"), &get("{ ref: main }"), "within");
    check(&get("{ ref: { any: [main, dev] } }"), &get("{ ref: { any: ['d*', 'm*'] } }"), "within");
    check(&get("{ ref: '*' }"), &get("{ ref: main }"), "exceeds: curl 'https://api.example.com/a?ref=x'");
    check(&get("{ ref: main }"), &get("{ ref: main, x: '*' }"), "exceeds: curl 'https://api.example.com/a?ref=main'");
    let free = rules("{ allow: { method: GET, path: \"/a\" } }");
    check(&free, &get("{ ref: '*' }"), "exceeds: curl 'https://api.example.com/a'");
    // A denied key may not slip past as a repeated one.
    let denied = rest("access: read-only, deny_rules: [{ method: '*', path: \"/**\", query: { debug: '*' } }]");
    let not_tagged =
        "permit(principal, action in Action::\"read\", resource) when { !context.query.hasTag(\"debug\") };";
    check(&denied, not_tagged, "within");
    let not_there = "permit(principal, action in Action::\"read\", resource) when \
                     { !context.query.hasTag(\"debug\") && !context.query.repeated.contains(\"debug\") };";
    check(&denied, not_there, "within");
    let tagged = "permit(principal, action in Action::\"read\", resource) when { resource.host == \"api.example.com\" } \
                  unless { context.query.hasTag(\"debug\") };";
    let candidate = "permit(principal, action == Action::\"GET\", resource) when { resource.host == \"api.example.com\" \
                     && context.path == \"/a\" && context.query.repeated.contains(\"debug\") };";
    check(candidate, not_there, "exceeds: curl 'https://api.example.com/a?debug=x&debug=y'");
    check(candidate, tagged, "within");
}

#[test]
fn hosts_ports_layers_and_leases() {
    let on = |host: &str, more: &str| {
        document(&format!("host: \"{host}\", port: 443, protocol: rest, access: read-only{more}"))
    };
    check(&on("a.example.com", ""), &on("*.example.com", ""), "within");
    check(&on("*.example.com", ""), &on("**.example.com", ""), "within");
    check(&on("a*b.example.com", ""), &on("*.example.com", ""), "within");
    check(&on("**.example.com", ""), &on("*.example.com", ""), "exceeds: curl 'https://x.x.example.com/'");
    check(&on("*.example.com", ""), &on("a*.example.com", ""), "exceeds: curl 'https://x.example.com/'");
    check(&on("10.0.0.1", ""), &on("*.example.com", ""), "exceeds: curl 'https://10.0.0.1/'");
    let ports = document("host: a.example.com, ports: [443, 8443], protocol: rest, access: full");
    check(&ports, &on("a.example.com", ""), "exceeds: curl 'https://a.example.com:8443/'");
    let l4 = document("host: a.example.com, port: 443");
    check(&on("a.example.com", ""), &l4, "within");
    check(
        &l4,
        &document("host: a.example.com, port: 443, protocol: rest, access: full"),
        "exceeds: curl 'telnet://a.example.com:443'",
    );
    check(&on("a.example.com", ", expires_at: 2026-12-01T00:00:00Z"), &on("a.example.com", ""), "within");
    let until = on("a.example.com", ", expires_at: 2026-06-01T00:00:00Z");
    check(&until, &on("a.example.com", ", expires_at: 2026-06-01T00:00:00Z"), "within");
    let outcome = check(&on("a.example.com", ""), &until, "exceeds: curl 'https://a.example.com/'");
    let Verdict::Exceeds(found) = outcome.verdict else { panic!() };
    assert!(found.request.now >= 1_780_272_000);
}

#[test]
fn binaries() {
    let by = |binaries: &str| {
        format!(
            "version: 1\nnetwork_policies:\n  p:\n    name: p\n    binaries: [{binaries}]\n    endpoints:\n      \
             - {{ host: a.example.com, port: 443, protocol: rest, access: read-only }}\n"
        )
    };
    let path = |path: &str| by(&format!("{{ path: \"{path}\" }}"));
    check(&path("/usr/bin/curl"), &path("/usr/bin/curl"), "within");
    check(&path("/usr/bin/cur?"), &path("/usr/bin/*"), "within");
    check(&path("/usr/bin/*"), &path("/usr/**"), "within");
    check(&path("/opt/*/bin/git"), &path("/opt/**/git"), "within");
    let outcome = check(&path("/usr/bin/*"), &path("/usr/bin/curl"), "exceeds: curl 'https://a.example.com/'");
    let Verdict::Exceeds(found) = outcome.verdict else { panic!() };
    assert_eq!(found.request.process.path, "/usr/bin/python3");
    // An exact path also matches a descendant; a glob does not.
    let outcome = check(&path("/usr/bin/curl"), &path("/usr/bin/*"), "exceeds: curl 'https://a.example.com/'");
    let Verdict::Exceeds(found) = outcome.verdict else { panic!() };
    assert_eq!(found.request.process.ancestors, ["/usr/bin/curl"]);
    let both = by("{ path: /usr/bin/curl }, { path: /usr/bin/git }");
    check(&path("/usr/bin/git"), &both, "within");
    check(&both, &path("/usr/bin/git"), "exceeds: curl 'https://a.example.com/'");
}

#[test]
fn hand_written_ceilings() {
    let read = rest("access: read-only");
    let put = rules("{ allow: { method: PUT, path: \"/repos/acme/site/contents/docs/**\" } }");
    let cases = [
        ("permit(principal, action in Action::\"read\", resource);", "within"),
        (
            "permit(principal is Process, action, resource is Endpoint) when { resource.host like \"*.example.com\" };",
            "within",
        ),
        (
            "permit(principal, action, resource) when { [\"api.example.com\", \"x.y\"].contains(resource.host) };",
            "within",
        ),
        ("permit(principal, action, resource) when { resource.labels == 3 && resource.port <= 443 };", "within"),
        ("permit(principal, action, resource) when { resource.labels > 2 } unless { resource.port > 443 };", "within"),
        ("permit(principal, action, resource == Endpoint::\"api.example.com:443\");", "within"),
        (
            "permit(principal, action, resource) when { if resource.port == 443 then resource.host != \"x.y\" else false };",
            "within",
        ),
        ("permit(principal, action, resource) when { context has path && context.path like \"/*\" };", "within"),
        ("permit(principal, action, resource) when { action in [Action::\"read\", Action::\"write\"] };", "within"),
        ("@id(\"a\") permit(principal, action, resource) when { true == (resource.port != 80) };", "within"),
        ("permit(principal in Sandbox::\"a\", action, resource);", "exceeds: curl 'https://api.example.com/'"),
        (
            "permit(principal == Process::\"/usr/bin/git\", action, resource);",
            "exceeds: curl 'https://api.example.com/'",
        ),
        (
            "permit(principal, action, resource) when { principal.sha256 != \"\" };",
            "exceeds: curl 'https://api.example.com/'",
        ),
        (
            "permit(principal, action, resource) when { context has path && context.path like \"/a*\" };",
            "exceeds: curl 'https://api.example.com/'",
        ),
        (
            "permit(principal, action, resource); forbid(principal, action == Action::\"OPTIONS\", resource);",
            "exceeds: curl -X OPTIONS 'https://api.example.com/'",
        ),
        (
            "permit(principal, action, resource); forbid(principal, action, resource) when { context has segments && context.segments has h1 && context.segments.h1 == \"b\" };",
            "exceeds: curl 'https://api.example.com/x/b'",
        ),
        (
            "permit(principal, action, resource) when { resource.labels < 3 };",
            "exceeds: curl 'https://api.example.com/'",
        ),
        ("forbid(principal, action, resource);", "exceeds: curl 'https://api.example.com/'"),
    ];
    for (bound, expect) in cases {
        check(&read, bound, expect);
    }
    let bound = "permit(principal, action == Action::\"PUT\", resource) when { resource.host == \"api.example.com\" && \
                 context.segments.count >= 5 && context.segments has h4 && [\"docs\", \"wiki\"].contains(context.segments.h4) };";
    check(&put, bound, "within");
    check(
        &rest("access: full"),
        "permit(principal, action, resource) when { context has method && context.method != \"PROPFIND\" };",
        "exceeds: curl -X PROPFIND 'https://api.example.com/'",
    );
    check(
        &rest("access: full"),
        "permit(principal, action, resource) when { context has method && context.method like \"*P*\" };",
        "exceeds: curl 'https://api.example.com/'",
    );
}

#[test]
fn addresses() {
    let at = |host: &str| document(&format!("host: \"{host}\", port: 443, protocol: rest, access: read-only"));
    let private = "permit(principal, action, resource) when { resource has address && \
                   (resource.address.isInRange(ip(\"10.0.0.0/8\")) || resource.address.isInRange(ip(\"fd00::/8\"))) };";
    check(&at("10.1.2.3"), private, "within");
    check(&at("fd12:3456::1"), private, "within");
    check(&at("11.1.2.3"), private, "exceeds: curl 'https://11.1.2.3/'");
    check(&at("fe80::1"), private, "exceeds: curl 'https://[fe80::1]/'");
    check(&at("ten.example.com"), private, "exceeds: curl 'https://ten.example.com/'");
    let any = "permit(principal, action == Action::\"GET\", resource) when { resource.labels == 0 };";
    let range = |net: &str| {
        format!(
            "permit(principal, action, resource) when {{ resource has address && resource.address.isInRange(ip(\"{net}\")) }};"
        )
    };
    check(any, &format!("{}{}", range("0.0.0.0/0"), range("::/0")), "within");
    check(any, &format!("{}{}", range("0.0.0.0/1"), range("128.0.0.0/1")), "exceeds: curl 'https://[::]/'");
    check(any, &format!("{}{}", range("0.0.0.0/1"), range("::/0")), "exceeds: curl 'https://192.0.2.1/'");
    let narrow = "permit(principal, action == Action::\"GET\", resource) when { resource has address && \
                  resource.address.isInRange(ip(\"10.0.0.0/8\")) && !resource.address.isInRange(ip(\"10.1.0.0/16\")) };";
    check(narrow, &range("10.0.0.0/8"), "within");
    check(narrow, &range("10.0.0.0/9"), "exceeds: curl 'https://10.128.0.0/'");
    check(narrow, &range("10.0.0.0/16"), "exceeds: curl 'https://10.2.0.0/'");
    let kinds = "permit(principal, action, resource) when { resource has address && (resource.address.isIpv6() || \
                 resource.address.isLoopback() || resource.address == ip(\"192.0.2.7\")) };";
    check(&at("::1"), kinds, "within");
    check(&at("192.0.2.7"), kinds, "within");
    check(&at("192.0.2.8"), kinds, "exceeds: curl 'https://192.0.2.8/'");
    let metadata = "permit(principal, action, resource); forbid(principal, action, resource) when \
                    { resource has address && resource.address.isInRange(ip(\"169.254.0.0/16\")) };";
    check("permit(principal, action == Action::\"GET\", resource);", metadata, "exceeds: curl 'https://169.254.0.0/'");
    check(&at("192.0.2.8"), metadata, "within");
}

/// A letter stands in for characters that nobody names, never for those that both sides do.
#[test]
fn what_both_sides_name_is_not_stood_in_for() {
    let put =
        |condition: &str| format!("permit(principal, action == Action::\"PUT\", resource) when {{ {condition} }};");
    let like = |pattern: &str| put(&format!("context.path like \"{pattern}\""));
    check(&like("*%*"), &like("*%2F*"), "exceeds: curl -X PUT 'https://example.com/%AA'");
    check(&like("*.*"), &like("*.a*"), "exceeds: curl -X PUT 'https://example.com/x.'");
    // The first point is in the ceiling, so that the search goes on with what both name.
    check(&like("*%*"), &like("*%A*"), "exceeds: curl -X PUT 'https://example.com/%BA'");
    check(&like("*.*"), &like("*x.*"), "exceeds: curl -X PUT 'https://example.com/a.'");
    check(&like("*.*%*"), &like("*%*"), "within");
}

#[test]
fn empty_sets() {
    let forbid = "permit(principal, action, resource); forbid(principal, action, resource) when { principal.ancestors.isEmpty() };";
    let read = rest("access: read-only");
    let outcome = check(&read, forbid, "exceeds: curl 'https://api.example.com/'");
    let Verdict::Exceeds(found) = outcome.verdict else { unreachable!("checked") };
    assert!(found.request.process.ancestors.is_empty());
    let orphans = "permit(principal, action, resource) when { principal.ancestors.isEmpty() };";
    check(&by("{ path: /usr/bin/curl }", "access: read-only"), orphans, "exceeds: curl 'https://a.example.com/'");
    let either = format!("{orphans} permit(principal, action, resource) when {{ !principal.ancestors.isEmpty() }};");
    check(&read, &either, "within");
    // A process with an ancestor has one: an empty set with an element is no request.
    let impossible = "permit(principal, action, resource) when { principal.ancestors.isEmpty() && principal.ancestors.contains(\"/bin/sh\") };";
    check(impossible, "forbid(principal, action, resource);", "within");
    let unique = "permit(principal, action, resource) when { context has query && context.query.repeated.isEmpty() };";
    check(&read, unique, "exceeds: curl 'https://api.example.com/?x0=x&x0=y'");
    check(
        "permit(principal, action == Action::\"GET\", resource) when { context.query.hasTag(\"a\") && context.query.repeated.isEmpty() };",
        unique,
        "within",
    );
}

#[test]
fn what_is_not_modelled_is_named_and_never_within() {
    let read = rest("access: read-only");
    let forbid = "permit(principal, action, resource); @id(\"x\") forbid(principal, action, resource) when \
                  { principal.ancestors == [\"/bin/sh\"] && resource.host like \"*.other\" };";
    check(
        &read,
        forbid,
        "unsupported_construct: the ceiling's \"policy1\" uses a construct that the exact engine does not \
                          model: == on sets",
    );
    // What is left out of the ceiling's permits can only make it smaller; what Cedar confirms is exceeded is.
    let permit = "permit(principal, action, resource) when { resource.port + 1 == 444 };";
    check(
        &read,
        permit,
        "unsupported_construct: the ceiling's \"policy0\" uses a construct that the exact engine does not \
                          model: +",
    );
    check(
        &read,
        "permit(principal, action, resource) when { resource.port + 1 == 2 };",
        "exceeds: curl 'https://api.example.com/'",
    );
    let covered = "permit(principal, action, resource) when { principal.path == resource.host }; permit(principal, action, resource);";
    check(&read, covered, "within");
}

#[test]
fn nothing_is_inside_everything() {
    check("version: 1\nnetwork_policies: {}\n", "permit(principal, action, resource);", "within");
    let everything = "permit(principal, action, resource);";
    let outcome = prove(&candidate(everything), &Ceiling::open(), &Options::default());
    assert!(matches!(outcome.verdict, Verdict::Within(_)));
    check(
        everything,
        "permit(principal, action, resource) when { resource.host != \"example.com\" };",
        "exceeds: curl 'https://example.com/'",
    );
    check(
        everything,
        "permit(principal, action, resource) when { resource.labels > 0 };",
        "exceeds: curl 'https://192.0.2.1/'",
    );
}

#[test]
fn invalid_ceilings_say_so() {
    let cases = [
        ("", "c.cedar", "empty"),
        ("// nothing\n", "c.cedar", "empty"),
        ("version: 1\nnetwork_policies: {}\n", "c.yaml", "empty"),
        ("permit(principal == ?principal, action, resource);", "c.cedar", "template"),
        ("permit(principal, action, resource) when { principal.nope == 1 };", "c.cedar", "nope"),
        ("permit(principal, action, resource) when { resource.port == \"443\" };", "c.cedar", ""),
        ("permit(principal, action, resource", "c.cedar", "c.cedar"),
        ("version: 1\nnetwork_policies: [1]\n", "c.yaml", "c.yaml:2"),
    ];
    for (text, file, expect) in cases {
        let error = Ceiling::parse(text, file).expect_err(text).to_string();
        assert!(error.contains(expect), "{text:?}: {error}");
    }
}

#[test]
fn long_lists_and_long_literals_are_no_harm() {
    let chain: Vec<String> = (0..200).map(|n| format!("resource.host == \"h{n}.example.com\"")).collect();
    let list: Vec<String> = (0..3000).map(|n| format!("\"h{n}.example.com\"")).collect();
    for condition in [chain.join(" || "), format!("[{}].contains(resource.host)", list.join(", "))] {
        let bound = format!("permit(principal, action, resource) when {{ {condition} }};");
        check(&rest("access: read-only").replace("api.", "h199."), &bound, "within");
        check(&rest("access: read-only"), &bound, "exceeds: curl 'https://api.example.com/'");
    }
    let long = "a".repeat(4000);
    let like = |glob: &str| {
        format!("permit(principal, action == Action::\"GET\", resource) when {{ context.path like \"{glob}\" }};")
    };
    check(&like(&format!("/{long}*")), &like(&format!("/{long}*")), "within");
    check(&like(&format!("/{long}*b")), &like(&format!("/{long}*")), "within");
    check(&like("/*a*b*c*d*e*f*g*h*i*j*k*l*m*n*o*p*q*r*s*t"), &like("/*a*c*e*g*i*k*m*o*q*s*t"), "within");
    check(
        &like("/*a*c*e*g*i*k*m*o*q*s*t"),
        &like("/*a*b*c*d*e*f*g*h*i*j*k*l*m*n*o*p*q*r*s*t"),
        "exceeds: curl 'https://example.com/acegikmoqst'",
    );
}

#[test]
fn a_deadline_and_a_cap_end_in_no_answer() {
    let policy = "permit(principal, action == Action::\"GET\", resource) when { context.path like \"*a*b*c*d*e*\" };";
    let bound: String = (0..12)
        .map(|n| format!("permit(principal, action, resource) when {{ context has path && context.path like \"*{n}*z*{n}*y*\" }};\n"))
        .chain(["permit(principal, action, resource) when { context has path && !(context.path like \"*q*\") };".to_owned()])
        .collect();
    let (policy, bound) = (candidate(policy), ceiling(&bound));
    let no_time = Options { timeout: Duration::ZERO, ..Options::default() };
    let few = Options { max_states: 4, ..Options::default() };
    for (options, code) in [(no_time, "timeout"), (few, "resource_limit")] {
        let outcome = prove(&policy, &bound, &options);
        let Verdict::Inconclusive(reason) = outcome.verdict else { panic!("{:?}", outcome.verdict) };
        assert_eq!(reason.code, code);
    }
}

#[test]
fn hostile_questions_end_in_time() {
    let any = candidate("permit(principal, action == Action::\"GET\", resource);");
    let permits = |line: &dyn Fn(usize) -> String| {
        let lines = (0..24)
            .map(|n| format!("permit(principal, action, resource) when {{ context has path && {} }};\n", line(n)));
        ceiling(&lines.collect::<String>())
    };
    let word = |n: usize| format!("{}{}", char::from(b'a' + (n % 5) as u8), char::from(b'f' + (n / 5) as u8));
    let bounds = [
        permits(&|n| format!("!(context.path like \"*{}*\")", word(n))),
        permits(&|n| format!("context.path like \"*{}*{}*\"", word(n), word(23 - n))),
        permits(&|n| {
            format!(
                "!(context.path like \"*{}*{}*{}*\") && !(resource.host like \"*{}*\")",
                word(n),
                word(23 - n),
                word(n / 2),
                word(n)
            )
        }),
        permits(&|n| format!("context.segments has t15 && context.segments.t15 like \"*{}*\"", word(n))),
        permits(&|n| format!("!(context.segments has t15 && context.segments.t15 like \"*{}*\")", word(n))),
    ];
    for (at, bound) in bounds.iter().enumerate() {
        let started = std::time::Instant::now();
        let options = Options { timeout: Duration::from_millis(300), ..Options::default() };
        let outcome = prove(&any, bound, &options);
        let took = started.elapsed();
        eprintln!("{at}: {took:?} {:?}", outcome.verdict);
        assert!(!matches!(outcome.verdict, Verdict::Within(_)), "{at}");
        assert!(took < Duration::from_millis(900), "{at}: {took:?}");
    }
}

#[test]
fn a_proof_becomes_a_certificate_for_its_policy_only() {
    let policy = candidate(&rest("access: read-only"));
    let outcome = prove(&policy, &Ceiling::open(), &Options::default());
    let Verdict::Within(proven) = &outcome.verdict else { panic!() };
    let (bytes, key) = SigningKey::generate().unwrap();
    let approval =
        Approval { approver: "ann".into(), time: 10, expires: Some(20), sandbox: "s".into(), version: 3, held: None };
    let envelope = proven.certify(&SigningKey::from_pkcs8(&bytes).unwrap(), &approval);
    let keys = [key.verifying_key().into()];
    let statement = verify(&envelope, &keys, policy.digest(), Schema::standard(), 15).unwrap().statement;
    assert_eq!(statement.predicate.environments_checked, 9);
    assert_eq!((statement.predicate.version, statement.predicate.approver.as_str()), (3, "ann"));
    assert!(verify(&envelope, &keys, policy.digest(), Schema::standard(), 20).is_err());
    assert!(verify(&envelope, &keys, Ceiling::open().digest(), Schema::standard(), 15).is_err());
    let (_, other) = SigningKey::generate().unwrap();
    assert!(verify(&envelope, &[other.verifying_key().into()], policy.digest(), Schema::standard(), 15).is_err());
    assert!(!format!("{key:?}").contains("pair"));
    assert!(SigningKey::from_pkcs8(&bytes[1..]).is_err());
}

#[test]
fn the_report_is_the_contract_s() {
    let policy = candidate(&rules(
        "{ allow: { method: GET, path: \"/x\" } }, { allow: { method: PUT, path: \"/a/**\", query: { k: 'v w' } } }",
    ));
    let outcome = prove(&policy, &ceiling(&rest("access: read-only")), &Options::default());
    let report = serde_json::to_value(Report::new(&outcome, &policy)).unwrap();
    assert_eq!(report["verdict"], "exceeds");
    assert_eq!(report["rule"], serde_json::json!({ "policy": "p", "endpoint": 0, "rule": 1 }));
    let found = &report["counterexample"];
    assert_eq!(found["curl"], "curl -X PUT 'https://api.example.com/a?k=v%20w'");
    assert_eq!(found["query"], serde_json::json!({ "k": "v w" }));
    assert_eq!((&found["binary"], &found["port"]), (&"/usr/bin/curl".into(), &443.into()));
    assert_eq!((&found["replayed"], &report["repair_reason"]), (&true.into(), &"not_computed".into()));
    assert!(report["engine_time_us"].as_f64().unwrap() > 0.0);
    let back: Report = serde_json::from_value(report.clone()).unwrap();
    assert_eq!(serde_json::to_value(back).unwrap(), report);
}

/// A document with these binaries, and one endpoint on a.example.com:443.
fn by(binaries: &str, members: &str) -> String {
    format!(
        "version: 1\nnetwork_policies:\n  p:\n    name: p\n    binaries: [{binaries}]\n    endpoints:\n      \
         - {{ host: a.example.com, port: 443, protocol: rest, {members} }}\n"
    )
}

#[test]
fn a_character_that_nobody_names_is_not_forgotten() {
    let policy = by("{ path: \"/opt/?\" }", "access: full");
    for last in ['ÿ', '\u{17f}'] {
        // `/` would not be one segment, and what is not in the list is what the ceiling forgets.
        let named = ('\u{1}'..='\u{7f}').chain('\u{80}'..=last).map(|c| format!("\"/opt/\\u{{{:x}}}\"", u32::from(c)));
        let list = named.collect::<Vec<_>>().join(", ");
        let bound = format!("permit(principal, action, resource) when {{ [{list}].contains(principal.path) }};");
        let outcome = check(&policy, &bound, "exceeds: curl 'https://a.example.com/'");
        let Verdict::Exceeds(found) = outcome.verdict else { panic!() };
        let odd = found.request.process.path.strip_prefix("/opt/").and_then(|c| c.chars().next()).unwrap();
        assert!(odd > last || odd == '\0', "{odd:?}");
    }
}

#[test]
fn what_a_limit_refuses_is_not_what_cannot_be() {
    let get = "permit(principal, action == Action::\"GET\", resource) when";
    // Just outside of what can be sent, and just inside.
    let star = |n: usize| {
        format!(
            "permit(principal, action == Action::\"GET\", resource) unless {{ context.path == \"/{}\" }};",
            "%2A".repeat(n)
        )
    };
    let all = |n: usize| format!("{get} {{ context.path == \"/{}\" }};", "%2A".repeat(n));
    let impossible = "spurious_counterexample: every counterexample that was found is no request that can occur";
    check(&all(6000), &star(6000), impossible);
    check(
        &rules("{ allow: { method: GET, path: \"/*\" } }"),
        &star(6000).replace("== Action::\"GET\"", "in Action::\"read\""),
        impossible,
    );
    let outcome = prove(&candidate(&all(5000)), &ceiling(&star(5000)), &Options::default());
    assert!(matches!(outcome.verdict, Verdict::Exceeds(_)), "{:?}", outcome.verdict);
    let value =
        |text: String| format!("{get} {{ context.query.hasTag(\"k\") && context.query.getTag(\"k\") == \"{text}\" }};");
    let none = "permit(principal, action, resource) when { context has query && !context.query.hasTag(\"k\") };";
    let outcome = prove(&candidate(&value("!".repeat(30_000))), &ceiling(none), &Options::default());
    assert!(matches!(outcome.verdict, Verdict::Exceeds(_)), "{:?}", outcome.verdict);
    check(&value("é".repeat(30_000)), none, impossible);
    // Each is fine alone; together they are too long.
    let two = format!(
        "{get} {{ context.query.hasTag(\"k\") && context.query.getTag(\"k\") == \"{0}\" && \
         context.query.hasTag(\"l\") && context.query.getTag(\"l\") == \"{0}\" }};",
        "!".repeat(40_000)
    );
    check(&two, none, impossible);
    // No value has a control character.
    check(&value("\u{85}".to_owned()), none, "within");
    let path = |path: &str| format!("{get} {{ context.path == \"{path}\" }};");
    for never in ["/%C0%AE", "/%E0%80%AE", "/a%2F..", "/..%2Fa", "/%F0%8F%80%80", "/a%2F.%2Fb"] {
        check(&path(never), none.replace("!context", "context").as_str(), "within");
    }
}

#[test]
fn lowering_is_within_the_budget() {
    let binaries: Vec<String> = (0..256).map(|n| format!("{{ path: \"/b/{n}\" }}")).collect();
    let rules: Vec<String> = (0..1200).map(|n| format!("{{ allow: {{ method: GET, path: \"/{n}\" }} }}")).collect();
    let policy = candidate(&by(&binaries.join(", "), &format!("rules: [{}]", rules.join(", "))));
    let short = Options { timeout: Duration::from_millis(200), ..Options::default() };
    let set = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let cancelled = Options { cancel: Some(set), ..Options::default() };
    for (options, code) in [(Options::default(), "resource_limit"), (short, "timeout"), (cancelled, "cancelled")] {
        let started = std::time::Instant::now();
        let outcome = prove(&policy, &Ceiling::open(), &options);
        eprintln!("{code}: {:?}", started.elapsed());
        let Verdict::Inconclusive(reason) = outcome.verdict else { panic!("{:?}", outcome.verdict) };
        assert!([code, "timeout"].contains(&reason.code), "{reason:?}");
        assert!(code == "resource_limit" || started.elapsed() < Duration::from_millis(1500), "{code}");
    }
}

#[test]
fn an_attribute_that_is_not_modelled_is_not_absent() {
    let read = rest("access: read-only");
    let bound = |condition: &str| format!("permit(principal, action, resource) when {{ {condition} }};");
    check(&read, &bound("!(context has nope) && !(principal has host)"), "within");
    check(&read, &bound("principal has path && context has path"), "within");
    let l4 = document("host: a.example.com, port: 443");
    check(&l4, &bound("context has path || !(context has path)"), "within");
    let constant = "!(Process::\"/usr/bin/curl\" has path)";
    let outcome = prove(&candidate(&read), &ceiling(&bound(constant)), &Options::default());
    assert!(!matches!(outcome.verdict, Verdict::Within(_)), "{:?}", outcome.verdict);
}

#[test]
fn the_same_question_has_the_same_counterexample() {
    let policy = candidate(&rest("access: full"));
    let bound = ceiling(
        "permit(principal, action, resource) when { resource.port == 80 }; forbid(principal, action, resource);",
    );
    let first = format!("{:?}", prove(&policy, &bound, &Options::default()).verdict);
    for _ in 0..20 {
        assert_eq!(format!("{:?}", prove(&policy, &bound, &Options::default()).verdict), first);
    }
}
