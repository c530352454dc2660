//! The first major of `narrowgate:semantics`, and how it is told and read.

use narrowgate_core::vocabulary::{
    ActionDeclaration, AttributeDeclaration, BodyNeed, DenialForm, Group, Kind, Label, LabelValue, Manifest,
};
use wasmtime::component::InstancePre;
use wasmtime::{Result, Store};

use super::run::Guest;
use crate::facts::{Body, Question};
use crate::failure::RefusalKind;

mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated from the WIT world")]
    wasmtime::component::bindgen!({
        path: "../schemas/wit",
        world: "semantics",
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

use bindings::SemanticsPre;
use bindings::exports::narrowgate::semantics::plugin as wit;

/// A component whose exports have been found to be of this major.
pub(super) struct Adapter(SemanticsPre<Guest>);

/// What `classify` answers.
pub(super) type Answer = std::result::Result<Vec<Label>, (RefusalKind, String)>;

/// What `suggest` answers with: a label whose texts may be globs, and a word for people.
pub(super) type Suggested = (Label, String);

/// What `example` answers with, before anything about it is known to make sense.
pub(super) struct Sketch {
    pub(super) method: String,
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
}

impl Adapter {
    pub(super) fn new(pre: InstancePre<Guest>) -> Result<Adapter> {
        Ok(Adapter(SemanticsPre::new(pre)?))
    }

    pub(super) fn describe(&self, store: &mut Store<Guest>) -> Result<Manifest> {
        let instance = self.0.instantiate(&mut *store)?;
        Ok(manifest(instance.narrowgate_semantics_plugin().call_describe(store)?))
    }

    pub(super) fn classify(&self, store: &mut Store<Guest>, question: &Question) -> Result<Answer> {
        let instance = self.0.instantiate(&mut *store)?;
        let answer = with_request(question, |request| {
            instance.narrowgate_semantics_plugin().call_classify(&mut *store, request)
        })?;
        Ok(match answer {
            Ok(operations) => Ok(operations.into_iter().map(label).collect()),
            Err(wit::Refusal::NotUnderstood(why)) => Err((RefusalKind::NotUnderstood, why)),
            Err(wit::Refusal::Ambiguous(why)) => Err((RefusalKind::Ambiguous, why)),
            Err(wit::Refusal::NeedsBody(why)) => Err((RefusalKind::NeedsBody, why)),
            Err(wit::Refusal::Malformed(why)) => Err((RefusalKind::Malformed, why)),
        })
    }

    pub(super) fn suggest(
        &self,
        store: &mut Store<Guest>,
        question: &Question,
        denied: &[Label],
    ) -> Result<Vec<Suggested>> {
        let instance = self.0.instantiate(&mut *store)?;
        let parts: Vec<Parts<'_>> = denied.iter().map(Parts::of).collect();
        let attributes: Vec<_> = parts.iter().map(Parts::attributes).collect();
        let denied: Vec<_> = denied
            .iter()
            .zip(&attributes)
            .map(|(label, attributes)| wit::OperationParam { action: &label.action, attributes })
            .collect();
        let suggestions = with_request(question, |request| {
            instance.narrowgate_semantics_plugin().call_suggest(&mut *store, request, &denied)
        })?;
        Ok(suggestions.into_iter().map(|suggestion| (label(suggestion.operation), suggestion.doc)).collect())
    }

    pub(super) fn example(&self, store: &mut Store<Guest>, operation: &Label) -> Result<Option<Sketch>> {
        let instance = self.0.instantiate(&mut *store)?;
        let parts = Parts::of(operation);
        let attributes = parts.attributes();
        let operation = wit::OperationParam { action: &operation.action, attributes: &attributes };
        let suggestion = wit::SuggestionParam { operation, doc: "" };
        let request = instance.narrowgate_semantics_plugin().call_example(store, suggestion)?;
        Ok(request.map(|request| Sketch {
            method: request.method,
            scheme: request.scheme,
            host: request.host,
            port: request.port,
            path: request.path,
            query: request.query,
            headers: request.headers,
            body: match request.body {
                wit::ContentResult::Absent => Body::Absent,
                wit::ContentResult::Complete(bytes) => Body::Complete(bytes.into()),
                wit::ContentResult::Truncated(bytes) => Body::Truncated(bytes.into()),
            },
        }))
    }
}

fn with_request<T>(question: &Question, call: impl FnOnce(wit::RequestParam<'_>) -> T) -> T {
    let segments: Vec<&str> = question.segments.iter().map(String::as_str).collect();
    let query: Vec<(&str, &str)> = question.target.query.pairs().collect();
    let headers: Vec<(&str, &str)> = question.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    call(wit::RequestParam {
        method: question.method.as_str(),
        scheme: question.scheme.as_str(),
        host: question.host.as_str(),
        port: question.port.get(),
        path: question.target.path.as_str(),
        segments: &segments,
        query: &query,
        headers: &headers,
        body: match &question.body {
            Body::Absent => wit::ContentParam::Absent,
            Body::Complete(bytes) => wit::ContentParam::Complete(bytes),
            Body::Truncated(bytes) => wit::ContentParam::Truncated(bytes),
        },
    })
}

/// The lists in a label's values, borrowed as the bindings want them.
struct Parts<'a>(Vec<(&'a str, Part<'a>)>);

enum Part<'a> {
    Text(&'a str),
    Integer(&'a str),
    Flag(bool),
    Texts(Vec<&'a str>),
    Fields(Vec<(&'a str, &'a str)>),
}

impl<'a> Parts<'a> {
    fn of(label: &'a Label) -> Parts<'a> {
        let part = |value: &'a LabelValue| match value {
            LabelValue::Text(text) => Part::Text(text),
            LabelValue::Integer(digits) => Part::Integer(digits),
            LabelValue::Flag(flag) => Part::Flag(*flag),
            LabelValue::Texts(texts) => Part::Texts(texts.iter().map(String::as_str).collect()),
            LabelValue::Fields(fields) => {
                Part::Fields(fields.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect())
            }
        };
        Parts(label.attributes.iter().map(|(name, value)| (name.as_str(), part(value))).collect())
    }

    fn attributes(&self) -> Vec<(&str, wit::ValueParam<'_>)> {
        self.0.iter().map(|(name, part)| (*name, part.value())).collect()
    }
}

impl Part<'_> {
    fn value(&self) -> wit::ValueParam<'_> {
        match self {
            Part::Text(text) => wit::ValueParam::Text(text),
            Part::Integer(digits) => wit::ValueParam::Integer(digits),
            Part::Flag(flag) => wit::ValueParam::Flag(*flag),
            Part::Texts(texts) => wit::ValueParam::Texts(texts),
            Part::Fields(fields) => wit::ValueParam::Fields(fields),
        }
    }
}

fn label(operation: wit::OperationResult) -> Label {
    let value = |value| match value {
        wit::ValueResult::Text(text) => LabelValue::Text(text),
        wit::ValueResult::Integer(digits) => LabelValue::Integer(digits),
        wit::ValueResult::Flag(flag) => LabelValue::Flag(flag),
        wit::ValueResult::Texts(texts) => LabelValue::Texts(texts),
        wit::ValueResult::Fields(fields) => LabelValue::Fields(fields),
    };
    let attributes = operation.attributes.into_iter().map(|(name, of)| (name, value(of))).collect();
    Label { action: operation.action, attributes }
}

fn manifest(vocabulary: wit::Vocabulary) -> Manifest {
    let wit::Vocabulary { name, version, doc, hosts, headers, body, denials, actions } = vocabulary;
    Manifest {
        name,
        version,
        doc,
        hosts,
        headers,
        body: body.map(|wit::BodyNeed { methods, limit }| BodyNeed { methods, limit }),
        denials: match denials {
            wit::DenialForm::Problem => DenialForm::Problem,
            wit::DenialForm::JsonRpc => DenialForm::JsonRpc,
            wit::DenialForm::Git => DenialForm::Git,
        },
        actions: actions.into_iter().map(action).collect(),
    }
}

fn action(action: wit::Action) -> ActionDeclaration {
    let wit::Action { name, group, methods, read_exemption, doc, attributes } = action;
    let group = match group {
        wit::Group::Read => Group::Read,
        wit::Group::Write => Group::Write,
        wit::Group::Delete => Group::Delete,
        wit::Group::Admin => Group::Admin,
    };
    let attributes = attributes.into_iter().map(attribute).collect();
    ActionDeclaration { name, group, methods, read_exemption, doc, attributes }
}

fn attribute(attribute: wit::Attribute) -> AttributeDeclaration {
    let wit::Attribute { name, kind, optional, doc } = attribute;
    let kind = match kind {
        wit::Kind::Text => Kind::Text,
        wit::Kind::Integer => Kind::Integer,
        wit::Kind::Flag => Kind::Flag,
        wit::Kind::Texts => Kind::Texts,
        wit::Kind::Fields => Kind::Fields,
    };
    AttributeDeclaration { name, kind, optional, doc }
}
