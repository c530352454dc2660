//! Advice: what a plugin would suggest, and what it shows as an example. Whatever makes no sense of it is dropped.

use std::future::Future;

use narrowgate_core::request::{
    CanonicalPath, Host as HostName, Method, PathOptions, Port, Query, Target, is_token_byte,
};
use narrowgate_core::vocabulary::{Kind, Label, LabelValue, MAX_OPERATIONS, MAX_TEXT, Meaning};

use super::plugin::{FUEL, Inner, Plugin, TICKS};
use super::run::run;
use super::v1::Sketch;
use crate::facts::{Body, Question, RequestFacts, Scheme};
use crate::failure::one_line;

/// What a plugin thinks would be worth asking for. Nothing about it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// An operation of declared action and attributes whose texts may be globs.
    pub operation: Label,
    /// For people, on one line.
    pub doc: String,
}

/// A request that the plugin reads as a given operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExampleRequest {
    /// Its method.
    pub method: Method,
    /// How it goes.
    pub scheme: Scheme,
    /// The host.
    pub host: HostName,
    /// The port.
    pub port: Port,
    /// Its canonical target.
    pub target: Target,
    /// Headers that it needs.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Body,
}

impl Plugin {
    /// What would be worth asking for instead. Advice: empty where the plugin fails, and without what is not declared.
    /// It takes up to 200 ms on this thread; see [`Plugin::suggest_async`].
    pub fn suggest(&self, facts: &RequestFacts<'_>, denied: &[Meaning]) -> Vec<Suggestion> {
        self.question(facts).map(|question| self.0.suggest(&question, denied)).unwrap_or_default()
    }

    /// [`Plugin::suggest`], by a worker.
    pub fn suggest_async(
        &self,
        facts: &RequestFacts<'_>,
        denied: Vec<Meaning>,
    ) -> impl Future<Output = Vec<Suggestion>> + Send + 'static {
        let question = self.question(facts);
        let plugin = self.clone();
        async move {
            let Ok(question) = question else { return Vec::new() };
            let inner = plugin.0.clone();
            plugin.0.workers.run(plugin.0.digest, move || inner.suggest(&question, &denied)).await.unwrap_or_default()
        }
    }

    /// A request that the plugin reads as this operation and nothing else; `None` where it knows none, where what it
    /// gives is no canonical request, or where it reads that request differently. Call it on a thread that may wait.
    pub fn example(&self, operation: &Label) -> Option<ExampleRequest> {
        let limits = self.0.limits(FUEL, TICKS);
        let ran = run(&self.0.engine, limits, |store| self.0.adapter.example(store, operation));
        let example = example(ran.value.ok()??)?;
        let headers = example.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let facts = RequestFacts {
            method: &example.method,
            scheme: example.scheme,
            host: &example.host,
            port: example.port,
            target: &example.target,
            headers,
            body: example.body.clone(),
        };
        let wanted = self.0.vocabulary.admit(&example.host, &example.method, operation.clone()).ok()?;
        (self.classify(&facts).ok()? == [wanted]).then_some(example)
    }
}

impl Inner {
    fn suggest(&self, question: &Question, denied: &[Meaning]) -> Vec<Suggestion> {
        let denied: Vec<Label> = denied.iter().map(Meaning::label).collect();
        let ran = run(&self.engine, self.full(question), |store| self.adapter.suggest(store, question, &denied));
        let suggested = ran.value.unwrap_or_default().into_iter();
        let declared = suggested.filter(|(label, _)| self.is_declared(label)).take(MAX_OPERATIONS);
        declared.map(|(operation, doc)| Suggestion { operation, doc: one_line(&doc) }).collect()
    }

    /// Whether every word of a suggestion is the vocabulary's.
    fn is_declared(&self, label: &Label) -> bool {
        let Some(action) = self.vocabulary.actions().get(label.action.as_str()) else { return false };
        let is_plain = |text: &String| text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
        label.attributes.len() <= action.attributes.len()
            && label.attributes.iter().all(|(name, value)| {
                let kind = action.attributes.get(name.as_str()).map(|attribute| attribute.kind);
                match value {
                    LabelValue::Text(text) => kind == Some(Kind::Text) && is_plain(text),
                    LabelValue::Integer(digits) => kind == Some(Kind::Integer) && digits.parse::<i64>().is_ok(),
                    LabelValue::Flag(_) => kind == Some(Kind::Flag),
                    LabelValue::Texts(texts) => kind == Some(Kind::Texts) && texts.iter().all(is_plain),
                    LabelValue::Fields(fields) => {
                        kind == Some(Kind::Fields) && fields.iter().all(|(name, text)| is_plain(name) && is_plain(text))
                    }
                }
            })
    }
}

/// What the sketch says, read as any request is.
fn example(sketch: Sketch) -> Option<ExampleRequest> {
    let scheme = match sketch.scheme.as_str() {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => return None,
    };
    // An example may need what only some endpoints allow.
    let options = PathOptions { allow_encoded_slash: true, ..PathOptions::default() };
    let query = sketch.query.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let target =
        Target { path: CanonicalPath::parse(&sketch.path, &options).ok()?, query: Query::from_pairs(query).ok()? };
    let is_header = |(name, value): &(String, String)| {
        let is_name = |b: u8| is_token_byte(b) && !b.is_ascii_uppercase();
        !name.is_empty() && name.bytes().all(is_name) && !value.chars().any(char::is_control)
    };
    sketch.headers.iter().all(is_header).then_some(())?;
    Some(ExampleRequest {
        method: Method::parse(&sketch.method).ok()?,
        scheme,
        host: HostName::parse(&sketch.host).ok()?,
        port: Port::new(sketch.port)?,
        target,
        headers: sketch.headers,
        body: sketch.body,
    })
}
