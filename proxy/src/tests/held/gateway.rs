//! The gateway's side of held requests, over real HTTP: what was asked, what was taken back, and answers at will.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use narrowgate_core::held::{HeldOutcome, HeldStatus, Hold, Session};
use narrowgate_core::wire::{Bundle, KeyView, Keys};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::GatewayClient;
use crate::tests::bundles::Signer;

#[derive(Default)]
pub(super) struct State {
    /// By id, in the order in which they were asked.
    pub(super) questions: BTreeMap<String, Question>,
    pub(super) sessions: Vec<Option<String>>,
    /// Those that were said to be over.
    pub(super) ended: Vec<String>,
    /// Sessions that ended, and those that did not so far.
    pub(super) over: BTreeSet<String>,
    pub(super) live: BTreeSet<String>,
    /// Connections that are open.
    pub(super) connections: usize,
    /// Takes no calls but closes the connection.
    pub(super) down: bool,
    /// What new questions are answered at once.
    pub(super) at_once: Option<HeldOutcome>,
    pub(super) posts: usize,
    pub(super) fetches: usize,
    bundle: Option<Bundle>,
    given: bool,
}

pub(super) struct Question {
    pub(super) hold: Hold,
    pub(super) outcome: HeldOutcome,
    pub(super) taken_back: bool,
    /// How many requests waited for it, each time that another number was told; also when it was taken back.
    pub(super) requests: Vec<u32>,
    /// Long polls of it that are under way.
    pub(super) polls: usize,
    /// The most at once.
    pub(super) most_polls: usize,
    /// What is put in the place of the outcome at the next look but one: a policy that moved on.
    pub(super) then: Option<HeldOutcome>,
}

pub(super) struct Gateway {
    pub(super) signer: Signer,
    pub(super) client: GatewayClient,
    state: Arc<Mutex<State>>,
}

