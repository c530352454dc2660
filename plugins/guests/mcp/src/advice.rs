//! What to ask for instead, and what it would look like.

use narrowgate_plugin::{Operation, Request, Suggestion, Value, quoted, sample};

use crate::methods;

/// What was denied; for calls with arguments, the same with any arguments too.
pub(crate) fn suggest(denied: &[Operation]) -> Vec<Suggestion> {
    let mut suggestions = Vec::new();
    for operation in denied {
        suggestions.push(Suggestion::new(operation.clone(), "Exactly what was denied."));
        if operation.value("arguments").is_some() {
            let any = operation.clone().without("arguments").without("structured");
            suggestions.push(Suggestion::new(any, "The same, with any arguments."));
        }
    }
    suggestions
}

/// The message that a client would send, as up to the revision 2025-11-25.
pub(crate) fn example(operation: &Operation) -> Option<Request> {
    let endpoint = operation.text_of("endpoint").map_or_else(|| "/mcp".to_owned(), sample);
    if endpoint.contains('%') {
        return None;
    }
    let at = |method| Request::https(method, "mcp.example").segments_of(endpoint.trim_start_matches('/'));
    let message = match operation.action.as_str() {
        "stream" => return Some(at("GET").header("accept", "text/event-stream")),
        "session.end" => return Some(at("DELETE")),
        "document" => return Some(at("GET").header("accept", "application/json")),
        "authorization.request" => {
            let consent = at("GET").query("response_type", "code").query("client_id", "example");
            return Some(consent.header("accept", "text/html"));
        }
        "authorization.token" => return token(at("POST"), operation),
        "authorization.register" => {
            r#"{"client_name":"example","redirect_uris":["http://localhost:3000/callback"]}"#.to_owned()
        }
        "response" => r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(),
        "notification" => {
            format!(r#"{{"jsonrpc":"2.0","method":{}}}"#, text(operation, "method", "notifications/initialized"))
        }
        "request" => call(&text(operation, "method", "vendor/example"), ""),
        action => {
            let method = methods::METHODS.iter().find(|method| method.action == action)?;
            call(&quoted(method.name), &params(operation))
        }
    };
    Some(
        at("POST")
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
            .body(message),
    )
}

fn token(request: Request, operation: &Operation) -> Option<Request> {
    let grant = operation.text_of("grant").map_or_else(|| "authorization_code".to_owned(), sample);
    let is_plain = grant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:.-".contains(&byte));
    let form = format!("grant_type={grant}&code=example");
    is_plain.then(|| request.header("content-type", "application/x-www-form-urlencoded").body(form))
}

fn call(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":{method},"params":{{{params}}}}}"#)
}

fn params(operation: &Operation) -> String {
    match operation.action.as_str() {
        "tools.call" => format!(r#""name":{},{}"#, text(operation, "tool", "example"), arguments(operation)),
        "prompts.get" => format!(r#""name":{},{}"#, text(operation, "prompt", "example"), arguments(operation)),
        "resources.read" | "resources.subscribe" | "resources.unsubscribe" => {
            format!(r#""uri":{}"#, text(operation, "uri", "file:///example"))
        }
        "subscriptions.listen" => {
            let uris = operation.texts_of("uris").unwrap_or_default().iter().map(|uri| quoted(&sample(uri)));
            let uris = uris.collect::<Vec<_>>().join(",");
            format!(r#""notifications":{{"resourceSubscriptions":[{uris}]}}"#)
        }
        "completion.complete" => {
            let reference = match operation.text_of("uri") {
                Some(uri) => format!(r#""type":"ref/resource","uri":{}"#, quoted(&sample(uri))),
                None => format!(r#""type":"ref/prompt","name":{}"#, text(operation, "prompt", "example")),
            };
            format!(r#""ref":{{{reference}}},"argument":{{"name":"example","value":""}}"#)
        }
        "logging.set_level" => format!(r#""level":{}"#, text(operation, "level", "info")),
        "tasks.get" | "tasks.result" | "tasks.update" | "tasks.cancel" => r#""taskId":"example""#.to_owned(),
        "initialize" => concat!(
            r#""protocolVersion":"2025-11-25","capabilities":{},"#,
            r#""clientInfo":{"name":"example","version":"1.0.0"}"#
        )
        .to_owned(),
        _ => String::new(),
    }
}

fn text(operation: &Operation, name: &str, otherwise: &str) -> String {
    quoted(&operation.text_of(name).map_or_else(|| otherwise.to_owned(), sample))
}

fn arguments(operation: &Operation) -> String {
    let mut members = Vec::new();
    if let Some(Value::Fields(fields)) = operation.value("arguments") {
        members.extend(fields.iter().map(|(name, text)| format!("{}:{}", quoted(name), quoted(&sample(text)))));
    }
    members
        .extend(operation.texts_of("structured").unwrap_or_default().iter().map(|name| format!("{}:[]", quoted(name))));
    format!(r#""arguments":{{{}}}"#, members.join(","))
}
