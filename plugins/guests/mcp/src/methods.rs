//! What the protocol's methods do and what they are about, from its revisions 2024-11-05 to 2026-07-28: one table for the
//! vocabulary and for reading.

use narrowgate_plugin::arguments::{Arguments, fits, fold, leads_upwards};
use narrowgate_plugin::{Action, Group, Json, Operation, Refusal, Result};

use crate::message::Call;

/// One method.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Method {
    /// As on the wire.
    pub(crate) name: &'static str,
    /// Its action.
    pub(crate) action: &'static str,
    group: Group,
    about: About,
    doc: &'static str,
}

/// What a method's parameters name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Nothing that could be bounded.
    Nothing,
    /// A tool and its arguments.
    Tool,
    /// A prompt and its arguments.
    Prompt,
    /// A resource.
    Resource,
    /// Any number of resources.
    Resources,
    /// A prompt or a template of resources.
    Reference,
    /// A logging level.
    Level,
    /// A task by its id, which may be all that it takes to see the task: a secret.
    Task,
}

use About::{Level, Nothing, Prompt, Reference, Resource, Resources, Task, Tool};
use Group::{Read, Write};

const fn method(name: &'static str, action: &'static str, group: Group, about: About, doc: &'static str) -> Method {
    Method { name, action, group, about, doc }
}

/// Every method that a client may call.
pub(crate) const METHODS: [Method; 20] = [
    method("initialize", "initialize", Read, Nothing, "Opens a session (until 2025-11-25)."),
    method("server/discover", "server.discover", Read, Nothing, "Asks what the server is and can (from 2026-07-28)."),
    method("ping", "ping", Read, Nothing, "Asks whether the server is there."),
    method("tools/list", "tools.list", Read, Nothing, "Lists the tools."),
    method("tools/call", "tools.call", Write, Tool, "Calls a tool."),
    method("resources/list", "resources.list", Read, Nothing, "Lists the resources."),
    method("resources/templates/list", "resources.templates.list", Read, Nothing, "Lists the templates of resources."),
    method("resources/read", "resources.read", Read, Resource, "Reads a resource."),
    method("resources/subscribe", "resources.subscribe", Read, Resource, "Asks to be told when a resource changes."),
    method("resources/unsubscribe", "resources.unsubscribe", Read, Resource, "Asks no longer to be told of changes."),
    method(
        "subscriptions/listen",
        "subscriptions.listen",
        Read,
        Resources,
        "Asks to be told of changes (from 2026-07-28).",
    ),
    method("prompts/list", "prompts.list", Read, Nothing, "Lists the prompts."),
    method("prompts/get", "prompts.get", Read, Prompt, "Gets a prompt, filled in with arguments."),
    method("completion/complete", "completion.complete", Read, Reference, "Asks how an argument could be completed."),
    method("logging/setLevel", "logging.set_level", Write, Level, "Sets how much the server logs to the client."),
    method("tasks/list", "tasks.list", Read, Nothing, "Lists the client's tasks."),
    method("tasks/get", "tasks.get", Read, Task, "Asks how a task is getting on."),
    method("tasks/result", "tasks.result", Read, Task, "Gets the result of a task."),
    method("tasks/update", "tasks.update", Write, Task, "Gives a task the input that it asked for."),
    method("tasks/cancel", "tasks.cancel", Write, Task, "Cancels a task."),
];

/// Notifications of a client about itself.
const NOTIFICATIONS: [&str; 5] = [
    "notifications/initialized",
    "notifications/cancelled",
    "notifications/progress",
    "notifications/roots/list_changed",
    "notifications/tasks/status",
];

/// Whether the protocol has such a notification from clients.
pub(crate) fn is_notification(method: &str) -> bool {
    NOTIFICATIONS.contains(&method)
}

/// A method by its name on the wire.
pub(crate) fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

impl Method {
    /// Its action, as the vocabulary declares it.
    pub(crate) fn declare(&self) -> Action {
        let action = Action::new(self.group, self.action, self.doc).methods(&["POST"]);
        let action = match self.group {
            Read => action.read_exemption("JSON-RPC sends every method as a POST; this one only reads."),
            _ => action,
        };
        match self.about {
            Nothing | Task => action,
            Tool => with_arguments(action.text("tool", "The name of the tool.")),
            Prompt => with_arguments(action.text("prompt", "The name of the prompt.")),
            Resource => action.text("uri", "The URI of the resource."),
            Resources => action.texts("uris", "The URIs of the resources whose changes are asked for, if any."),
            Reference => action
                .optional_text("prompt", "The name of the prompt whose argument it is.")
                .optional_text("uri", "The template of the resources whose argument it is."),
            Level => action.text("level", "The least severe level that is logged."),
        }
    }

