//! Permissions by what requests mean: how they compare, what a permit has of them, and the denies that a forbid may be.

use std::collections::BTreeMap;

use narrowgate_core::denial::{DenialRecord, DeniedOperation};
use narrowgate_core::pattern::{ValueForm, ValuePattern};
use narrowgate_core::policy::{Access, OperationRule, Rule, Wanted};
use narrowgate_core::schema::Schema;
use narrowgate_core::vocabulary::{Group, PluginName};
use serde_json::Value;
use smol_str::SmolStr;

use super::piece::{Hole, Piece, Preset, What};
use super::said::{Attribute, Patterns, Said};
use super::values::{all_covered, in_common};

impl Preset {
    /// The preset for a plugin's actions.
    pub(super) fn new(plugin: &PluginName, access: Access, schema: &Schema) -> Preset {
        let is_in = |group: Group| match access {
            Access::ReadOnly => group == Group::Read,
            Access::ReadWrite => matches!(group, Group::Read | Group::Write),
            Access::Full => true,
        };
        let actions = schema.vocabulary(plugin.as_str()).into_iter().flat_map(|spoken| spoken.actions().values());
        let actions = actions.filter(|action| is_in(action.group)).map(|action| action.id.clone());
        Preset { plugin: plugin.clone(), access, actions: actions.collect::<Vec<SmolStr>>().into() }
    }

    /// The presets that allow less, the largest first.
    pub(super) fn smaller(&self, schema: &Schema) -> Vec<Preset> {
        let smaller: &[Access] = match self.access {
            Access::ReadOnly => &[],
            Access::ReadWrite => &[Access::ReadOnly],
            Access::Full => &[Access::ReadWrite, Access::ReadOnly],
        };
        let presets = smaller.iter().map(|access| Preset::new(&self.plugin, *access, schema));
        presets.filter(|preset| !preset.actions.is_empty() && preset.actions.len() < self.actions.len()).collect()
    }
}

/// Whether `wide` visibly has every operation of `narrow`.
pub(super) fn covers(wide: &OperationRule, narrow: &OperationRule) -> bool {
    wide.action() == narrow.action()
        && wide.attributes.iter().all(|(name, wanted)| match (wanted, narrow.attributes.get(name)) {
            (Wanted::OneOf(mine), Some(Wanted::OneOf(other))) => all_covered(mine, other),
            (Wanted::Fields(mine), Some(Wanted::Fields(other))) => {
                mine.iter().all(|(field, values)| other.get(field).is_some_and(|other| all_covered(values, other)))
            }
            _ => false,
        })
}

/// A number that is larger for what is larger at a glance, comparable with that of paths.
pub(super) fn breadth(rule: &OperationRule) -> usize {
    let said = |values: &[ValuePattern]| match values {
        [one] => match one.form() {
            ValueForm::Any => 1,
            ValueForm::Below(..) => 8,
            ValueForm::Flat => 16,
            ValueForm::Exact => 64,
        },
        many => 64_usize.saturating_sub(many.len()),
    };
    let of = |wanted: &Wanted| match wanted {
        Wanted::OneOf(values) => said(values),
        Wanted::Fields(fields) => fields.values().map(|values| said(values)).sum(),
    };
    (1 << 20) - rule.attributes.values().map(of).sum::<usize>().min(1 << 16)
}

/// Whether a denied operation has the action, whether it has the attributes too, and a number for how many of them.
pub(super) fn nearness(piece: &Piece, denied: &DenialRecord) -> (bool, bool, usize) {
    let holed = |operation: &DeniedOperation| {
        piece
            .holes
            .iter()
            .any(|hole| hole.host.is_none() && hole.rule.operation().is_some_and(|rule| rule.matches(operation)))
    };
    let each = denied.operations.iter().map(|operation| match &piece.what {
        What::Operation(rule) if rule.action() == operation.action => {
            let alone = |(name, wanted): (&String, &Wanted)| {
                let alone = with(rule, BTreeMap::from([(name.clone(), wanted.clone())]));
                usize::from(alone.matches(operation))
            };
            (true, rule.matches(operation) && !holed(operation), rule.attributes.iter().map(alone).sum())
        }
        What::Preset(preset) if preset.actions.iter().any(|id| *id == operation.action) => (true, !holed(operation), 0),
        _ => (false, false, 0),
    });
    each.max().unwrap_or((false, false, 0))
}

