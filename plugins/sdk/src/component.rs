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

#[cfg(test)]
mod tests {
    use super::*;
    use wit::Guest;

    /// Says back what it was asked.
    struct Echo;

    impl Plugin for Echo {
        fn describe() -> Vocabulary {
            let action =
                Action::write("echo", "Says it back.").methods(&["POST"]).optional_integer("port", "The port.");
            Vocabulary::new("echo", "1.0.0", "An echo.")
                .host("x.example")
                .header("x-why")
                .body(&["POST"], 9)
                .action(action)
        }

        fn classify(request: &Request) -> crate::Result<Vec<Operation>> {
            let why = request.header_one("x-why")?.unwrap_or_default().to_owned();
            match why.as_str() {
                "not-understood" => return Err(Refusal::NotUnderstood(why)),
                "ambiguous" => return Err(Refusal::Ambiguous(why)),
                "needs-body" => return Err(Refusal::NeedsBody(why)),
                "malformed" => return Err(Refusal::Malformed(why)),
                _ => {}
            }
            let body = String::from_utf8_lossy(request.complete_body()?).into_owned();
            let operation = Operation::new("echo").text("body", body).integer("port", i64::from(request.port));
            let operation = operation.flag("https", request.scheme == "https").texts("path", request.segments.clone());
            Ok(vec![operation.fields("query", request.query.clone())])
        }

        fn example(suggestion: &Suggestion) -> Option<Request> {
            Some(Request::https("POST", "x.example").segment(suggestion.operation.text_of("body")?))
        }
    }

    #[test]
    fn requests_and_operations_cross_unchanged() {
        let asked = Request::https("POST", "x.example").segments_of("b/a").query("k", "v").body("hello");
        let said = Component::<Echo>::classify(request(asked.clone())).unwrap();
        let said: Vec<Operation> = said.into_iter().map(|said| from_operation(said).unwrap()).collect();
        assert_eq!(said, Echo::classify(&asked).unwrap());
        assert_eq!(said[0].integer_of("port"), Some(443));
        for body in [Body::Absent, Body::Complete(vec![1]), Body::Truncated(vec![2])] {
            let asked = Request { body, ..asked.clone() };
            assert_eq!(from_request(request(asked.clone())), asked);
        }
    }

    #[test]
    fn refusals_keep_their_kind() {
        for kind in ["not-understood", "ambiguous", "needs-body", "malformed"] {
            let asked = Request::https("POST", "x.example").header("x-why", kind);
            let said = match Component::<Echo>::classify(request(asked)).unwrap_err() {
                wit::Refusal::NotUnderstood(why) => ("not-understood", why),
                wit::Refusal::Ambiguous(why) => ("ambiguous", why),
                wit::Refusal::NeedsBody(why) => ("needs-body", why),
                wit::Refusal::Malformed(why) => ("malformed", why),
            };
            assert_eq!(said, (kind, kind.to_owned()));
        }
    }

    #[test]
    fn advice_and_vocabulary() {
        let said = Component::<Echo>::describe();
        assert_eq!((said.name.as_str(), said.actions[0].attributes[0].optional), ("echo", true));
        assert!(matches!(said.actions[0].group, wit::Group::Write));
        let denied = Operation::new("echo").text("body", "x").integer("port", -1);
        let asked = Request::https("POST", "x.example");
        let advice = Component::<Echo>::suggest(request(asked.clone()), vec![operation(denied.clone())]);
        assert_eq!(from_operation(advice[0].operation.clone()), Some(denied));
        let example = Component::<Echo>::example(advice[0].clone()).map(|example| example.path);
        assert_eq!(example.as_deref(), Some("/x"));
        let value = wit::Value::Integer("9223372036854775808".into());
        let beyond = wit::Operation { action: "echo".into(), attributes: vec![("port".into(), value)] };
        assert!(Component::<Echo>::suggest(request(asked), vec![beyond]).is_empty());
    }
}
