//! The rule language, end to end: text to decision.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use narrowgate_core::compile::Compiled;
use narrowgate_core::decide::{Decision, Reason, Route, Snapshot};
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::request::{Authority, Method, Operation, PathOptions, Process, Request, Target};

const GITHUB: &str = r#"
version: 1
network_policies:
  docs:
    name: docs-writer
    binaries: [{ path: /usr/bin/curl }]
    endpoints:
      - host: api.github.com
        port: 443
        protocol: rest
        rules:
          - allow: { method: GET, path: "/repos/*/contents/*.md" }
          - allow: { method: PUT, path: "/repos/acme/site/contents/docs/**", query: { ref: main } }
          - allow: { method: GET, path: "/repos/*/site/**/raw" }
          - allow: { method: GET, path: "/v?/x" }
          - allow: { method: PURGE, path: "/cache" }
        deny_rules:
          - { method: "*", path: "/repos/acme/site/contents/docs/secret/**" }
          - { method: PUT, path: "/**", query: { force: { any: ["1", "true"] } } }
  db:
    endpoints: [{ host: "**.db.example.com", ports: [5432, 5433] }]
  leased:
    endpoints:
      - { host: lease.example.com, port: 443, protocol: rest, access: read-only, expires_at: "2026-12-01T00:00:00Z" }
"#;

fn snapshot(text: &str) -> Snapshot {
    let policy = Policy::parse(text, "policy.yaml", Role::Policy).unwrap_or_else(|e| panic!("{e}"));
    let compiled = Compiled::policy(&policy).unwrap_or_else(|e| panic!("{e}"));
    Snapshot::new(policy, compiled, 1)
}

fn request(line: &str, binary: &str) -> Request {
    let (method, url) = line.split_once(' ').unwrap();
    let rest = url.strip_prefix("https://").unwrap();
    let (authority, target) = rest.split_once('/').map_or((rest, String::new()), |(a, t)| (a, format!("/{t}")));
    let Authority { host, port } = Authority::parse(authority, Some(narrowgate_core::request::Port::HTTPS)).unwrap();
    let operation = match method {
        "CONNECT" => Operation::Connect,
        _ => Operation::Http {
            method: Method::parse(method).unwrap(),
            target: Target::parse(&target, &PathOptions::default()).unwrap(),
            meaning: None,
        },
    };
    let process = Process { path: binary.into(), sandbox: "dev".into(), ..Process::default() };
    Request { process, host, port, operation, now: 1_764_500_000 }
}

fn check(snapshot: &Snapshot, request: &Request, expect: Result<&str, Reason>) {
    match (snapshot.decide(request), expect) {
        (Decision::Allow(permit), Ok(rule)) => assert_eq!(permit.rule(), rule, "{request:?}"),
        (Decision::Deny(refusal), Err(reason)) => assert_eq!(refusal.reason, reason, "{request:?}"),
        (decision, expect) => panic!("{request:?}: {decision:?}, not {expect:?}"),
    }
}