/// The part of a rule that is exactly a denied operation; `None` where that is no part of it.
pub(super) fn exactly(rule: &OperationRule, denied: &DenialRecord) -> Option<OperationRule> {
    let operation = denied.operations.iter().find(|operation| rule.matches(operation))?;
    let attributes = operation.attributes.iter().filter_map(|(name, value)| Some((name.clone(), wanted(value)?)));
    Some(with(rule, attributes.collect()))
}

/// A value as a rule wants exactly it; `None` where a rule cannot say so.
fn wanted(value: &Value) -> Option<Wanted> {
    let exact = |value: &Value| match value {
        Value::String(text) => ValuePattern::exact(text).ok(),
        Value::Number(_) | Value::Bool(_) => ValuePattern::exact(&value.to_string()).ok(),
        _ => None,
    };
    match value {
        Value::Array(items) => Some(Wanted::OneOf(items.iter().map(exact).collect::<Option<_>>()?)),
        Value::Object(fields) if fields.is_empty() => None,
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| Some((name.clone(), vec![exact(value)?]));
            Some(Wanted::Fields(fields.iter().map(field).collect::<Option<_>>()?))
        }
        plain => Some(Wanted::OneOf(vec![exact(plain)?])),
    }
}

/// The same action with these conditions.
pub(super) fn with(rule: &OperationRule, attributes: BTreeMap<String, Wanted>) -> OperationRule {
    let mut rule = rule.without_attributes();
    rule.attributes = attributes;
    rule
}

/// What a permit has of `rule`, read either way, each with the denies that it then needs. Empty where that is nothing.
pub(super) fn cut(rule: &OperationRule, said: &Said) -> Vec<(OperationRule, Vec<Hole>)> {
    let mut out = Vec::new();
    for open in [true, false] {
        let mut part = (rule.clone(), Vec::new());
        let fits = said.iter().all(|(name, attribute)| narrow(&mut part, name, attribute, open));
        if fits && !out.contains(&part) {
            out.push(part);
        }
    }
    out
}

/// Narrows one attribute; `false` where nothing is left.
fn narrow((rule, holes): &mut (OperationRule, Vec<Hole>), name: &str, attribute: &Attribute, open: bool) -> bool {
    if let Some(patterns) = &attribute.yes {
        let mine = match rule.attributes.get(name) {
            Some(Wanted::OneOf(mine)) => Some(mine.as_slice()),
            Some(Wanted::Fields(_)) => return false,
            None => None,
        };
        let Some((met, except)) = meet(mine, patterns, open, attribute.is_set) else { return false };
        rule.attributes.insert(name.to_owned(), Wanted::OneOf(met));
        let except = except.into_iter().map(|one| Wanted::OneOf(vec![one]));
        holes.extend(except.map(|wanted| deny(rule, BTreeMap::from([(name.to_owned(), wanted)]))));
    }
    for (field, of_field) in &attribute.fields {
        let Some(patterns) = &of_field.yes else { continue };
        let mut fields = match rule.attributes.get(name) {
            Some(Wanted::Fields(mine)) => mine.clone(),
            Some(Wanted::OneOf(_)) => return false,
            None => BTreeMap::new(),
        };
        let Some((met, except)) = meet(fields.get(field).map(Vec::as_slice), patterns, open, false) else {
            return false;
        };
        fields.insert(field.clone(), met);
        rule.attributes.insert(name.to_owned(), Wanted::Fields(fields));
        let except = except.into_iter().map(|one| Wanted::Fields(BTreeMap::from([(field.clone(), vec![one])])));
        holes.extend(except.map(|wanted| deny(rule, BTreeMap::from([(name.to_owned(), wanted)]))));
    }
    true
}

