//! The rules, read directly.

use narrowgate_core::policy::Policy;
use narrowgate_core::request::{Host, Operation, Process, Query, QueryValue, Request};

use crate::model::{Endpoint, Entry, Model, Rule};

/// Whether the policy allows the request.
pub fn reads(policy: &Policy, request: &Request) -> bool {
    reads_model(&Model::of(policy), request)
}

/// The same over the plain form, so that the real parser is not trusted either.
pub fn reads_model(model: &Model, request: &Request) -> bool {
    let here =
        |entry: &'_ Entry| entry.endpoints.iter().any(|endpoint| is_at(endpoint, request) && denies(endpoint, request));
    // A deny wins over every allow, outlives its endpoint's lease, and is for whoever cannot be identified.
    let unidentified = request.process.path.is_empty();
    if model.entries.iter().any(|entry| (unidentified || is_for(entry, &request.process)) && here(entry)) {
        return false;
    }
    let concerned = model.entries.iter().filter(|entry| is_for(entry, &request.process));
    concerned.flat_map(|entry| &entry.endpoints).any(|endpoint| is_at(endpoint, request) && allows(endpoint, request))
}

/// Whether the policy lets opaque bytes through to where the request goes.
pub fn permits_opaque(policy: &Policy, request: &Request) -> bool {
    reads(policy, &Request { operation: Operation::Connect, ..request.clone() })
}

fn is_for(entry: &Entry, process: &Process) -> bool {
    entry.binaries.is_empty() || entry.binaries.iter().any(|pattern| binary_matches(pattern, process))
}

fn is_at(endpoint: &Endpoint, request: &Request) -> bool {
    endpoint.ports.contains(&request.port.get()) && host_matches(&endpoint.host, &request.host)
}

fn allows(endpoint: &Endpoint, request: &Request) -> bool {
    if endpoint.expires_at.is_some_and(|end| request.now >= end) {
        return false;
    }
    let Some(rest) = &endpoint.rest else { return true };
    let Operation::Http { method, .. } = &request.operation else { return false };
    let preset: &[&str] = match rest.access.as_deref() {
        None => return rest.rules.iter().any(|rule| rule_matches(rule, request, false)),
        Some("full") => return true,
        Some("read-only") => &["GET", "HEAD", "OPTIONS"],
        Some("read-write") => &["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH"],
        Some(other) => panic!("no preset is called {other:?}"),
    };
    preset.contains(&method.as_str())
}

fn denies(endpoint: &Endpoint, request: &Request) -> bool {
    endpoint.rest.as_ref().is_some_and(|rest| rest.deny.iter().any(|rule| rule_matches(rule, request, true)))
}

fn rule_matches(rule: &Rule, request: &Request, repeated_counts: bool) -> bool {
    let Operation::Http { method, target, .. } = &request.operation else { return false };
    method_matches(&rule.method, method.as_str())
        && path_matches(&rule.path, target.path.as_str())
        && rule.query.iter().all(|(key, globs)| query_matches(globs, key, &target.query, repeated_counts))
}

/// `GET` implies `HEAD`; `*` is any.
pub fn method_matches(pattern: &str, method: &str) -> bool {
    pattern == "*" || pattern == method || (pattern == "GET" && method == "HEAD")
}

/// One of the globs matches the key's one value. A repeated key makes an allow not match, and a deny match.
pub fn query_matches(globs: &[String], key: &str, query: &Query, repeated_counts: bool) -> bool {
    match query.get(key) {
        QueryValue::Absent => false,
        QueryValue::Repeated => repeated_counts,
        QueryValue::One(value) => globs.iter().any(|glob| glob_matches(&chars(glob), &chars(value), false)),
    }
}

/// A literal name or address, `*.x` and `a*b.x` for one label, `**.x` for one or more.
pub fn host_matches(pattern: &str, host: &Host) -> bool {
    if host.ip().is_some() || !pattern.contains('*') {
        return pattern == host.as_str();
    }
    let pattern: Vec<&str> = pattern.split('.').collect();
    let labels: Vec<&str> = host.as_str().split('.').collect();
    let (first, suffix) = pattern.split_first().expect("split gives one piece at least");
    let Some(extra) = labels.len().checked_sub(suffix.len()) else { return false };
    if labels[extra..] != *suffix {
        return false;
    }
    match *first {
        "**" => extra >= 1,
        glob => extra == 1 && glob_matches(&chars(glob), &chars(labels[0]), false),
    }
}

/// By its own path, or, for an exact pattern, by an ancestor's.
pub fn binary_matches(pattern: &str, process: &Process) -> bool {
    let exact = !pattern.contains(['*', '?']);
    path_matches(pattern, &process.path) || (exact && process.ancestors.iter().any(|ancestor| ancestor == pattern))
}

/// The pieces between slashes, one by one; `**` takes none, or one and stays.
pub fn path_matches(pattern: &str, path: &str) -> bool {
    fn all(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern.split_first(), path.split_first()) {
            (None, None) => true,
            (Some((&"**", rest)), None) => all(rest, path),
            (Some((&"**", rest)), Some((_, later))) => all(rest, path) || all(pattern, later),
            (Some((segment, rest)), Some((piece, later))) => {
                glob_matches(&chars(segment), &chars(piece), true) && all(rest, later)
            }
            _ => false,
        }
    }
    let (Some(pattern), Some(path)) = (pattern.strip_prefix('/'), path.strip_prefix('/')) else { return false };
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    all(&pattern, &path)
}

fn chars(text: &str) -> Vec<char> {
    text.chars().collect()
}

fn glob_matches(glob: &[char], text: &[char], question: bool) -> bool {
    match glob.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|taken| glob_matches(rest, &text[taken..], question)),
        Some((wanted, rest)) => match text.split_first() {
            Some((have, later)) => {
                (wanted == have || (question && *wanted == '?')) && glob_matches(rest, later, question)
            }
            None => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{host_matches, path_matches};
    use narrowgate_core::request::Host;

    /// The examples of the language's description, so that the oracle itself has a judge.
    #[test]
    fn the_description_examples() {
        for (pattern, path, expect) in [
            ("/a/**", "/a", true),
            ("/a/**", "/a/", true),
            ("/a/**", "/a/b/c", true),
            ("/a/**", "/ab", false),
            ("/a/*", "/a/", true),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a", false),
            ("/a/*", "/a/b/c", false),
            ("/**", "/", true),
            ("/**", "", false),
            ("/a?", "/ab", true),
            ("/a?", "/a", false),
            ("/a?b", "/a/b", false),
            ("/**/b", "/b", true),
            ("/**/", "/a/b/", true),
        ] {
            assert_eq!(path_matches(pattern, path), expect, "{pattern} ~ {path}");
        }
        for (pattern, host, expect) in [
            ("*.x.com", "a.x.com", true),
            ("*.x.com", "a.b.x.com", false),
            ("*.x.com", "x.com", false),
            ("**.x.com", "a.b.x.com", true),
            ("**.x.com", "x.com", false),
            ("a*b.x.com", "ab.x.com", true),
            ("a*b.x.com", "ac.x.com", false),
            ("x.com", "x.com", true),
            ("192.0.2.1", "192.0.2.1", true),
        ] {
            assert_eq!(host_matches(pattern, &Host::parse(host).unwrap()), expect, "{pattern} ~ {host}");
        }
    }
}
