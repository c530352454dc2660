//! What the proxy says itself: denials that an agent can act on, and its few other answers.

mod form;
mod git;
mod json_rpc;

use std::sync::OnceLock;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use narrowgate_core::blocked::Blocked;
use narrowgate_core::decide::{Layer, Permit, Reason, Refusal};
use narrowgate_core::denial::{Denial, DenialRecord, DeniedOperation, DeniedRequest};
use narrowgate_core::request::{Authority, Host, Port};
use narrowgate_core::vocabulary::{Meaning, PluginName};
use serde_json::{Value, json};

use crate::active::Enforced;
use crate::audit::{Flow, Outcome, What};
use crate::body::{Body, empty, full};
use crate::forward::Wire;
use crate::held::{self, Review, When};
use crate::shared::{Shared, Who, id};

pub(crate) use form::Form;

/// Says who answered: with it the proxy, without it the origin.
pub(crate) const DECISION: HeaderName = HeaderName::from_static("x-narrowgate-decision");
/// Says that the request waited for a person, and until when it could have.
pub(crate) const HELD: HeaderName = HeaderName::from_static("x-narrowgate-held");

/// What a client tries to do, as far as it is known; the subject of log lines and denials.
pub(crate) struct Attempt {
    /// The same on every audit line of this request.
    correlation: String,
    host: String,
    port: Port,
    kind: Kind,
    /// The plugin that says what it means, where one does.
    plugin: Option<String>,
    /// The operations that it is, where a plugin said so, by their actions.
    operations: Vec<String>,
    /// Its denial's id, if it comes to one: a question to a person names it before.
    denial: OnceLock<String>,
    /// How it came to its decision, where it waited for a person.
    review: Option<Review>,
}

enum Kind {
    Tunnel,
    Http { scheme: &'static str, method: Option<String>, path: Option<String> },
}

impl Attempt {
    /// A `CONNECT`.
    pub(crate) fn tunnel(to: &Authority) -> Attempt {
        Attempt::new(to.host.as_str(), to.port, Kind::Tunnel)
    }

    /// An HTTP request, whose path is not known yet.
    pub(crate) fn http(to: &Authority, wire: Wire, method: &Method) -> Attempt {
        let kind = Kind::Http { scheme: wire.scheme(), method: Some(method.to_string()), path: None };
        Attempt::new(to.host.as_str(), to.port, kind)
    }

    /// A request to `to`, or to who knows where, whose head was refused before it was parsed.
    pub(crate) fn unread(to: Option<&Authority>, wire: Wire) -> Attempt {
        let kind = Kind::Http { scheme: wire.scheme(), method: None, path: None };
        match to {
            Some(to) => Attempt::new(to.host.as_str(), to.port, kind),
            None => Attempt::new("", Port::HTTP, kind),
        }
    }

    /// A request whose destination could not be read.
    pub(crate) fn nowhere(method: &Method) -> Attempt {
        match *method {
            Method::CONNECT => Attempt::new("", Port::HTTP, Kind::Tunnel),
            _ => Attempt::new(
                "",
                Port::HTTP,
                Kind::Http { scheme: "http", method: Some(method.to_string()), path: None },
            ),
        }
    }

    fn new(host: &str, port: Port, kind: Kind) -> Attempt {
        Attempt {
            correlation: id("c_"),
            host: host.to_owned(),
            port,
            kind,
            plugin: None,
            operations: Vec::new(),
            denial: OnceLock::new(),
            review: None,
        }
    }

    /// Says how it came to its decision.
    pub(crate) fn set_review(&mut self, review: Review) {
        self.review = Some(review);
    }

    /// The policy decided it, whatever a person was asked or said.
    pub(crate) fn decided_by_policy(&mut self) {
        self.review = self.review.take().map(Review::by_policy);
    }

    pub(crate) fn review(&self) -> Option<Review> {
        self.review.clone()
    }

    /// Tells the client that its request waited.
    pub(crate) fn mark(&self, response: &mut Response<Body>) {
        if let Some(held) = self.review.as_ref().and_then(Review::header) {
            response.headers_mut().insert(HELD, held);
        }
    }

