//! Smaller pieces, by what a permit has and what a forbid takes.

use std::collections::BTreeMap;

use narrowgate_core::pattern::{Glob, HostForm, HostPattern, MethodPattern, PathPattern};
use narrowgate_core::policy::{OperationRule, RestRule, Rule};
use narrowgate_core::request::Port;

use super::hints::Hints;
use super::meet::{glob_covers, globs, hosts, paths, widest};
use super::operation;
use super::piece::{Hole, Piece, What, anywhere, path_breadth};

/// `piece` cut to what `hints` say, in every way that they can be read; `piece` itself where they say nothing new.
pub(super) fn cut(piece: &Piece, hints: &Hints) -> Vec<Piece> {
    let mut base = piece.clone();
    if let Some(ports) = &hints.ports {
        base.ports.retain(|port| ports.contains(i64::from(port.get())));
    }
    if let Some(before) = hints.before {
        base.expires_at = Some(base.expires_at.map_or(before, |end| end.min(before)));
    }
    if base.ports.is_empty() || base.expires_at.is_some_and(|end| end <= 0) {
        return Vec::new();
    }
    let mut shared: Vec<HostPattern> = hints.hosts.yes.iter().flat_map(|host| hosts(&piece.host, host)).collect();
    if let HostForm::AnyLabels { suffix } = piece.host.form()
        && hints.hosts.is_bound
    {
        shared.extend(HostPattern::parse(&format!("*.{suffix}")).ok());
    }
    let shared =
        if shared.is_empty() && hints.hosts.yes.is_empty() { vec![piece.host.clone()] } else { unique(shared) };
    let mut out = Vec::new();
    for host in shared.into_iter().take(6) {
        let part = Piece { host, ..base.clone() };
        match &base.what {
            What::Opaque | What::Preset(_) => out.push(part),
            What::Rest(rule) => {
                out.extend(cut_rule(rule, hints).into_iter().map(|rule| part.about(What::Rest(rule))));
            }
            What::Operation(rule) => {
                out.extend(operation::cut(rule, &hints.said).into_iter().map(|(rule, more)| {
                    let mut part = part.about(What::Operation(rule));
                    part.holes.extend(more.into_iter().filter(|hole| !piece.holes.contains(hole)));
                    part
                }));
            }
        }
    }
    out
}

fn cut_rule(rule: &RestRule, hints: &Hints) -> Vec<RestRule> {
    let mut query = rule.query.clone();
    for (key, side) in &hints.query {
        if side.yes.is_empty() {
            continue;
        }
        let met: Vec<String> = match query.get(key) {
            None => side.yes.clone(),
            Some(mine) => mine.iter().flat_map(|a| side.yes.iter().flat_map(|b| globs(a.as_str(), b, false))).collect(),
        };
        let met = widest(met, |wide, narrow| glob_covers(wide, narrow, false));
        if met.is_empty() {
            return Vec::new();
        }
        query.insert(key.clone(), met.iter().map(|glob| Glob::parse(glob)).collect());
    }
    let own = rule.path.as_str();
    let mut shared: Vec<String> = hints.paths.yes.iter().flat_map(|hint| paths(own, hint)).collect();
    if hints.paths.yes.is_empty() {
        shared.push(own.to_owned());
    }
    let mut shared = unique(shared);
    shared.sort_by_key(|path| std::cmp::Reverse(path_breadth(path)));
    let rule = |path: String| {
        let path = PathPattern::parse(&path).ok()?;
        Some(RestRule { path, query: query.clone(), ..rule.clone() })
    };
    shared.into_iter().take(12).filter_map(rule).collect()
}

fn unique<T: PartialEq>(all: Vec<T>) -> Vec<T> {
    widest(all, |_, _| false)
}

