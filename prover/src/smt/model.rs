//! From a solver's model to a request that exists.
//!
//! A model speaks of what the question mentions; elsewhere it has whatever the solver wrote, and solvers are told
//! little of which characters a host or a path may have. What is not canonical is mended, keeping its shape, and
//! Cedar's authorizer says whether the result is a counterexample.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Authorizer, Decision, Entity, EvalResult};
use cedar_policy_symcc::Env as Model;
use narrowgate_core::cedar;
use narrowgate_core::compile::Compiled;
use narrowgate_core::request::{
    CanonicalPath, Host, Method, Operation, PathOptions, Port, Process, Query, Request, Target, may_stay_literal,
};

use super::operation::{Labels, Spoken};
use crate::ceiling::Ceiling;
use crate::replay::{Witness, confirms};

/// A request as a handful of texts, any of which may be simplified.
#[derive(Debug, Clone, Default)]
struct Parts {
    host: String,
    port: u16,
    now: i64,
    method: String,
    path: String,
    process: Process,
    query: BTreeMap<String, Vec<String>>,
    /// What a plugin says, where one speaks.
    said: Labels,
}

/// The model's request, made plain as far as it stays a counterexample, and the id of the candidate's policy that
/// allows it. `None` where Cedar's authorizer does not confirm it.
pub(super) fn witness(
    model: &Model,
    action: &str,
    candidate: &Compiled,
    ceiling: &Ceiling,
) -> Option<(Witness, String)> {
    let spoken = Spoken::of(candidate.schema(), action);
    let read = Parts::read(model, action, spoken);
    let counterexample = |parts: &Parts| {
        let request = parts.request(action, spoken)?;
        confirms(&request, candidate, ceiling.compiled(), ceiling.side()).then_some(request)
    };
    let (mut parts, mut request) = FILLERS.into_iter().find_map(|filler| {
        let parts = read.clone().mended(filler, spoken);
        let request = counterexample(&parts)?;
        Some((parts, request))
    })?;
    let mut simplify = |parts: &mut Parts, tried: Parts| {
        if let Some(plain) = counterexample(&tried) {
            (*parts, request) = (tried, plain);
        }
    };
    for simpler in SIMPLER {
        let mut tried = parts.clone();
        simpler(&mut tried);
        simplify(&mut parts, tried);
    }
    for key in parts.query.clone().into_keys() {
        let mut tried = parts.clone();
        tried.query.remove(&key);
        simplify(&mut parts, tried);
    }
    for name in parts.said.clone().into_keys() {
        for said in spoken.map(|spoken| spoken.simpler(&parts.said, &name)).unwrap_or_default() {
            let tried = Parts { said, ..parts.clone() };
            simplify(&mut parts, tried);
        }
    }
    let policy = allowing(&request, candidate)?;
    Some((Witness { request, query: parts.query }, policy))
}

/// What stands in for characters that cannot be: one of them is in no literal nearby, most of the time.
const FILLERS: [char; 3] = ['x', 'q', '7'];

/// One thing at a time, what matters most to a reader first.
const SIMPLER: [fn(&mut Parts); 11] = [
    |parts| parts.query.clear(),
    |parts| parts.process.ancestors.clear(),
    |parts| parts.process.sha256.clear(),
    |parts| parts.process.path = "/usr/bin/curl".to_owned(),
    |parts| parts.process.sandbox = "sandbox".to_owned(),
    |parts| parts.now = 0,
    |parts| parts.port = 443,
    |parts| parts.host = "example.com".to_owned(),
    |parts| parts.path = "/".to_owned(),
    |parts| parts.method = "PROPFIND".to_owned(),
    |parts| {
        parts.query.values_mut().filter(|values| values.len() == 1).for_each(|values| *values = vec!["x".to_owned()])
    },
];

