//! A [`Plugin`] as the generated bindings want it: what crosses the boundary, moved from their types to ours and back.
//! The compiler holds the two together: a case or a field that the world gains does not compile here.

use crate::bindings::exports::narrowgate::semantics::plugin as wit;
use crate::{
    Action, Attribute, Body, BodyNeed, DenialForm, Group, Kind, Operation, Plugin, Refusal, Request, Suggestion, Value,
    Vocabulary,
};
use core::marker::PhantomData;

/// What [`crate::export!`] exports.
#[doc(hidden)]
#[derive(Debug)]
pub struct Component<P>(PhantomData<P>);

impl<P: Plugin> wit::Guest for Component<P> {
    fn describe() -> wit::Vocabulary {
        vocabulary(P::describe())
    }

    fn classify(request: wit::Request) -> Result<Vec<wit::Operation>, wit::Refusal> {
        match P::classify(&from_request(request)) {
            Ok(operations) => Ok(operations.into_iter().map(operation).collect()),
            Err(why) => Err(refusal(why)),
        }
    }

    fn suggest(request: wit::Request, denied: Vec<wit::Operation>) -> Vec<wit::Suggestion> {
        let Some(denied) = denied.into_iter().map(from_operation).collect::<Option<Vec<_>>>() else {
            return Vec::new();
        };
        P::suggest(&from_request(request), &denied).into_iter().map(suggestion).collect()
    }

    fn example(suggestion: wit::Suggestion) -> Option<wit::Request> {
        let operation = from_operation(suggestion.operation)?;
        P::example(&Suggestion { operation, doc: suggestion.doc }).map(request)
    }
}

fn vocabulary(from: Vocabulary) -> wit::Vocabulary {
    let Vocabulary { name, version, doc, hosts, headers, body, denials, actions } = from;
    wit::Vocabulary {
        name,
        version,
        doc,
        hosts,
        headers,
        body: body.map(|BodyNeed { methods, limit }| wit::BodyNeed { methods, limit }),
        denials: match denials {
            DenialForm::Problem => wit::DenialForm::Problem,
            DenialForm::JsonRpc => wit::DenialForm::JsonRpc,
            DenialForm::Git => wit::DenialForm::Git,
        },
        actions: actions.into_iter().map(action).collect(),
    }
}

fn action(from: Action) -> wit::Action {
    let Action { name, group, methods, read_exemption, doc, attributes } = from;
    let group = match group {
        Group::Read => wit::Group::Read,
        Group::Write => wit::Group::Write,
        Group::Delete => wit::Group::Delete,
        Group::Admin => wit::Group::Admin,
    };
    wit::Action {
        name,
        group,
        methods,
        read_exemption,
        doc,
        attributes: attributes.into_iter().map(attribute).collect(),
    }
}

fn attribute(from: Attribute) -> wit::Attribute {
    let Attribute { name, kind, optional, doc } = from;
    let kind = match kind {
        Kind::Text => wit::Kind::Text,
        Kind::Integer => wit::Kind::Integer,
        Kind::Flag => wit::Kind::Flag,
        Kind::Texts => wit::Kind::Texts,
        Kind::Fields => wit::Kind::Fields,
    };
    wit::Attribute { name, kind, optional, doc }
}

fn request(from: Request) -> wit::Request {
    let Request { method, scheme, host, port, path, segments, query, headers, body } = from;
    let body = match body {
        Body::Absent => wit::Content::Absent,
        Body::Complete(bytes) => wit::Content::Complete(bytes),
        Body::Truncated(bytes) => wit::Content::Truncated(bytes),
    };
    wit::Request { method, scheme, host, port, path, segments, query, headers, body }
}

fn from_request(from: wit::Request) -> Request {
    let wit::Request { method, scheme, host, port, path, segments, query, headers, body } = from;
    let body = match body {
        wit::Content::Absent => Body::Absent,
        wit::Content::Complete(bytes) => Body::Complete(bytes),
        wit::Content::Truncated(bytes) => Body::Truncated(bytes),
    };
    Request { method, scheme, host, port, path, segments, query, headers, body }
}

fn operation(from: Operation) -> wit::Operation {
    let Operation { action, attributes } = from;
    let attributes = attributes.into_iter().map(|(name, held)| (name, value(held))).collect();
    wit::Operation { action, attributes }
}

fn value(from: Value) -> wit::Value {
    match from {
        Value::Text(text) => wit::Value::Text(text),
        Value::Integer(number) => wit::Value::Integer(number.to_string()),
        Value::Flag(flag) => wit::Value::Flag(flag),
        Value::Texts(texts) => wit::Value::Texts(texts),
        Value::Fields(fields) => wit::Value::Fields(fields),
    }
}

/// `None` where a whole number does not fit: then nothing can be said about the operation.
fn from_operation(from: wit::Operation) -> Option<Operation> {
    let wit::Operation { action, attributes } = from;
    let attributes =
        attributes.into_iter().map(|(name, held)| Some((name, from_value(held)?))).collect::<Option<_>>()?;
    Some(Operation { action, attributes })
}

fn from_value(from: wit::Value) -> Option<Value> {
    Some(match from {
        wit::Value::Text(text) => Value::Text(text),
        wit::Value::Integer(decimal) => Value::Integer(decimal.parse().ok()?),
        wit::Value::Flag(flag) => Value::Flag(flag),
        wit::Value::Texts(texts) => Value::Texts(texts),
        wit::Value::Fields(fields) => Value::Fields(fields),
    })
}

fn refusal(from: Refusal) -> wit::Refusal {
    match from {
        Refusal::NotUnderstood(why) => wit::Refusal::NotUnderstood(why),
        Refusal::Ambiguous(why) => wit::Refusal::Ambiguous(why),
        Refusal::NeedsBody(why) => wit::Refusal::NeedsBody(why),
        Refusal::Malformed(why) => wit::Refusal::Malformed(why),
    }
}

fn suggestion(from: Suggestion) -> wit::Suggestion {
    wit::Suggestion { operation: operation(from.operation), doc: from.doc }
}
