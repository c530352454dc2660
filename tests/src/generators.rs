//! Random policies, ceilings and requests.
//!
//! Everything is drawn from a vocabulary small enough that a random request often meets a random rule, and mean enough
//! that near misses are common: sibling and prefix hosts, a name with the suffix in its middle, paths one slash longer,
//! empty last segments, keys that repeat. Drawing is over [`Unstructured`], so that a property test's bytes and a
//! fuzzer's bytes mean the same.

use arbitrary::{Result, Unstructured};
use narrowgate_core::request::{Host, Method, Operation, PathOptions, Port, Process, Request, Target};

use crate::model::{Endpoint, Entry, Model, Rest, Rule};

/// Hosts that requests go to.
pub const HOSTS: [&str; 12] = [
    "api.example.com",
    "apix.example.com",
    "xapi.example.com",
    "example.com",
    "a.b.example.com",
    "api.b.example.com",
    "notexample.com",
    "api.example.com.evil.net",
    "api.other.org",
    "other.org",
    "192.0.2.1",
    "2001:db8::1",
];
const HOST_PATTERNS: [&str; 12] = [
    "api.example.com",
    "apix.example.com",
    "*.example.com",
    "**.example.com",
    "a*.example.com",
    "a*i.example.com",
    "*api*.example.com",
    "*.b.example.com",
    "example.com",
    "**.other.org",
    "192.0.2.1",
    "2001:db8::1",
];
/// Ports that requests go to. Policies give the last to L4 endpoints alone, for the two kinds may not meet in one.
pub const PORTS: [u16; 4] = [443, 80, 8443, 5432];
/// Methods, one of which the schema has no action for.
pub const METHODS: [&str; 8] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PURGE", "M-SEARCH"];
const METHOD_PATTERNS: [&str; 7] = ["GET", "HEAD", "PUT", "POST", "DELETE", "PURGE", "*"];
const BINARY_PATTERNS: [&str; 9] = [
    "/usr/bin/curl",
    "/usr/bin/python3",
    "/usr/bin/*",
    "/usr/bin/cur?",
    "/usr/**",
    "/**",
    "/usr/*/curl",
    "/opt/**/agent",
    "/opt/*/**/agent",
];
/// Executables, and what they descend from.
pub const PROCESSES: [(&str, &[&str]); 9] = [
    ("/usr/bin/curl", &[]),
    ("/usr/bin/curl", &["/opt/x/agent", "/usr/bin/python3"]),
    ("/usr/bin/curlx", &["/usr/bin/curl"]),
    ("/usr/bin/python3", &["/sbin/init"]),
    ("/usr/local/bin/curl", &[]),
    ("/opt/agent", &["/usr/bin/bash"]),
    ("/opt/x/agent", &[]),
    ("", &[]),
    ("", &["/usr/bin/curl"]),
];
const SEGMENT_PATTERNS: [&str; 11] = ["a", "b", "ab", "*", "a*", "*b", "a*b", "?", "a?", "%C3%A9", "*.md"];
const SEGMENTS: [&str; 7] = ["a", "b", "ab", "aab", "%C3%A9", "x.md", "-"];
const KEYS: [&str; 2] = ["q", "ref"];
const VALUE_GLOBS: [&str; 6] = ["main", "m*", "*", "*n", "ma?n", ""];
/// Query strings, as a client might write them.
pub const QUERIES: [&str; 12] = [
    "",
    "ref=main",
    "ref=man",
    "ref=ma?n",
    "ref=",
    "ref",
    "ref=main&ref=main",
    "ref=main&q=m%C3%A9n",
    "q=main",
    "q=x&q=main&ref=main",
    "q=main&ref=x",
    "other=1&%72ef=main",
];
const LEASES: [i64; 2] = [1_800_000_000, 1_900_000_000];
/// Before, at and after the ends of leases.
pub const TIMES: [i64; 4] = [1_700_000_000, 1_799_999_999, 1_800_000_000, 1_950_000_000];

/// A policy that the parser accepts: L4 endpoints have a port of their own.
pub fn policy(u: &mut Unstructured<'_>) -> Result<Model> {
    model(u, false)
}

