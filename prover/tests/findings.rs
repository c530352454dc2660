//! What is noted about a change: for each kind of finding, the rules that give rise to it and the near ones that do not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use narrowgate_core::cedar::is_allowed;
use narrowgate_core::compile::Compiled;
use narrowgate_core::credentials::Credentials;
use narrowgate_core::denial::DenialRecord;
use narrowgate_core::finding::{Finding, FindingName};
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::proposal::{Operation, Proposal};
use narrowgate_prover::{Ceiling, Change, Evidence, Options, automatic, automatic_part, findings};
use serde_json::{Value, json};

fn policy(yaml: &str) -> Policy {
    Policy::parse(yaml, "policy.yaml", Role::Policy).unwrap_or_else(|e| panic!("{e}\n{yaml}"))
}

fn operations(body: Value) -> Vec<Operation> {
    let body = json!({ "intent_summary": "test", "operations": body }).to_string();
    Proposal::parse(body.as_bytes()).unwrap_or_else(|e| panic!("{e}\n{body}")).operations
}

/// A policy in force and an operation on it.
struct Case {
    before: Policy,
    after: Policy,
}

impl Case {
    fn new(before: &str, operation: Value) -> Case {
        let before = policy(before);
        let mut after = before.clone();
        for operation in operations(json!([operation])) {
            after = operation.apply(&after).unwrap();
        }
        Case { before, after }
    }

