//! The conditions that rules are made of, as Cedar expressions.
//!
//! A path condition is always the `like` that the pattern implies, which is what relates it to hand-written ceilings,
//! made exact in the cheapest way that is: nothing for a literal or a plain subtree, "not one slash too many" for a
//! pattern of fixed depth, segment attributes where a wildcard segment stands beside a `**`, and the pattern's own
//! name in `path_globs` where it has a `?`.

use std::sync::Arc;

use cedar_policy::pst::{
    ActionConstraint, BinaryOp, EntityType, EntityUID, Expr, Id, Literal, Name, PatternElem, UnaryOp, Var,
};
use smol_str::{SmolStr, format_smolstr};

use crate::pattern::{BinaryPattern, Glob, HostForm, HostPattern, PathPattern, Segment};
use crate::request::Port;

/// `action in [Action::"…", …]`
pub(super) fn actions(ids: &[&str]) -> ActionConstraint {
    ActionConstraint::In(ids.iter().map(|id| action(id)).collect())
}

fn action(id: &str) -> EntityUID {
    EntityUID { ty: EntityType::from_name(action_type()), eid: SmolStr::new(id) }
}

#[expect(clippy::expect_used, reason = "a constant identifier")]
fn action_type() -> Name {
    Name { id: Id::new("Action").expect("an identifier"), namespace: Arc::new(Vec::new()) }
}

/// The conjunction, or `None` for an empty list.
pub(super) fn all(conditions: Vec<Expr>) -> Option<Expr> {
    joined(BinaryOp::And, conditions)
}

/// Both, of those that are there; `true` for neither.
pub(super) fn both(a: Option<Expr>, b: Option<Expr>) -> Expr {
    all(a.into_iter().chain(b).collect()).unwrap_or(Expr::Literal(Literal::Bool(true)))
}

/// The disjunction; `false` for an empty list.
pub(super) fn any(conditions: impl IntoIterator<Item = Expr>) -> Expr {
    joined(BinaryOp::Or, conditions.into_iter().collect()).unwrap_or(Expr::Literal(Literal::Bool(false)))
}

/// Halved again and again, so that a long list makes no deep tree: whoever walks or drops it recurses.
fn joined(op: BinaryOp, mut conditions: Vec<Expr>) -> Option<Expr> {
    if conditions.len() <= 1 {
        return conditions.pop();
    }
    let right = conditions.split_off(conditions.len() / 2);
    Some(binary(op, joined(op, conditions)?, joined(op, right)?))
}

pub(super) fn host(pattern: &HostPattern) -> Vec<Expr> {
    let host = || get(Expr::Var(Var::Resource), "host");
    match pattern.form() {
        HostForm::Exact(exact) => vec![equals(host(), exact.as_str())],
        HostForm::AnyLabels { suffix } => vec![like(host(), &format!("*.{suffix}"))],
        HostForm::OneLabel { glob, suffix } => {
            let labels = 2 + suffix.matches('.').count();
            vec![
                like(host(), &format!("{glob}.{suffix}")),
                binary(BinaryOp::Eq, get(Expr::Var(Var::Resource), "labels"), long(labels)),
            ]
        }
    }
}

pub(super) fn ports(ports: &[Port]) -> Expr {
    any(ports
        .iter()
        .map(|port| binary(BinaryOp::Eq, get(Expr::Var(Var::Resource), "port"), long(usize::from(port.get())))))
}

/// Nothing for an empty list: any binary. In a deny a process that could not be identified is meant too: making
/// oneself unreadable must not be a way around it.
pub(super) fn binaries(patterns: &[BinaryPattern], deny: bool) -> Option<Expr> {
    if patterns.is_empty() {
        return None;
    }
    let principal = || Expr::Var(Var::Principal);
    let unidentified = deny.then(|| equals(get(principal(), "path"), ""));
    let named = patterns.iter().flat_map(|pattern| {
        let own = all(of_path(pattern.path(), &principal));
        let ancestor =
            pattern.literal().map(|path| binary(BinaryOp::Contains, get(principal(), "ancestors"), string(path)));
        own.into_iter().chain(ancestor)
    });
    Some(any(named.chain(unidentified)))
}