#[test]
fn decisions() {
    use Reason::{DenyRule, NoMatchingRule};
    let snapshot = snapshot(GITHUB);
    let contents = "docs/endpoints/0/rules/1";
    let cases = [
        ("GET https://api.github.com/repos/a/contents/x.md", Ok("docs/endpoints/0/rules/0")),
        ("HEAD https://api.github.com/repos/a/contents/x.md", Ok("docs/endpoints/0/rules/0")),
        ("POST https://api.github.com/repos/a/contents/x.md", Err(NoMatchingRule)),
        ("GET https://api.github.com/repos/a/b/contents/x.md", Err(NoMatchingRule)),
        ("GET https://api.github.com/repos/a/contents/d/x.md", Err(NoMatchingRule)),
        ("PUT https://api.github.com/repos/acme/site/contents/docs/a?ref=main", Ok(contents)),
        ("PUT https://api.github.com/repos/acme/site/contents/docs?ref=main&x=1", Ok(contents)),
        ("PUT https://api.github.com/repos/acme/site/contents/docs/a", Err(NoMatchingRule)),
        ("PUT https://api.github.com/repos/acme/site/contents/docs/a?ref=dev", Err(NoMatchingRule)),
        ("PUT https://api.github.com/repos/acme/site/contents/docs/a?ref=main&ref=main", Err(NoMatchingRule)),
        ("PUT https://api.github.com/repos/acme/site/contents/docs/secret/a?ref=main", Err(DenyRule)),
        ("PUT https://api.github.com/repos/acme/site/contents/docs/a?ref=main&force=1", Err(DenyRule)),
        ("PUT https://api.github.com/repos/acme/site/contents/docs/a?ref=main&force=0&force=0", Err(DenyRule)),
        ("PUT https://api.github.com/repos/acme/site/contents/docs/a?ref=main&force=0", Ok(contents)),
        ("GET https://api.github.com/repos/a/site/raw", Ok("docs/endpoints/0/rules/2")),
        ("GET https://api.github.com/repos/a/site/x/y/raw", Ok("docs/endpoints/0/rules/2")),
        ("GET https://api.github.com/repos/a/b/site/raw", Err(NoMatchingRule)),
        ("GET https://api.github.com/v1/x", Ok("docs/endpoints/0/rules/3")),
        ("GET https://api.github.com/v11/x", Err(NoMatchingRule)),
        ("GET https://api.github.com/v/x", Err(NoMatchingRule)),
        ("PURGE https://api.github.com/cache", Ok("docs/endpoints/0/rules/4")),
        ("PROPFIND https://api.github.com/cache", Err(NoMatchingRule)),
        ("GET https://api.github.com:8443/v1/x", Err(NoMatchingRule)),
        ("CONNECT https://api.github.com", Err(NoMatchingRule)),
        ("CONNECT https://a.b.db.example.com:5433", Ok("db/endpoints/0")),
        ("CONNECT https://db.example.com:5433", Err(NoMatchingRule)),
        ("GET https://a.db.example.com:5432/", Ok("db/endpoints/0")),
    ];
    for (line, expect) in cases {
        check(&snapshot, &request(line, "/usr/bin/curl"), expect);
    }
}

#[test]
fn binaries_and_ancestors() {
    let snapshot = snapshot(GITHUB);
    let mut asked = request("GET https://api.github.com/v1/x", "/usr/bin/git");
    check(&snapshot, &asked, Err(Reason::NoMatchingRule));
    asked.process.ancestors = vec!["/usr/bin/bash".into(), "/usr/bin/curl".into()];
    check(&snapshot, &asked, Ok("docs/endpoints/0/rules/3"));
    asked.process = Process::default();
    check(&snapshot, &asked, Err(Reason::NoMatchingRule));
    // A deny is also for whoever cannot be identified.
    let open = format!(
        "{GITHUB}  open:\n    endpoints: [{{ host: api.github.com, port: 443, protocol: rest, access: full }}]\n"
    );
    let snapshot = self::snapshot(&open);
    for (binary, expect) in [("/bin/other", Ok("open/endpoints/0")), ("", Err(Reason::DenyRule))] {
        check(&snapshot, &request("PUT https://api.github.com/repos/acme/site/contents/docs/secret", binary), expect);
    }
}

#[test]
fn a_lease_ends() {
    let snapshot = snapshot(GITHUB);
    let end = "2026-12-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_second();
    let mut asked = request("GET https://lease.example.com/", "");
    for (now, expect) in [(end - 1, Ok("leased/endpoints/0")), (end, Err(Reason::LeaseExpired))] {
        asked.now = now;
        check(&snapshot, &asked, expect);
    }
}

#[test]
fn routes() {
    let snapshot = snapshot(GITHUB);
    let process = Process::default();
    for (authority, expect) in [
        ("x.db.example.com:5432", "opaque"),
        ("api.github.com:443", "inspect"),
        ("api.github.com:80", "deny"),
        ("example.org:443", "deny"),
    ] {
        let at = Authority::parse(authority, None).unwrap();
        let got = match snapshot.route(&process, &at.host, at.port, 0) {
            Route::Opaque(_) => "opaque",
            Route::Inspect => "inspect",
            Route::Deny(_) => "deny",
        };
        assert_eq!(got, expect, "{authority}");
    }
}

#[test]
fn yaml_round_trips() {
    let policy = Policy::parse(GITHUB, "policy.yaml", Role::Policy).unwrap();
    let again = Policy::parse(&policy.to_yaml(), "again.yaml", Role::Policy).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(policy, again);
    let json = policy.to_json().to_string();
    assert_eq!(Policy::parse(&json, "again.json", Role::Policy).unwrap_or_else(|e| panic!("{e}\n{json}")), policy);
}