/// What a permit takes out of itself, by condition. `action` is the environment's.
pub(super) fn exceptions(piece: &Piece, action: &str, hints: &Hints) -> Vec<Vec<Hole>> {
    let mut out: Vec<Vec<Hole>> = Vec::new();
    if let (false, Some(action)) = (piece.what == What::Opaque, operation_of(action)) {
        out.extend(operation::exceptions(&action, &hints.said));
    }
    let whole = match &piece.what {
        What::Opaque => return out,
        What::Rest(rule) => Rule::Rest(without_query(rule)),
        What::Operation(rule) => Rule::Operation(rule.without_attributes()),
        What::Preset(_) => match operation_of(action) {
            Some(action) => Rule::Operation(action),
            None => return out,
        },
    };
    for patterns in &hints.hosts.no {
        let met = patterns.iter().flat_map(|host| hosts(&piece.host, host));
        let hole = |host| Hole { host: Some(host), rule: whole.clone() };
        out.push(unique(met.map(hole).collect()));
    }
    if let Some(rule) = &on_the_wire(piece) {
        for method in piece.rest().is_none().then_some(&hints.uncarried).into_iter().flatten() {
            out.push(anywhere(method).map(|rule| Hole::here(Rule::Rest(rule))).into_iter().collect());
        }
        for patterns in &hints.paths.no {
            let hole = |path: &String| Some(Hole::here(Rule::Rest(with_path(rule, path)?)));
            let met = patterns.iter().filter(|path| !paths(rule.path.as_str(), path).is_empty());
            out.push(met.filter_map(hole).collect());
        }
        for (key, side) in &hints.query {
            for values in &side.no {
                let globs = values.iter().map(|value| Glob::parse(value)).collect();
                let query = BTreeMap::from([(key.clone(), globs)]);
                out.push(vec![Hole::here(Rule::Rest(RestRule { query, ..rule.clone() }))]);
            }
        }
    }
    out.retain(|group| !group.is_empty());
    out
}

/// The denies that a forbid may be, in the environment of `action`.
pub(super) fn forbidden(piece: &Piece, action: &str, hints: &Hints) -> Vec<Hole> {
    let there: Vec<Option<HostPattern>> = if hints.hosts.yes.is_empty() {
        vec![None]
    } else {
        let met = hints.hosts.yes.iter().flat_map(|host| hosts(&piece.host, host));
        unique(met.map(|host| Some(host).filter(|host| *host != piece.host)).collect())
    };
    let mut rules: Vec<Rule> = Vec::new();
    if let Some(action) = operation_of(action) {
        rules.extend(operation::forbidden(&action, &hints.said).into_iter().map(Rule::Operation));
    }
    let about_requests = hints.paths.is_bound || !hints.carried.is_empty() || !hints.query.is_empty();
    if let Some(rule) = on_the_wire(piece).filter(|_| piece.rest().is_some() || about_requests) {
        rules.extend(forbidden_requests(&rule, action, hints).into_iter().map(Rule::Rest));
    }
    let mut out: Vec<Hole> = Vec::new();
    for host in there {
        out.extend(rules.iter().map(|rule| Hole { host: host.clone(), rule: rule.clone() }));
    }
    out.truncate(48);
    out
}

fn forbidden_requests(rule: &RestRule, action: &str, hints: &Hints) -> Vec<RestRule> {
    let patterns: Vec<String> = if hints.paths.yes.is_empty() {
        vec![rule.path.as_str().to_owned()]
    } else {
        hints.paths.yes.iter().filter(|path| !paths(rule.path.as_str(), path).is_empty()).cloned().collect()
    };
    let query: BTreeMap<String, Vec<Glob>> = hints
        .query
        .iter()
        .filter(|(_, side)| !side.yes.is_empty())
        .map(|(key, side)| (key.clone(), side.yes.iter().map(|value| Glob::parse(value)).collect()))
        .collect();
    let methods: Vec<String> = match (&rule.method, action) {
        (MethodPattern::Any, "OTHER") if hints.methods.is_empty() => vec!["*".to_owned()],
        (MethodPattern::Any, "OTHER") => hints.methods.clone(),
        (MethodPattern::Any, action) if operation_of(action).is_some() => {
            hints.carried.iter().cloned().chain(["*".to_owned()]).collect()
        }
        // The whole of a rule's methods, or the one that is forbidden: the smaller is tried first.
        (MethodPattern::Any, action) => vec![action.to_owned(), "*".to_owned()],
        (MethodPattern::Exact(method), action) => unique(vec![action.to_owned(), method.as_str().to_owned()]),
    };
    let mut out = Vec::new();
    for path in &patterns {
        for method in methods.iter().filter(|method| *method != "OTHER") {
            let (Ok(path), Ok(method)) = (PathPattern::parse(path), MethodPattern::parse(method)) else { continue };
            out.push(RestRule { method, path, query: query.clone() });
        }
    }
    out
}

