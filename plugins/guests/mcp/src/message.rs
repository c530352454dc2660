//! JSON-RPC 2.0, as MCP uses it: parameters by name, ids that are texts or whole numbers.

use narrowgate_plugin::arguments::{fold, unique_ignoring_case};
use narrowgate_plugin::{Json, MOST_OPERATIONS, Refusal, Result};

/// One message of a client.
#[derive(Debug)]
pub(crate) enum Message {
    /// It wants an answer.
    Request(Call),
    /// It wants none.
    Notification(Call),
    /// It is the answer to a server's request.
    Response,
}

/// What a request or a notification says.
#[derive(Debug)]
pub(crate) struct Call {
    /// The method.
    pub(crate) method: String,
    /// The parameters; an empty object where there are none.
    pub(crate) params: Json,
}

/// What a message can consist of.
pub(crate) const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// The messages of a body: one, or a batch, as the revisions up to 2025-03-26 have them. The flag says which.
pub(crate) fn read(body: Json) -> Result<(Vec<Message>, bool)> {
    match body {
        Json::List(batch) if batch.is_empty() => Err(Refusal::malformed("the batch is empty")),
        Json::List(batch) if batch.len() > MOST_OPERATIONS => {
            Err(Refusal::not_understood(format!("the batch has more than {MOST_OPERATIONS} messages")))
        }
        Json::List(batch) => Ok((batch.into_iter().map(message).collect::<Result<_>>()?, true)),
        single => Ok((vec![message(single)?], false)),
    }
}

fn message(json: Json) -> Result<Message> {
    let Json::Object(members) = json else { return Err(Refusal::malformed("a JSON-RPC message is an object")) };
    let mut parts = Parts::default();
    for (name, value) in members {
        let part = match name.as_str() {
            "jsonrpc" => &mut parts.jsonrpc,
            "id" => &mut parts.id,
            "method" => &mut parts.method,
            "params" => &mut parts.params,
            "result" => &mut parts.result,
            "error" => &mut parts.error,
            _ => return Err(unknown(&name)),
        };
        *part = Some(value);
    }
    parts.message()
}

#[derive(Default)]
struct Parts {
    jsonrpc: Option<Json>,
    id: Option<Json>,
    method: Option<Json>,
    params: Option<Json>,
    result: Option<Json>,
    error: Option<Json>,
}

impl Parts {
    fn message(self) -> Result<Message> {
        if self.jsonrpc.as_ref().and_then(Json::as_text) != Some("2.0") {
            return Err(Refusal::malformed("a message has `\"jsonrpc\": \"2.0\"`"));
        }
        if !matches!(&self.id, None | Some(Json::Text(_) | Json::Integer(_))) {
            return Err(Refusal::malformed("an `id` is a text or a whole number"));
        }
        match (self.method, self.result, self.error) {
            (Some(Json::Text(method)), None, None) => {
                let call = Call { method, params: params(self.params)? };
                Ok(if self.id.is_some() { Message::Request(call) } else { Message::Notification(call) })
            }
            (Some(_), None, None) => Err(Refusal::malformed("a `method` is a text")),
            (None, Some(_), None) if self.id.is_none() => {
                Err(Refusal::malformed("a result has the `id` of its request"))
            }
            (None, Some(_), None) | (None, None, Some(_)) if self.params.is_none() => Ok(Message::Response),
            (None, None, None) => Err(Refusal::malformed("a message has a `method`, a `result` or an `error`")),
            _ => Err(Refusal::ambiguous("a message is a request or a response, not both")),
        }
    }
}

fn params(given: Option<Json>) -> Result<Json> {
    match given {
        None | Some(Json::Null) => Ok(Json::Object(Vec::new())),
        Some(Json::Object(members)) => {
            unique_ignoring_case(&members)?;
            Ok(Json::Object(members))
        }
        Some(_) => Err(Refusal::malformed("MCP's parameters are by name: `params` is an object")),
    }
}

/// Go's reader, for one, takes `Method` for `method`.
fn unknown(name: &str) -> Refusal {
    let folded = fold(name);
    if MEMBERS.contains(&folded.as_str()) {
        Refusal::ambiguous(format!("`{}` is read as `{folded}` by some servers alone", name.escape_debug()))
    } else {
        Refusal::malformed("a message has a member that JSON-RPC does not have")
    }
}
