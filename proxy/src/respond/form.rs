//! In what form a denial is put: some clients show nobody an HTTP 403.

use bytes::Bytes;
use http::{Response, StatusCode};
use narrowgate_core::denial::Denial;
use narrowgate_core::request::{Method, Target};
use narrowgate_core::vocabulary::DenialForm;
use narrowgate_plugins::Body as Content;

use super::{git, json, json_rpc, problem};
use crate::body::Body;

/// The form, with what of the request it answers to. Cheap to clone and to make; nothing is parsed before a denial.
#[derive(Debug, Clone)]
pub(crate) enum Form {
    /// HTTP 403 with the denial as problem details.
    Problem,
    /// A JSON-RPC error for each request of this body.
    JsonRpc(Bytes),
    /// What git expects in this place.
    Git(git::Call),
}

impl Form {
    /// The form that a vocabulary asks for, where the request is of the kind that can be answered in it.
    pub(crate) fn of(wanted: DenialForm, method: &Method, target: &Target, content: &Content) -> Form {
        match (wanted, content) {
            (DenialForm::JsonRpc, Content::Complete(body)) if method.as_str() == "POST" => Form::JsonRpc(body.clone()),
            (DenialForm::Git, _) => git::Call::of(method, target, content).map_or(Form::Problem, Form::Git),
            _ => Form::Problem,
        }
    }

    /// Whether the client will share its connection with other programs unless it is closed: after git has listed refs, it
    /// starts programs that inherit the socket, and no request on a shared one has an author.
    pub(crate) fn ends_connection(&self) -> bool {
        matches!(self, Form::Git(git::Call::Advertise(_)))
    }

    /// The response that says `denial`. What is no single request cannot be answered as one: it is always a problem.
    pub(super) fn response(&self, denial: &Denial, status: StatusCode) -> Response<Body> {
        let in_form = match self {
            _ if status != StatusCode::FORBIDDEN => None,
            Form::Problem => None,
            Form::JsonRpc(body) => json_rpc::errors(body, denial).map(|errors| json(StatusCode::OK, &errors)),
            Form::Git(call) => git::response(call, denial),
        };
        in_form.unwrap_or_else(|| problem(status, denial))
    }
}
