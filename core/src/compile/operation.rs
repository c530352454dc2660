//! Rules about what requests mean: a plugin's actions, and what it says of them.

use cedar_policy::pst::{ActionConstraint, Effect, Expr};

use super::{Meant, conditions};
use crate::pattern::{ValueForm, ValuePattern};
use crate::policy::{Access, OperationRule, Wanted};
use crate::schema::{Schema, group_of};
use crate::vocabulary::{Group, Kind, PluginName};

/// A preset: the plugin's actions in the groups that the preset's methods are in.
pub(super) fn access(plugin: &PluginName, access: Access) -> ActionConstraint {
    let groups: &[Group] = match access {
        Access::ReadOnly => &[Group::Read],
        Access::ReadWrite => &[Group::Read, Group::Write],
        Access::Full => &[Group::Read, Group::Write, Group::Delete, Group::Admin],
    };
    let groups: Vec<String> = groups.iter().map(|group| group_of(plugin, *group)).collect();
    conditions::actions(&groups.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A rule. The error says what the schema does not have, or what is of another kind.
pub(super) fn rule(rule: &OperationRule, effect: Effect, schema: &Schema) -> Result<Meant, String> {
    let (plugin, action) = (rule.plugin(), rule.action());
    let Some((vocabulary, declared)) = schema.operation(action) else {
        return Err(match schema.vocabulary(plugin.as_str()) {
            Some(vocabulary) => {
                let near = vocabulary.actions().values().map(|action| action.id.as_str());
                format!("{plugin} has no action {action:?}; it has {}", near.collect::<Vec<_>>().join(", "))
            }
            None => format!("there is no plugin named {plugin}; give it with --plugin FILE"),
        });
    };
    let mut wanted = Vec::new();
    for (name, values) in &rule.attributes {
        let Some(attribute) = declared.attributes.get(name.as_str()) else {
            let known: Vec<&str> = declared.attributes.keys().map(|name| name.as_str()).collect();
            return Err(format!("{action} has no attribute {name:?}; it has {}", known.join(", ")));
        };
        let value = conditions::said(vocabulary.name().as_str(), name);
        let is = of_kind(attribute.kind, &value, values, effect)
            .map_err(|problem| format!("{action}: {name}: {problem}"))?;
        wanted.extend(match attribute.optional {
            true => Some(conditions::both(Some(conditions::has_said(plugin.as_str(), name)), is)),
            false => is,
        });
    }
    Ok(Meant { actions: conditions::actions(&[action]), conditions: wanted })
}

/// The condition on a value that is there; `None` for any value.
fn of_kind(kind: Kind, value: &Expr, wanted: &Wanted, effect: Effect) -> Result<Option<Expr>, String> {
    let none = |wanted: &Wanted| match wanted {
        Wanted::OneOf(patterns) => patterns.is_empty(),
        Wanted::Fields(fields) => fields.is_empty() || fields.values().any(Vec::is_empty),
    };
    if kind != Kind::Texts && none(wanted) {
        return Err("at least one value".to_owned());
    }
    match (kind, wanted) {
        (Kind::Text, Wanted::OneOf(patterns)) => Ok(text(value, patterns)),
        (Kind::Integer, Wanted::OneOf(patterns)) => {
            let numbers: Vec<i64> = patterns.iter().map(number).collect::<Result<_, _>>()?;
            Ok(Some(conditions::any(
                numbers.into_iter().map(|number| conditions::equals_number(value.clone(), number)),
            )))
        }
        (Kind::Flag, Wanted::OneOf(patterns)) => match patterns.as_slice() {
            [one] if one.as_str() == "true" => Ok(Some(value.clone())),
            [one] if one.as_str() == "false" => Ok(Some(conditions::not(value.clone()))),
            _ => Err("expected true or false".to_owned()),
        },
        (Kind::Texts, Wanted::OneOf(patterns)) => {
            if let Some(glob) = patterns.iter().find(|pattern| *pattern.form() != ValueForm::Exact) {
                return Err(format!("{:?}: the elements of a set are given exactly", glob.as_str()));
            }
            let elements: Vec<&str> = patterns.iter().map(ValuePattern::as_str).collect();
            Ok(Some(match effect {
                // Cedar has no empty set to compare with; what has no element is also what a deny without any is about.
                _ if elements.is_empty() => conditions::is_empty(value.clone()),
                // Of what is allowed every element is named; one that is denied is enough.
                Effect::Permit => conditions::all_among(value.clone(), &elements),
                Effect::Forbid => conditions::some_among(value.clone(), &elements),
            }))
        }
        (Kind::Fields, Wanted::Fields(fields)) => {
            let each = fields.iter().map(|(name, patterns)| {
                let has = conditions::has_tag(value.clone(), name);
                conditions::both(Some(has), text(&conditions::tag(value.clone(), name), patterns))
            });
            Ok(conditions::all(each.collect()))
        }
        (Kind::Fields, Wanted::OneOf(_)) => Err("expected a map from fields to values".to_owned()),
        (_, Wanted::Fields(_)) => Err("expected a value, a glob or {any: [..]}".to_owned()),
    }
}

fn number(pattern: &ValuePattern) -> Result<i64, String> {
    let text = pattern.as_str();
    text.parse()
        .ok()
        .filter(|number: &i64| number.to_string() == text)
        .ok_or_else(|| format!("{text:?} is not a whole number"))
}

/// `None` where any text is meant.
fn text(value: &Expr, patterns: &[ValuePattern]) -> Option<Expr> {
    if patterns.iter().any(|pattern| *pattern.form() == ValueForm::Any) {
        return None;
    }
    Some(conditions::any(patterns.iter().map(|pattern| match pattern.form() {
        ValueForm::Exact | ValueForm::Any => conditions::equals(value.clone(), pattern.as_str()),
        ValueForm::Flat => conditions::flat(value.clone(), pattern.as_str()),
        ValueForm::Below(before, after) => conditions::below(value.clone(), before, after),
    })))
}
