//! Denials as JSON-RPC errors: a client that asked for a tool gets the error of that call, and goes on.

use std::borrow::Cow;

use narrowgate_core::denial::Denial;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// In the range that JSON-RPC leaves to implementations, and none that MCP uses.
const DENIED: i32 = -32090;
/// Each error carries the denial; a batch of more requests is not worth that many.
const MOST: usize = 64;

/// A message as far as it matters for an answer. A member that is there twice is an error: which one counts, only the
/// client knows.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    /// In the client's own spelling, `null` too.
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What answers a body: one error, or one for each request of a batch.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Errors<'a> {
    One(Answer<'a>),
    Batch(Vec<Answer<'a>>),
}

#[derive(Serialize)]
pub(super) struct Answer<'a> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    error: Error<'a>,
}

#[derive(Clone, Serialize)]
struct Error<'a> {
    code: i32,
    message: String,
    data: &'a Denial,
}

/// An error for every request in `body`; `None` where there is none that waits for an answer, as with notifications, and
/// where `body` is not JSON-RPC.
pub(super) fn errors<'a>(body: &'a [u8], denial: &'a Denial) -> Option<Errors<'a>> {
    let message = match &denial.agent_guidance {
        Some(guidance) => format!("{}. {guidance}", denial.detail),
        None => denial.detail.clone(),
    };
    let error = Error { code: DENIED, message, data: denial };
    let answer = |message: Message<'a>| {
        let id = message.id.filter(|_| message.method.is_some())?;
        Some(Answer { jsonrpc: "2.0", id, error: error.clone() })
    };
    let is_json_rpc = |message: &Message<'_>| message.jsonrpc == "2.0";
    let is_batch = body.trim_ascii_start().starts_with(b"[");
    if !is_batch {
        let message: Message<'a> = serde_json::from_slice(body).ok()?;
        return is_json_rpc(&message).then(|| answer(message)).flatten().map(Errors::One);
    }
    let messages: Vec<Message<'a>> = serde_json::from_slice(body).ok()?;
    if messages.len() > MOST || !messages.iter().all(is_json_rpc) {
        return None;
    }
    let answers: Vec<Answer<'a>> = messages.into_iter().filter_map(answer).collect();
    (!answers.is_empty()).then_some(Errors::Batch(answers))
}

#[cfg(test)]
pub(super) mod tests;
