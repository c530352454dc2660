//! Advice: what would be worth asking for, and a request for an operation.

use crate::GitHub;
use crate::attributes::{Attribute, Form};
use crate::pattern::Part;
use crate::route::{From, Route, Row};
use crate::topics;
use narrowgate_plugin::{Operation, Request, Suggestion, Value, is_read_as, quoted, sample};

/// The operation itself, and what a task usually goes on to need: the folder, every number.
pub(crate) fn suggestions(denied: &Operation) -> Vec<Suggestion> {
    let mut suggestions = vec![Suggestion::new(denied.clone(), "Exactly what was denied.")];
    if let Some((folder, _)) = denied.text_of("path").and_then(|path| path.rsplit_once('/')) {
        let operation = denied.clone().replaced("path", format!("{folder}/**"));
        suggestions.push(Suggestion::new(operation, "Everything in that folder."));
    }
    for name in ["number", "id", "sha"] {
        if denied.value(name).is_some() {
            suggestions.push(Suggestion::new(denied.clone().without(name), "The same for every one of them."));
        }
    }
    suggestions
}

/// A request of the first route that has all of the operation's attributes; what the operation leaves open is filled in.
/// None where that would not be read as what was asked for.
pub(crate) fn example(operation: &Operation) -> Option<Request> {
    topics::routes()
        .filter(|route| route.row.action == operation.action)
        .filter_map(|route| route.example(operation))
        .find(|request| is_read_as::<GitHub>(request, operation))
}

impl Route {
    pub(crate) fn example(self, operation: &Operation) -> Option<Request> {
        let has = |name: &String| self.attributes().any(|(attribute, _)| attribute.name == name);
        if !operation.attributes.iter().all(|(name, _)| has(name)) {
            return None;
        }
        let mut request = Request::https(self.row.method, self.section.host);
        for part in self.parts() {
            request = match part {
                Part::Fixed("") => request,
                Part::Fixed(fixed) => request.segment(fixed),
                Part::One(attribute) => request.segment(&text(attribute, operation)?),
                Part::Rest(attribute) => match text(attribute, operation)?.trim_start_matches("refs/") {
                    "" => request,
                    path => request.segments_of(path),
                },
            };
        }
        self.row.fill_extras(request, operation)
    }
}

impl Row {
    fn fill_extras(&self, mut request: Request, operation: &Operation) -> Option<Request> {
        let mut members = Vec::new();
        for extra in self.extras {
            if extra.optional && operation.value(extra.attribute.name).is_none() {
                continue;
            }
            match extra.from {
                From::Query(key) => request = request.query(key, &text(extra.attribute, operation)?),
                From::Body(member) => members.push(format!("{}:{}", quoted(member), json(extra.attribute, operation)?)),
            }
        }
        if self.extras.iter().any(|extra| matches!(extra.from, From::Body(_))) {
            request = request.header("content-type", "application/json").body(format!("{{{}}}", members.join(",")));
        }
        Some(request)
    }
}

fn text(attribute: &Attribute, operation: &Operation) -> Option<String> {
    match operation.value(attribute.name) {
        Some(Value::Text(glob)) => Some(sample(glob)),
        Some(Value::Integer(number)) => Some(number.to_string()),
        Some(Value::Flag(_) | Value::Texts(_) | Value::Fields(_)) => None,
        None => Some(filled_in(attribute.form).to_owned()),
    }
}

fn filled_in(form: Form) -> &'static str {
    match form {
        Form::Integer => "1",
        Form::Flag => "false",
        Form::Reference => "refs/heads/example",
        Form::Name | Form::Text | Form::Path | Form::Ref => "example",
    }
}

fn json(attribute: &Attribute, operation: &Operation) -> Option<String> {
    match (operation.value(attribute.name), attribute.form) {
        (Some(Value::Flag(flag)), _) => Some(flag.to_string()),
        (_, Form::Integer | Form::Flag) => text(attribute, operation),
        _ => text(attribute, operation).map(|text| quoted(&text)),
    }
}
