//! From a point of the search to a request that really exists, and through Cedar's own authorizer.

use std::collections::BTreeMap;

use narrowgate_core::cedar::is_allowed;
use narrowgate_core::compile::Compiled;
use narrowgate_core::request::{Host, Method, Operation, PathOptions, Port, Process, Request, Target};

use crate::language::{ABSENT, REPEATED};
use crate::lower::{Env, Value, Var};
use crate::solve::Point;

/// A point as a request.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) request: Request,
    pub(crate) query: BTreeMap<String, Vec<String>>,
}

/// The request that `point` describes, built by the parsers that read requests from the wire; or the variable whose
/// value is not canonical, with that value.
pub(crate) fn witness(point: &Point, env: &Env) -> Result<Witness, (Var, String)> {
    let text = |var: &Var| match point.get(var) {
        Value::Text(text) => text,
        _ => String::new(),
    };
    let number = |var: &Var| match point.get(var) {
        Value::Number(n) => n,
        _ => 0,
    };
    let host_text = text(&Var::Host);
    let host = Host::parse(&host_text).ok().filter(|host| host.as_str() == host_text);
    let host = host.ok_or((Var::Host, host_text))?;
    let port = u16::try_from(number(&Var::Port)).ok().and_then(Port::new).unwrap_or(Port::HTTPS);
    let mut ancestors = Vec::new();
    let mut query: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (var, value) in point.iter() {
        match (var, value) {
            (Var::Ancestor(path), Value::Is(true)) => ancestors.push(path.to_string()),
            (Var::Query(_), Value::Text(value)) if value == ABSENT => {}
            (Var::Query(key), Value::Text(value)) if value == REPEATED => {
                query.insert(key.to_string(), vec!["x".to_owned(), "y".to_owned()]);
            }
            (Var::Query(key), Value::Text(value)) => {
                query.insert(key.to_string(), vec![value.clone()]);
            }
            _ => {}
        }
    }
    let operation = if env.http {
        let method_text = if env.action == "OTHER" { text(&Var::Method) } else { env.action.clone() };
        let method = Method::parse(&method_text).ok().filter(|m| m.action() == env.action);
        let method = method.ok_or((Var::Method, method_text))?;
        Operation::Http { method, target: target(&text(&Var::Path), &query)? }
    } else {
        Operation::Connect
    };
    let process =
        Process { path: text(&Var::Process), sha256: text(&Var::Sha256), ancestors, sandbox: text(&Var::Sandbox) };
    let request = Request { process, host, port, operation, now: number(&Var::Now) };
    Ok(Witness { request, query })
}

fn target(path: &str, query: &BTreeMap<String, Vec<String>>) -> Result<Target, (Var, String)> {
    let options = PathOptions { allow_encoded_slash: true, ..PathOptions::default() };
    let path_only = Target::parse(path, &options).ok().filter(|target| target.path.as_str() == path);
    let mut target = path_only.ok_or_else(|| (Var::Path, path.to_owned()))?;
    let mut raw = String::new();
    for (key, values) in query {
        for value in values {
            let separator = if raw.is_empty() { "" } else { "&" };
            raw.push_str(&format!("{separator}{}={}", encode(key), encode(value)));
        }
        let parsed = Target::parse(&format!("/?{raw}"), &options);
        let unreadable = || {
            let value = if values.len() > 1 { REPEATED } else { values.first().map_or("", String::as_str) };
            (Var::Query(key.into()), value.to_owned())
        };
        target.query = parsed.map_err(|_| unreadable())?.query;
    }
    Ok(target)
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Whether Cedar's authorizer agrees: allowed by the candidate, not by the ceiling.
pub(crate) fn confirms(request: &Request, candidate: &Compiled, ceiling: &Compiled) -> bool {
    let globs = candidate.globs().union(ceiling.globs());
    is_allowed(candidate, request, &globs) && !is_allowed(ceiling, request, &globs)
}
