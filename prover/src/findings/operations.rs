//! How new rules about what requests mean are broader than the operations that were denied.

use narrowgate_core::denial::DeniedOperation;
use narrowgate_core::finding::FindingName;
use narrowgate_core::pattern::{ValueForm, ValuePattern};
use narrowgate_core::policy::{Access, OperationRule, Wanted};
use narrowgate_core::vocabulary::Group;
use serde_json::Value;

use super::breadth::{Known, Notes};
use super::evidence::{Record, groups};

impl Known<'_> {
    /// An attribute that is left free, is a pattern, or has values that nobody asked for.
    pub(super) fn operation(&self, rule: &OperationRule, out: &mut Notes) {
        let denied: Vec<&DeniedOperation> = self.records.iter().flat_map(|record| record.operations()).collect();
        let denied: Vec<&DeniedOperation> = denied.into_iter().filter(|operation| rule.matches(operation)).collect();
        let at = || self.grant.pointer();
        for name in self.free(rule, &denied) {
            let detail = format!("{} is for any {name}{}.", rule.action(), self.asked(Record::text));
            out.add(FindingName::RecursivePath, at(), name, detail, self.tightest());
        }
        for (name, values, asked) in conditions(rule, &denied) {
            for value in values {
                let (finding, what) = match value.form() {
                    ValueForm::Any => (FindingName::RecursivePath, "is any value"),
                    ValueForm::Below(..) => (FindingName::RecursivePath, "is a value of any depth"),
                    ValueForm::Flat => (FindingName::PathWildcard, "is every value that fits it"),
                    ValueForm::Exact if denied.is_empty() || asked.iter().any(|text| text == value.as_str()) => {
                        continue;
                    }
                    ValueForm::Exact => (FindingName::PathWildcard, "was not asked for"),
                };
                let segment = format!("{name}={}", value.as_str());
                let detail = format!("{}: {} {what}{}.", rule.action(), brief(&segment), self.asked(Record::text));
                out.add(finding, at(), segment, detail, self.tightest());
            }
        }
    }

    /// What a preset allows of a plugin's actions, against the groups of what was denied. One read stands for all of
    /// them, as with methods.
    pub(super) fn operations_of(&self, access: Access, out: &mut Notes) {
        let asked: Vec<Group> = self.records.iter().flat_map(|record| record.groups(self.schema)).collect();
        let is_asked = |group: &&Group| **group == Group::Read && asked.is_empty() || asked.contains(group);
        let extra: Vec<&str> =
            groups(access).iter().filter(|group| !is_asked(group)).map(|group| group.as_str()).collect();
        let (at, text) = (self.grant.pointer(), self.grant.text());
        if !extra.is_empty() {
            let detail = format!("{text} allows to {} too{}.", extra.join(", "), self.asked(Record::text));
            out.add(FindingName::MethodAny, at.clone(), text.clone(), detail, self.tightest());
        }
        if !self.may_read_anything(access.actions()) {
            let host = self.grant.endpoint.host.as_str();
            let detail = format!("{text} covers everything of that kind at {host}{}.", self.asked(Record::text));
            out.add(FindingName::RecursivePath, at, text, detail, self.tightest());
        }
    }

    /// The attributes that the rule says nothing of: those that the denied operations have or, where none is known, those
    /// that every operation has.
    fn free(&self, rule: &OperationRule, denied: &[&DeniedOperation]) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        if denied.is_empty() {
            let declared = self.schema.operation(rule.action()).into_iter().flat_map(|(_, action)| &action.attributes);
            let required = declared.filter(|(_, attribute)| !attribute.optional);
            out.extend(required.map(|(name, _)| name.to_string()).filter(|name| !rule.attributes.contains_key(name)));
        }
        for (name, value) in denied.iter().flat_map(|operation| &operation.attributes) {
            match (rule.attributes.get(name), value) {
                // That there are no fields is nothing that a rule can say.
                (None, Value::Object(fields)) if fields.is_empty() => {}
                (None, _) => out.push(name.clone()),
                (Some(Wanted::Fields(wanted)), Value::Object(fields)) => {
                    let free = fields.keys().filter(|field| !wanted.contains_key(*field));
                    out.extend(free.map(|field| format!("{name}.{field}")));
                }
                (Some(_), _) => {}
            }
        }
        out.sort();
        out.dedup();
        out
    }
}

/// Each attribute, or field, with what the rule wants of it and what the denied operations had.
fn conditions<'a>(
    rule: &'a OperationRule,
    denied: &[&DeniedOperation],
) -> Vec<(String, &'a [ValuePattern], Vec<String>)> {
    let had =
        |name: &str| denied.iter().filter_map(|operation| operation.attributes.get(name)).collect::<Vec<&Value>>();
    let mut out = Vec::new();
    for (name, wanted) in &rule.attributes {
        match wanted {
            Wanted::OneOf(values) => {
                out.push((name.clone(), values.as_slice(), had(name).into_iter().flat_map(texts).collect()));
            }
            Wanted::Fields(fields) => out.extend(fields.iter().map(|(field, values)| {
                let had = had(name).into_iter().filter_map(|fields| fields.get(field));
                (format!("{name}.{field}"), values.as_slice(), had.flat_map(texts).collect())
            })),
        }
    }
    out
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        plain => vec![plain.to_string()],
    }
}

/// Short enough to stand in a sentence.
fn brief(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