    /// What a person is shown of it, as a denial would record it.
    pub(crate) fn record(&self, binary: &str, denied: &Denied) -> DenialRecord {
        self.denial(binary, denied, false).record(jiff::Timestamp::now().to_string())
    }

    fn denial(&self, binary: &str, denied: &Denied, proposals: bool) -> Denial {
        let cause = match &denied.words {
            Words::Cause(why) => Some(why.clone()),
            Words::General | Words::Instead(_) => None,
        };
        let request = self.denied(binary, denied.operations.clone(), cause);
        let id = self.denial.get_or_init(|| id("d_")).clone();
        let mut denial = Denial::new(id, request, &denied.refusal, proposals);
        if let Words::Instead(why) = &denied.words {
            denial.detail.clone_from(why);
        }
        denial
    }

    /// Sets the path, which has no query: canonical, or as it came where it has no canonical form.
    pub(crate) fn set_path(&mut self, without_query: &str) {
        if let Kind::Http { path, .. } = &mut self.kind {
            *path = Some(without_query.to_owned());
        }
    }

    /// Names the plugin that is asked what the request means.
    pub(crate) fn set_plugin(&mut self, plugin: &PluginName) {
        self.plugin = Some(plugin.to_string());
    }

    /// Says what the request means.
    pub(crate) fn set_operations<'a>(&mut self, meanings: impl Iterator<Item = &'a Meaning>) {
        self.operations = meanings.map(|meaning| meaning.action().to_owned()).collect();
    }

    fn flow(&self, who: &Who, outcome: Outcome) -> Flow {
        Flow {
            process: who.process.clone(),
            pid: who.execution.map(|execution| execution.pid),
            command: who.command.as_ref().map(ToString::to_string),
            host: self.host.clone(),
            port: self.port.get(),
            outcome,
            policy: None,
            rule: None,
            version: None,
            hash: None,
            plugin: self.plugin.clone(),
            operations: self.operations.clone(),
            review: self.review.clone(),
        }
    }

    /// For people: `GET host:443/path`.
    fn shown(&self) -> String {
        let Attempt { host, port, .. } = self;
        match &self.kind {
            Kind::Tunnel => format!("CONNECT {host}:{port}"),
            Kind::Http { method, path, .. } => {
                let (method, path) = (method.as_deref().unwrap_or("?"), path.as_deref().unwrap_or_default());
                format!("{method} {host}:{port}{path}")
            }
        }
    }

    fn what(&self, flow: Flow) -> What {
        match &self.kind {
            Kind::Tunnel => What::Network(flow),
            Kind::Http { scheme, method, path } => What::Http {
                flow,
                method: method.clone().unwrap_or_default(),
                scheme: (*scheme).to_owned(),
                path: path.clone().unwrap_or_default(),
            },
        }
    }

    fn denied(&self, binary: &str, operations: Vec<DeniedOperation>, cause: Option<String>) -> DeniedRequest {
        let (layer, protocol, method, path) = match &self.kind {
            Kind::Tunnel => (Layer::L4, "tcp", None, None),
            Kind::Http { method, path, .. } => {
                (Layer::L7, self.plugin.as_deref().unwrap_or("rest"), method.clone(), path.clone())
            }
        };
        DeniedRequest {
            layer,
            protocol: protocol.to_owned(),
            host: self.host.clone(),
            port: self.port,
            method,
            path,
            binary: binary.to_owned(),
            operations,
            cause,
        }
    }
}

/// Why a request is denied, and in whose words.
#[derive(Debug, Clone)]
pub(crate) struct Denied {
    refusal: Refusal,
    words: Words,
    /// Those that are not allowed, where a plugin said what the request means.
    operations: Vec<DeniedOperation>,
    status: StatusCode,
}

#[derive(Debug, Clone)]
enum Words {
    /// The general sentence about the reason.
    General,
    /// A particular one in its place.
    Instead(String),
    /// Why a plugin has no answer, in the general one.
    Cause(String),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Denied {
        Denied { refusal, words: Words::General, operations: Vec::new(), status: StatusCode::FORBIDDEN }
    }
}

impl Denied {
    /// A denial that no rule of a policy gave.
    pub(crate) fn new(reason: Reason) -> Denied {
        Refusal::because(reason).into()
    }

