//! From a point of the search to a request that really exists, and through Cedar's own authorizer.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{PolicyId, PolicySet};
use narrowgate_core::cedar::{is_allowed, is_allowed_by};
use narrowgate_core::compile::Compiled;
use narrowgate_core::request::{
    CanonicalPath, Host, Method, Operation, PathOptions, Port, Process, Query, Request, Target,
};

use crate::language::{ABSENT, REPEATED};
use crate::lower::{ANCESTORS, Env, REPEATED_KEYS, Value, Var};
use crate::operation;
use crate::side::Side;
use crate::solve::Point;

/// A point as a request.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) request: Request,
    pub(crate) query: BTreeMap<String, Vec<String>>,
}

/// A value of which no request was made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) var: Var,
    pub(crate) word: String,
    /// Whether no request has this value, whatever its other values are: the value itself is not canonical. Where a
    /// limit on lengths or counts was in the way, that is not known, and there is no "within" without the value.
    pub(crate) never: bool,
}

impl Refused {
    fn new(var: Var, word: String) -> Refused {
        let never = !is_long(&var, &word);
        Refused { var, word, never }
    }
}

/// Whether a word is so long that its length, and not its letters, may be why a parser refuses it.
fn is_long(var: &Var, word: &str) -> bool {
    match var {
        Var::Host => word.len() > 253 || word.split('.').any(|label| label.len() > 63),
        Var::Method => word.len() > 32,
        Var::Path => word.len() > 16 * 1024,
        // Any text without control characters is a value.
        Var::Query(key) => !key.chars().any(char::is_control) && !word.chars().any(char::is_control),
        _ => true,
    }
}

/// The request that `point` describes, built by the parsers that read requests from the wire; or the value that they
/// refuse.
pub(crate) fn witness(point: &Point, env: &Env) -> Result<Witness, Refused> {
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
    let host = host.ok_or_else(|| Refused::new(Var::Host, host_text))?;
    let port = u16::try_from(number(&Var::Port)).ok().and_then(Port::new).unwrap_or(Port::HTTPS);
    let mut ancestors = Vec::new();
    let mut query: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (var, value) in point.iter() {
        match (var, value) {
            (Var::Ancestor(path), Value::Is(true)) => ancestors.push(path.to_string()),
            // Not empty, with whatever it is that no policy names.
            (Var::Empty(set), Value::Is(false)) if set == ANCESTORS => ancestors.push("/sbin/init".to_owned()),
            (Var::Empty(set), Value::Is(false)) if set == REPEATED_KEYS => {
                let free = (0..)
                    .map(|n| format!("x{n}"))
                    .find(|key| !matches!(point.get(&Var::Query(key.into())), Value::Text(v) if v != ABSENT));
                query.insert(free.unwrap_or_default(), vec!["x".to_owned(), "y".to_owned()]);
            }
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
    let operation = if env.is_http() {
        let (var, method_text) = match (env.speaker(), env.action.as_str()) {
            (Some(_), _) => (Var::AnyMethod, text(&Var::AnyMethod)),
            (None, "OTHER") => (Var::Method, text(&Var::Method)),
            (None, action) => (Var::Method, action.to_owned()),
        };
        let method = Method::parse(&method_text).ok();
        let method = method.filter(|method| env.speaker().is_some() || method.action() == env.action);
        let method = method.ok_or_else(|| Refused::new(var.clone(), method_text.clone()))?;
        let target = target(&text(&Var::Path), &query)?;
        let meaning = match env.speaker() {
            // What is not admitted is too long: everything else is what the point was made of.
            Some(speaker) => match operation::meaning(point, speaker, &env.action, &host, &method) {
                Some(meaning) => Some(Arc::new(meaning)),
                None => return Err(Refused { var, word: method_text, never: false }),
            },
            None => None,
        };
        Operation::Http { method, target, meaning }
    } else {
        Operation::Connect
    };
    let process =
        Process { path: text(&Var::Process), sha256: text(&Var::Sha256), ancestors, sandbox: text(&Var::Sandbox) };
    let request = Request { process, host, port, operation, now: number(&Var::Now) };
    Ok(Witness { request, query })
}

fn target(path: &str, query: &BTreeMap<String, Vec<String>>) -> Result<Target, Refused> {
    let options = PathOptions { allow_encoded_slash: true, ..PathOptions::default() };
    let parsed = CanonicalPath::parse(path, &options).ok().filter(|parsed| parsed.as_str() == path);
    let path = parsed.ok_or_else(|| Refused::new(Var::Path, path.to_owned()))?;
    let refused = |key: &str, values: &[String]| {
        let value = if values.len() > 1 { REPEATED } else { values.first().map_or("", String::as_str) };
        (Var::Query(key.into()), value.to_owned())
    };
    for (key, values) in query {
        if Query::from_pairs(values.iter().map(|value| (key.as_str(), value.as_str()))).is_err() {
            let (var, word) = refused(key, values);
            return Err(match word.as_str() {
                // The marker is not what would be sent; only the key can be at fault.
                REPEATED => Refused { never: key.chars().any(char::is_control), var, word },
                _ => Refused::new(var, word),
            });
        }
    }
    let pairs = query.iter().flat_map(|(key, values)| values.iter().map(move |value| (key.as_str(), value.as_str())));
    match Query::from_pairs(pairs) {
        Ok(query) => Ok(Target { path, query }),
        // Each key alone is fine: together they are too many or too long.
        Err(_) => {
            let longest = query.iter().max_by_key(|(_, values)| values.iter().map(String::len).sum::<usize>());
            let (var, word) = longest.map(|(key, values)| refused(key, values)).unwrap_or((Var::Path, String::new()));
            Err(Refused { var, word, never: false })
        }
    }
}

/// Whether Cedar's authorizer agrees: allowed by the candidate, not by the ceiling.
pub(crate) fn confirms(request: &Request, candidate: &Compiled, ceiling: &Compiled, ceiling_side: &Side) -> bool {
    let globs = candidate.globs().union(ceiling.globs());
    let near = slice(request, ceiling, ceiling_side);
    is_allowed(candidate, request, &globs) && !is_allowed_by(&near, request, ceiling.schema(), &globs)
}

/// The policies that can match the request's host: of a large ceiling, few. As in enforcement, what is left out cannot
/// apply; were that wrong, a counterexample would be shown that is none, but nothing granted.
fn slice<'a>(request: &Request, compiled: &'a Compiled, side: &Side) -> Cow<'a, PolicySet> {
    /// Below this many policies all are cheaper than some.
    const FEW: usize = 64;
    let all = compiled.policies();
    if compiled.trees().len() < FEW {
        return Cow::Borrowed(all);
    }
    let ids = side.ids_at(request.host.as_str());
    if ids.len() * 2 > compiled.trees().len() {
        return Cow::Borrowed(all);
    }
    let policies: Option<Vec<_>> = ids.iter().map(|id| all.policy(&PolicyId::new(id)).cloned()).collect();
    match policies.map(PolicySet::from_policies) {
        Some(Ok(some)) => Cow::Owned(some),
        _ => Cow::Borrowed(all),
    }
}