    /// The operation of a call to this method.
    pub(crate) fn operation(&self, params: &Json) -> Result<Operation> {
        let operation = Operation::new(self.action);
        match self.about {
            Nothing => Ok(operation),
            Tool => arguments(operation.text("tool", name(params, "name")?), params),
            Prompt => arguments(operation.text("prompt", name(params, "name")?), params),
            Resource => Ok(operation.text("uri", uri(params)?)),
            Resources => Ok(operation.texts("uris", uris(params)?)),
            Reference => reference(operation, params),
            Level => Ok(operation.text("level", name(params, "level")?)),
            Task => name(params, "taskId").map(|_| operation),
        }
    }

    /// The text that the header `mcp-name` repeats.
    pub(crate) fn mirrored<'a>(&self, params: &'a Json) -> Option<&'a str> {
        let name = match self.about {
            Tool | Prompt => "name",
            Resource => "uri",
            Task => "taskId",
            Nothing | Resources | Reference | Level => return None,
        };
        member(params, name).ok()??.as_text()
    }
}

/// Whether a call carries answers to what the server asked before: it then sends as a response does.
pub(crate) fn carries_responses(call: &Call) -> Result<bool> {
    Ok(member(&call.params, "inputResponses")?.is_some())
}

/// The member of an object. A name that is the same but for its case is refused, since some servers take it for this one.
pub(crate) fn member<'a>(object: &'a Json, name: &str) -> Result<Option<&'a Json>> {
    let folded = fold(name);
    let found = object.as_object().into_iter().flatten().find(|(held, _)| fold(held) == folded);
    match found {
        Some((held, _)) if held != name => {
            Err(Refusal::ambiguous(format!("`{}` is read as `{name}` by some servers alone", held.escape_debug())))
        }
        found => Ok(found.map(|(_, value)| value)),
    }
}

fn with_arguments(action: Action) -> Action {
    action
        .fields(
            "arguments",
            "The arguments that are scalars: strings, numbers in shortest decimal, `true` and `false`.",
        )
        .texts(
            "structured",
            "The names of the other arguments: lists, objects, `null`, and texts that are longer than 4096 bytes, have \
             control characters such as newlines, or have `..` as a part of a path.",
        )
}

fn arguments(operation: Operation, params: &Json) -> Result<Operation> {
    let arguments = match member(params, "arguments")? {
        None | Some(Json::Null) => Arguments::default(),
        Some(Json::Object(members)) => Arguments::json(members)?,
        Some(_) => return Err(Refusal::malformed("`arguments` is an object")),
    };
    Ok(operation.fields("arguments", arguments.fields).texts("structured", arguments.structured))
}

fn name<'a>(params: &'a Json, what: &str) -> Result<&'a str> {
    match member(params, what)? {
        Some(Json::Text(name)) if name.is_empty() => Err(Refusal::malformed(format!("`{what}` is empty"))),
        Some(Json::Text(name)) if fits(name) => Ok(name),
        Some(Json::Text(_)) => Err(Refusal::not_understood(format!("`{what}` is too long or has control characters"))),
        _ => Err(Refusal::malformed(format!("`params` has a text `{what}`"))),
    }
}

fn uri(params: &Json) -> Result<&str> {
    let uri = name(params, "uri")?;
    if leads_upwards(uri) { Err(upwards()) } else { Ok(uri) }
}

fn uris(params: &Json) -> Result<Vec<String>> {
    let Some(asked) = member(params, "notifications")? else {
        return Err(Refusal::malformed("`params` has an object `notifications`"));
    };
    let uris = match member(asked, "resourceSubscriptions")? {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::List(uris)) => uris,
        Some(_) => return Err(Refusal::malformed("`resourceSubscriptions` is a list of URIs")),
    };
    let of = |uri: &Json| match uri.as_text() {
        Some(uri) if leads_upwards(uri) => Err(upwards()),
        Some(uri) if fits(uri) => Ok(uri.to_owned()),
        _ => Err(Refusal::malformed("`resourceSubscriptions` is a list of URIs")),
    };
    uris.iter().map(of).collect()
}

fn upwards() -> Refusal {
    Refusal::ambiguous("a URI has `..` among its segments: some servers resolve it, others do not")
}

fn reference(operation: Operation, params: &Json) -> Result<Operation> {
    let Some(reference) = member(params, "ref")? else {
        return Err(Refusal::malformed("`params` has an object `ref`"));
    };
    match name(reference, "type")? {
        "ref/prompt" => Ok(operation.text("prompt", name(reference, "name")?)),
        "ref/resource" => Ok(operation.text("uri", uri(reference)?)),
        _ => Err(Refusal::not_understood("a `ref` is of the type ref/prompt or ref/resource")),
    }
}