    /// No policy is in force.
    pub(crate) fn unavailable() -> Denied {
        Denied::new(Reason::PolicyUnavailable)
    }

    /// Whether a rule could have allowed it: nothing else forbids it.
    pub(crate) fn is_grantable(&self) -> bool {
        matches!(self.refusal.reason, Reason::NoMatchingRule | Reason::LeaseExpired)
            && self.status == StatusCode::FORBIDDEN
    }

    /// The same request's denial for another reason, which no rule gave.
    pub(crate) fn turned(&self, reason: Reason) -> Denied {
        let policy = self.refusal.policy.clone();
        Denied::new(reason).of(self.operations.clone()).under(policy)
    }

    /// The request has no single reading.
    pub(crate) fn ambiguous(why: &str) -> Denied {
        Denied::new(Reason::RequestAmbiguous).because(why)
    }

    /// The message itself is broken, or names two destinations: 400, since there is no one request to deny.
    pub(crate) fn malformed(why: &str) -> Denied {
        Denied { status: StatusCode::BAD_REQUEST, ..Denied::ambiguous(why) }
    }

    /// The destination is one that no policy opens.
    pub(crate) fn blocked(host: &Host, blocked: Blocked) -> Denied {
        let why = format!("{host} is a {} address, which no sandbox may reach", blocked.class);
        Denied::new(Reason::DestinationBlocked).because(why)
    }

    /// What was to be read of the request before it is decided did not come in time.
    pub(crate) fn slow(why: &str) -> Denied {
        Denied { status: StatusCode::REQUEST_TIMEOUT, ..Denied::unasked(why) }
    }

    /// A plugin has no answer, or could not be asked: the sentence says whose turn it is.
    pub(crate) fn unasked(why: &str) -> Denied {
        Denied { words: Words::Cause(why.to_owned()), ..Denied::new(Reason::PluginError) }
    }

    /// The plugin found that the request has no single reading.
    pub(crate) fn two_readings(why: &str) -> Denied {
        Denied { words: Words::Cause(why.to_owned()), ..Denied::new(Reason::RequestAmbiguous) }
    }

    /// Says which operations are not allowed.
    pub(crate) fn of(mut self, operations: Vec<DeniedOperation>) -> Denied {
        self.operations = operations;
        self
    }

    /// Names the entry that governs the destination.
    pub(crate) fn under(mut self, policy: Option<String>) -> Denied {
        self.refusal.policy = policy;
        self
    }

    /// Replaces the general sentence about the reason with a particular one. Never holds a query, header or body.
    pub(crate) fn because(mut self, why: impl Into<String>) -> Denied {
        self.words = Words::Instead(why.into());
        self
    }
}

impl Shared {
    /// Logs and remembers the denial; the response that says so.
    pub(crate) fn deny(
        &self,
        who: &Who,
        attempt: &Attempt,
        denied: Denied,
        enforced: Option<&Enforced>,
    ) -> Response<Body> {
        self.deny_as(&Form::Problem, who, attempt, denied, enforced)
    }

    /// The same in the form that the client shows its user.
    pub(crate) fn deny_as(
        &self,
        form: &Form,
        who: &Who,
        attempt: &Attempt,
        denied: Denied,
        enforced: Option<&Enforced>,
    ) -> Response<Body> {
        let status = denied.status;
        let denial = self.record_denial(who, attempt, &denied, enforced, When::AtOnce);
        let mut response = form.response(&denial, status);
        response.headers_mut().insert(DECISION, HeaderValue::from_static("denied"));
        attempt.mark(&mut response);
        response
    }

    /// Logs and remembers the denial of what is on its way: nobody can be answered any more.
    pub(crate) fn deny_late(&self, who: &Who, attempt: &Attempt, denied: Denied, enforced: Option<&Enforced>) {
        self.record_denial(who, attempt, &denied, enforced, When::Late);
    }