impl Gateway {
    pub(super) async fn start() -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = GatewayClient::new(&format!("http://{}", listener.local_addr().unwrap()), "t0ken").unwrap();
        let signer = Signer::new(1);
        let key = KeyView::of(&signer.key().into());
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if shared.lock().unwrap().down {
                    continue;
                }
                let (state, state_of, key) = (shared.clone(), shared.clone(), key.clone());
                let service = service_fn(move |request| answer(state.clone(), key.clone(), request));
                tokio::spawn(async move {
                    state_of.lock().unwrap().connections += 1;
                    let serving = hyper::server::conn::http1::Builder::new();
                    let _ = serving.serve_connection(TokioIo::new(stream), service).await;
                    state_of.lock().unwrap().connections -= 1;
                });
            }
        });
        Gateway { signer, client, state }
    }

    pub(super) fn set<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    pub(super) fn serve(&self, policy: &str, version: u64) {
        let bundle = self.signer.bundle(policy, version);
        self.set(|state| (state.bundle, state.given) = (Some(bundle), false));
    }

    /// The ids of all questions, once there are `count`.
    pub(super) async fn asked(&self, count: usize) -> Vec<String> {
        // The first that asks has its executable hashed, which is large here.
        for _ in 0..2000 {
            let ids: Vec<String> = self.set(|state| state.questions.keys().cloned().collect());
            assert!(ids.len() <= count, "{ids:?}, and not {count}");
            if ids.len() == count {
                return ids;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not {count} questions within 20 seconds");
    }

    /// Waits until the question was taken back.
    pub(super) async fn taken_back(&self, id: &str) {
        for _ in 0..500 {
            if self.set(|state| state.questions[id].taken_back) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{id} is not taken back within 5 seconds");
    }

    pub(super) fn hold(&self, id: &str) -> Hold {
        self.set(|state| state.questions[id].hold.clone())
    }

    /// Answers question `id`.
    pub(super) fn answer(&self, id: &str, status: HeldStatus, change: impl FnOnce(&mut HeldOutcome)) {
        self.set(|state| {
            let outcome = &mut state.questions.get_mut(id).unwrap().outcome;
            (outcome.status, outcome.decided_by) = (status, Some("rita".to_owned()));
            outcome.message = Some("looks right".to_owned());
            change(outcome);
        });
    }

    /// Lets question `id` through once, by `policy`.
    pub(super) fn once(&self, id: &str, policy: &str, version: u64) {
        let grant = self.grant(id, policy, version);
        self.answer(id, HeldStatus::Once, |outcome| outcome.grant = Some(grant));
    }

    pub(super) fn grant(&self, id: &str, policy: &str, version: u64) -> Bundle {
        self.signer.certify(policy, version, |proven| {
            proven.held = Some(id.to_owned());
            proven.expires_at = Some(crate::shared::now() + 3600);
        })
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    key: KeyView,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let number =
        |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
    let (wait, requests): (u32, Option<u32>) = (number("wait").unwrap_or(0), number("requests"));
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let segments: Vec<&str> = path.split('/').skip(2).collect();
    let _poll = Poll::of(&state, &method, &segments, requests);
    let mut answered = None;
    for look in 0..=wait * 100 {
        let last = look == wait * 100;
        answered = state.lock().unwrap().answer(&method, &segments, &key, &body, last);
        if answered.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (status, body) = answered.unwrap();
    let mut response = Response::new(Full::from(if body.is_null() { String::new() } else { body.to_string() }));
    *response.status_mut() = status;
    Ok(response)
}

/// A call about a question, for as long as it goes on: its client may go away in the middle.
struct Poll(Arc<Mutex<State>>, Option<String>);

impl Poll {
    fn of(state: &Arc<Mutex<State>>, method: &Method, segments: &[&str], requests: Option<u32>) -> Poll {
        let mut id = None;
        if let ["sandboxes", "box", "held", named] = segments {
            let mut state = state.lock().unwrap();
            let question = state.questions.get_mut(*named).unwrap();
            question.requests.extend(requests.filter(|now| question.requests.last() != Some(now)));
            if *method == Method::GET {
                question.polls += 1;
                question.most_polls = question.most_polls.max(question.polls);
                id = Some((*named).to_owned());
            }
        }
        Poll(state.clone(), id)
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        if let Some(id) = &self.1 {
            self.0.lock().unwrap().questions.get_mut(id).unwrap().polls -= 1;
        }
    }
}

impl State {
    /// What is answered now; `None` where a long poll goes on, which it does not at its `last` look.
    fn answer(
        &mut self,
        method: &Method,
        segments: &[&str],
        key: &KeyView,
        body: &[u8],
        last: bool,
    ) -> Option<(StatusCode, Value)> {
        if self.down {
            return Some((StatusCode::BAD_GATEWAY, Value::Null));
        }
        match (method, segments) {
            (&Method::GET, ["keys"]) => {
                let keys = Keys { keys: vec![key.clone()], sequence: 0, sets: Vec::new() };
                Some((StatusCode::OK, json!(keys)))
            }
            (&Method::GET, ["sandboxes", "box", "bundle"]) => match &self.bundle {
                // A version after the one that there is, is what every poll but the first asks for.
                Some(bundle) if !std::mem::replace(&mut self.given, true) => Some((StatusCode::OK, json!(bundle))),
                _ => last.then_some((StatusCode::NO_CONTENT, Value::Null)),
            },
            (&Method::PUT, ["sandboxes", "box", "session"]) => {
                let session: Session = serde_json::from_slice(body).unwrap();
                if let Some(ended) = session.ended {
                    self.sessions.push(None);
                    self.ends(&ended);
                    return Some((StatusCode::NO_CONTENT, Value::Null));
                }
                Some(match self.begins(session.session) {
                    true => (StatusCode::NO_CONTENT, Value::Null),
                    false => (StatusCode::CONFLICT, json!({"error": "session_ended", "message": "it is over"})),
                })
            }
            (&Method::POST, ["sandboxes", "box", "held"]) => {
                self.posts += 1;
                let outcome = match &self.at_once {
                    Some(outcome) => outcome.clone(),
                    None => self.ask(serde_json::from_slice(body).unwrap()),
                };
                Some((StatusCode::CREATED, json!(outcome)))
            }
            (&Method::GET, ["sandboxes", "box", "held", id]) => {
                let question = self.questions.get_mut(*id).unwrap();
                if question.outcome.status == HeldStatus::Waiting {
                    return last.then(|| (StatusCode::OK, json!(question.outcome)));
                }
                self.fetches += 1;
                let outcome = json!(question.outcome);
                if let Some(then) = question.then.take() {
                    question.outcome = then;
                }
                Some((StatusCode::OK, outcome))
            }
            (&Method::DELETE, ["sandboxes", "box", "held", id]) => {
                self.questions.get_mut(*id).unwrap().taken_back = true;
                Some((StatusCode::NO_CONTENT, Value::Null))
            }
            _ => Some((StatusCode::NOT_FOUND, json!({"error": "not_found", "message": "no"}))),
        }
    }

    /// From now on this session runs, and no other; `false` where it is over already.
    pub(super) fn begins(&mut self, session: Option<String>) -> bool {
        self.sessions.push(session.clone());
        if session.as_ref().is_some_and(|session| self.over.contains(session)) {
            return false;
        }
        self.over.append(&mut self.live);
        self.live.extend(session.clone());
        if let Some(session) = &session {
            self.over.remove(session);
        }
        self.cancel_what_is_over();
        true
    }

    /// This session is over; of others, nothing is said.
    fn ends(&mut self, session: &str) {
        self.ended.push(session.to_owned());
        self.live.remove(session);
        self.over.insert(session.to_owned());
        self.cancel_what_is_over();
    }

    fn cancel_what_is_over(&mut self) {
        for question in self.questions.values_mut().filter(|question| self.over.contains(&question.hold.session)) {
            if question.outcome.status == HeldStatus::Waiting {
                question.outcome.status = HeldStatus::Cancelled;
            }
        }
    }

    fn ask(&mut self, hold: Hold) -> HeldOutcome {
        if self.over.contains(&hold.session) {
            return super::refused("session_ended: the session that this is from is over");
        }
        self.live.insert(hold.session.clone());
        if let Some(known) = self.questions.values().find(|question| question.hold.key == hold.key) {
            return known.outcome.clone();
        }
        let id = format!("h_{:04}", self.questions.len());
        let end = jiff::Timestamp::from_second(crate::shared::now() + 60).unwrap();
        let outcome = HeldOutcome {
            held_id: Some(id.clone()),
            status: HeldStatus::Waiting,
            deadline: Some(end.to_string()),
            decided_by: None,
            message: None,
            grant: None,
            version: None,
        };
        let question = Question {
            hold,
            outcome: outcome.clone(),
            taken_back: false,
            requests: Vec::new(),
            polls: 0,
            most_polls: 0,
            then: None,
        };
        self.questions.insert(id, question);
        outcome
    }
}
