//! From a document to what it asks for: the root fields of the operation that runs, by their own names, with the values
//! that their arguments will have.

use std::collections::BTreeSet;

use narrowgate_plugin::arguments::{Argument, Arguments};
use narrowgate_plugin::{MOST_OPERATIONS, Operation, Refusal, Result};

use crate::document::{self, Document, Kind, Selection, Value};
use crate::envelope::Envelope;

/// One operation for each root field.
pub(crate) fn of(envelope: &Envelope, endpoint: &str) -> Result<Vec<Operation>> {
    let document = document::parse(&envelope.document)?;
    let running = running(&document, envelope.operation_name.as_deref())?;
    let action = match running.kind {
        Kind::Mutation if envelope.safe => return Err(Refusal::malformed("a mutation comes in a POST")),
        Kind::Query => "query",
        Kind::Mutation => "mutation",
        Kind::Subscription => "subscription",
    };
    let mut fields = Vec::new();
    root_fields(&document, &running.root, &mut BTreeSet::new(), &mut fields)?;
    if fields.len() > MOST_OPERATIONS {
        return Err(Refusal::not_understood(format!(
            "the document has more than {MOST_OPERATIONS} root fields: ask for fewer"
        )));
    }
    fields
        .into_iter()
        .map(|(field, arguments)| {
            let arguments = resolve(arguments, running, envelope)?;
            Ok(Operation::new(action)
                .text("endpoint", endpoint)
                .optional_text("operation_name", running.name)
                .text("field", field)
                .fields("arguments", arguments.fields)
                .texts("structured", arguments.structured))
        })
        .collect()
}

/// The operation that is named, or the only one.
fn running<'d, 'a>(document: &'d Document<'a>, name: Option<&str>) -> Result<&'d document::Operation<'a>> {
    match (name, document.operations.as_slice()) {
        (Some(name), operations) => operations
            .iter()
            .find(|operation| operation.name == Some(name))
            .ok_or_else(|| Refusal::malformed("the document has no operation of the name `operationName`")),
        (None, [only]) => Ok(only),
        (None, _) => {
            Err(Refusal::ambiguous("the document has several operations: `operationName` says which is meant"))
        }
    }
}

type Field<'d, 'a> = (&'a str, &'d [(&'a str, Value<'a>)]);

/// Fields of fragments too, whatever the type that those are for. A fragment that is spread twice asks for nothing more,
/// and following it once keeps this linear.
fn root_fields<'d, 'a>(
    document: &'d Document<'a>,
    selections: &'d [Selection<'a>],
    spread: &mut BTreeSet<&'a str>,
    fields: &mut Vec<Field<'d, 'a>>,
) -> Result<()> {
    for selection in selections {
        match selection {
            Selection::Field(name, arguments) => fields.push((name, arguments)),
            Selection::Inline(selections) => root_fields(document, selections, spread, fields)?,
            Selection::Spread(name) => {
                let fragment = document.fragments.get(name).ok_or_else(|| document::no_fragment(name))?;
                if spread.insert(name) {
                    root_fields(document, &fragment.root, spread, fields)?;
                }
            }
        }
    }
    Ok(())
}

fn resolve(given: &[(&str, Value)], running: &document::Operation, envelope: &Envelope) -> Result<Arguments> {
    let mut arguments = Arguments::default();
    for (name, value) in given {
        let argument = match value {
            Value::Variable(variable) => variable_value(variable, running, envelope)?,
            value => Some(literal(value)?),
        };
        // A variable without value and default is as good as no argument.
        if let Some(argument) = argument {
            arguments.add(name, argument)?;
        }
    }
    Ok(arguments)
}

fn variable_value(name: &str, running: &document::Operation, envelope: &Envelope) -> Result<Option<Argument>> {
    let Some(default) = running.variables.get(name) else {
        return Err(Refusal::malformed(format!("the operation has no variable `{name}`")));
    };
    match envelope.variables.get(name) {
        Some(value) => Argument::json(value).map(Some),
        None => default.as_ref().map(literal).transpose(),
    }
}

fn literal(value: &Value) -> Result<Argument> {
    match value {
        Value::Number(number) => Argument::number(*number),
        Value::Text(text) => Ok(Argument::text(text)),
        Value::Name(name) => Ok(Argument::text(name)),
        // A variable is no default: the grammar has none there.
        Value::Structured | Value::Variable(_) => Ok(Argument::Structured),
    }
}
