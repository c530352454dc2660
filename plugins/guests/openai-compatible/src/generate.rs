//! From a route and its body to an operation.

use crate::multipart::Form;
use crate::routes::{Reads, Route};
use narrowgate_plugin::{Json, Operation, Refusal, Request, Result};

pub(crate) fn read(request: &Request, route: Route<'_>) -> Result<Operation> {
    let mut operation = Operation::new(route.row.action);
    for (name, text) in &route.placeholders {
        operation = operation.text(name, *text);
    }
    match route.row.reads {
        Reads::Nothing => Ok(operation),
        Reads::Generation => generation(operation.text("endpoint", route.endpoint()), &json(request)?),
        Reads::Settings => settings(operation.text("endpoint", route.endpoint()), &json(request)?),
        Reads::Model => model(operation.text("endpoint", route.endpoint()), &json(request)?),
        Reads::Form => form(operation.text("endpoint", route.endpoint()), &Form::of(request)?),
        Reads::Batch => {
            let endpoint = required(json(request)?.text_member("endpoint")?, "endpoint")?.to_owned();
            Ok(operation.text("endpoint", endpoint.strip_prefix("/v1/").unwrap_or(&endpoint)))
        }
        Reads::Purpose if request.media_type()? == "multipart/form-data" => {
            let form = Form::of(request)?;
            Ok(operation.text("purpose", required(form.text("purpose")?, "purpose")?))
        }
        Reads::Purpose => Ok(operation.text("purpose", required(json(request)?.text_member("purpose")?, "purpose")?)),
    }
}

impl Route<'_> {
    /// Without ids: `threads/runs` for `threads/{id}/runs` too.
    fn endpoint(&self) -> String {
        let fixed = self.row.pattern.split('/').filter(|part| !part.starts_with('{'));
        fixed.collect::<Vec<_>>().join("/")
    }
}

fn json(request: &Request) -> Result<Json> {
    request.check_charset()?;
    match request.media_type()?.as_str() {
        "" | "application/json" => {}
        other => return Err(Refusal::not_understood(format!("the media type {other:?} where JSON is documented"))),
    }
    match request.json()? {
        json @ Json::Object(_) => Ok(json),
        _ => Err(Refusal::malformed("the body must be a JSON object")),
    }
}

fn required<'t>(text: Option<&'t str>, member: &str) -> Result<&'t str> {
    text.filter(|text| !text.is_empty()).ok_or_else(|| Refusal::malformed(format!("the member {member:?} is missing")))
}

fn model(operation: Operation, json: &Json) -> Result<Operation> {
    // Routers take these as further models to try.
    for member in ["models", "fallbacks"] {
        if json.member(member)?.is_some() {
            return Err(Refusal::not_understood(format!("{member:?} names further models; name one, in \"model\"")));
        }
    }
    let model = json.text_member("model")?;
    if model == Some("") {
        return Err(Refusal::malformed("\"model\" is empty"));
    }
    Ok(operation.optional_text("model", model).flag("stream", json.flag_member("stream")?.unwrap_or(false)))
}

fn form(operation: Operation, form: &Form<'_>) -> Result<Operation> {
    let stream = match form.text("stream")? {
        None | Some("false" | "False" | "0") => false,
        Some("true" | "True" | "1") => true,
        Some(_) => return Err(Refusal::malformed("\"stream\" is neither true nor false")),
    };
    if form.text("model")? == Some("") {
        return Err(Refusal::malformed("\"model\" is empty"));
    }
    Ok(operation
        .optional_text("model", form.text("model")?)
        .flag("stream", stream)
        .flag("uses_files", form.has_files()))
}

fn generation(operation: Operation, json: &Json) -> Result<Operation> {
    if !matches!(json.member("prompt")?, None | Some(Json::Null | Json::Text(_))) {
        return Err(Refusal::not_understood("a stored \"prompt\" brings a model and tools of its own"));
    }
    let tools = tools(json)?;
    let uses_tools = !tools.is_empty();
    let uses_files = uses_files(json)?;
    Ok(model(operation, json)?.texts("tools", tools).flag("uses_tools", uses_tools).flag("uses_files", uses_files))
}

