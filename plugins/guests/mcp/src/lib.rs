//! What Model Context Protocol messages ask for, over Streamable HTTP: the method, the tool and its arguments, the
//! resource, the prompt.
//!
//! Every message of a batch is an operation. A method that the protocol does not have is `request`, in the group `admin`,
//! because nobody knows what a server makes of it. A call that answers what the server asked for (`inputResponses`) is a
//! `response` besides, since it sends something.
//!
//! Beside the messages, clients read documents that say who authorizes them, and ask a server that authorizes by itself
//! for consent and tokens; see `authorization.rs`.
//!
//! What a tool does with its arguments is the tool's own affair: a rule can bound which tool is called with which texts.
//! Arguments that are no scalars are in `structured` by name alone, and so are texts that no rule could judge; see
//! [`narrowgate_plugin::arguments`]. `null` is among them: servers differ in whether it is an absence.
//!
//! Session and task ids may be all that it takes to use a session or see a task, and are not in any attribute. Headers
//! `mcp-param-…`, which repeat arguments, are the server's to check.

mod advice;
mod authorization;
mod headers;
mod message;
mod methods;
#[cfg(test)]
mod tests;

use narrowgate_plugin::{Action, DenialForm, Operation, Plugin, Refusal, Request, Result, Suggestion, Vocabulary};

use crate::message::{Call, Message};
use crate::methods::METHODS;

/// The plugin.
pub struct Mcp;

narrowgate_plugin::export!(Mcp);

const BODY_LIMIT: u32 = 1024 * 1024;

impl Plugin for Mcp {
    fn describe() -> Vocabulary {
        let notification =
            Action::read("notification", "Tells the server about the client itself, as the protocol foresees.")
                .methods(&["POST"])
                .read_exemption("JSON-RPC sends notifications as POST; those of the protocol's clients start nothing.")
                .text("method", "Such as `notifications/initialized`.");
        let response = Action::write("response", "Answers what the server asked the client for.").methods(&["POST"]);
        let request =
            Action::admin("request", "Calls a method, or sends a notification, that the protocol does not have.")
                .methods(&["POST"])
                .text("method", "The method.");
        let stream = Action::read("stream", "Opens the stream of the server's own messages (until 2025-11-25).");
        let end = Action::delete("session.end", "Ends the client's session (until 2025-11-25).");
        let actions =
            METHODS.iter().map(methods::Method::declare).chain([notification, response, request, stream, end]);
        let actions = actions.chain(authorization::actions());
        Vocabulary::new("mcp", env!("CARGO_PKG_VERSION"), "The Model Context Protocol, over Streamable HTTP.")
            .header("accept")
            .header("content-type")
            .header("mcp-method")
            .header("mcp-name")
            .header("mcp-protocol-version")
            .body(&["POST"], BODY_LIMIT)
            .denials(DenialForm::JsonRpc)
            .actions(
                actions.map(|action| action.text("endpoint", "The path that the message goes to, such as `/mcp`.")),
            )
    }

    fn classify(request: &Request) -> Result<Vec<Operation>> {
        let operations = match request.method.as_str() {
            "GET" | "HEAD" => get(request)?,
            "DELETE" => vec![Operation::new("session.end")],
            "POST" => post(request)?,
            _ => return Err(Refusal::not_understood("MCP comes in POST, GET and DELETE")),
        };
        Ok(operations.into_iter().map(|operation| operation.text("endpoint", request.path.as_str())).collect())
    }

    fn suggest(_request: &Request, denied: &[Operation]) -> Vec<Suggestion> {
        advice::suggest(denied)
    }

    fn example(suggestion: &Suggestion) -> Option<Request> {
        advice::example(&suggestion.operation)
    }
}

/// A stream, where one is asked for by name; otherwise a document, and a stream too where the server may choose.
fn get(request: &Request) -> Result<Vec<Operation>> {
    let accept = request.header_one("accept")?.unwrap_or("*/*").to_ascii_lowercase();
    let kinds = || accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let asks = kinds().any(|kind| kind == "text/event-stream");
    let may_be_stream = asks || kinds().any(|kind| matches!(kind, "*/*" | "text/*" | ""));
    let (is_metadata, other) = (authorization::is_metadata(request), authorization::get(request));
    let mut operations = Vec::new();
    if may_be_stream && (asks || !is_metadata) {
        operations.push(Operation::new("stream"));
    }
    if !asks || is_metadata || other.action != "document" {
        operations.push(other);
    }
    Ok(operations)
}

fn post(request: &Request) -> Result<Vec<Operation>> {
    request.check_charset()?;
    match request.media_type()?.as_str() {
        "application/json" => {}
        "application/x-www-form-urlencoded" => {
            headers::check(request, &[], false)?;
            return Ok(vec![authorization::token(request)?]);
        }
        _ => return Err(Refusal::not_understood("a POST of MCP has the content type application/json")),
    }
    let body = request.json()?;
    if let Some(registration) = authorization::registration(&body)? {
        headers::check(request, &[], false)?;
        return Ok(vec![registration]);
    }
    let (messages, batch) = message::read(body)?;
    headers::check(request, &messages, batch)?;
    let mut operations = Vec::new();
    for message in &messages {
        match message {
            Message::Response => operations.push(Operation::new("response")),
            Message::Request(call) => operations.extend(of_request(call)?),
            Message::Notification(call) => operations.push(of_notification(call)?),
        }
    }
    Ok(operations)
}

fn of_request(call: &Call) -> Result<Vec<Operation>> {
    if methods::is_notification(&call.method) {
        return Err(Refusal::malformed("a notification has no `id`"));
    }
    let mut operations = match methods::find(&call.method) {
        Some(method) => vec![method.operation(&call.params)?],
        None => vec![unknown(call)?],
    };
    if methods::carries_responses(call)? {
        operations.push(Operation::new("response"));
    }
    Ok(operations)
}

fn of_notification(call: &Call) -> Result<Operation> {
    match call.method.as_str() {
        method if methods::is_notification(method) => Ok(Operation::new("notification").text("method", method)),
        // A server may well run it, and only not answer.
        method if methods::find(method).is_some() => Err(Refusal::malformed("a request has an `id`")),
        _ => unknown(call),
    }
}

fn unknown(call: &Call) -> Result<Operation> {
    if narrowgate_plugin::arguments::fits(&call.method) {
        Ok(Operation::new("request").text("method", call.method.as_str()))
    } else {
        Err(Refusal::not_understood("the method is too long or has control characters"))
    }
}