impl Parts {
    fn read(model: &Model, action: &str, spoken: Option<Spoken<'_>>) -> Parts {
        let entity = |uid| model.entities.get(uid);
        let principal = model.request.principal().and_then(entity);
        let resource = model.request.resource().and_then(entity);
        let attribute = |entity: Option<&Entity>, name: &str| entity.and_then(|e| e.attr(name)?.ok());
        let context = |name: &str| model.request.context().and_then(|context| context.get(name));
        let sandbox = model.request.principal().and_then(|uid| {
            let mut parents = model.entities.ancestors(uid)?;
            parents
                .find(|parent| parent.type_name().basename() == "Sandbox")
                .map(|parent| parent.id().unescaped().to_owned())
        });
        let process = Process {
            path: text(attribute(principal, "path")).unwrap_or_default(),
            sha256: text(attribute(principal, "sha256")).unwrap_or_default(),
            ancestors: texts(attribute(principal, "ancestors")).into_iter().collect(),
            sandbox: sandbox.unwrap_or_else(|| "sandbox".to_owned()),
        };
        let mut query = BTreeMap::new();
        if let Some(EvalResult::EntityUid(uid)) = context("query")
            && let Some(entity) = model.entities.get(&uid)
        {
            for (key, value) in entity.tags() {
                if let Some(value) = text(value.ok()) {
                    query.insert(key.to_owned(), vec![value]);
                }
            }
            for key in texts(attribute(Some(entity), "repeated")) {
                query.insert(key, vec!["x".to_owned(), "y".to_owned()]);
            }
        }
        let method = text(context("method")).filter(|_| action == "OTHER" || spoken.is_some());
        Parts {
            host: text(attribute(resource, "host")).unwrap_or_default(),
            port: number(attribute(resource, "port")).and_then(|n| u16::try_from(n).ok()).unwrap_or(443),
            now: number(context("now")).unwrap_or(0),
            method: method.unwrap_or_default(),
            path: text(context("path")).unwrap_or_default(),
            process,
            query,
            said: spoken.map(|spoken| spoken.read(model)).unwrap_or_default(),
        }
        .named_by_entities(model)
    }

    /// A policy may name the principal and the resource by their entities' ids alone.
    fn named_by_entities(mut self, model: &Model) -> Parts {
        let id = |uid: Option<&cedar_policy::EntityUid>| uid.map(|uid| uid.id().unescaped().to_owned());
        if self.process.path.is_empty() {
            self.process.path = id(model.request.principal()).unwrap_or_default();
        }
        if let Some((host, port)) = id(model.request.resource()).as_deref().and_then(|id| id.rsplit_once(':'))
            && self.host.is_empty()
        {
            self.host = host.to_owned();
            self.port = port.parse().unwrap_or(self.port);
        }
        self
    }

    /// What is not canonical, made so.
    fn mended(mut self, filler: char, spoken: Option<Spoken<'_>>) -> Parts {
        let is_host = |host: &str| Host::parse(host).is_ok_and(|parsed| parsed.as_str() == host);
        if !is_host(&self.host) {
            self.host = host(&self.host, filler);
        }
        if !is_host(&self.host) {
            self.host = "example.com".to_owned();
        }
        if self.port == 0 {
            self.port = 443;
        }
        if !self.process.path.is_empty() && !self.process.path.starts_with('/') {
            self.process.path = "/usr/bin/curl".to_owned();
        }
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if self.process.sha256.len() != 64 || !self.process.sha256.bytes().all(hex) {
            self.process.sha256 = String::new();
        }
        let is_path = |path: &str| {
            let options = PathOptions { allow_encoded_slash: true, ..PathOptions::default() };
            CanonicalPath::parse(path, &options).is_ok_and(|parsed| parsed.as_str() == path)
        };
        if !is_path(&self.path) {
            self.path = path(&self.path, filler);
        }
        if !is_path(&self.path) {
            self.path = "/".to_owned();
        }
        if let Some(spoken) = spoken {
            if !spoken.is_for(&self.host) {
                self.host = spoken.host().unwrap_or_default();
            }
            if !spoken.methods().contains(&self.method.as_str()) {
                self.method = spoken.methods().first().copied().unwrap_or_default().to_owned();
            }
            self.said = spoken.mended(self.said, filler);
        } else if !Method::parse(&self.method).is_ok_and(|method| method.action() == "OTHER") {
            self.method = "PROPFIND".to_owned();
        }
        let printable = |c: char| if c.is_control() { filler } else { c };
        self.query.values_mut().flatten().for_each(|value| *value = value.chars().map(printable).collect());
        self.query.retain(|key, _| !key.chars().any(char::is_control));
        self
    }