pub(super) fn before(time: i64) -> Expr {
    binary(BinaryOp::Less, get(Expr::Var(Var::Context), "now"), Expr::Literal(Literal::Long(time)))
}

pub(super) fn method(method: &str) -> Expr {
    equals(get(Expr::Var(Var::Context), "method"), method)
}

/// One of these.
pub(super) fn methods(methods: &[&str]) -> Expr {
    any(methods.iter().copied().map(method))
}

/// What a plugin said: `context.github.owner`.
pub(super) fn said(plugin: &str, attribute: &str) -> Expr {
    get(get(Expr::Var(Var::Context), plugin), attribute)
}

/// Whether a plugin said it.
pub(super) fn has_said(plugin: &str, attribute: &str) -> Expr {
    let expr = Arc::new(get(Expr::Var(Var::Context), plugin));
    Expr::HasAttr { expr, attrs: cedar_policy::pst::NonEmpty::new(SmolStr::new(attribute)) }
}

pub(super) fn has_tag(of: Expr, name: &str) -> Expr {
    binary(BinaryOp::HasTag, of, string(name))
}

pub(super) fn tag(of: Expr, name: &str) -> Expr {
    binary(BinaryOp::GetTag, of, string(name))
}

/// Every element of the set is one of these.
pub(super) fn all_among(set: Expr, elements: &[&str]) -> Expr {
    binary(BinaryOp::ContainsAll, Expr::Set(elements.iter().map(|text| Arc::new(string(text))).collect()), set)
}

pub(super) fn is_empty(set: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOp::IsEmpty, expr: Arc::new(set) }
}

/// Some element of the set is one of these.
pub(super) fn some_among(set: Expr, elements: &[&str]) -> Expr {
    any(elements.iter().map(|element| binary(BinaryOp::Contains, set.clone(), string(element))))
}

pub(super) fn equals_number(expr: Expr, number: i64) -> Expr {
    binary(BinaryOp::Eq, expr, Expr::Literal(Literal::Long(number)))
}

/// A glob whose stars cross no slash: the value has as many as the glob.
pub(super) fn flat(value: Expr, glob: &str) -> Expr {
    let slashes = glob.matches('/').count();
    let too_many = format!("{}*", "*/".repeat(slashes + 1));
    binary(BinaryOp::And, like(value.clone(), glob), not(like(value, &too_many)))
}

/// `before`, any number of segments, `after`.
pub(super) fn below(value: Expr, before: &str, after: &str) -> Expr {
    let (nothing_between, glob) = match (before, after) {
        ("", after) => (after.to_owned(), format!("*/{after}")),
        (before, "") => (before.to_owned(), format!("{before}/*")),
        (before, after) => (format!("{before}/{after}"), format!("{before}/*/{after}")),
    };
    any([equals(value.clone(), &nothing_between), like(value, &glob)])
}

/// Nothing for `/**`, which every canonical path is.
pub(super) fn path(pattern: &PathPattern) -> Vec<Expr> {
    if pattern.segments() == [Segment::Any] {
        return Vec::new();
    }
    of_path(pattern, &|| Expr::Var(Var::Context))
}

/// The key occurs once and its value is one of these.
pub(super) fn query_is(key: &str, globs: &[Glob]) -> Expr {
    let query = || get(Expr::Var(Var::Context), "query");
    let value = || binary(BinaryOp::GetTag, query(), string(key));
    let has = binary(BinaryOp::HasTag, query(), string(key));
    if globs.iter().any(|glob| glob.as_str() == "*") {
        return has;
    }
    let one_of = any(globs.iter().map(|glob| match glob.as_str().contains('*') {
        true => like(value(), glob.as_str()),
        false => equals(value(), glob.as_str()),
    }));
    binary(BinaryOp::And, has, one_of)
}

/// The key's value is one of these, or could be: it repeats.
pub(super) fn query_may_be(key: &str, globs: &[Glob]) -> Expr {
    let repeated = get(get(Expr::Var(Var::Context), "query"), "repeated");
    binary(BinaryOp::Or, binary(BinaryOp::Contains, repeated, string(key)), query_is(key, globs))
}