/// An assistant and its thread bring tools and files of their own: only what is there says something.
fn settings(operation: Operation, json: &Json) -> Result<Operation> {
    let mut operation = model(operation, json)?;
    if json.list_member("tools")?.is_some() {
        let tools = tools(json)?;
        let uses_tools = !tools.is_empty();
        operation = operation.texts("tools", tools).flag("uses_tools", uses_tools);
    }
    Ok(if uses_files(json)? { operation.flag("uses_files", true) } else { operation })
}

/// Functions as `function:name`, which the caller runs; what the server runs by its kind, `web_search`; remote MCP servers
/// by their address.
fn tools(json: &Json) -> Result<Vec<String>> {
    let mut tools = Vec::new();
    for tool in json.list_member("tools")?.unwrap_or_default() {
        tools.push(tool_name(tool)?);
    }
    for function in json.list_member("functions")?.unwrap_or_default() {
        tools.push(format!("function:{}", required(function.text_member("name")?, "name")?));
    }
    for plugin in json.list_member("plugins")?.unwrap_or_default() {
        tools.push(format!("plugin:{}", required(plugin.text_member("id")?, "id")?));
    }
    if !matches!(json.member("web_search_options")?, None | Some(Json::Null)) {
        tools.push("web_search".to_owned());
    }
    Ok(tools)
}

fn tool_name(tool: &Json) -> Result<String> {
    let kind = required(tool.text_member("type")?, "type")?;
    let named = |json: &Json| required(json.text_member("name")?, "name").map(|name| format!("{kind}:{name}"));
    match kind {
        // Chat nests what responses do not.
        "function" | "custom" => match (tool.member(kind)?, tool.member("name")?) {
            (Some(nested), None) => named(nested),
            (None, Some(_)) => named(tool),
            _ => Err(Refusal::ambiguous(format!("a {kind} tool that is named in two places, or in none"))),
        },
        "mcp" => match (tool.text_member("server_url")?, tool.text_member("connector_id")?) {
            (Some(address), None) => mcp_server(address),
            (None, Some(connector)) => Ok(format!("mcp:{connector}")),
            _ => Err(Refusal::malformed("an mcp tool has one of \"server_url\" and \"connector_id\"")),
        },
        // Anything else is run by the server, under this name.
        _ if kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') => {
            Ok(kind.to_owned())
        }
        _ => Err(Refusal::not_understood("a tool whose type is not a plain word")),
    }
}

/// Without what may be secret in an address.
fn mcp_server(address: &str) -> Result<String> {
    let server = address.split(['?', '#']).next().unwrap_or_default();
    if server.contains('@') || !(server.starts_with("https://") || server.starts_with("http://")) {
        return Err(Refusal::malformed("the \"server_url\" of an mcp tool is not http(s)://host/path"));
    }
    Ok(format!("mcp:{server}"))
}

/// Whether files, images or sound go along, inside or by reference.
fn uses_files(json: &Json) -> Result<bool> {
    for member in ["messages", "input", "additional_messages", "attachments", "tool_resources", "thread"] {
        if json.member(member)?.is_some_and(carries_files) {
            return Ok(true);
        }
    }
    let hosted = |tool: &&Json| !matches!(tool.text_member("type"), Ok(Some("function" | "custom")));
    Ok(json.list_member("tools")?.unwrap_or_default().iter().filter(hosted).any(carries_files))
}

const FILE_PARTS: [&str; 8] =
    ["file", "input_file", "image_file", "image_url", "input_image", "input_audio", "container_upload", "file_search"];

const FILE_MEMBERS: [&str; 6] = ["file_id", "file_ids", "file_data", "file_url", "attachments", "vector_store_ids"];

fn carries_files(json: &Json) -> bool {
    match json {
        Json::List(items) => items.iter().any(carries_files),
        Json::Object(members) => members.iter().any(|(name, value)| {
            let part =
                name.eq_ignore_ascii_case("type") && value.as_text().is_some_and(|kind| FILE_PARTS.contains(&kind));
            part || FILE_MEMBERS.iter().any(|held| name.eq_ignore_ascii_case(held)) && *value != Json::Null
                || carries_files(value)
        }),
        _ => false,
    }
}
