//! What the proxy says itself: denials that an agent can act on, and its few other answers.

mod attempt;
mod denied;
mod form;
mod git;
mod json_rpc;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use narrowgate_core::decide::Permit;
use narrowgate_core::denial::Denial;
use serde_json::{Value, json};

use crate::active::Enforced;
use crate::audit::{Flow, Outcome};
use crate::body::{Body, empty, full};
use crate::held::{self, When};
use crate::shared::{Shared, Who};

pub(crate) use attempt::{Attempt, HELD};
pub(crate) use denied::Denied;
pub(crate) use form::Form;

/// Says who answered: with it the proxy, without it the origin.
pub(crate) const DECISION: HeaderName = HeaderName::from_static("x-narrowgate-decision");

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
