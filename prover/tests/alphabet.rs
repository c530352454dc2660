//! Dots and percent signs make paths hard, and where no pattern names them the engine does without. Where some do, they
//! must be there: a path that the engine cannot spell is a counterexample that it does not see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use narrowgate_core::cedar::is_allowed;
use narrowgate_core::compile::Compiled;
use narrowgate_core::request::{
    CanonicalPath, Host, Method, Operation, PathOptions, Port, Process, Query, Request, Target,
};
use narrowgate_prover::{Ceiling, Options, Verdict, prove};

const PATTERNS: [&str; 12] =
    ["/*", "/a*", "/a.*", "/*.b", "/*.*", "/.a*", "/a%2F*", "/*%2F*", "/*%2Fb", "/a.%2F*", "/*%C3%A9", "/%25*"];
const PATHS: [&str; 16] = [
    "/", "/a", "/b", "/a.", "/a.b", "/c.b", "/.ab", "/a..b", "/a%2Fb", "/a%2Fc", "/c%2Fb", "/a.%2Fb", "/a.%2Fc",
    "/%C3%A9", "/a%C3%A9", "/%25a",
];

fn request(path: &str, key: &str) -> Request {
    let options = PathOptions { allow_encoded_slash: true, ..PathOptions::default() };
    let path = CanonicalPath::parse(path, &options).unwrap_or_else(|e| panic!("{path}: {e:?}"));
    let query = Query::from_pairs([(key, "v.%")]).unwrap();
    Request {
        process: Process::default(),
        host: Host::parse("a.example").unwrap(),
        port: Port::HTTPS,
        operation: Operation::Http {
            method: Method::parse("GET").unwrap(),
            target: Target { path, query },
            meaning: None,
        },
        now: 0,
    }
}

/// `within` only where none of the paths says otherwise; that none is needed for the rest is the replay's to see.
fn agrees(candidate: &str, bound: &str) {
    let compiled = Compiled::cedar(candidate, "p.cedar").unwrap();
    let ceiling = Ceiling::parse(bound, "c.cedar").unwrap();
    let globs = compiled.globs().union(ceiling.compiled().globs());
    let outside = PATHS
        .iter()
        .flat_map(|path| [request(path, "k"), request(path, "l")])
        .find(|request| is_allowed(&compiled, request, &globs) && !is_allowed(ceiling.compiled(), request, &globs));
    match (prove(&compiled, &ceiling, &Options::default()).verdict, outside) {
        (Verdict::Within(_), None) | (Verdict::Exceeds(_), _) => {}
        (verdict, outside) => panic!("{verdict:?}, but {outside:?}\n{candidate}\n{bound}"),
    }
}

#[test]
fn what_a_pattern_names_can_be_spelled() {
    // The path alone, beside a query, and with a query that is asked for after it.
    let tag = |key: &str| format!("context.query.hasTag(\"{key}\") && context.query.getTag(\"{key}\") like \"*.*\"");
    let (with, without) = (format!(" && {}", tag("k")), format!(" && !({})", tag("k")));
    for (extra, more) in [("", ""), (&with, &without), ("", &without)] {
        for mine in PATTERNS {
            let policy = |like: &str, extra: &str| {
                format!(
                    "permit(principal, action == Action::\"GET\", resource) when {{ context.path like \"{like}\"{extra} }};\n"
                )
            };
            for theirs in PATTERNS {
                agrees(&policy(mine, extra), &policy(theirs, more));
                let forbid = policy(theirs, more).replace("permit", "forbid");
                agrees(&policy(mine, extra), &format!("permit(principal, action, resource);\n{forbid}"));
            }
            let both = format!("{}{}", policy("/*.*", more), policy("/*%2F*", ""));
            agrees(&policy(mine, extra), &both);
        }
    }
}
