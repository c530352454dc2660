//! A loaded plugin, and what can be asked of it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use narrowgate_core::digest::Digest;
use narrowgate_core::request::{
    CanonicalPath, Host as HostName, Method, PathOptions, Port, Query, Target, is_token_byte,
};
use narrowgate_core::vocabulary::{
    Kind, Label, LabelValue, MAX_OPERATIONS, MAX_TEXT, Meaning, PluginName, Value, Vocabulary,
};
use wasmtime::Engine;

use super::Host;
use super::load::Compiled;
use super::run::{Limits, run};
use super::v1::{Adapter, Sketch};
use super::workers::Workers;
use crate::facts::{Body, Question, RequestFacts, Scheme};
use crate::failure::{Cause, PluginFailure, one_line};
use crate::file::PluginFile;

/// Fuel of a call, and what each byte of body adds to it.
const FUEL: u64 = 5_000_000;
const FUEL_A_BYTE: u64 = 500;
/// The deadline of a call, in ticks.
const TICKS: u64 = 20;
/// What the host copies out of an answer, in bytes.
const OUTPUT: usize = 256 * 1024;

/// What a call may use on the caller's own thread: some tens of microseconds. Whatever needs more is asked again, by a
/// worker, which is as good: a fresh instance answers the same.
const INLINE_FUEL: u64 = 100_000;
const INLINE_TICKS: u64 = 2;
/// Bodies of more bytes than this go to a worker at once.
const INLINE_BODY: usize = 16 * 1024;
/// A plugin that was too slow for its caller's thread so many times is no longer run there.
const STRIKES: u32 = 8;

/// A plugin whose vocabulary is known to be the one in its file. Cheap to clone.
#[derive(Clone)]
pub struct Plugin(Arc<Inner>);

struct Inner {
    engine: Engine,
    workers: Arc<Workers>,
    adapter: Adapter,
    vocabulary: Arc<Vocabulary>,
    digest: Digest,
    memory: usize,
    compiled: Compiled,
    strikes: AtomicU32,
}

/// What a request means, and what it cost to say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified {
    /// The operations, in the plugin's order, without repeats; at least one. Every one must be permitted.
    pub operations: Vec<Meaning>,
    /// In units of fuel: the same for the same request on every machine.
    pub fuel: u64,
}

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
    pub(super) fn new(host: &Host, file: &PluginFile, adapter: Adapter, memory: usize, compiled: Compiled) -> Plugin {
        Plugin(Arc::new(Inner {
            engine: host.engine.clone(),
            workers: host.workers.clone(),
            adapter,
            vocabulary: file.vocabulary().clone(),
            digest: file.digest(),
            memory,
            compiled,
            strikes: AtomicU32::new(0),
        }))
    }

    /// Its name.
    pub fn name(&self) -> &PluginName {
        self.0.vocabulary.name()
    }

    /// The SHA-256 of its component.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// What it may say.
    pub fn vocabulary(&self) -> &Arc<Vocabulary> {
        &self.0.vocabulary
    }

    /// Where its machine code came from.
    pub fn compiled(&self) -> &Compiled {
        &self.0.compiled
    }

    /// Asks what a request means, on this thread, which may take up to 200 ms. See [`Plugin::classify_async`] for
    /// threads that have something else to do.
    ///
    /// # Errors
    /// Whatever keeps the plugin from giving one answer that its vocabulary admits.
    pub fn classify(&self, facts: &RequestFacts<'_>) -> Result<Vec<Meaning>, PluginFailure> {
        self.measure(facts).map(|classified| classified.operations)
    }

    /// [`Plugin::classify`], with what it cost.
    ///
    /// # Errors
    /// As [`Plugin::classify`].
    pub fn measure(&self, facts: &RequestFacts<'_>) -> Result<Classified, PluginFailure> {
        let question = self.question(facts)?;
        self.0.ask(&question, self.0.full(&question)).map_err(|cause| self.failure(cause))
    }

    /// [`Plugin::classify`] for threads that serve others: what takes more than some tens of microseconds is done by a
    /// worker of lower priority. Nothing runs before the first poll.
    pub fn classify_async(
        &self,
        facts: &RequestFacts<'_>,
    ) -> impl Future<Output = Result<Vec<Meaning>, PluginFailure>> + Send + 'static {
        let question = self.question(facts);
        let plugin = self.clone();
        async move {
            let question = question?;
            let classified = plugin.ask_politely(question).await.map_err(|cause| plugin.failure(cause))?;
            Ok(classified.operations)
        }
    }

    /// What would be worth asking for instead. Advice: empty where the plugin fails, and without what is not declared.
    /// Call it on a thread that may wait.
    pub fn suggest(&self, facts: &RequestFacts<'_>, denied: &[Meaning]) -> Vec<Suggestion> {
        let Ok(question) = self.question(facts) else { return Vec::new() };
        let denied: Vec<Label> = denied.iter().map(|meaning| self.0.label(meaning)).collect();
        let limits = self.0.full(&question);
        let ran = run(&self.0.engine, limits, |store| self.0.adapter.suggest(store, &question, &denied));
        let suggested = ran.map(|ran| ran.value).unwrap_or_default();
        let declared = suggested.into_iter().filter(|(label, _)| self.0.is_declared(label));
        declared.take(MAX_OPERATIONS).map(|(operation, doc)| Suggestion { operation, doc: one_line(&doc) }).collect()
    }

    /// A request that the plugin reads as this operation and nothing else; `None` where it knows none, where what it
    /// gives is no canonical request, or where it reads that request differently. Call it on a thread that may wait.
    pub fn example(&self, operation: &Label) -> Option<ExampleRequest> {
        let limits = self.0.limits(FUEL, TICKS);
        let ran = run(&self.0.engine, limits, |store| self.0.adapter.example(store, operation)).ok()?;
        let example = example(ran.value?)?;
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

    fn question(&self, facts: &RequestFacts<'_>) -> Result<Question, PluginFailure> {
        Question::new(&self.0.vocabulary, facts).map_err(|cause| self.failure(cause))
    }

    async fn ask_politely(&self, question: Question) -> Result<Classified, Cause> {
        let inner = &self.0;
        if question.body.bytes().len() <= INLINE_BODY && inner.strikes.load(Ordering::Relaxed) < STRIKES {
            match inner.ask(&question, inner.limits(INLINE_FUEL, INLINE_TICKS)) {
                Err(Cause::Fuel(_)) => inner.strike(1),
                // One of these may have cost the caller's thread two ticks.
                Err(Cause::Deadline(_)) => inner.strike(STRIKES),
                answer => {
                    inner.pardon();
                    return answer;
                }
            }
        }
        let plugin = self.clone();
        let job = move || {
            let answer = plugin.0.ask(&question, plugin.0.full(&question));
            if matches!(&answer, Ok(classified) if classified.fuel <= INLINE_FUEL) {
                plugin.0.pardon();
            }
            answer
        };
        inner.workers.run(inner.digest, job).await.unwrap_or(Err(Cause::Busy))
    }

    fn failure(&self, cause: Cause) -> PluginFailure {
        PluginFailure { plugin: self.name().clone(), digest: self.0.digest, cause }
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plugin({}@{})", self.name(), self.0.digest)
    }
}