/// What is in both, and what of that is too much. `None` where nothing is.
fn meet(
    mine: Option<&[ValuePattern]>,
    patterns: &Patterns,
    open: bool,
    is_set: bool,
) -> Option<(Vec<ValuePattern>, Vec<ValuePattern>)> {
    let theirs = if open { &patterns.open } else { &patterns.flat };
    let met = mine.map_or_else(|| in_common(theirs, theirs), |mine| in_common(mine, theirs));
    // Of a set that is to be empty, no element is wanted.
    if met.is_empty() && !is_set {
        return None;
    }
    let except = if open { patterns.except.as_slice() } else { &[] };
    let except = except.iter().filter(|one| all_covered(&met, std::slice::from_ref(*one))).cloned().collect();
    Some((met, except))
}

/// What a permit takes out of itself, by condition, as denies of `action`.
pub(super) fn exceptions(action: &OperationRule, said: &Said) -> Vec<Vec<Hole>> {
    let mut out = Vec::new();
    for (name, attribute) in said {
        let hole = |wanted| deny(action, BTreeMap::from([(name.clone(), wanted)]));
        for alternatives in &attribute.no {
            out.push(if attribute.is_set {
                vec![hole(Wanted::OneOf(alternatives.clone()))]
            } else {
                alternatives.iter().map(|one| hole(Wanted::OneOf(vec![one.clone()]))).collect()
            });
        }
        for (field, of_field) in &attribute.fields {
            let field = |one: &ValuePattern| BTreeMap::from([(field.clone(), vec![one.clone()])]);
            let group = |alternatives: &Vec<ValuePattern>| {
                alternatives.iter().map(|one| hole(Wanted::Fields(field(one)))).collect::<Vec<Hole>>()
            };
            out.extend(of_field.no.iter().map(group));
        }
    }
    out.retain(|group| !group.is_empty());
    out
}

/// The denies of `action` that a forbid may be: with all that it says, with one thing of that, and with nothing.
pub(super) fn forbidden(action: &OperationRule, said: &Said) -> Vec<OperationRule> {
    let mut all: BTreeMap<String, Wanted> = BTreeMap::new();
    for (name, attribute) in said {
        let fields = attribute.fields.iter().filter_map(|(field, of)| Some((field.clone(), of.yes.clone()?.open)));
        let fields: BTreeMap<String, Vec<ValuePattern>> = fields.filter(|(_, values)| !values.is_empty()).collect();
        let values = attribute.yes.as_ref().map(|patterns| patterns.open.clone()).unwrap_or_default();
        if !values.is_empty() {
            all.insert(name.clone(), Wanted::OneOf(values));
        } else if !fields.is_empty() {
            all.insert(name.clone(), Wanted::Fields(fields));
        }
    }
    let mut out = vec![with(action, all.clone())];
    if all.len() > 1 {
        out.extend(all.into_iter().map(|one| with(action, BTreeMap::from([one]))));
    }
    out.push(action.without_attributes());
    out.dedup();
    out
}

/// A forbid's exceptions, as what to keep to.
pub(super) fn exempt(said: &Said) -> Said {
    let kept = |attribute: &Attribute| {
        let values = attribute.no.concat();
        let patterns = Patterns { open: values.clone(), except: Vec::new(), flat: values };
        Some(patterns).filter(|patterns| !patterns.open.is_empty())
    };
    let opposite = |attribute: &Attribute| match attribute.yes.as_ref()?.open.as_slice() {
        [one] if one.as_str() == "true" || one.as_str() == "false" => {
            let other = ValuePattern::exact(if one.as_str() == "true" { "false" } else { "true" }).ok()?;
            Some(Patterns { open: vec![other.clone()], except: Vec::new(), flat: vec![other] })
        }
        _ => None,
    };
    let of = |attribute: &Attribute| Attribute {
        yes: kept(attribute).or_else(|| opposite(attribute)),
        no: Vec::new(),
        is_set: attribute.is_set,
        fields: attribute
            .fields
            .iter()
            .map(|(name, field)| (name.clone(), Attribute { yes: kept(field), ..Attribute::default() }))
            .collect(),
    };
    said.iter().map(|(name, attribute)| (name.clone(), of(attribute))).collect()
}

/// A deny of the action's operations that these conditions hold of.
fn deny(action: &OperationRule, attributes: BTreeMap<String, Wanted>) -> Hole {
    Hole::here(Rule::Operation(with(action, attributes)))
}
