//! The questions that are timed: what proposals look like, and what an adversary would make of them.

use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::{Policy, Role};

/// One question.
pub(crate) struct Case {
    policy: Text,
    ceiling: Text,
}

enum Text {
    Rules(String),
    Cedar(String),
}

impl Case {
    pub(crate) fn policy(&self) -> Compiled {
        self.policy.compiled()
    }

    pub(crate) fn ceiling(&self) -> Compiled {
        self.ceiling.compiled()
    }
}

impl Text {
    fn compiled(&self) -> Compiled {
        match self {
            Text::Rules(text) => {
                Compiled::policy(&Policy::parse(text, "bench.yaml", Role::Ceiling).expect("a policy")).expect("Cedar")
            }
            Text::Cedar(text) => Compiled::cedar(text, "bench.cedar").expect("Cedar"),
        }
    }
}

type Build = fn(usize) -> Case;

const SIZES: &[usize] = &[10, 100, 1000];
const API: &str = "api.example.com";
const SITE: &str = "/repos/acme/site/contents/docs/**";

/// Name, sizes, and the question of a size.
pub(crate) fn all() -> Vec<(&'static str, &'static [usize], Build)> {
    vec![
        ("other hosts, inside", SIZES, |n| rest(&[(API, SITE)], (0..n).map(other_host).chain([site()]))),
        ("other hosts, not inside", SIZES, |n| rest(&[(API, SITE)], (0..n).map(other_host))),
        ("same host, inside", SIZES, |n| rest(&[(API, SITE)], (0..n).map(same_host).chain([site()]))),
        ("same host, not inside", SIZES, |n| rest(&[(API, SITE)], (0..n).map(same_host))),
        ("same host, a forbid's hole", SIZES, |n| {
            let ceiling = document(
                (0..n).map(same_host).chain([site()]),
                "      deny_rules: [{ method: PUT, path: \"/repos/*/site/contents/docs/private/**\" }]\n",
            );
            Case { policy: Text::Rules(document([rule(API, SITE)], "")), ceiling: Text::Rules(ceiling) }
        }),
        ("same host, union of three", SIZES, |n| {
            let parts = ["", "/*", "/*/*/**"].map(|end| rule(API, &format!("/repos/acme/site/contents/docs{end}")));
            rest(&[(API, SITE)], (0..n).map(same_host).chain(parts))
        }),
        ("several wildcards, inside", SIZES, |n| rest(&[(API, "/repos/*/d5/a*.md")], (0..n).map(wild))),
        ("several wildcards, not inside", SIZES, |n| rest(&[(API, "/repos/*/*/a*.md")], (0..n).map(wild))),
        ("several wildcards, inside another", SIZES, |n| {
            let halves = ["/repos/*/x*/**", "/repos/x*/*/*.md", "/repos/*/*/b.md"].map(|path| rule(API, path));
            rest(&[(API, "/repos/x*/x*/*.md")], (0..n).map(wild).chain(halves))
        }),
        ("many against ten times as many, inside", SIZES, |n| {
            let paths: Vec<String> = (0..n / 10).map(|n| format!("/repos/acme/r{n}/**")).collect();
            rest(&paths.iter().map(|path| (API, path.as_str())).collect::<Vec<_>>(), (0..n).map(same_host))
        }),
        ("many against ten times as many, one outside", SIZES, |n| {
            let mut paths: Vec<String> = (0..n / 10).map(|n| format!("/repos/acme/r{n}/**")).collect();
            paths.push("/x".to_owned());
            rest(&paths.iter().map(|path| (API, path.as_str())).collect::<Vec<_>>(), (0..n).map(same_host))
        }),
        ("overlapping in two dimensions", &[8, 16, 32], |n| {
            rest(&[(API, "/*/*")], (0..n).map(|n| rule(API, &format!("/*{}*/*{}*/**", n % 7, n / 7))))
        }),
        ("prefixes by suffixes, inside", &[4, 8, 16, 32], |n| cedar("true", (0..n).map(|at| band(at, n)))),
        ("prefixes by suffixes, one missing", &[4, 8, 16, 32], |n| cedar("true", (1..n).map(|at| band(at, n)))),
        ("stars in one pattern, inside", &[5, 20, 40], |n| {
            cedar(
                &format!("context.path like \"/{}\"", "*ab".repeat(n)),
                [format!("context.path like \"/{}*\"", "*a*b".repeat(n / 2))],
            )
        }),
        ("stars in one pattern, not inside", &[5, 20, 40], |n| {
            cedar(
                &format!("context.path like \"/{}\"", "*ab".repeat(n)),
                [format!("context.path like \"/{}*\"", "*ba".repeat(n))],
            )
        }),
        ("long literals", &[256, 1024, 4096], |n| {
            let text = "a".repeat(n);
            cedar(
                &format!("context.path like \"/*{text}*\""),
                [format!("context.path like \"*{text}b*\""), format!("context.path like \"/{text}*\"")],
            )
        }),
        ("contains, all of them, inside one", &[5, 10, 20], |n| {
            cedar(&contains(n).join(" && "), [format!("{} || context.path == \"/\"", contains(n).join(" || "))])
        }),
        ("contains, all of them, not inside", &[5, 10, 20], |n| {
            cedar(&contains(n).join(" && "), ["context.path like \"*zz*\"".to_owned()])
        }),
        ("contains, union of them, inside", &[5, 10, 20], |n| {
            let mut parts = contains(n);
            parts.push(format!("!({})", contains(n).join(" || ")));
            cedar("true", parts)
        }),
        ("contains, union of them, not inside", &[5, 10, 20], |n| cedar("true", contains(n))),
        ("contains in two dimensions", &[5, 10, 20], |n| {
            let parts =
                (0..n).map(|at| format!("context.path like \"*{at:02}*\" && resource.host like \"*{:02}*\"", n - at));
            cedar("resource.host like \"*.example.com\"", parts)
        }),
    ]
}