#[test]
fn what_is_enforced_beside_the_rules_round_trips_and_is_certified() {
    let plain = "version: 1\nnetwork_policies: {}";
    let digest = |policy: &Policy| Compiled::policy(policy).unwrap().digest();
    let mut digests = vec![digest(&Policy::parse(plain, "plain", Role::Policy).unwrap())];
    for (line, expect) in [
        ("on_miss: ask", "ask_timeout: \"120s\""),
        ("on_miss: ask\nask_timeout: 5m", "ask_timeout: \"300s\""),
        ("filesystem_policy: {}", "include_workdir: false"),
        ("filesystem_policy: { read_only: [/usr/, /], read_write: [/tmp] }", "- /usr\n"),
    ] {
        let policy = Policy::parse(&format!("{line}\n{plain}"), "policy", Role::Policy).unwrap();
        let yaml = policy.to_yaml();
        assert!(yaml.contains(expect), "{yaml}");
        assert_eq!(Policy::parse(&yaml, "again", Role::Policy).unwrap(), policy);
        digests.push(digest(&policy));
    }
    let distinct: std::collections::BTreeSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len());
    for ceiling in ["on_miss: ask", "filesystem_policy: {}"] {
        assert!(Policy::parse(&format!("{ceiling}\n{plain}"), "ceiling", Role::Ceiling).is_err(), "{ceiling}");
    }
}

/// Whoever can call a file `*` must not get a rule about the files beside it; nor one about every method.
#[test]
fn what_is_called_like_a_pattern_gets_no_rule() {
    let record = |binary: &str| narrowgate_core::denial::DenialRecord {
        denial_id: "d_1".into(),
        time: "2026-01-01T00:00:00Z".into(),
        layer: narrowgate_core::decide::Layer::L7,
        host: "a.com".into(),
        port: 443,
        method: Some("GET".into()),
        path: Some("/x".into()),
        binary: binary.into(),
        reason: Reason::NoMatchingRule,
        operations: Vec::new(),
    };
    for (binary, named) in [
        ("/usr/bin/curl", true),
        ("/opt/a b/c", true),
        ("/tmp/**", false),
        ("/tmp/*", false),
        ("/tmp/a?b", false),
        ("/tmp/[ab]", false),
    ] {
        let rule = narrowgate_core::denial::narrowest_rule([&record(binary)], true);
        assert_eq!(rule.is_some(), named, "{binary}: {rule:?}");
    }
    assert!(narrowgate_core::request::Method::parse("*").is_err());
}

#[test]
fn tcp_is_the_word_for_opaque_bytes() {
    let policy = |protocol: &str| {
        let text = format!(
            "version: 1\nnetwork_policies: {{ db: {{ endpoints: [{{ host: db.example, port: 5432{protocol} }}] }} }}"
        );
        Policy::parse(&text, "policy", Role::Policy).unwrap()
    };
    assert_eq!(policy(", protocol: tcp"), policy(""));
}