/// A ceiling: L4 and inspected endpoints may meet.
pub fn ceiling(u: &mut Unstructured<'_>) -> Result<Model> {
    model(u, true)
}

/// A candidate and a ceiling that are more alike than two random ones: the one is the other with a few changes.
pub fn pair(u: &mut Unstructured<'_>) -> Result<(Model, Model)> {
    let mut candidate = policy(u)?;
    let mut ceiling = if u.ratio(1, 4)? { self::ceiling(u)? } else { candidate.clone() };
    for _ in 0..u.int_in_range(0..=2)? {
        widen(u, &mut ceiling)?;
    }
    for _ in 0..u.int_in_range(0..=2)? {
        narrow(u, &mut candidate)?;
    }
    Ok((candidate, ceiling))
}

/// A request.
pub fn request(u: &mut Unstructured<'_>) -> Result<Request> {
    let operation = if u.ratio(1, 6)? {
        Operation::Connect
    } else {
        let method = Method::parse(choose(u, &METHODS)?).expect("a method");
        let raw = match choose(u, &QUERIES)? {
            "" => path(u)?,
            query => format!("{}?{query}", path(u)?),
        };
        Operation::Http {
            method,
            target: Target::parse(&raw, &PathOptions::default()).expect("a target"),
            meaning: None,
        }
    };
    Ok(Request {
        process: process(*u.choose(&PROCESSES)?),
        host: Host::parse(choose(u, &HOSTS)?).expect("a host"),
        port: Port::new(*u.choose(&PORTS)?).expect("a port"),
        operation,
        now: *u.choose(&TIMES)?,
    })
}

/// One of [`PROCESSES`] as the proxy would name it.
pub fn process((path, ancestors): (&str, &[&str])) -> Process {
    Process {
        path: path.to_owned(),
        sha256: String::new(),
        ancestors: ancestors.iter().map(|&ancestor| ancestor.to_owned()).collect(),
        sandbox: "dev".to_owned(),
    }
}

/// Every canonical path of up to three segments of the vocabulary, with and without a last empty one.
pub fn paths() -> Vec<String> {
    let mut paths = vec![String::new()];
    let mut from = 0;
    for _ in 0..3 {
        let to = paths.len();
        for at in from..to {
            for segment in SEGMENTS {
                let longer = format!("{}/{segment}", paths[at]);
                paths.push(longer);
            }
        }
        from = to;
    }
    let slashed: Vec<String> = paths.iter().map(|path| format!("{path}/")).collect();
    paths.extend(slashed);
    paths.retain(|path| !path.is_empty());
    paths
}

fn model(u: &mut Unstructured<'_>, layers_meet: bool) -> Result<Model> {
    let mut entries = Vec::new();
    for at in 0..u.int_in_range(1..=3)? {
        let mut binaries = Vec::new();
        for _ in 0..u.int_in_range(0..=2)? {
            binaries.push(choose(u, &BINARY_PATTERNS)?.to_owned());
        }
        let mut endpoints = Vec::new();
        for _ in 0..u.int_in_range(1..=2)? {
            endpoints.push(endpoint(u, layers_meet)?);
        }
        entries.push(Entry { name: format!("entry-{at}"), binaries, endpoints });
    }
    Ok(Model { entries })
}

fn endpoint(u: &mut Unstructured<'_>, layers_meet: bool) -> Result<Endpoint> {
    let opaque = u.ratio(1, 5)?;
    let choices: &[u16] = match (opaque, layers_meet) {
        (_, true) => &PORTS,
        (true, false) => &PORTS[3..],
        (false, false) => &PORTS[..3],
    };
    let mut ports = vec![*u.choose(choices)?];
    if u.ratio(1, 4)? {
        ports.push(*u.choose(choices)?);
    }
    ports.sort_unstable();
    ports.dedup();
    Ok(Endpoint {
        host: choose(u, &HOST_PATTERNS)?.to_owned(),
        ports,
        rest: if opaque { None } else { Some(rest(u)?) },
        expires_at: if u.ratio(1, 5)? { Some(*u.choose(&LEASES)?) } else { None },
    })
}