/// A ceiling of `count` rules, ten on each host.
pub(crate) fn large(count: usize) -> Compiled {
    let permit = |n: usize| {
        let (host, path) = (format!("h{}.example.com", n / 10), format!("/r{}/docs", n % 10));
        format!(
            "permit(principal, action == Action::\"PUT\", resource) when {{ resource.host == \"{host}\" && resource.port == 443 \
             && (context.path == \"{path}\" || context.path like \"{path}/*\") }};\n"
        )
    };
    Text::Cedar((0..count).map(permit).collect()).compiled()
}

/// PUT rules by host and path.
pub(crate) fn rules(rules: &[(&str, &str)]) -> Compiled {
    Text::Rules(document(rules.iter().map(|(host, path)| rule(host, path)), "")).compiled()
}

fn rest(policy: &[(&str, &str)], ceiling: impl IntoIterator<Item = String>) -> Case {
    let policy = document(policy.iter().map(|(host, path)| rule(host, path)), "");
    Case { policy: Text::Rules(policy), ceiling: Text::Rules(document(ceiling, "")) }
}

/// A PUT on one host under `condition`, against a ceiling with a permit for each of the others.
fn cedar(condition: &str, permits: impl IntoIterator<Item = String>) -> Case {
    let permit =
        |condition: &str| format!("permit(principal, action == Action::\"PUT\", resource) when {{ {condition} }};\n");
    Case {
        policy: Text::Cedar(permit(condition)),
        ceiling: Text::Cedar(permits.into_iter().map(|c| permit(&c)).collect()),
    }
}

/// The `at`th of `of` parts of all paths: by how they begin, and each of those by how they end.
fn band(at: usize, of: usize) -> String {
    let half = of / 2;
    let letter = |n: usize| char::from(b'a' + u8::try_from(n).expect("few"));
    let (kind, place) = if at < half { ("/{}*", at) } else { ("*{}", at - half) };
    let like = |n: usize| format!("context.path like \"{}\"", kind.replace("{}", &letter(n).to_string()));
    match (place, at < half) {
        (0, true) => format!("!({})", (1..half).map(like).collect::<Vec<_>>().join(" || ")),
        (0, false) => format!(
            "({}) && !({})",
            (1..half).map(|n| format!("context.path like \"/{}*\"", letter(n))).collect::<Vec<_>>().join(" || "),
            (1..half).map(like).collect::<Vec<_>>().join(" || ")
        ),
        (n, true) => format!("{} && !(context.path like \"*{}\")", like(n), letter(n)),
        (n, false) => like(n),
    }
}

fn contains(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("context.path like \"*{n:02}*\"")).collect()
}

fn site() -> String {
    rule(API, "/repos/acme/site/contents/**")
}

fn other_host(n: usize) -> String {
    rule(&format!("h{n}.example.com"), "/**")
}

fn same_host(n: usize) -> String {
    rule(API, &format!("/repos/acme/r{n}/**"))
}

fn wild(n: usize) -> String {
    rule(API, &format!("/repos/*/d{n}/*.md"))
}

fn rule(host: &str, path: &str) -> String {
    format!("{{ host: \"{host}\", port: 443, protocol: rest, rules: [{{ allow: {{ method: PUT, path: \"{path}\" }} }}]")
}

fn document(endpoints: impl IntoIterator<Item = String>, last: &str) -> String {
    let mut out = "version: 1\nnetwork_policies:\n  p:\n    name: p\n    endpoints:\n".to_owned();
    let mut endpoints: Vec<String> = endpoints.into_iter().collect();
    let end = endpoints.pop();
    for endpoint in endpoints {
        out.push_str(&format!("      - {endpoint} }}\n"));
    }
    let last = last.trim();
    out.push_str(
        &end.map(|end| {
            format!("      - {end}{} }}\n", if last.is_empty() { String::new() } else { format!(", {last}") })
        })
        .unwrap_or_default(),
    );
    out
}