#[test]
fn errors_name_file_line_and_field() {
    let head = "version: 1\nnetwork_policies:\n";
    let entry = |endpoint: &str| format!("{head}  a:\n    endpoints:\n      - {endpoint}\n");
    let rules =
        |rule: &str| entry(&format!("{{ host: a.com, port: 443, protocol: git, rules: [{{ allow: {{ {rule} }} }}] }}"));
    let cases = [
        (String::new(), "f:1:1: the document is empty"),
        ("version: 2\nnetwork_policies: {}".into(), "f:1:10: /version: \"2\" is not one of 1"),
        ("network_policies: {}".into(), "the field \"version\" is required"),
        (format!("{head}  a: &x {{}}\n"), "anchors (&name) are not accepted"),
        (format!("{head}  a: *x\n"), "f:3:"),
        ("version: 1\nversion: 1\n".into(), "f:2:1: duplicate key \"version\""),
        ("version: 1\n---\nversion: 1\n".into(), "one document only"),
        ("version: !int 1\n".into(), "tags (!type) are not accepted"),
        ("a: [\n".into(), "not YAML"),
        (
            entry("{ host: a.com, port: 0, access: full, protocol: rest }"),
            "/network_policies/a/endpoints/0/port: expected a port",
        ),
        (entry("{ host: a.com, port: 0x1bb }"), "expected a port"),
        (
            entry("{ host: \"*\", port: 443 }"),
            "f:5:17: /network_policies/a/endpoints/0/host: pattern \"*\", character 1: a wildcard needs a domain",
        ),
        (
            entry("{ host: a.com, port: 443, protocol: GraphQL }"),
            "\"GraphQL\" is none of tcp, rest and the plugins' names",
        ),
        (entry("{ host: a.com, port: 443, protocol: path }"), "\"path\" is none of tcp, rest and the plugins' names"),
        (rules("action: contents.write"), "\"contents.write\" is not a plugin's action such as github::contents.write"),
        (rules("action: \"git::x\", method: GET"), "unknown field; the fields here are action, where"),
        (rules("action: \"git::x\", where: [a]"), "expected a map from attributes"),
        (rules("action: \"git::x\", where: { a: \"x?\" }"), "for the character itself write {exact: …}"),
        (rules("action: \"git::x\", where: { a: \"a**\" }"), "** stands for whole segments"),
        (rules("action: \"git::x\", where: { a: \"*/**\" }"), "beside ** there can be no other wildcard"),
        (rules("action: \"mcp::x\""), "mcp::x is not git's; one endpoint speaks one protocol"),
        (
            format!(
                "{head}  a:\n    endpoints:\n      - {{ host: \"*.x.com\", port: 1, protocol: git, access: full }}\n      - {{ host: a.x.com, port: 1, protocol: mcp, access: full }}\n"
            ),
            "this endpoint speaks mcp and a/endpoints/0 speaks git on the same host and port",
        ),
        (entry("{ host: a.com, port: 443, protocol: rest }"), "\"access\" or \"rules\" is required"),
        (entry("{ host: a.com, port: 443, protocol: rest, access: full, rules: [] }"), "not both"),
        (entry("{ host: a.com, port: 443, access: full }"), "needs an inspected endpoint"),
        (entry("{ host: a.com, port: 443, prot: rest }"), "did you mean \"protocol\"?"),
        (entry("{ host: a.com, port: 443, review: auto }"), "review belongs in a ceiling"),
        (entry("{ host: a.com, port: 443, expires_at: tomorrow }"), "is not an RFC 3339 time"),
        (
            format!("{head}  a:\n    binaries: []\n    endpoints: [{{ host: a.com, port: 1 }}]\n"),
            "leave it out for any binary",
        ),
        (format!("{head}  a/b:\n    endpoints: [{{ host: a.com, port: 1 }}]\n"), "/network_policies/a~1b: the name"),
        (
            format!(
                "{head}  a:\n    endpoints:\n      - {{ host: \"*.x.com\", port: 1 }}\n      - {{ host: a.x.com, ports: [1, 2], protocol: rest, access: full }}\n"
            ),
            "f:5:9: /network_policies/a/endpoints/0: this L4 endpoint would let through everything that a/endpoints/1 inspects",
        ),
        ("version: 1\nlandlock: {}\nnetwork_policies: {}".into(), "nothing here would enforce it"),
        ("version: 1\nfilesystem_policy: { read_only: [usr] }\nnetwork_policies: {}".into(), "not an absolute path"),
        (
            "version: 1\nfilesystem_policy: { read_only: [/usr/../etc] }\nnetwork_policies: {}".into(),
            "not an absolute path",
        ),
        (
            "version: 1\nfilesystem_policy: { read_write: [/home/*] }\nnetwork_policies: {}".into(),
            "not an absolute path",
        ),
        (
            "version: 1\nfilesystem_policy: { read_only: [/usr, /work/.git/hooks], read_write: [/work] }\nnetwork_policies: {}".into(),
            "would be written all the same",
        ),
        ("version: 1\nfilesystem_policy: { execute: [/usr] }\nnetwork_policies: {}".into(), "unknown field"),
        ("version: 1\non_miss: maybe\nnetwork_policies: {}".into(), "\"maybe\" is not one of deny, ask"),
        ("version: 1\nask_timeout: 5s\nnetwork_policies: {}".into(), "nothing is asked without"),
        ("version: 1\non_miss: ask\nask_timeout: 0s\nnetwork_policies: {}".into(), "not a time from 1s to 3600s"),
        ("version: 1\non_miss: ask\nask_timeout: 61m\nnetwork_policies: {}".into(), "not a time from 1s to 3600s"),
        ("version: 1\non_miss: ask\nask_timeout: 90\nnetwork_policies: {}".into(), "not a time from 1s to 3600s"),
        ("version: 1\non_miss: ask\nask_timeout: +5s\nnetwork_policies: {}".into(), "not a time from 1s to 3600s"),
        (entry("{ host: a.com, port: 443, protocol: tcp, access: full }"), "needs an inspected endpoint"),
        (format!("{}1{}", "[".repeat(70), "]".repeat(70)), "nested deeper than 64 levels"),
    ];
    for (text, expect) in cases {
        let errors = Policy::parse(&text, "f", Role::Policy).expect_err(&text).to_string();
        assert!(errors.contains(expect), "{text}\n{errors}\nlacks {expect}");
    }
    let many = format!("version: 1\nnetwork_policies: {{}}\nx: [{}]", "1,".repeat(100_001));
    assert!(Policy::parse(&many, "f", Role::Policy).unwrap_err().to_string().contains("more than 100000 nodes"));
    let ports = format!("{{ host: a.com, ports: [{}] }}", "1,".repeat(257));
    assert!(Policy::parse(&entry(&ports), "f", Role::Policy).unwrap_err().to_string().contains("at most 256 ports"));
    let large = " ".repeat(1024 * 1024 + 1);
    assert!(Policy::parse(&large, "f", Role::Policy).unwrap_err().to_string().contains("larger than 1 MiB"));
}