    fn with<T>(&self, run: impl FnOnce(&Change<'_>) -> T) -> T {
        let (before, after) = (Compiled::policy(&self.before).unwrap(), Compiled::policy(&self.after).unwrap());
        run(&Change { before: &self.before, before_compiled: &before, after: &self.after, after_compiled: &after })
    }

    fn findings(&self, evidence: &Evidence, credentials: &Credentials) -> Vec<Finding> {
        let found = self.with(|change| findings(change, evidence, credentials, &Options::default()));
        let json = self.after.to_json();
        for finding in &found {
            assert!(json.pointer(&finding.at).is_some(), "{} points at nothing: {json:#}", finding.at);
            assert!(finding.detail.ends_with('.') && finding.detail.len() < 300, "{}", finding.detail);
            if let Some(tightest) = &finding.tightest {
                let body = json!([{ "addRule": { "ruleName": tightest["name"], "rule": tightest } }]);
                assert_eq!(operations(body).len(), 1, "ready to post");
            }
        }
        found
    }
}

const NOTHING: &str = "version: 1\nnetwork_policies: {}\n";

/// `addRule` of one entry named `new`.
fn add(rule: Value) -> Value {
    json!({ "addRule": { "ruleName": "new", "rule": rule } })
}

fn rest(method: &str, path: &str) -> Value {
    json!({ "host": "api.example.com", "port": 443, "protocol": "rest",
            "rules": [{ "allow": { "method": method, "path": path } }] })
}

fn curl(endpoint: Value) -> Value {
    json!({ "binaries": [{ "path": "/usr/bin/curl" }], "endpoints": [endpoint] })
}

/// A denial: `PUT /path`, or `connect` for a refused connection; to api.example.com:443 unless told `@host:port`, by
/// curl unless told `<binary`.
fn denial(id: usize, text: &str) -> DenialRecord {
    let (text, binary) = text.split_once(" <").unwrap_or((text, "/usr/bin/curl"));
    let (text, place) = text.split_once(" @").unwrap_or((text, "api.example.com:443"));
    let (host, port) = place.rsplit_once(':').unwrap();
    let mut record = json!({ "denial_id": format!("d_{id}"), "time": "2026-11-20T21:00:00Z", "layer": "l4", "host": host,
        "port": port.parse::<u16>().unwrap(), "binary": binary, "reason": "no_matching_rule" });
    if let Some((method, path)) = text.split_once(' ') {
        record["layer"] = json!("l7");
        record["method"] = json!(method);
        record["path"] = json!(path);
    }
    serde_json::from_value(record).unwrap()
}

fn evidence(denials: &[&str]) -> Evidence {
    let records: Vec<DenialRecord> = denials.iter().enumerate().map(|(id, text)| denial(id, text)).collect();
    let cited: Vec<String> = records.iter().map(|record| record.denial_id.clone()).collect();
    Evidence::new(&cited, &records)
}

fn lines(found: &[Finding]) -> Vec<String> {
    found.iter().map(|finding| format!("{} {}", finding.name, finding.at)).collect()
}

/// The names and places that `rule`, proposed for `denials`, gives rise to; the places without `/network_policies/new`.
fn noted(rule: Value, denials: &[&str], expect: &[&str]) -> Vec<Finding> {
    let case = Case::new(NOTHING, add(rule.clone()));
    let found = case.findings(&evidence(denials), &Credentials::none());
    let shown: Vec<String> = lines(&found).iter().map(|line| line.replace("/network_policies/new", "")).collect();
    assert_eq!(shown, expect, "{rule}\nfor {denials:?}\n{found:#?}");
    found
}

/// The same; and what is offered instead gives rise to no finding.
fn check(rule: Value, denials: &[&str], expect: &[&str]) {
    let found = noted(rule, denials, expect);
    // What is offered instead covers what was asked, and gives rise to no finding itself.
    for tightest in found.iter().filter_map(|finding| finding.tightest.clone()) {
        let case = Case::new(NOTHING, add(tightest.clone()));
        let again = case.findings(&evidence(denials), &Credentials::none());
        let named = |finding: &Finding| finding.name != FindingName::AnyBinary;
        assert_eq!(lines(&again.into_iter().filter(named).collect::<Vec<_>>()), [""; 0], "{tightest}");
    }
}

const PUT: &str = "PUT /repos/acme/site/a.md";

#[test]
fn a_rule_that_covers_its_evidence_exactly_has_no_findings() {
    check(curl(rest("PUT", "/repos/acme/site/a.md")), &[PUT], &[]);
    check(curl(rest("GET", "/a")), &["HEAD /a"], &[]);
    let two = json!({ "host": "api.example.com", "port": 443, "protocol": "rest", "rules": [
        { "allow": { "method": "PUT", "path": "/a" } }, { "allow": { "method": "DELETE", "path": "/b" } }] });
    check(curl(two), &["PUT /a", "DELETE /b"], &[]);
    // A refused connection says host and port; what the denial itself offers is as narrow as anybody can know.
    let read = json!({ "host": "api.example.com", "port": 443, "protocol": "rest", "access": "read-only" });
    check(curl(read), &["connect"], &[]);
    check(curl(rest("GET", "/repos/**")), &["connect"], &[]);
    check(curl(rest("PUT", "/repos/a")), &["connect"], &[]);
    check(curl(json!({ "host": "db.example.com", "port": 5432 })), &["connect @db.example.com:5432"], &[]);
}

#[test]
fn recursive_path() {
    check(curl(rest("PUT", "/repos/**")), &[PUT], &["recursive_path /endpoints/0/rules/0"]);
    check(curl(rest("PUT", "/**")), &[PUT], &["recursive_path /endpoints/0/rules/0"]);
    check(curl(rest("PUT", "/repos/**/a.md")), &[PUT], &["recursive_path /endpoints/0/rules/0"]);
    check(curl(rest("PUT", "/repos/**")), &[], &["recursive_path /endpoints/0/rules/0"]);
    // A connection that was refused does not say that anything would be written.
    check(curl(rest("PUT", "/repos/**")), &["connect"], &["recursive_path /endpoints/0/rules/0"]);
    let read = json!({ "host": "api.example.com", "port": 443, "protocol": "rest", "access": "read-only" });
    check(curl(read.clone()), &["GET /a"], &["recursive_path /endpoints/0/access"]);
    check(curl(read), &[], &["recursive_path /endpoints/0/access"]);
}

#[test]
fn path_wildcard() {
    check(curl(rest("PUT", "/repos/*/site/a.md")), &[PUT], &["path_wildcard /endpoints/0/rules/0"]);
    check(curl(rest("PUT", "/repos/acme/site/?.md")), &[PUT], &["path_wildcard /endpoints/0/rules/0"]);
    check(
        curl(rest("PUT", "/repos/*/**")),
        &[PUT],
        &["recursive_path /endpoints/0/rules/0", "path_wildcard /endpoints/0/rules/0"],
    );
    check(curl(rest("PUT", "/repos/*")), &[], &["path_wildcard /endpoints/0/rules/0"]);
}

#[test]
fn method_any() {
    check(curl(rest("*", "/repos/acme/site/a.md")), &[PUT], &["method_any /endpoints/0/rules/0"]);
    check(curl(rest("*", "/repos/acme/site/a.md")), &[], &["method_any /endpoints/0/rules/0"]);
    for access in ["full", "read-write"] {
        let endpoint = json!({ "host": "api.example.com", "port": 443, "protocol": "rest", "access": access });
        let expect = ["method_any /endpoints/0/access", "recursive_path /endpoints/0/access"];
        check(curl(endpoint.clone()), &["GET /a"], &expect);
        check(curl(endpoint.clone()), &["connect"], &expect);
        check(curl(endpoint), &[], &expect);
    }
}

#[test]
fn host_wildcard() {
    for host in ["*.example.com", "**.example.com", "a*.example.com"] {
        let mut endpoint = rest("PUT", "/a");
        endpoint["host"] = json!(host);
        check(curl(endpoint.clone()), &["PUT /a"], &["host_wildcard /endpoints/0/host"]);
        check(curl(endpoint), &[], &["host_wildcard /endpoints/0/host"]);
    }
}

#[test]
fn l7_to_l4() {
    let l4 = |port: u16| json!({ "host": "api.example.com", "port": port });
    check(curl(l4(443)), &[PUT], &["l7_to_l4 /endpoints/0"]);
    check(curl(l4(443)), &["connect"], &["l7_to_l4 /endpoints/0"]);
    check(curl(l4(5432)), &[], &["l7_to_l4 /endpoints/0"]);
    check(curl(l4(5432)), &["connect @api.example.com:5432"], &[]);
    check(
        curl(l4(8443)),
        &["connect @api.example.com:8443", "GET /a @api.example.com:8443"],
        &["l7_to_l4 /endpoints/0"],
    );
}

#[test]
fn any_binary() {
    let rule = |binaries: &[&str]| {
        let paths: Vec<Value> = binaries.iter().map(|path| json!({ "path": path })).collect();
        json!({ "binaries": paths, "endpoints": [rest("GET", "/a")] })
    };
    check(json!({ "endpoints": [rest("GET", "/a")] }), &["GET /a"], &["any_binary "]);
    check(json!({ "endpoints": [rest("GET", "/a")] }), &[], &["any_binary "]);
    check(rule(&["/usr/bin/*"]), &["GET /a"], &["any_binary /binaries/0"]);
    check(rule(&["/usr/**"]), &[], &["any_binary /binaries/0"]);
    // An interpreter identifies nothing, even where it is what was denied.
    check(rule(&["/usr/bin/python3"]), &["GET /a </usr/bin/python3"], &["any_binary /binaries/0"]);
    check(rule(&["/usr/bin/curl"]), &["GET /a"], &[]);
    check(rule(&["/usr/bin/curl"]), &[], &[]);
    // Who could not be identified is let through by a rule for anybody only; that is to be known.
    check(json!({ "endpoints": [rest("GET", "/a")] }), &["GET /a <"], &["any_binary "]);
}

#[test]
fn unrelated_to_denial() {
    let unrelated = ["unrelated_to_denial /endpoints/0/rules/0"];
    check(curl(rest("PUT", "/b")), &[PUT], &unrelated);
    check(curl(rest("GET", "/repos/acme/site/a.md")), &[PUT], &unrelated);
    check(curl(rest("PUT", "/a")), &["PUT /a @other.example.com:443"], &unrelated);
    check(curl(rest("PUT", "/a")), &["PUT /a @api.example.com:8443"], &unrelated);
    check(curl(rest("PUT", "/a")), &["PUT /a </usr/bin/git"], &unrelated);
    let broad = ["unrelated_to_denial /endpoints/0/rules/0", "recursive_path /endpoints/0/rules/0"];
    check(curl(rest("PUT", "/other/**")), &[PUT], &broad);

    let mut ports = rest("PUT", "/a");
    ports.as_object_mut().unwrap().remove("port");
    ports["ports"] = json!([443, 8443]);
    check(curl(ports.clone()), &["PUT /a"], &["unrelated_to_denial /endpoints/0/ports"]);
    check(curl(ports.clone()), &["PUT /a", "PUT /a @api.example.com:8443"], &[]);
    let both = json!({ "binaries": [{ "path": "/usr/bin/curl" }, { "path": "/usr/bin/git" }], "endpoints": [rest("PUT", "/a")] });
    check(both.clone(), &["PUT /a"], &["unrelated_to_denial /binaries/1"]);
    check(both, &["PUT /a", "PUT /a </usr/bin/git"], &[]);
    // Each dimension was denied, the combination was not.
    let crossed =
        json!({ "binaries": [{ "path": "/usr/bin/curl" }, { "path": "/usr/bin/git" }], "endpoints": [ports] });
    // No one entry is exact then: what is offered covers the combinations too.
    noted(
        crossed,
        &["PUT /a", "PUT /a @api.example.com:8443 </usr/bin/git"],
        &["unrelated_to_denial /binaries/0", "unrelated_to_denial /binaries/1"],
    );
}

/// What counts as evidence: what is cited, what the proxy knows, what a rule could answer.
#[test]
fn evidence_is_what_the_proxy_recorded_of_what_is_cited() {
    let case = Case::new(NOTHING, add(curl(rest("PUT", "/a"))));
    let names = |cited: &[&str], records: &[DenialRecord]| {
        let cited: Vec<String> = cited.iter().map(ToString::to_string).collect();
        lines(&case.findings(&Evidence::new(&cited, records), &Credentials::none()))
    };
    let unrelated = ["unrelated_to_denial /network_policies/new/endpoints/0/rules/0"];
    let known = denial(1, "PUT /a");
    assert_eq!(names(&["d_1"], std::slice::from_ref(&known)), [""; 0]);
    assert_eq!(names(&["d_1"], &[]), unrelated, "the proxy knows of no such denial");
    assert_eq!(names(&["d_2"], std::slice::from_ref(&known)), unrelated, "a record that is not cited");
    assert_eq!(names(&[], std::slice::from_ref(&known)), [""; 0], "nothing is cited: by the rule alone");
    // What is offered has neither a query nor what a rule would read as a wildcard.
    let mut case = Case::new(NOTHING, add(curl(rest("PUT", "/a/**"))));
    for (path, offered) in
        [("/a/b?token=hunter2", Some("/a/b")), ("/a/%2A%2A", Some("/a/%2A%2A")), ("/a/**", None), ("/a/../b", None)]
    {
        let found = case.findings(&evidence(&[&format!("PUT {path}")]), &Credentials::none());
        let tightest =
            found[0].tightest.as_ref().map(|t| t["endpoints"][0]["rules"][0]["allow"]["path"].as_str().unwrap());
        assert_eq!(tightest, offered, "{path}");
    }
    case = Case::new(NOTHING, add(curl(rest("PUT", "/a"))));
    let names = |cited: &[&str], records: &[DenialRecord]| {
        let cited: Vec<String> = cited.iter().map(ToString::to_string).collect();
        lines(&case.findings(&Evidence::new(&cited, records), &Credentials::none()))
    };
    for reason in ["deny_rule", "destination_blocked", "denied_by_reviewer", "request_ambiguous"] {
        let mut record = serde_json::to_value(&known).unwrap();
        record["reason"] = json!(reason);
        assert_eq!(names(&["d_1"], &[serde_json::from_value(record).unwrap()]), unrelated, "{reason}");
    }
}

#[test]
fn only_what_is_new_is_looked_at() {
    let before = "
version: 1
network_policies:
  wide:
    endpoints:
      - { host: '*.example.com', port: 443, protocol: rest, rules: [{ allow: { method: GET, path: '/**' } }] }
";
    let more = json!({ "addAllowRules": { "ruleName": "wide", "host": "*.example.com", "port": 443,
        "rules": [{ "allow": { "method": "GET", "path": "/**" } }, { "allow": { "method": "PUT", "path": "/b/**" } }] } });
    let found = Case::new(before, more).findings(&Evidence::none(), &Credentials::none());
    let place = "/network_policies/wide";
    assert_eq!(
        lines(&found),
        [
            format!("host_wildcard {place}/endpoints/0/host"),
            format!("any_binary {place}"),
            format!("recursive_path {place}/endpoints/0/rules/1"),
        ]
    );
    let gone = Case::new(before, json!({ "removeRule": { "ruleName": "wide" } }));
    assert_eq!(gone.findings(&Evidence::none(), &Credentials::none()), []);
}

#[test]
fn a_thousand_findings_are_told_in_a_few() {
    let rules: Vec<Value> =
        (0..100).map(|n| json!({ "allow": { "method": "*", "path": format!("/r{n}/**") } })).collect();
    let endpoint = json!({ "host": "api.example.com", "port": 443, "protocol": "rest", "rules": rules });
    let found = Case::new(NOTHING, add(curl(endpoint))).findings(&Evidence::none(), &Credentials::none());
    assert_eq!(found.len(), 16);
    for name in [FindingName::MethodAny, FindingName::RecursivePath] {
        let of: Vec<&Finding> = found.iter().filter(|finding| finding.name == name).collect();
        assert_eq!(of.len(), 8);
        assert!(of[7].detail.ends_with("And 92 more findings like this."), "{}", of[7].detail);
    }
}

const CREDENTIALS: &str = "
version: 1
credentials:
  - { name: github, host: api.example.com, port: 443 }
  - { name: packages, host: '**.pkg.example.com', scope: read-only }
";

/// What is in force in the risk table: curl reads the host with credentials.
const READS: &str = "
version: 1
network_policies:
  read:
    binaries: [{ path: /usr/bin/curl }]
    endpoints: [{ host: api.example.com, port: 443, protocol: rest, rules: [{ allow: { method: GET, path: '/repos/**' } }] }]
";

/// The risks of an operation, as `name at, binary: curl`, without `/network_policies/`.
fn risks(before: &str, operation: Value, expect: &[&str]) {
    let case = Case::new(before, operation.clone());
    let credentials = Credentials::parse(CREDENTIALS, "credentials.yaml").unwrap();
    let mut found = case.findings(&Evidence::none(), &credentials);
    found.retain(|finding| finding.name <= FindingName::CapabilityExpansion);
    let shown: Vec<String> = found
        .iter()
        .map(|f| {
            let witness = f.witness.as_ref().expect("decided");
            let place = f.at.replace("/network_policies/", "");
            format!("{} {place}, {}: {}", f.name, witness.binary, witness.curl)
        })
        .collect();
    let alike = shown.len() == expect.len() && shown.iter().zip(expect).all(|(shown, expect)| is_like(shown, expect));
    assert!(alike, "{shown:#?}\nnot\n{expect:#?}\n{operation:#}");
    for finding in found {
        let shown = serde_json::to_string(&finding.clone().without_credentials()).unwrap();
        if finding.credential.is_some() {
            assert!(
                !["github", "packages", "api.example.com:443/", "curl"].iter().any(|w| shown.contains(w)),
                "{shown}"
            );
        }
    }
}

/// Whether the pieces of `expect` between `…` stand in `shown` in this order. Where the rule leaves a value open, which
/// one a witness has is the prover's taste.
fn is_like(shown: &str, expect: &str) -> bool {
    let mut rest = shown;
    expect.split('…').all(|piece| match rest.find(piece) {
        Some(at) => {
            rest = &rest[at + piece.len()..];
            true
        }
        None => false,
    })
}

#[test]
fn link_local_reach() {
    let to = |host: &str| add(curl(json!({ "host": host, "port": 80, "protocol": "rest", "access": "read-only" })));
    let wide = "link_local_reach new/endpoints/0/access, /usr/bin/curl: curl";
    risks(READS, to("169.254.169.254"), &[&format!("{wide} 'http://169.254.169.254/'")]);
    risks(READS, to("169.254.7.7"), &[&format!("{wide} 'http://169.254.7.7/'")]);
    risks(READS, to("fe80::1"), &[&format!("{wide} 'http://[fe80::1]/'")]);
    risks(READS, to("metadata.google.internal"), &[&format!("{wide} 'http://metadata.google.internal/'")]);
    risks(READS, to("*.google.internal"), &[&format!("{wide} 'http://metadata.google.internal/'")]);
    risks(READS, to("169.253.7.7"), &[]);
    risks(READS, to("*.google.example.com"), &[]);
    // Denied at the same place, it is not reached.
    let carved = curl(json!({ "host": "169.254.169.254", "port": 80, "protocol": "rest", "access": "read-only",
        "deny_rules": [{ "method": "*", "path": "/**" }] }));
    risks(READS, add(carved), &[]);
}

#[test]
fn l7_bypass_credentialed() {
    let l4 = |host: &str, port: u16| add(curl(json!({ "host": host, "port": port })));
    risks(
        NOTHING,
        l4("api.example.com", 443),
        &[
            "l7_bypass_credentialed new/endpoints/0, /usr/bin/curl: curl 'telnet://api.example.com:443'",
            "credential_reach_expansion new/endpoints/0, /usr/bin/curl: curl 'https://api.example.com/'",
        ],
    );
    // A wildcard that covers the host is the host.
    risks(
        NOTHING,
        l4("**.example.com", 443),
        &[
            "l7_bypass_credentialed new/endpoints/0, /usr/bin/curl: curl 'telnet://api.example.com:443'",
            "l7_bypass_credentialed new/endpoints/0, /usr/bin/curl: curl 'telnet://….pkg.example.com:443'",
            "credential_reach_expansion new/endpoints/0, /usr/bin/curl: curl 'https://api.example.com/'",
            "credential_reach_expansion new/endpoints/0, /usr/bin/curl: curl 'https://….pkg.example.com/'",
        ],
    );
    risks(NOTHING, l4("api.example.com", 22), &[]);
    risks(NOTHING, l4("www.example.com", 443), &[]);
}

#[test]
fn credential_reach_expansion() {
    let git = |endpoint: Value| add(json!({ "binaries": [{ "path": "/usr/bin/git" }], "endpoints": [endpoint] }));
    let reach = "credential_reach_expansion new/endpoints/0/rules/0,";
    risks(READS, git(rest("GET", "/a")), &[&format!("{reach} /usr/bin/git: curl 'https://api.example.com/a'")]);
    // The binary that was there already, on another path: the same reach, the same methods.
    risks(READS, add(curl(rest("GET", "/a"))), &[]);
    // Another port of the host is not where the credential is good.
    let mut port = rest("GET", "/a");
    port["port"] = json!(8443);
    risks(READS, git(port), &[]);
    let any = add(json!({ "endpoints": [rest("GET", "/a")] }));
    risks(READS, any, &[&format!("{reach} …: curl 'https://api.example.com/a'")]);
    let mut wild = rest("GET", "/a");
    wild["host"] = json!("*.pkg.example.com");
    risks(READS, add(curl(wild)), &[&format!("{reach} /usr/bin/curl: curl 'https://….pkg.example.com/a'")]);
}

#[test]
fn capability_expansion() {
    let more = |method: &str, path: &str| {
        json!({ "addAllowRules": { "ruleName": "read", "host": "api.example.com", "port": 443,
            "rules": [{ "allow": { "method": method, "path": path } }] } })
    };
    let grown = "capability_expansion read/endpoints/0/rules/1, /usr/bin/curl: curl";
    risks(READS, more("PUT", "/a"), &[&format!("{grown} -X PUT 'https://api.example.com/a'")]);
    risks(READS, more("DELETE", "/a"), &[&format!("{grown} -X DELETE 'https://api.example.com/a'")]);
    risks(READS, more("*", "/a"), &[&format!("{grown} -X POST 'https://api.example.com/a'")]);
    risks(READS, more("PURGE", "/a"), &[&format!("{grown} -X PURGE 'https://api.example.com/a'")]);
    risks(READS, more("GET", "/a"), &[]);
    risks(READS, more("OPTIONS", "/a"), &[]);
    // More paths with a method that there is are no new capability.
    let writes = READS.replace("[{ allow", "[{ allow: { method: PUT, path: /x } }, { allow");
    let two = json!({ "addAllowRules": { "ruleName": "read", "host": "api.example.com", "port": 443,
        "rules": [{ "allow": { "method": "PUT", "path": "/y" } }] } });
    risks(&writes, two, &[]);
    // A credential that can only read gains nothing by a rule that lets writes through.
    let packages = READS.replace("api.example.com", "a.pkg.example.com");
    let put = json!({ "addAllowRules": { "ruleName": "read", "host": "a.pkg.example.com", "port": 443,
        "rules": [{ "allow": { "method": "PUT", "path": "/a" } }] } });
    risks(&packages, put, &[]);
}

/// What the policy means decides, not what it says: denies in force, denies that go, rules that denies void.
#[test]
fn denies_count() {
    let guarded = "
version: 1
network_policies:
  guard:
    endpoints: [{ host: api.example.com, port: 443, protocol: rest, deny_rules: [{ method: DELETE, path: '/**' }] }]
  read:
    binaries: [{ path: /usr/bin/curl }]
    endpoints: [{ host: api.example.com, port: 443, protocol: rest, rules: [
      { allow: { method: GET, path: '/**' } }, { allow: { method: DELETE, path: '/**' } }] }]
";
    // Lifting a deny is an expansion by a rule that was there before.
    risks(
        guarded,
        json!({ "removeRule": { "ruleName": "guard" } }),
        &["capability_expansion read/endpoints/0/rules/1, /usr/bin/curl: curl -X DELETE 'https://api.example.com/'"],
    );
    // A new rule that the deny voids is none.
    let delete = json!({ "addAllowRules": { "ruleName": "read", "host": "api.example.com", "port": 443,
        "rules": [{ "allow": { "method": "DELETE", "path": "/a" } }] } });
    risks(guarded, delete, &[]);
    // A rule that denies void reached nothing.
    let void = guarded.replace("method: DELETE, path: '/**' }] }]\n  read", "method: '*', path: '/**' }] }]\n  read");
    risks(
        &void,
        json!({ "removeRule": { "ruleName": "guard" } }),
        &[
            "credential_reach_expansion read/endpoints/0/rules/0, /usr/bin/curl: curl 'https://api.example.com/'",
            "credential_reach_expansion read/endpoints/0/rules/1, /usr/bin/curl: curl -X DELETE 'https://api.example.com/'",
        ],
    );
}

/// A lease that ends did not reach further than its end.
#[test]
fn a_grant_that_outlasts_a_lease_is_new() {
    let leased = READS.replace("protocol: rest,", "protocol: rest, expires_at: 2026-12-01T00:00:00Z,");
    let longer = add(curl(rest("GET", "/repos/x")));
    let case = Case::new(&leased, longer);
    let credentials = Credentials::parse(CREDENTIALS, "credentials.yaml").unwrap();
    let found = case.findings(&Evidence::none(), &credentials);
    assert_eq!(lines(&found), ["credential_reach_expansion /network_policies/new/endpoints/0/rules/0"]);
}

/// A question that is not answered counts as a yes.
#[test]
fn what_is_not_decided_is_noted() {
    let case = Case::new(READS, add(curl(rest("PUT", "/a"))));
    let credentials = Credentials::parse(CREDENTIALS, "credentials.yaml").unwrap();
    let hurried = Options { timeout: std::time::Duration::ZERO, ..Options::default() };
    let found = case.with(|change| findings(change, &Evidence::none(), &credentials, &hurried));
    assert_eq!(lines(&found), ["credential_reach_expansion /network_policies/new/endpoints/0/rules/0"]);
    assert!(found[0].witness.is_none() && found[0].detail.contains("could not be decided"), "{found:?}");
}

/// Every witness is a request that the policy after allows and the policy before does not.
#[test]
fn witnesses_are_real() {
    let operations = [
        add(curl(json!({ "host": "**.example.com", "port": 443 }))),
        add(json!({ "endpoints": [rest("*", "/a/**")] })),
        add(curl(json!({ "host": "*.pkg.example.com", "port": 443, "protocol": "rest", "access": "full" }))),
    ];
    let credentials = Credentials::parse(CREDENTIALS, "credentials.yaml").unwrap();
    for operation in operations {
        let case = Case::new(NOTHING, operation);
        let found = case.findings(&Evidence::none(), &credentials);
        let witnesses: Vec<_> = found.iter().filter_map(|finding| finding.witness.clone()).collect();
        assert!(!witnesses.is_empty());
        let compiled = Compiled::policy(&case.after).unwrap();
        for witness in witnesses {
            let request = request(&witness.binary, &witness.curl);
            assert!(is_allowed(&compiled, &request, compiled.globs()), "{witness:?}");
        }
    }
}

/// The request that a curl line of a report stands for.
fn request(binary: &str, curl: &str) -> narrowgate_core::request::Request {
    use narrowgate_core::request::{Host, Method, Operation, PathOptions, Port, Process, Query, Request, Target};
    let url = curl.split('\'').nth(1).unwrap();
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_once('/').map_or((rest, String::new()), |(a, p)| (a, format!("/{p}")));
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "443"));
    let operation = if scheme == "telnet" {
        Operation::Connect
    } else {
        let method = curl.split("-X ").nth(1).map_or("GET", |rest| rest.split(' ').next().unwrap());
        let path = narrowgate_core::request::CanonicalPath::parse(&path, &PathOptions::default()).unwrap();
        Operation::Http {
            method: Method::parse(method).unwrap(),
            target: Target { path, query: Query::from_pairs([]).unwrap() },
            meaning: None,
        }
    };
    let process = Process { path: binary.to_owned(), ..Process::default() };
    Request {
        process,
        host: Host::parse(host).unwrap(),
        port: Port::new(port.parse().unwrap()).unwrap(),
        operation,
        now: 0,
    }
}

