//! Conditions that say the same, written in two ways: each is inside the other, and neither inside what is narrower.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use narrowgate_core::compile::Compiled;
use narrowgate_prover::{Ceiling, Options, Verdict, prove};

fn policy(condition: &str) -> String {
    format!("permit(principal, action, resource) when {{ {condition} }};")
}

fn verdict(candidate: &str, bound: &str) -> String {
    let candidate = Compiled::cedar(&policy(candidate), "p.cedar").unwrap_or_else(|e| panic!("{candidate}: {e}"));
    let ceiling = Ceiling::parse(&policy(bound), "c.cedar").unwrap_or_else(|e| panic!("{bound}: {e}"));
    match prove(&candidate, &ceiling, &Options::default()).verdict {
        Verdict::Within(_) => "within".to_owned(),
        Verdict::Exceeds(_) => "exceeds".to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_same_said_in_two_ways() {
    for (one, other, narrower) in [
        // A constant on the left turns the comparison around.
        ("443 <= resource.port", "resource.port >= 443", "resource.port > 443"),
        ("443 < resource.port", "resource.port > 443", "resource.port > 444"),
        ("443 >= resource.port", "resource.port <= 443", "resource.port < 443"),
        ("443 > resource.port", "resource.port < 443", "resource.port < 442"),
        ("443 == resource.port", "resource.port == 443", "false"),
        // Constants alone.
        ("1 < 2", "true", "resource.port == 1"),
        ("1 <= 1", "true", "resource.port == 1"),
        ("2 > 1", "true", "resource.port == 1"),
        ("1 >= 1", "true", "resource.port == 1"),
        ("!(2 < 2) && !(2 < 1) && !(2 <= 1) && !(2 > 2) && !(1 > 2) && !(1 >= 2)", "true", "resource.port == 1"),
        ("\"a\" == \"a\" && \"a\" != \"b\" && 1 != 2 && 2 == 2", "true", "resource.port == 1"),
        ("\"abc\" like \"a*c\" && !(\"abc\" like \"b*\")", "true", "resource.port == 1"),
        ("[\"a\", \"b\"].contains(\"a\") && ![\"a\"].contains(\"b\")", "true", "resource.port == 1"),
        // Kinds.
        ("principal is Process && resource is Endpoint && action is Action", "true", "resource.port == 1"),
        ("!(principal is Endpoint) && !(resource is Process)", "true", "resource.port == 1"),
        ("context has query && context.query is Query", "context has query", "context has query && resource.port == 1"),
        ("Sandbox::\"a\" is Sandbox && !(Sandbox::\"a\" is Process)", "true", "resource.port == 1"),
        ("principal is Process in Sandbox::\"a\"", "principal in Sandbox::\"a\"", "false"),
        // Deeper attributes at once.
        ("context has segments.h1", "context has segments && context.segments has h1", "context has segments.h2"),
        ("context has segments.count", "context has segments", "context has segments.h0 && context.path == \"/x\""),
        // Membership.
        (
            "principal in [Sandbox::\"a\", Sandbox::\"b\"]",
            "principal in Sandbox::\"b\" || principal in Sandbox::\"a\"",
            "principal in Sandbox::\"a\"",
        ),
        (
            "action in [Action::\"read\", Action::\"write\"]",
            "action in Action::\"read\" || action in Action::\"write\"",
            "action in Action::\"read\"",
        ),
        (
            "principal.ancestors.contains(\"/bin/a\")",
            "principal.ancestors.containsAny([\"/bin/a\"])",
            "principal.ancestors.containsAll([\"/bin/a\", \"/bin/b\"])",
        ),
        (
            "[\"/bin/a\", \"/bin/b\"].contains(principal.path)",
            "principal.path == \"/bin/a\" || principal.path == \"/bin/b\"",
            "principal.path == \"/bin/a\"",
        ),
        // Alternatives and their opposites.
        (
            "if resource.port == 1 then resource.labels == 2 else resource.labels == 3",
            "(resource.port == 1 && resource.labels == 2) || (resource.port != 1 && resource.labels == 3)",
            "resource.port == 1 && resource.labels == 2",
        ),
        (
            "!(resource.port == 1 && resource.labels == 2)",
            "resource.port != 1 || resource.labels != 2",
            "resource.port != 1 && resource.labels != 2",
        ),
        (
            "resource.host like \"a*\" && resource.host like \"*b\"",
            "!(!(resource.host like \"a*\") || !(resource.host like \"*b\"))",
            "resource.host like \"a*c*b\"",
        ),
    ] {
        for (a, b) in [(one, other), (other, one), (narrower, one), (narrower, other)] {
            assert_eq!(verdict(a, b), "within", "{a}\n{b}");
        }
        assert_eq!(verdict(one, narrower), "exceeds", "{one}\n{narrower}");
        assert_eq!(verdict(other, narrower), "exceeds", "{other}\n{narrower}");
    }
}