fn when(condition: &str) -> String {
    format!("permit(principal, action, resource) when {{ {condition} }};")
}

#[test]
fn ceilings_in_cedar() {
    let good = r#"permit(principal, action in Action::"write", resource)
        when { resource.host == "api.github.com" && context.path like "/repos/acme/*" };"#;
    Compiled::cedar(good, "c.cedar").unwrap_or_else(|e| panic!("{e}"));
    let cases = [
        ("", "there is no policy"),
        ("permit(principal, action, resource", "c.cedar:1:"),
        ("permit(principal == ?principal, action, resource);", "templates"),
        (
            &format!(
                "permit(principal, action, resource);\npermit(principal, action, resource) when {{ {} }};",
                ["true"; 2000].join(" || ")
            ),
            "c.cedar:1:1: not Cedar that can be read: a policy combines more than 256 conditions",
        ),
        (&when(&format!("{}true{}", "(".repeat(20_000), ")".repeat(20_000))), "brackets stand deeper than 32"),
        (&when(&format!("{}true", "!(".repeat(8000))), "brackets stand deeper"),
        (&when(&format!("1{} == 2", "+1".repeat(8000))), "more than 256 conditions"),
        (&when(&format!("{}true", "!".repeat(8000))), "more than 256 conditions"),
        (
            &when(&format!("{}true{}", "if true then ".repeat(8000), " else true".repeat(8000))),
            "more than 256 conditions",
        ),
        (&when(&format!("context{}", ".path".repeat(20_000))), "more than 16 dots"),
        (&when(&format!("context{}", "\n. path".repeat(20_000))), "more than 16 dots"),
        ("permit(principal, action, resource) when { resource.nope == 1 };", "policy policy0"),
        ("permit(principal, action, resource) when { resource.host == 1 };", "policy policy0"),
        (
            "permit(principal, action == Action::\"GET\", resource) when { context.path_globs.contains(\"a\") };",
            "starts with '/'",
        ),
        (
            "permit(principal, action == Action::\"GET\", resource) when { context.path_globs == [\"/a?\"] };",
            "can only be asked",
        ),
    ];
    for (text, expect) in cases {
        let error = Compiled::cedar(text, "c.cedar").expect_err(text).to_string();
        assert!(error.contains(expect), "{text}\n{error}");
    }
}

#[test]
fn how_paths_are_read_is_part_of_what_is_certified() {
    let policy = |option: &str| {
        let text = format!(
            "version: 1\nnetwork_policies:\n  a:\n    endpoints: [{{ host: a.com, port: 443, protocol: rest, access: full{option} }}]\n"
        );
        Compiled::policy(&Policy::parse(&text, "f", Role::Policy).unwrap()).unwrap().digest()
    };
    let digests = [policy(""), policy(", allow_encoded_slash: true"), policy(", path_params: strip")];
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
}

#[test]
fn a_proposal_cannot_change_how_paths_are_read() {
    let body = |option: &str| {
        format!(
            r#"{{"intent_summary":"x","operations":[{{"addRule":{{"ruleName":"r","rule":{{"endpoints":[
                {{"host":"a.com","port":443,"protocol":"rest","access":"read-only"{option}}}]}}}}}}]}}"#
        )
    };
    assert!(narrowgate_core::proposal::Proposal::parse(body("").as_bytes()).is_ok());
    for (option, field) in
        [(r#","allow_encoded_slash":true"#, "allow_encoded_slash"), (r#","path_params":"strip""#, "path_params")]
    {
        let error = narrowgate_core::proposal::Proposal::parse(body(option).as_bytes()).unwrap_err();
        assert_eq!(error.pointer, format!("/operations/0/addRule/rule/endpoints/0/{field}"));
        assert!(error.message.contains("for the operator"), "{error}");
    }
}
