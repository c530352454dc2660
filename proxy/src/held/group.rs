//! All requests that wait for one answer.

use std::sync::Arc;

use narrowgate_core::decide::Layer;
use narrowgate_core::denial::DenialRecord;
use narrowgate_core::held::{HeldOutcome, HeldStatus};
use serde::Serialize;
use tokio::sync::{Mutex, OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::grant::Grant;
use super::{Prompt, Review, Source};
use crate::identity::Execution;
use crate::shared::Shared;

/// What a person is asked: who, and for what. Whatever differs is asked about separately.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    execution: Execution,
    binary: String,
    l7: bool,
    host: String,
    port: u16,
    method: Option<String>,
    path: Option<String>,
    /// In a plugin's words, as JSON.
    operations: String,
    actions: Vec<String>,
}

impl Question {
    pub(crate) fn of(execution: Execution, record: &DenialRecord) -> Question {
        Question {
            execution,
            binary: record.binary.clone(),
            l7: record.layer == Layer::L7,
            host: record.host.clone(),
            port: record.port,
            method: record.method.clone(),
            path: record.path.clone(),
            operations: serde_json::to_string(&record.operations).unwrap_or_default(),
            actions: record.operations.iter().map(|operation| operation.action.clone()).collect(),
        }
    }

    /// For people.
    pub(crate) fn what(&self) -> String {
        let Question { host, port, .. } = self;
        let what = match (&self.method, &self.path) {
            (Some(method), Some(path)) => format!("{method} {host}:{port}{path}"),
            _ => format!("CONNECT {host}:{port}"),
        };
        match self.actions.as_slice() {
            [] => what,
            actions => format!("{what} ({})", actions.join(", ")),
        }
    }
}

/// Those that wait for the answer to one question.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) question: Question,
    pub(crate) since: jiff::Timestamp,
    /// How many wait. Changed under the lock of all groups only.
    pub(super) seats: watch::Sender<usize>,
    /// Nobody waits any more.
    pub(super) abandoned: CancellationToken,
    state: watch::Sender<State>,
}

/// How far it is.
#[derive(Debug, Clone)]
pub(crate) enum State {
    /// The gateway was not reached yet.
    Asking,
    /// A person is asked.
    Waiting(Review),
    /// There is an answer, or none is to come.
    Settled(Arc<Settlement>),
}

/// An answer, for those that waited when it came.
#[derive(Debug)]
pub(crate) struct Settlement {
    pub(super) status: HeldStatus,
    pub(super) review: Review,
    /// With `session` and `always`: the version that has the rule.
    pub(super) version: Option<u64>,
    /// With `once`: what lets them through.
    pub(super) grant: Mutex<Grant>,
}

impl Settlement {
    /// What stands in for an answer where the policy in force came to allow it by itself.
    pub(super) fn by_policy(review: Option<Review>) -> Settlement {
        let none = Review { source: Source::Policy, held: None, answer: None, decided_by: None, message: None };
        let review = review.map_or(none, Review::by_policy);
        Settlement { status: HeldStatus::Always, review, version: None, grant: Mutex::new(Grant::new(None, None)) }
    }
}

impl Group {
    pub(super) fn new(question: Question) -> Group {
        Group {
            question,
            since: jiff::Timestamp::now(),
            seats: watch::Sender::new(0),
            abandoned: CancellationToken::new(),
            state: watch::Sender::new(State::Asking),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// A person is asked.
    pub(super) fn waiting(&self, outcome: &HeldOutcome) {
        self.state.send_replace(State::Waiting(Review::of(outcome)));
    }

    pub(super) fn settle(&self, outcome: HeldOutcome) {
        let (status, review, version) = (outcome.status, Review::of(&outcome), outcome.version);
        let grant = Mutex::new(Grant::new(outcome.held_id, outcome.grant));
        let settlement = Settlement { status, review, version, grant };
        self.state.send_replace(State::Settled(Arc::new(settlement)));
    }

    pub(super) fn prompt(&self, review: &Review) -> Prompt {
        let mention = review.held.clone();
        let (held_id, deadline) = mention.map(|held| (held.held_id, held.deadline)).unwrap_or_default();
        Prompt {
            held_id,
            pid: self.question.execution.pid,
            binary: self.question.binary.clone(),
            what: self.question.what(),
            deadline,
        }
    }

    pub(super) fn view(&self) -> View<'_> {
        let Question { host, port, method, path, binary, actions, execution, .. } = &self.question;
        let held = match &*self.state.borrow() {
            State::Waiting(review) => review.held.clone(),
            State::Asking | State::Settled(_) => None,
        };
        let (held_id, deadline) = held.map(|held| (held.held_id, held.deadline)).unzip();
        View {
            held_id,
            status: "waiting",
            since: self.since.to_string(),
            deadline,
            layer: if self.question.l7 { Layer::L7 } else { Layer::L4 },
            host,
            port: *port,
            method: method.as_deref(),
            path: path.as_deref(),
            operations: actions,
            binary,
            pid: execution.pid,
            requests: *self.seats.borrow(),
        }
    }
}

/// A waiting question, as the agent may see it.
#[derive(Debug, Serialize)]
pub(super) struct View<'a> {
    /// Absent while the gateway cannot be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_id: Option<String>,
    status: &'static str,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    layer: Layer,
    host: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    operations: &'a [String],
    binary: &'a str,
    pid: i32,
    /// How many requests wait for this answer.
    requests: usize,
}

/// One request's place in a group, for as long as it waits: also where the client goes, which drops what answers it.
pub(crate) struct Seat {
    group: Arc<Group>,
    shared: Arc<Shared>,
    _slot: OwnedSemaphorePermit,
}

impl Seat {
    pub(super) fn new(group: Arc<Group>, shared: Arc<Shared>, slot: OwnedSemaphorePermit) -> Seat {
        Seat { group, shared, _slot: slot }
    }

    pub(super) fn group(&self) -> &Arc<Group> {
        &self.group
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.held.leave(&self.group);
    }
}