/// Conditions on the `path` of `principal` or `context`, which have the same attributes for it.
fn of_path(pattern: &PathPattern, owner: &dyn Fn() -> Expr) -> Vec<Expr> {
    let path = || get(owner(), "path");
    let (head, tail) = pattern.sides();
    let literal = !pattern.segments().iter().any(|segment| matches!(segment, Segment::Glob(_)));
    let mut out = Vec::new();
    match tail {
        None if literal => return vec![equals(path(), pattern.as_str())],
        None => {
            out.push(like(path(), &implied(head)));
            // As many slashes as the pattern has, so no `*` spans one.
            out.push(not(like(path(), &"/*".repeat(head.len() + 1))));
        }
        Some(tail) => {
            let (head, tail) = (implied(head), implied(tail));
            let deeper = like(path(), &format!("{head}/*{tail}"));
            out.push(match (head.as_str(), tail.as_str()) {
                ("", "") => deeper,
                _ if literal => any([equals(path(), &format!("{head}{tail}")), deeper]),
                _ => any([like(path(), &format!("{head}{tail}")), deeper]),
            });
        }
    }
    if pattern.has_question() {
        out.push(binary(BinaryOp::Contains, get(owner(), "path_globs"), string(pattern.as_str())));
    } else if let (Some(tail), false) = (tail, literal) {
        out.extend(by_segment(head, tail, owner));
    }
    out
}

/// Each segment that is not `*`, addressed from its end, and at least as many segments as are named.
fn by_segment(head: &[Segment], tail: &[Segment], owner: &dyn Fn() -> Expr) -> Vec<Expr> {
    let segments = || get(owner(), "segments");
    let mut out = vec![binary(BinaryOp::GreaterEq, get(segments(), "count"), long(head.len() + tail.len()))];
    let from_head = head.iter().enumerate().map(|(at, segment)| (format_smolstr!("h{at}"), segment));
    let from_tail = tail.iter().rev().enumerate().map(|(at, segment)| (format_smolstr!("t{at}"), segment));
    for (name, segment) in from_head.chain(from_tail) {
        let value = || get(segments(), &name);
        let condition = match segment {
            Segment::Any => continue,
            Segment::Glob(glob) if glob == "*" => continue,
            Segment::Glob(glob) => like(value(), glob),
            Segment::Literal(text) => equals(value(), text),
        };
        let has = Expr::HasAttr { expr: Arc::new(segments()), attrs: cedar_policy::pst::NonEmpty::new(name.clone()) };
        out.push(binary(BinaryOp::And, has, condition));
    }
    out
}

/// The `like` text that segments imply; `?` becomes `*`, the closest that `like` has.
fn implied(segments: &[Segment]) -> String {
    segments
        .iter()
        .map(|segment| match segment {
            Segment::Literal(text) => format!("/{text}"),
            Segment::Glob(glob) => format!("/{}", glob.replace('?', "*")),
            Segment::Any => "/*".to_owned(),
        })
        .collect()
}

/// `*` in `pattern` is the wildcard. No literal that reaches this contains one: canonical paths and hosts cannot,
/// and in globs over values it is the wildcard.
fn like(expr: Expr, pattern: &str) -> Expr {
    let mut elements: Vec<PatternElem> = Vec::new();
    for c in pattern.chars() {
        match c {
            '*' if elements.last() == Some(&PatternElem::Wildcard) => {}
            '*' => elements.push(PatternElem::Wildcard),
            c => elements.push(PatternElem::Char(c)),
        }
    }
    Expr::Like { expr: Arc::new(expr), pattern: elements }
}

pub(super) fn equals(expr: Expr, text: &str) -> Expr {
    binary(BinaryOp::Eq, expr, string(text))
}

pub(super) fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOp::Not, expr: Arc::new(expr) }
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp { op, left: Arc::new(left), right: Arc::new(right) }
}

fn get(expr: Expr, attr: &str) -> Expr {
    Expr::GetAttr { expr: Arc::new(expr), attr: SmolStr::new(attr) }
}

fn string(text: &str) -> Expr {
    Expr::Literal(Literal::String(SmolStr::new(text)))
}

#[expect(clippy::cast_possible_wrap, reason = "counts of labels and segments, and ports: far below the limit")]
fn long(number: usize) -> Expr {
    Expr::Literal(Literal::Long(number as i64))
}
