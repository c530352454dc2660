//! What is no question gets its own clear answer, and never "within".
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_prover::{Ceiling, Options, Verdict, prove};

const OPEN: &str = "permit(principal, action, resource);";

/// Neither side reads `cedar`; what is said names the file and `expect`.
#[track_caller]
fn refused(cedar: &str, expect: &str) {
    let start = Instant::now();
    for error in [
        Ceiling::parse(cedar, "given.cedar").map(drop).map_err(|e| e.to_string()),
        Compiled::cedar(cedar, "given.cedar").map(drop).map_err(|e| e.to_string()),
    ] {
        let error = error.expect_err(&shown(cedar));
        assert!(error.contains("given.cedar"), "{}: {error}", shown(cedar));
        assert!(error.to_lowercase().contains(expect), "{}: {expect:?} is not in {error:?}", shown(cedar));
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{}: {:?}", shown(cedar), start.elapsed());
}

#[track_caller]
fn refused_rules(yaml: &str, expect: &str) {
    for role in [Role::Ceiling, Role::Policy] {
        let error = Policy::parse(yaml, "given.yaml", role).map(drop).expect_err(&shown(yaml)).to_string();
        assert!(error.contains("given.yaml") && error.contains(expect), "{}: {error}", shown(yaml));
    }
    let error = Ceiling::parse(yaml, "given.yaml").map(drop).expect_err(&shown(yaml)).to_string();
    assert!(error.contains(expect), "{}: {error}", shown(yaml));
}

fn shown(text: &str) -> String {
    text.chars().take(120).collect()
}

fn when(condition: &str) -> String {
    format!("permit(principal, action, resource) when {{ {condition} }};")
}

/// The verdict in a word, or its code and message.
#[track_caller]
fn answer(candidate: &str, ceiling: &str) -> String {
    let candidate = Compiled::cedar(candidate, "candidate.cedar").unwrap_or_else(|e| panic!("{e}"));
    let ceiling = Ceiling::parse(ceiling, "ceiling.cedar").unwrap_or_else(|e| panic!("{e}"));
    match prove(&candidate, &ceiling, &Options::default()).verdict {
        Verdict::Within(_) => "within".to_owned(),
        Verdict::Exceeds(_) => "exceeds".to_owned(),
        Verdict::Unsupported(reason) | Verdict::Inconclusive(reason) => format!("{}: {}", reason.code, reason.message),
        Verdict::Disagree(disagreement) => disagreement.reason.code.to_owned(),
    }
}

#[test]
fn names_that_the_schema_does_not_have() {
    for (condition, expect) in [
        ("principal.nope == \"x\"", "nope"),
        ("resource.hots == \"x\"", "hots"),
        ("context.nope == 1", "nope"),
        ("context has path && context.path.nope == \"x\"", "unexpected type"),
        ("context has segments && context.segments.h16 == \"x\"", "h16"),
        ("resource is Nope", "nope"),
        ("principal in Nope::\"x\"", "nope"),
        ("resource == Nope::\"x\"", "nope"),
        ("action == Action::\"NOPE\"", "nope"),
        ("action in [Action::\"read\", Action::\"NOPE\"]", "nope"),
        ("principal in Sandbox", "given.cedar"),
        ("nope(resource.host)", "nope"),
        ("resource.host.nope()", "nope"),
        ("nope", "nope"),
    ] {
        refused(&when(condition), expect);
    }
    for (policy, expect) in [
        ("permit(principal is Nope, action, resource);", "nope"),
        ("permit(principal, action == Action::\"NOPE\", resource);", "nope"),
        ("permit(principal, action == Nope::\"GET\", resource);", "nope"),
    ] {
        refused(policy, expect);
    }
    // A second policy that is fine does not make up for the first.
    refused(&format!("{OPEN}\n{}", when("principal.nope == 1")), "nope");
}

#[test]
fn types_that_do_not_fit() {
    for condition in [
        "resource.port == \"443\"",
        "resource.host == 443",
        "resource.host",
        "1",
        "\"yes\"",
        "resource.port && true",
        "!resource.port",
        "resource.host < \"b\"",
        "resource.host.contains(\"a\")",
        "[1, \"a\"].contains(resource.host)",
        "[1].contains(resource.host)",
        "principal.ancestors == \"x\"",
        "principal.ancestors.contains(1)",
        "principal.path + 1 == 2",
        "if resource.port then true else false",
        "if true then resource.port else resource.host",
        "context has query && context.query.hasTag(1)",
        "ip(\"300.0.0.1\").isLoopback()",
        "ip(resource.host).isLoopback()",
        "decimal(\"x\").lessThan(decimal(\"1.0\"))",
        "{host: resource.host} == resource.host",
    ] {
        refused(&when(condition), "policy0");
    }
}

/// Reading what may be absent fails at run time, and a policy that fails does not apply: a forbid would vanish.
#[test]
fn what_may_be_absent_is_not_read_unasked() {
    for condition in [
        "context.path like \"/a*\"",
        "context has segments && context.segments.h1 == \"a\"",
        "context has query && context.query.getTag(\"ref\") == \"main\"",
        "context has query && context.query.hasTag(\"a\") && context.query.getTag(\"b\") == \"main\"",
        "!(context has path) && context.path == \"/\"",
    ] {
        refused(&when(condition), "policy0");
        refused(&format!("forbid(principal, action, resource) when {{ {condition} }};"), "policy0");
    }
}

#[test]
fn templates_and_unknowns() {
    for policy in [
        "permit(principal == ?principal, action, resource);",
        "permit(principal, action, resource == ?resource);",
        "permit(principal in ?principal, action, resource in ?resource);",
        "forbid(principal is Process in ?principal, action, resource);",
    ] {
        refused(policy, "template");
        refused(&format!("{OPEN}\n{policy}"), "template");
    }
    refused(&when("principal == ?principal"), "");
    // Cedar's marker for partial evaluation: a condition that is neither true nor false.
    refused(&when("unknown(\"x\")"), "");
    refused(&when("unknown(\"x\") == 1"), "");
}

#[test]
fn nothing_where_a_ceiling_should_be() {
    for text in
        ["", "\n", "   \n\t", "// nothing\n", "// nothing", "//permit(principal, action, resource);\n  // more\n\n"]
    {
        for file in ["given.cedar", "given"] {
            let error = Ceiling::parse(text, file).map(drop).expect_err(text).to_string();
            assert!(error.contains("is empty") && error.contains("forbid(principal"), "{text:?}: {error}");
        }
        assert!(Compiled::cedar(text, "given.cedar").is_err(), "{text:?}");
    }
    for text in ["version: 1\nnetwork_policies: {}\n", "version: 1\nnetwork_policies:\n"] {
        let error = Ceiling::parse(text, "given.yaml").map(drop).expect_err(text).to_string();
        assert!(error.contains("given.yaml"), "{text:?}: {error}");
    }
    // A byte-order mark, a NUL and a form feed are no comments.
    for text in ["\u{feff}", "\0", "\u{c}// x"] {
        assert!(Ceiling::parse(text, "given.cedar").is_err(), "{text:?}");
    }
}

#[test]
fn text_that_is_no_policy() {
    for text in [
        "permit",
        "permit(principal, action, resource)",
        "permit(principal, action, resource",
        "permit(principal, action);",
        "permit(principal, action, resource) when { };",
        "permit(principal, action, resource) when { true };;",
        "permit(resource, action, principal);",
        "allow(principal, action, resource);",
        "permit(principal, action, resource); garbage",
        "@id permit(principal, action, resource) when true;",
        "permit(principal, action, resource) when { resource.host == 'x' };",
        "permit(principal, action, resource) when { resource.host == \"x };",
        "permit(principal, action, resource) when { resource.host like \"\\q\" };",
        "permit(principal, action, resource) when { resource.host like 1 };",
        "/* permit */ permit(principal, action, resource);",
    ] {
        refused(text, "");
    }
}

/// Arithmetic can overflow, and a policy that overflows does not apply. So none of it is proven.
#[test]
fn arithmetic_is_never_within() {
    refused(&when("resource.port == 9223372036854775808"), "");
    refused(&when("resource.port == 99999999999999999999999999"), "");
    for sum in [
        "resource.port + 1 > 0",
        "resource.port + 9223372036854775807 > 0",
        "resource.port - 1 >= 0",
        "resource.port * 2 > 0",
        "resource.labels * 9223372036854775807 >= 0",
        "-resource.port < 0",
        "context.now + 3600 > 0",
        "0 - context.now <= 0",
    ] {
        // In a ceiling's permit it may cover nothing, in a forbid it may forbid all, in a candidate permit anything.
        // Where Cedar itself confirms, by overflowing, that the permit does not cover, that is said.
        let permit = answer(OPEN, &when(sum));
        let named = permit.starts_with("unsupported_construct: the ceiling's \"policy0\"");
        assert!(named || permit == "exceeds" && sum.contains("9223372036854775807"), "{sum}: {permit}");
        let forbid = answer(OPEN, &format!("{OPEN} forbid(principal, action, resource) when {{ {sum} }};"));
        assert!(forbid.starts_with("unsupported_construct: the ceiling's \"policy1\""), "{sum}: {forbid}");
        let candidate = answer(&when(sum), OPEN);
        assert!(candidate.starts_with("unsupported_construct: the policy's \"policy0\""), "{sum}: {candidate}");
    }
    // Behind what is false it is not looked at, nor is it evaluated.
    assert_eq!(answer(&when("false && resource.port + 1 > 0"), OPEN), "within");
}

/// An annotation is no name: Cedar numbers policies, and what is said of them is said by number.
#[test]
fn names_that_occur_twice() {
    let twice = "@id(\"a\") permit(principal, action == Action::\"GET\", resource);\n\
                 @id(\"a\") forbid(principal, action == Action::\"GET\", resource) when { resource.port == 80 };";
    assert_eq!(answer("permit(principal, action == Action::\"GET\", resource);", twice), "exceeds");
    assert_eq!(answer(twice, twice), "within");
    refused("@id(\"a\") @id(\"b\") permit(principal, action, resource);", "annotation");
    let endpoint = "{ endpoints: [{ host: a.example, port: 443 }] }";
    refused_rules(&format!("version: 1\nnetwork_policies:\n  a: {endpoint}\n  a: {endpoint}\n"), "a");
    refused_rules(&format!("version: 1\nversion: 1\nnetwork_policies:\n  a: {endpoint}\n"), "version");
    // Keys that could be taken for the place of another's rule.
    refused_rules(&format!("version: 1\nnetwork_policies:\n  a/endpoints/0: {endpoint}\n"), "a/endpoints/0");
}

#[test]
fn depth_and_size_have_a_limit_and_not_a_crash() {
    let deep = 100_000;
    for (condition, expect) in [
        (format!("{}true{}", "(".repeat(deep), ")".repeat(deep)), "deep"),
        (format!("{}true", "!".repeat(deep)), "more than"),
        (vec!["true"; deep].join(" && "), "more than"),
        (vec!["resource.port == 1"; deep].join(" || "), "more than"),
        (format!("resource.port == {}", vec!["1"; deep].join(" + ")), "more than"),
        (format!("{}true{}", "if true then ".repeat(deep), " else true".repeat(deep)), "more than"),
        (format!("{}1{}.contains(1)", "[".repeat(deep), "]".repeat(deep)), "deep"),
        (format!("resource{}", ".a".repeat(deep)), "dots"),
        (format!("{}1{} == 1", "{a: ".repeat(deep), "}".repeat(deep)), "deep"),
    ] {
        refused(&when(&condition), expect);
    }
    let nested = format!("version: 1\nnetwork_policies: {}1{}\n", "[".repeat(deep), "]".repeat(deep));
    assert!(Ceiling::parse(&nested, "given.yaml").is_err());
    let anchors: String = (1..40).map(|n| format!("  a{n}: &a{n} [*a{0}, *a{0}, *a{0}]\n", n - 1)).collect();
    assert!(Ceiling::parse(&format!("version: 1\nnetwork_policies:\n  a0: &a0 [x]\n{anchors}"), "given.yaml").is_err());
    let json = format!("{}{}", "{\"a\":".repeat(deep), "}".repeat(deep));
    assert!(Ceiling::parse(&json, "given.json").is_err());
}

#[test]
fn a_long_ceiling_is_no_deep_one() {
    let permits: String = (0..2000)
        .map(|n| format!("permit(principal, action, resource) when {{ resource.host == \"h{n}.example\" }};\n"))
        .collect();
    assert_eq!(answer(&when("resource.host == \"h1999.example\""), &permits), "within");
    assert_eq!(answer(&when("resource.host == \"h2000.example\""), &permits), "exceeds");
}

/// A policy that applies to no request is no mistake of the prover's: it allows nothing, and bounds nothing.
#[test]
fn what_applies_to_nothing() {
    assert_eq!(answer(&when("false"), &when("false")), "within");
    assert_eq!(answer(OPEN, &when("false")), "exceeds");
    assert_eq!(answer(&when("resource.port == 1"), &when("resource.port == 0")), "exceeds");
    // What can never hold by its types: Cedar lets it stand, and it covers nothing.
    for never in [
        "permit(principal, action, resource in Sandbox::\"a\");".to_owned(),
        "permit(principal == Endpoint::\"a:1\", action, resource);".to_owned(),
        when("resource == principal"),
    ] {
        let said = answer(OPEN, &never);
        assert!(said == "exceeds" || said.starts_with("unsupported_construct"), "{never}: {said}");
    }
    // No request has port 0, and no host is empty.
    assert_eq!(answer(&when("resource.port == 0"), &when("false")), "within");
    assert_eq!(answer(&when("resource.host == \"\""), &when("false")), "within");
}
