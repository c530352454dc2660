//! A loaded plugin, and what can be asked of it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use narrowgate_core::digest::Digest;
use narrowgate_core::request::Method;
use narrowgate_core::vocabulary::{Label, MAX_OPERATIONS, Meaning, PluginName, Vocabulary};
use wasmtime::Engine;

use super::Host;
use super::load::Compiled;
use super::run::{Limits, Ran, run};
use super::v1::Adapter;
use super::workers::Workers;
use crate::facts::{Body, Question, RequestFacts};
use crate::failure::{Cause, PluginFailure, one_line};
use crate::file::PluginFile;
use crate::inflate::inflate;

/// Fuel of a call, and what each byte of body adds to it.
pub(super) const FUEL: u64 = 5_000_000;
const FUEL_A_BYTE: u64 = 500;
/// The deadline of a call, in ticks.
pub(super) const TICKS: u64 = 20;
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
pub struct Plugin(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) engine: Engine,
    pub(super) workers: Arc<Workers>,
    pub(super) adapter: Adapter,
    pub(super) vocabulary: Arc<Vocabulary>,
    pub(super) digest: Digest,
    memory: usize,
    compiled: Compiled,
    strikes: AtomicU32,
}

/// What a request means, and what it cost to say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified {
    /// The operations, in the plugin's order, without repeats; at least one. Every one must be permitted.
    pub operations: Result<Vec<Meaning>, PluginFailure>,
    /// In units of fuel: the same for the same request on every machine. None where the plugin was not asked.
    pub fuel: u64,
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

    /// What the plugin is shown of a request's body: `wire` without its content encoding, up to the limit in the
    /// vocabulary. `encodings` are the values of all `content-encoding` headers. Where the vocabulary wants no body, it is
    /// not looked at.
    ///
    /// # Errors
    /// [`Cause::Body`], for what [`crate::inflate`] does not read.
    pub fn read_body(&self, method: &Method, encodings: &[&str], wire: Body) -> Result<Body, PluginFailure> {
        match self.0.vocabulary.body_limit(method) {
            Some(limit) => inflate(encodings, wire, limit).map_err(|error| self.failure(Cause::Body(error))),
            None => Ok(wire.up_to(0)),
        }
    }

    /// Asks what a request means, on this thread, which may take up to 200 ms. See [`Plugin::classify_async`] for
    /// threads that have something else to do.
    ///
    /// # Errors
    /// Whatever keeps the plugin from giving one answer that its vocabulary admits.
    pub fn classify(&self, facts: &RequestFacts<'_>) -> Result<Vec<Meaning>, PluginFailure> {
        self.measure(facts).operations
    }

    /// [`Plugin::classify`], with what it cost.
    pub fn measure(&self, facts: &RequestFacts<'_>) -> Classified {
        match self.question(facts) {
            Ok(question) => {
                let Ran { value, fuel } = self.0.ask(&question, self.0.full(&question));
                Classified { operations: value.map_err(|cause| self.failure(cause)), fuel }
            }
            Err(failure) => Classified { operations: Err(failure), fuel: 0 },
        }
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
            plugin.ask_politely(question).await.map_err(|cause| plugin.failure(cause))
        }
    }

    pub(super) fn question(&self, facts: &RequestFacts<'_>) -> Result<Question, PluginFailure> {
        Question::new(&self.0.vocabulary, facts).map_err(|cause| self.failure(cause))
    }

    async fn ask_politely(&self, question: Question) -> Result<Vec<Meaning>, Cause> {
        let inner = &self.0;
        if question.body.bytes().len() <= INLINE_BODY && inner.strikes.load(Ordering::Relaxed) < STRIKES {
            match inner.ask(&question, inner.limits(INLINE_FUEL, INLINE_TICKS)).value {
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
            let ran = plugin.0.ask(&question, plugin.0.full(&question));
            if ran.fuel <= INLINE_FUEL {
                plugin.0.pardon();
            }
            ran.value
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
    pub(super) fn limits(&self, fuel: u64, ticks: u64) -> Limits {
        Limits { fuel, ticks, memory: self.memory, output: OUTPUT }
    }

    pub(super) fn full(&self, question: &Question) -> Limits {
        self.limits(FUEL + FUEL_A_BYTE * question.body.bytes().len() as u64, TICKS)
    }

    fn ask(&self, question: &Question, limits: Limits) -> Ran<Vec<Meaning>> {
        let Ran { value, fuel } = run(&self.engine, limits, |store| self.adapter.classify(store, question));
        let value = value.and_then(|answer| match answer {
            Ok(labels) => self.admit(question, labels),
            Err((kind, detail)) => Err(Cause::Refused { kind, detail: one_line(&detail) }),
        });
        Ran { value, fuel }
    }

    fn admit(&self, question: &Question, labels: Vec<Label>) -> Result<Vec<Meaning>, Cause> {
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
            false => Ok(operations),
        }
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