fn rest(u: &mut Unstructured<'_>) -> Result<Rest> {
    let mut rest = Rest::default();
    if u.ratio(1, 3)? {
        rest.access = Some(choose(u, &["read-only", "read-write", "full"])?.to_owned());
    } else {
        for _ in 0..u.int_in_range(1..=3)? {
            rest.rules.push(rule(u)?);
        }
    }
    if u.ratio(1, 3)? {
        for _ in 0..u.int_in_range(1..=2)? {
            rest.deny.push(rule(u)?);
        }
    }
    Ok(rest)
}

fn rule(u: &mut Unstructured<'_>) -> Result<Rule> {
    let mut query: Vec<(String, Vec<String>)> = Vec::new();
    if u.ratio(1, 3)? {
        for key in KEYS {
            if u.ratio(1, 2)? {
                let mut globs = vec![choose(u, &VALUE_GLOBS)?.to_owned()];
                if u.ratio(1, 3)? {
                    globs.push(choose(u, &VALUE_GLOBS)?.to_owned());
                }
                query.push((key.to_owned(), globs));
            }
        }
    }
    Ok(Rule { method: choose(u, &METHOD_PATTERNS)?.to_owned(), path: path_pattern(u)?, query })
}

fn path_pattern(u: &mut Unstructured<'_>) -> Result<String> {
    let mut segments: Vec<&str> = Vec::new();
    for _ in 0..u.int_in_range(0..=3)? {
        segments.push(choose(u, &SEGMENT_PATTERNS)?);
    }
    if u.ratio(1, 2)? {
        let at = if u.ratio(2, 3)? { segments.len() } else { u.int_in_range(0..=segments.len())? };
        segments.insert(at, "**");
    }
    if segments.is_empty() || u.ratio(1, 8)? {
        segments.push("");
    }
    Ok(format!("/{}", segments.join("/")))
}

fn path(u: &mut Unstructured<'_>) -> Result<String> {
    let mut path = String::new();
    for _ in 0..u.int_in_range(0..=4)? {
        path.push('/');
        path.push_str(choose(u, &SEGMENTS)?);
    }
    if path.is_empty() || u.ratio(1, 5)? {
        path.push('/');
    }
    Ok(path)
}

/// Something that usually lets more through.
fn widen(u: &mut Unstructured<'_>, model: &mut Model) -> Result<()> {
    match u.int_in_range(0..=4)? {
        0 => {
            let name = format!("wide-{}", model.entries.len());
            model.entries.push(Entry { name, binaries: Vec::new(), endpoints: vec![endpoint(u, true)?] });
        }
        1 => some_entry(u, model)?.binaries.clear(),
        2 => some_endpoint(u, model)?.expires_at = None,
        3 => some_endpoint(u, model)?.host = choose(u, &["**.example.com", "*.example.com"])?.to_owned(),
        _ => {
            if let Some(rest) = &mut some_endpoint(u, model)?.rest {
                rest.deny.clear();
            }
        }
    }
    Ok(())
}

/// Something that usually lets less through.
fn narrow(u: &mut Unstructured<'_>, model: &mut Model) -> Result<()> {
    match u.int_in_range(0..=3)? {
        0 => some_entry(u, model)?.binaries = vec!["/usr/bin/curl".to_owned()],
        1 => some_endpoint(u, model)?.expires_at = Some(LEASES[0]),
        2 => some_endpoint(u, model)?.host = choose(u, &["api.example.com", "*.b.example.com"])?.to_owned(),
        _ => {
            let denied = rule(u)?;
            if let Some(rest) = &mut some_endpoint(u, model)?.rest {
                rest.deny.push(denied);
            }
        }
    }
    Ok(())
}

fn some_entry<'m>(u: &mut Unstructured<'_>, model: &'m mut Model) -> Result<&'m mut Entry> {
    let at = u.choose_index(model.entries.len())?;
    Ok(&mut model.entries[at])
}

fn some_endpoint<'m>(u: &mut Unstructured<'_>, model: &'m mut Model) -> Result<&'m mut Endpoint> {
    let entry = some_entry(u, model)?;
    let at = u.choose_index(entry.endpoints.len())?;
    Ok(&mut entry.endpoints[at])
}

fn choose(u: &mut Unstructured<'_>, from: &[&'static str]) -> Result<&'static str> {
    u.choose(from).copied()
}
