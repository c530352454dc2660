//! Between what the engines know of an operation, variable by variable, and what a plugin would have said.

use std::collections::BTreeSet;

use narrowgate_core::request::{Host, Method};
use narrowgate_core::vocabulary::{Kind, Label, LabelValue, Meaning, Value as Said, Vocabulary};
use smol_str::{SmolStr, format_smolstr};

use crate::language::ABSENT;
use crate::lower::{Value, Var};
use crate::solve::Point;

/// What the plugin would say where `point` is so. `None` where the vocabulary does not admit it.
pub(crate) fn meaning(
    point: &Point,
    speaker: &Vocabulary,
    action: &str,
    host: &Host,
    method: &Method,
) -> Option<Meaning> {
    let declared = speaker.action(action)?;
    let is = |var: Var| point.get(&var) == Value::Is(true);
    let mut attributes = Vec::new();
    for (name, attribute) in &declared.attributes {
        let path = format_smolstr!("context.{}.{name}", speaker.name());
        if attribute.optional && !is(Var::Has(path.clone())) {
            continue;
        }
        let value = match attribute.kind {
            Kind::Text => match point.get(&Var::Text(path)) {
                Value::Text(text) => LabelValue::Text(text),
                _ => return None,
            },
            Kind::Integer => match point.get(&Var::Long(path)) {
                Value::Number(number) => LabelValue::Integer(number.to_string()),
                _ => return None,
            },
            Kind::Flag => LabelValue::Flag(is(Var::Flag(path))),
            Kind::Texts => LabelValue::Texts(elements(point, &path)),
            Kind::Fields => LabelValue::Fields(fields(point, &path)),
        };
        attributes.push((name.to_string(), value));
    }
    let action = action.strip_prefix(speaker.name().as_str())?.strip_prefix("::")?.to_owned();
    speaker.admit(host, method, Label { action, attributes }).ok()
}

/// The elements that the point names and, where there must be another, one that no policy names.
fn elements(point: &Point, path: &SmolStr) -> Vec<String> {
    let mut named: BTreeSet<&SmolStr> = BTreeSet::new();
    let (mut elements, mut lists) = (Vec::new(), Vec::new());
    let mut empty = None;
    for (var, value) in point.iter() {
        match (var, value) {
            (Var::Member(of, element), value) if of == path => {
                named.insert(element);
                if *value == Value::Is(true) {
                    elements.push(element.to_string());
                }
            }
            (Var::Among(of, list), value) if of == path => {
                named.extend(list.iter());
                lists.push(*value == Value::Is(true));
            }
            (Var::Empty(of), value) if of == path => empty = Some(*value == Value::Is(true)),
            _ => {}
        }
    }
    let wants_another = lists.contains(&false) || (empty == Some(false) && elements.is_empty());
    // Where all elements are among some, the search has already named those that there are.
    if wants_another && !lists.contains(&true) {
        let free = (0..).map(|n| format_smolstr!("x{n}")).find(|element| !named.contains(element));
        elements.extend(free.map(String::from));
    }
    elements
}

fn fields(point: &Point, path: &SmolStr) -> Vec<(String, String)> {
    let field = |(var, value): (&Var, &Value)| match (var, value) {
        (Var::Field(of, name), Value::Text(text)) if of == path && text != ABSENT => {
            Some((name.to_string(), text.clone()))
        }
        _ => None,
    };
    point.iter().filter_map(field).collect()
}

/// What an operation has for a variable; `None` where the variable is no attribute.
pub(crate) fn value(meaning: Option<&Meaning>, var: &Var) -> Option<Value> {
    let said = |path: &SmolStr| {
        let meaning = meaning?;
        let name = path.strip_prefix("context.")?.strip_prefix(meaning.plugin())?.strip_prefix('.')?;
        meaning.attributes().get(name)
    };
    let texts = |path: &SmolStr| match said(path) {
        Some(Said::Texts(texts)) => texts.clone(),
        _ => BTreeSet::new(),
    };
    Some(match var {
        Var::Text(path) => match said(path) {
            Some(Said::Text(text)) => Value::Text(text.clone()),
            _ => Value::Text(String::new()),
        },
        Var::Long(path) => match said(path) {
            Some(Said::Integer(number)) => Value::Number(*number),
            _ => Value::Number(0),
        },
        Var::Flag(path) => Value::Is(matches!(said(path), Some(Said::Flag(true)))),
        Var::Has(path) => Value::Is(said(path).is_some()),
        Var::Member(path, element) => Value::Is(texts(path).contains(element.as_str())),
        Var::Among(path, list) => Value::Is(texts(path).iter().all(|text| list.iter().any(|one| one == text))),
        Var::Field(path, name) => Value::Text(match said(path) {
            Some(Said::Fields(fields)) => fields.get(name.as_str()).cloned().unwrap_or_else(|| ABSENT.to_owned()),
            _ => ABSENT.to_owned(),
        }),
        Var::Empty(path) if said(path).is_some() => Value::Is(texts(path).is_empty()),
        _ => return None,
    })
}
