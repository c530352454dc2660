//! What a client does to be authorized, as far as the MCP server itself answers it: the documents that say where the
//! authorization server is, and OAuth where that is the same server (as of 2025-03-26).
//!
//! These requests are known by what they say, not by where they go, since servers choose the paths: rules can bound the
//! `endpoint`. None can be read as a message besides. Codes, tokens, secrets and scopes are in no attribute.

use narrowgate_plugin::arguments::{fits, fold, unique_ignoring_case};
use narrowgate_plugin::{Action, Json, Operation, Refusal, Request, Result};

use crate::message;

const WELL_KNOWN: [&str; 3] = ["oauth-protected-resource", "oauth-authorization-server", "openid-configuration"];

/// The actions.
pub(crate) fn actions() -> [Action; 4] {
    [
        Action::read("document", "Reads what is no message, such as `/.well-known/oauth-protected-resource`."),
        Action::write("authorization.request", "Asks the user's consent, at a server that authorizes by itself.")
            .methods(&["GET"]),
        Action::write("authorization.register", "Registers the client, at a server that authorizes by itself.")
            .methods(&["POST"]),
        Action::write("authorization.token", "Asks for a token, at a server that authorizes by itself.")
            .methods(&["POST"])
            .text("grant", "What for, such as `authorization_code`."),
    ]
}

/// Whether only metadata of OAuth is here, whatever is accepted.
pub(crate) fn is_metadata(request: &Request) -> bool {
    matches!(request.segments().as_slice(), [".well-known", name, ..] if WELL_KNOWN.contains(name))
}

/// What a GET is that asks for no stream.
pub(crate) fn get(request: &Request) -> Operation {
    match request.has_query("response_type") {
        true => Operation::new("authorization.request"),
        false => Operation::new("document"),
    }
}

/// A form: the only ones are for tokens.
pub(crate) fn token(request: &Request) -> Result<Operation> {
    let form = request.form()?;
    // INVARIANT: what a lenient server would read as JSON, such as `{"jsonrpc":…,"x":"&grant_type=…`, is no such form.
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if !form.iter().all(|(name, _)| is_name(name)) {
        return Err(Refusal::not_understood("the fields of a token request are named in lower case"));
    }
    match form.get("grant_type") {
        Some(grant) if !grant.is_empty() && fits(grant) => {
            Ok(Operation::new("authorization.token").text("grant", grant))
        }
        Some(_) => Err(Refusal::malformed("the `grant_type` is empty, too long or has control characters")),
        None => Err(Refusal::not_understood("a form is a token request, with a `grant_type`")),
    }
}

/// A registration, where `body` is one: it has `redirect_uris`, and nothing that a server could take for a message.
pub(crate) fn registration(body: &Json) -> Result<Option<Operation>> {
    let Some(members) = body.as_object() else { return Ok(None) };
    let has = |wanted: &str| members.iter().any(|(name, _)| fold(name) == wanted);
    if !has("redirect_uris") || message::MEMBERS.iter().any(|name| has(name)) {
        return Ok(None);
    }
    unique_ignoring_case(members)?;
    Ok(Some(Operation::new("authorization.register")))
}