const MARKED: &str = r#"
@review("auto")
permit (principal, action in Action::"read", resource) when { resource.host == "api.example.com" };
permit (principal, action, resource) when { resource.host like "*.example.com" };
forbid (principal, action in [Action::"GET", Action::"HEAD"], resource) when { context.path like "/secrets*" };
"#;

/// Why an operation on [`READS`] is not automatic; "" where it is.
fn auto(operation: Value, ceiling: &str, credentials: &str, expect: &str) {
    let case = Case::new(READS, operation.clone());
    let ceiling = Ceiling::parse(ceiling, "ceiling").unwrap();
    let part = automatic_part(&ceiling);
    let credentials = Credentials::parse(credentials, "credentials.yaml").unwrap();
    let why = case.with(|change| {
        let found = findings(change, &Evidence::none(), &credentials, &Options::default());
        automatic(change, part.as_ref(), &found, &Options::default()).err().unwrap_or_default()
    });
    if expect.is_empty() {
        assert_eq!(why, "", "{operation}");
    } else {
        assert!(why.contains(expect), "{operation}: {why:?}");
    }
}

#[test]
fn what_is_automatic() {
    const NONE: &str = "version: 1\ncredentials: []\n";
    let narrow = || add(curl(rest("GET", "/other/a")));
    auto(narrow(), MARKED, NONE, "");
    auto(narrow(), &MARKED.replace("@review(\"auto\")", ""), NONE, "no permit of the ceiling is marked");
    auto(narrow(), &MARKED.replace("auto", "person"), NONE, "no permit of the ceiling is marked");
    // Inside the ceiling, outside what is marked.
    auto(add(curl(rest("PUT", "/other/a"))), MARKED, NONE, "curl -X PUT 'https://api.example.com/other/a'");
    // Partly: one rule of two.
    let partly = json!({ "host": "api.example.com", "port": 443, "protocol": "rest", "rules": [
        { "allow": { "method": "GET", "path": "/other/a" } }, { "allow": { "method": "PUT", "path": "/other/a" } }] });
    auto(add(curl(partly)), MARKED, NONE, "outside the ceiling's permits that are marked");
    // Partly: a forbid cuts into it, though the permit is marked.
    auto(add(curl(rest("GET", "/secrets"))), MARKED, NONE, "outside the ceiling's permits that are marked");
    // Everything that a finding is about.
    auto(add(curl(rest("GET", "/other/**"))), MARKED, NONE, "there are findings: recursive_path");
    auto(add(json!({ "endpoints": [rest("GET", "/other/a")] })), MARKED, NONE, "there are findings: any_binary");
    let git = add(json!({ "binaries": [{ "path": "/usr/bin/git" }], "endpoints": [rest("GET", "/other/a")] }));
    auto(git.clone(), MARKED, NONE, "");
    auto(git, MARKED, CREDENTIALS, "there are findings: credential_reach_expansion");
    // Opaque bytes, even where a marked permit grants them all.
    let all = "@review(\"auto\")\npermit (principal, action, resource);";
    auto(add(curl(json!({ "host": "db.example.com", "port": 5432 }))), all, NONE, "never automatic");
    // What takes away, or denies.
    auto(json!({ "removeRule": { "ruleName": "read" } }), all, NONE, "only additions are automatic");
    let denies = json!({ "host": "api.example.com", "port": 443, "protocol": "rest",
        "rules": [{ "allow": { "method": "GET", "path": "/other/a" } }], "deny_rules": [{ "method": "GET", "path": "/repos/**" }] });
    auto(add(curl(denies)), all, NONE, "it adds a deny rule");
    // A ceiling in the rule language says it by endpoint.
    let yaml = "
version: 1
network_policies:
  a:
    endpoints:
      - { host: api.example.com, port: 443, protocol: rest, access: read-only, review: auto }
      - { host: api.example.com, port: 443, protocol: rest, access: full }
";
    auto(narrow(), yaml, NONE, "");
    auto(add(curl(rest("PUT", "/other/a"))), yaml, NONE, "outside the ceiling's permits that are marked");
}
