//! Pairs of policies that meet: everything on one host, several wildcards, denies, queries and `?`, and Cedar as people
//! write it.

use arbitrary::{Result, Unstructured};
use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::Role;
use narrowgate_prover::Ceiling;

use crate::generators;
use crate::model::Model;

/// A candidate and a ceiling: about half of them two random policies, the rest hard.
pub fn pair(u: &mut Unstructured<'_>) -> Result<(Compiled, Ceiling)> {
    let ceiling = |compiled: Compiled| Ceiling::new(compiled).expect("a ceiling with a policy in it");
    Ok(match u.int_in_range(0..=7)? {
        0..=3 => {
            let (candidate, bound) = generators::pair(u)?;
            (compiled(&candidate), ceiling(compiled(&bound)))
        }
        4 | 5 => {
            let (candidate, bound) = generators::pair(u)?;
            (compiled(&together(candidate)), ceiling(compiled(&together(bound))))
        }
        6 => (compiled(&together(generators::policy(u)?)), ceiling(cedar(u)?)),
        _ => (cedar(u)?, ceiling(cedar(u)?)),
    })
}

/// The same rules, all on one host and port and for every program.
fn together(mut model: Model) -> Model {
    for entry in &mut model.entries {
        entry.binaries.clear();
        for endpoint in &mut entry.endpoints {
            endpoint.host = "api.example.com".to_owned();
            endpoint.ports = vec![443];
            endpoint.expires_at = None;
        }
    }
    model
}

fn compiled(model: &Model) -> Compiled {
    // As a ceiling is read: entries may overlap, which only makes the question harder.
    let policy = model.parse(Role::Ceiling).unwrap_or_else(|errors| panic!("{errors}\n{:#}", model.to_json()));
    Compiled::policy(&policy).expect("a policy compiles")
}

const OF_REQUESTS: [&str; 18] = [
    "context.path like \"/a*\"",
    "context.path like \"*b\"",
    "context.path like \"/*/*\"",
    "context.path like \"/a*b*\"",
    "context.path like \"*/../*\"",
    "context.path == \"/a\"",
    "context.path == \"/a/b\"",
    "context.segments.count > 1",
    "context.segments.count == 2",
    "(context.segments has h1 && context.segments.h1 == \"b\")",
    "(context.segments has t1 && context.segments.t1 like \"a*\")",
    "context.path_globs.contains(\"/a?\")",
    "context.path_globs.contains(\"/?/**\")",
    "context.query.hasTag(\"q\")",
    "(context.query.hasTag(\"ref\") && context.query.getTag(\"ref\") like \"m*\")",
    "context.query.repeated.contains(\"ref\")",
    "context.method == \"PURGE\"",
    "[\"GET\", \"PURGE\"].contains(context.method)",
];
const OF_ANYTHING: [&str; 18] = [
    "resource.host == \"api.example.com\"",
    "resource.host like \"*.example.com\"",
    "resource.host like \"api*\"",
    "resource.labels == 3",
    "resource.labels < 3",
    "resource.port == 443",
    "resource.port > 100",
    "principal.path == \"/usr/bin/curl\"",
    "principal.path like \"/usr/*\"",
    "principal.path_globs.contains(\"/usr/bin/cur?\")",
    "principal.ancestors.contains(\"/usr/bin/curl\")",
    "principal in Sandbox::\"dev\"",
    "principal.sha256 == \"\"",
    "context.now < 1800000000",
    "action in Action::\"read\"",
    "action in [Action::\"write\", Action::\"delete\"]",
    "action == Action::\"PUT\"",
    "[\"api.example.com\", \"other.org\"].contains(resource.host)",
];

/// One to four policies.
fn cedar(u: &mut Unstructured<'_>) -> Result<Compiled> {
    let mut text = String::new();
    for _ in 0..u.int_in_range(1..=4)? {
        let effect = if u.ratio(1, 4)? { "forbid" } else { "permit" };
        let condition = condition(u, 2)?;
        text.push_str(&format!("{effect}(principal, action, resource) when {{ {condition} }};\n"));
    }
    Ok(Compiled::cedar(&text, "hard.cedar").unwrap_or_else(|error| panic!("{error}\n{text}")))
}

fn condition(u: &mut Unstructured<'_>, depth: usize) -> Result<String> {
    if depth == 0 || u.ratio(1, 3)? {
        return Ok(if u.ratio(1, 2)? {
            format!("(context has path && {})", u.choose(&OF_REQUESTS)?)
        } else {
            (*u.choose(&OF_ANYTHING)?).to_owned()
        });
    }
    let mut part = || condition(u, depth - 1);
    let (a, b, c) = (part()?, part()?, part()?);
    Ok(match u.int_in_range(0..=3)? {
        0 => format!("!({a})"),
        1 => format!("({a} && {b})"),
        2 => format!("({a} || {b})"),
        _ => format!("(if {a} then {b} else {c})"),
    })
}