impl Inner {
    fn limits(&self, fuel: u64, ticks: u64) -> Limits {
        Limits { fuel, ticks, memory: self.memory, output: OUTPUT }
    }

    fn full(&self, question: &Question) -> Limits {
        self.limits(FUEL + FUEL_A_BYTE * question.body.bytes().len() as u64, TICKS)
    }

    fn ask(&self, question: &Question, limits: Limits) -> Result<Classified, Cause> {
        let ran = run(&self.engine, limits, |store| self.adapter.classify(store, question))?;
        let labels = match ran.value {
            Ok(labels) => labels,
            Err((kind, detail)) => return Err(Cause::Refused { kind, detail: one_line(&detail) }),
        };
        if labels.len() > MAX_OPERATIONS {
            return Err(Cause::TooManyOperations(labels.len()));
        }
        let mut operations = Vec::with_capacity(labels.len());
        for label in labels {
            let admitted = self.vocabulary.admit(&question.host, &question.method, label);
            let meaning = admitted.map_err(Cause::NotAdmitted)?;
            if !operations.contains(&meaning) {
                operations.push(meaning);
            }
        }
        match operations.is_empty() {
            true => Err(Cause::NoOperation),
            false => Ok(Classified { operations, fuel: ran.fuel }),
        }
    }

    fn label(&self, meaning: &Meaning) -> Label {
        let prefix = self.vocabulary.name().as_str().len() + "::".len();
        let action = meaning.action().get(prefix..).unwrap_or_default().to_owned();
        let attributes = meaning.attributes().iter().map(|(name, value)| (name.to_string(), label_value(value)));
        Label { action, attributes: attributes.collect() }
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

    fn strike(&self, times: u32) {
        self.strikes.fetch_add(times, Ordering::Relaxed);
    }

    fn pardon(&self) {
        let less = |strikes: u32| Some(strikes.min(STRIKES).saturating_sub(1));
        // It never fails: the closure always has a value.
        let _ = self.strikes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

fn label_value(value: &Value) -> LabelValue {
    match value {
        Value::Text(text) => LabelValue::Text(text.clone()),
        Value::Integer(number) => LabelValue::Integer(number.to_string()),
        Value::Flag(flag) => LabelValue::Flag(*flag),
        Value::Texts(texts) => LabelValue::Texts(texts.iter().cloned().collect()),
        Value::Fields(fields) => {
            LabelValue::Fields(fields.iter().map(|(name, text)| (name.clone(), text.clone())).collect())
        }
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