    fn request(&self, action: &str, spoken: Option<Spoken<'_>>) -> Option<Request> {
        let (host, port) = (Host::parse(&self.host).ok()?, Port::new(self.port)?);
        let operation = if action == "connect" {
            Operation::Connect
        } else {
            let by_action = action != "OTHER" && spoken.is_none();
            let method = Method::parse(if by_action { action } else { &self.method }).ok()?;
            let options = PathOptions { allow_encoded_slash: true, ..PathOptions::default() };
            let pairs =
                self.query.iter().flat_map(|(key, values)| values.iter().map(move |v| (key.as_str(), v.as_str())));
            let path = CanonicalPath::parse(&self.path, &options).ok()?;
            let target = Target { path, query: Query::from_pairs(pairs).ok()? };
            match spoken {
                Some(spoken) => {
                    let meaning = Some(spoken.meaning(&host, &method, &self.said)?);
                    Operation::Http { method, target, meaning }
                }
                None => Operation::http(method, target),
            }
        };
        let request = Request { process: self.process.clone(), host, port, operation, now: self.now };
        (request.operation.action() == action).then_some(request)
    }
}

/// As many labels, of characters that a name has.
fn host(text: &str, filler: char) -> String {
    let label = |label: &str| {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        let label: String = label.chars().map(|c| if fits(c) { c } else { filler }).collect();
        let edge = |c: char| if c == '-' { filler } else { c };
        let mut label: Vec<char> = if label.is_empty() { vec![filler] } else { label.chars().collect() };
        if let Some(first) = label.first_mut() {
            *first = edge(*first);
        }
        if let Some(last) = label.last_mut() {
            *last = edge(*last);
        }
        String::from_iter(label)
    };
    text.split('.').map(label).collect::<Vec<_>>().join(".")
}

/// As many segments, of characters that a path has.
fn path(text: &str, filler: char) -> String {
    let segment = |segment: &str| match segment {
        "" | "." | ".." => filler.to_string(),
        other => other.chars().map(|c| if u8::try_from(c).is_ok_and(may_stay_literal) { c } else { filler }).collect(),
    };
    let text = text.strip_prefix('/').unwrap_or(text);
    let (body, slash) = text.strip_suffix('/').map_or((text, ""), |body| (body, "/"));
    format!("/{}{slash}", body.split('/').map(segment).collect::<Vec<_>>().join("/"))
}

/// The first of the candidate's policies by which Cedar allows the request.
fn allowing(request: &Request, candidate: &Compiled) -> Option<String> {
    let (asked, entities) = cedar::request(request, candidate.schema(), candidate.globs()).ok()?;
    let response = Authorizer::new().is_authorized(&asked, candidate.policies(), &entities);
    let reasons: BTreeSet<String> = response.diagnostics().reason().map(ToString::to_string).collect();
    reasons.into_iter().next().filter(|_| response.decision() == Decision::Allow)
}

pub(super) fn text(value: Option<EvalResult>) -> Option<String> {
    match value {
        Some(EvalResult::String(text)) => Some(text),
        _ => None,
    }
}

pub(super) fn number(value: Option<EvalResult>) -> Option<i64> {
    match value {
        Some(EvalResult::Long(number)) => Some(number),
        _ => None,
    }
}

pub(super) fn texts(value: Option<EvalResult>) -> BTreeSet<String> {
    match value {
        Some(EvalResult::Set(items)) => items.iter().filter_map(|item| text(Some(item.clone()))).collect(),
        _ => BTreeSet::new(),
    }
}