/// What is on the wire of a piece: of a plugin's actions, anything. A deny may say it of these too.
fn on_the_wire(piece: &Piece) -> Option<RestRule> {
    match &piece.what {
        What::Opaque => None,
        What::Rest(rule) => Some(rule.clone()),
        What::Operation(_) | What::Preset(_) => anywhere("*"),
    }
}

/// Any operation of the environment's action, where it is a plugin's.
fn operation_of(action: &str) -> Option<OperationRule> {
    OperationRule::new(action, BTreeMap::new()).ok()
}

/// A forbid's exceptions, as what to keep to.
pub(super) fn exempt(forbid: &Hints) -> Hints {
    let mut out = Hints { said: operation::exempt(&forbid.said), ..Hints::default() };
    out.hosts.yes = forbid.hosts.no.concat();
    out.hosts.is_bound = !out.hosts.yes.is_empty();
    out.paths.yes = forbid.paths.no.concat();
    out.paths.is_bound = !out.paths.yes.is_empty();
    for (key, side) in &forbid.query {
        let own = out.query.entry(key.clone()).or_default();
        own.yes = side.no.concat();
    }
    out
}

/// A rule for several methods, or for several of a plugin's actions, without the one of `action`.
pub(super) fn action_hole(piece: &Piece, action: &str) -> Option<Hole> {
    let rule = match (&piece.what, operation_of(action)) {
        (What::Preset(_), Some(action)) => return Some(Hole::here(Rule::Operation(action))),
        // Where a plugin speaks, requests are its actions: one after another taken out, nothing would be left.
        (What::Rest(rule), None) => rule,
        _ => return None,
    };
    let several = match &rule.method {
        MethodPattern::Any => action != "OTHER",
        MethodPattern::Exact(method) => method.as_str() == "GET" && action == "HEAD",
    };
    let method = MethodPattern::parse(action).ok().filter(|_| several)?;
    Some(Hole::here(Rule::Rest(RestRule { method, path: rule.path.clone(), query: BTreeMap::new() })))
}

fn with_path(rule: &RestRule, path: &str) -> Option<RestRule> {
    Some(RestRule { path: PathPattern::parse(path).ok()?, ..without_query(rule) })
}

fn without_query(rule: &RestRule) -> RestRule {
    RestRule { query: BTreeMap::new(), ..rule.clone() }
}

pub(super) fn with_ports(piece: &Piece, ports: Vec<Port>) -> Option<Piece> {
    (!ports.is_empty()).then(|| Piece { ports, ..piece.clone() })
}

/// Narrow ones first. Where requests and operations are as good, requests are what the rule is about.
pub(super) fn hole_breadth(hole: &Hole) -> (usize, usize, usize, String) {
    let host = match hole.host.as_ref().map(HostPattern::form) {
        None => 3,
        Some(HostForm::AnyLabels { .. }) => 2,
        Some(HostForm::OneLabel { .. }) => 1,
        Some(HostForm::Exact(_)) => 0,
    };
    match &hole.rule {
        Rule::Rest(rule) => {
            let path = rule.path.as_str();
            (host, usize::from(rule.method == MethodPattern::Any), path_breadth(path), path.to_owned())
        }
        Rule::Operation(rule) => (host, 0, (1 << 20) + operation::breadth(rule), rule.to_string()),
    }
}