    /// INVARIANT: the log line, the event and the denial that is returned are made of the same three: they agree.
    fn record_denial(
        &self,
        who: &Who,
        attempt: &Attempt,
        denied: &Denied,
        enforced: Option<&Enforced>,
        when: When,
    ) -> Denial {
        let named = match denied.operations.is_empty() {
            true => attempt.operations.clone(),
            false => denied.operations.iter().map(|operation| operation.action.clone()).collect(),
        };
        let flow = Flow {
            policy: denied.refusal.policy.clone(),
            rule: denied.refusal.rule.clone(),
            version: enforced.map(|enforced| enforced.snapshot.version()),
            hash: enforced.map(|enforced| enforced.snapshot.digest()),
            operations: named,
            ..attempt.flow(who, Outcome::Denied(denied.refusal.reason))
        };
        // A denial that cannot be logged is still a denial; the failure itself was reported.
        let _ = self.audit(&attempt.correlation, attempt.what(flow));
        let mut denial = attempt.denial(&who.process.path, denied, self.proposals);
        if let Some(review) = &attempt.review {
            match (review.denial(), &review.message) {
                (Some(held), _) => denial = denial.after_waiting(held),
                (None, Some(why)) => denial.detail.push_str(&format!("; nobody was asked: {why}")),
                (None, None) => {}
            }
        }
        denial.status = denied.status.as_u16();
        self.denials.push(denial.record(jiff::Timestamp::now().to_string()));
        self.held.tell(held::Event::Denied(held::Refused {
            denial_id: denial.denial_id.clone(),
            pid: who.execution.map(|execution| execution.pid),
            binary: who.process.path.clone(),
            what: attempt.shown(),
            reason: denial.reason,
            message: denial.detail.clone(),
            review: attempt.review.clone(),
            when,
        }));
        denial
    }

    /// Logs that a request waits for a person.
    pub(crate) fn log_waiting(&self, who: &Who, attempt: &Attempt) {
        // Not written: reported there. The decision that follows needs a line of its own, and is a denial without one.
        let _ = self.audit(&attempt.correlation, attempt.what(attempt.flow(who, Outcome::Waiting)));
    }

    /// Logs what a permit is about to be used for. A log that cannot be written is a denial.
    #[expect(clippy::result_large_err, reason = "the error is the response to send")]
    pub(crate) fn allow(&self, who: &Who, attempt: &Attempt, permit: &Permit) -> Result<(), Response<Body>> {
        let flow = Flow {
            policy: Some(permit.policy().to_owned()),
            rule: Some(permit.rule().to_owned()),
            version: Some(permit.version()),
            hash: Some(permit.policy_digest()),
            ..attempt.flow(who, Outcome::Allowed)
        };
        self.audit(&attempt.correlation, attempt.what(flow)).map_err(|_| {
            let mut response = problem(
                StatusCode::SERVICE_UNAVAILABLE,
                &json!({
                    "type": "urn:narrowgate:problem:audit-unavailable", "title": "Audit log unavailable", "status": 503,
                    "error": "audit_unavailable",
                    "detail": "the request is allowed but cannot be logged, so it is not sent; the operator must repair the audit log",
                }),
            );
            response.headers_mut().insert(DECISION, HeaderValue::from_static("denied"));
            response
        })
    }
}

/// 502: the policy allows it, the origin does not answer.
pub(crate) fn bad_gateway(detail: &str) -> Response<Body> {
    problem(
        StatusCode::BAD_GATEWAY,
        &json!({
            "type": "urn:narrowgate:problem:upstream-failed", "title": "Upstream failed", "status": 502,
            "error": "upstream_failed", "detail": detail,
        }),
    )
}

/// RFC 9457's media type.
pub(crate) fn problem(status: StatusCode, body: &impl serde::Serialize) -> Response<Body> {
    with_type(status, body, "application/problem+json")
}

/// `{"error": code, "message": …}`, with more members from `more`.
pub(crate) fn error(status: StatusCode, code: &str, message: &str, more: Value) -> Response<Body> {
    let mut body = json!({ "error": code, "message": message });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    json(status, &body)
}

pub(crate) fn json(status: StatusCode, body: &impl serde::Serialize) -> Response<Body> {
    with_type(status, body, "application/json")
}

fn with_type(status: StatusCode, body: &impl serde::Serialize, media: &'static str) -> Response<Body> {
    let mut response = match serde_json::to_vec(body) {
        Ok(bytes) => Response::new(full(bytes)),
        Err(_) => Response::new(empty()),
    };
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
