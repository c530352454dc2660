//! Which part of a ceiling a counterexample is about.

use std::collections::BTreeMap;

use cedar_policy::{Authorizer, Effect};
use narrowgate_core::cedar;

use crate::ceiling::Ceiling;
use crate::language::{ABSENT, REPEATED};
use crate::lower::{ANCESTORS, Value, Var};
use crate::operation;
use crate::verdict::Counterexample;

/// Why a ceiling does not allow a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concern {
    /// These forbids match it; never empty.
    Forbidden(Vec<String>),
    /// No permit covers it. These come nearest; empty where none is about the host.
    Uncovered(Vec<Near>),
}

/// A permit that nearly covers a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Near {
    /// Its id.
    pub policy: String,
    /// What of the request it does not cover, for a person: `action`, `path`, `port`, `query parameter "ref"`.
    pub lacks: Vec<String>,
}

/// At most this many permits are named.
const NEAREST: usize = 3;

/// What of the ceiling the counterexample is about.
pub fn concern(ceiling: &Ceiling, found: &Counterexample) -> Concern {
    let forbids = forbidding(ceiling, found);
    if forbids.is_empty() { Concern::Uncovered(nearest(ceiling, found)) } else { Concern::Forbidden(forbids) }
}

/// Cedar itself says which forbids decide.
fn forbidding(ceiling: &Ceiling, found: &Counterexample) -> Vec<String> {
    let compiled = ceiling.compiled();
    let Ok((asked, entities)) = cedar::request(&found.request, compiled.schema(), compiled.globs()) else {
        return Vec::new();
    };
    let response = Authorizer::new().is_authorized(&asked, compiled.policies(), &entities);
    let is_forbid =
        |id: &&cedar_policy::PolicyId| compiled.policies().policy(id).is_some_and(|p| p.effect() == Effect::Forbid);
    let mut ids: Vec<String> = response.diagnostics().reason().filter(is_forbid).map(ToString::to_string).collect();
    ids.sort();
    ids
}

fn nearest(ceiling: &Ceiling, found: &Counterexample) -> Vec<Near> {
    let side = ceiling.side();
    let action = found.request.operation.action();
    // By permit: the alternative that lacks least, in any environment.
    let mut best: BTreeMap<usize, (usize, Vec<String>)> = BTreeMap::new();
    let here = side.envs().iter().position(|env| env.action == action);
    for entry in side.permits.entries() {
        let lacking = || entry.cube.iter().filter(|(var, con)| !con.holds(&value(found, var))).map(|(var, _)| var);
        if lacking().any(|var| *var == Var::Host) {
            continue;
        }
        let other_action = here.is_none_or(|env| !entry.envs.contains(env));
        let cost = lacking().map(weight).sum::<usize>() + if other_action { 4 } else { 0 };
        if best.get(&entry.policy).is_none_or(|(known, _)| cost < *known) {
            let named = other_action.then(|| "action".to_owned()).into_iter().chain(lacking().map(name));
            best.insert(entry.policy, (cost, named.collect()));
        }
    }
    let Some(least) = best.values().map(|(cost, _)| *cost).min() else { return Vec::new() };
    best.into_iter()
        .filter(|(_, (cost, _))| *cost == least)
        .take(NEAREST)
        .filter_map(|(policy, (_, lacks))| Some(Near { policy: side.ids.get(policy)?.to_string(), lacks }))
        .collect()
}

/// What is rarely all that is wrong weighs more.
fn weight(var: &Var) -> usize {
    match var {
        Var::Port => 4,
        Var::Path | Var::Process => 2,
        _ => 1,
    }
}

/// For a person.
pub(super) fn name(var: &Var) -> String {
    match var {
        Var::Port => "port".to_owned(),
        Var::Now => "time".to_owned(),
        Var::Ancestor(_) => "ancestors".to_owned(),
        Var::Sandbox => "sandbox".to_owned(),
        Var::Sha256 => "sha256".to_owned(),
        Var::Process => "binary".to_owned(),
        Var::Host => "host".to_owned(),
        Var::Method => "method".to_owned(),
        Var::Query(key) => format!("query parameter {key:?}"),
        Var::Path => "path".to_owned(),
        Var::AnyMethod => "method".to_owned(),
        Var::Empty(set) => format!("whether {set} is empty"),
        Var::Long(path) | Var::Flag(path) | Var::Has(path) | Var::Text(path) => path.to_string(),
        Var::Member(path, _) | Var::Among(path, _) => path.to_string(),
        Var::Field(path, name) => format!("{path} {name:?}"),
    }
}

/// What the request has for a variable.
fn value(found: &Counterexample, var: &Var) -> Value {
    use narrowgate_core::request::Operation;
    let request = &found.request;
    let (method, path) = match &request.operation {
        Operation::Connect => (String::new(), String::new()),
        Operation::Http { method, target, .. } => (method.as_str().to_owned(), target.path.as_str().to_owned()),
    };
    if let Some(said) = operation::value(request.operation.meaning(), var) {
        return said;
    }
    match var {
        Var::Port => Value::Number(request.port.get().into()),
        Var::Now => Value::Number(request.now),
        Var::Ancestor(path) => Value::Is(request.process.ancestors.iter().any(|ancestor| ancestor == path.as_str())),
        Var::Sandbox => Value::Text(request.process.sandbox.clone()),
        Var::Sha256 => Value::Text(request.process.sha256.clone()),
        Var::Process => Value::Text(request.process.path.clone()),
        Var::Host => Value::Text(request.host.as_str().to_owned()),
        Var::Method | Var::AnyMethod => Value::Text(method),
        Var::Empty(set) => Value::Is(match set.as_str() {
            ANCESTORS => request.process.ancestors.is_empty(),
            _ => found.query.values().all(|values| values.len() < 2),
        }),
        Var::Path => Value::Text(path),
        Var::Query(key) => Value::Text(match found.query.get(key.as_str()).map(Vec::as_slice) {
            None | Some([]) => ABSENT.to_owned(),
            Some([one]) => one.clone(),
            Some(_) => REPEATED.to_owned(),
        }),
        // Said above.
        Var::Long(_)
        | Var::Text(_)
        | Var::Flag(_)
        | Var::Has(_)
        | Var::Member(..)
        | Var::Among(..)
        | Var::Field(..) => Value::Is(false),
    }
}
