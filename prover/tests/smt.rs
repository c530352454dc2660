//! The SMT engine: with a real solver, and with solvers that are missing, die, hang and lie.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use narrowgate_core::cedar::is_allowed;
use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_prover::{Ceiling, Engine, Options, Outcome, Solver, Verdict, prove};

fn rules(rules: &str) -> String {
    endpoint(&format!("host: api.example.com, port: 443, protocol: rest, rules: [{rules}]"))
}

fn endpoint(members: &str) -> String {
    format!("version: 1\nnetwork_policies:\n  p:\n    name: p\n    endpoints:\n      - {{ {members} }}\n")
}

fn compiled(text: &str) -> Compiled {
    if text.contains("network_policies") {
        let policy = Policy::parse(text, "policy.yaml", Role::Ceiling).unwrap_or_else(|e| panic!("{e}\n{text}"));
        Compiled::policy(&policy).unwrap()
    } else {
        Compiled::cedar(text, "policy.cedar").unwrap_or_else(|e| panic!("{e}\n{text}"))
    }
}

fn solver() -> Solver {
    Solver::new(std::env::var_os("NARROWGATE_SOLVER").unwrap_or_else(|| "cvc5".into()))
}

fn asked(policy: &str, bound: &str, engine: Option<Engine>, solver: Option<Solver>) -> Outcome {
    let options = Options { engine, solver, timeout: Duration::from_secs(20), ..Options::default() };
    prove(&compiled(policy), &Ceiling::new(compiled(bound)).unwrap(), &options)
}

/// `within`, `exceeds: <curl>` or a code.
fn said(outcome: &Outcome) -> String {
    match &outcome.verdict {
        Verdict::Within(_) => "within".to_owned(),
        Verdict::Exceeds(found) => format!("exceeds: {}", found.curl()),
        Verdict::Unsupported(reason) | Verdict::Inconclusive(reason) => format!("{}: {}", reason.code, reason.message),
        Verdict::Disagree(disagreement) => disagreement.reason.message.clone(),
    }
}

/// The SMT engine's verdict.
fn check(policy: &str, bound: &str, expect: &str) {
    let outcome = asked(policy, bound, Some(Engine::Smt), Some(solver()));
    eprintln!("{:?} {:?} {}", outcome.solver_start, outcome.engine_time, said(&outcome));
    if let Verdict::Exceeds(found) = &outcome.verdict {
        let (policy, bound) = (compiled(policy), compiled(bound));
        let globs = policy.globs().union(bound.globs());
        assert!(is_allowed(&policy, &found.request, &globs) && !is_allowed(&bound, &found.request, &globs));
    }
    assert!(said(&outcome).starts_with(expect), "{}\n--- policy\n{policy}\n--- ceiling\n{bound}", said(&outcome));
}

#[test]
fn rules_against_rules() {
    let put = |path: &str| rules(&format!("{{ allow: {{ method: PUT, path: \"{path}\" }} }}"));
    let docs = put("/repos/acme/site/contents/docs/**");
    let site = put("/repos/acme/site/contents/**");
    check(&docs, &site, "within");
    check(&site, &docs, "exceeds: curl -X PUT 'https://api.example.com/");
    check(&put("/a/*"), &put("/a/**"), "within");
    check(&put("/a/**"), &put("/a/*"), "exceeds");
    check(&put("/a?/b"), &put("/a*/b"), "within");
    check(&put("/a*/b"), &put("/a?/b"), "exceeds");
    check(&put("/ab/b"), &put("/a?/b"), "within");
    check(&put("/*/x/**"), &put("/*/*/**"), "within");
    check(&put("/a/x/**"), &put("/*/x/**"), "within");
    check(&put("/*/x/**"), &put("/a/x/**"), "exceeds");
    check(&put("/**/a*"), &put("/**"), "within");
    check(&put("/**"), &put("/**/a*"), "exceeds");
    check(&put("/**/b/a*"), &put("/**/a*"), "within");
}

#[test]
fn hosts() {
    let host = |host: &str| endpoint(&format!("host: \"{host}\", port: 443, protocol: rest, access: full"));
    check(&host("api.example.com"), &host("*.example.com"), "within");
    check(&host("*.example.com"), &host("**.example.com"), "within");
    check(&host("**.example.com"), &host("*.example.com"), "exceeds");
    check(&host("a*.example.com"), &host("*.example.com"), "within");
    check(&host("a.b.example.com"), &host("*.example.com"), "exceeds");
    check(&host("10.0.0.1"), "permit(principal, action, resource) when { resource.labels == 0 };", "within");
    check(&host("*.example.com"), "permit(principal, action, resource) when { resource.labels > 0 };", "within");
}

#[test]
fn queries() {
    let query = |query: &str| rules(&format!("{{ allow: {{ method: GET, path: \"/a\", query: {{ {query} }} }} }}"));
    check(&query("k: a"), &query("k: 'a*'"), "within");
    check(&query("k: 'a*'"), &query("k: a"), "exceeds");
    let deny = rules("{ allow: { method: GET, path: \"/**\" } }], deny_rules: [{ method: GET, path: \"/**\", query: { k: x } }");
    check(&query("k: a"), &deny, "within");
    check(&query("j: a"), &deny, "exceeds");
}

#[test]
fn binaries_and_leases() {
    let by = |binary: &str, lease: &str| {
        let doc = endpoint(&format!("host: api.example.com, port: 443, protocol: rest, access: full{lease}"));
        doc.replace("    endpoints:", &format!("    binaries: [{{ path: \"{binary}\" }}]\n    endpoints:"))
    };
    check(&by("/usr/bin/*", ""), &by("/usr/bin/curl", ""), "exceeds");

    check(&by("/usr/*/curl", ""), &by("/usr/**", ""), "within");
    check(&by("/a", ", expires_at: 2026-01-01T00:00:00Z"), &by("/a", ", expires_at: 2027-01-01T00:00:00Z"), "within");
    check(&by("/a", ", expires_at: 2027-01-01T00:00:00Z"), &by("/a", ", expires_at: 2026-01-01T00:00:00Z"), "exceeds");
}
