//! Advice: what would be worth asking for, and a request for an operation.

use crate::OpenAi;
use crate::routes::{ROUTES, Reads, Row, placeholder};
use narrowgate_plugin::{Operation, Request, Suggestion, is_read_as, quoted, sample};

/// The operation itself, and for any model of the same family or any id.
pub(crate) fn suggestions(denied: &Operation) -> Vec<Suggestion> {
    let mut suggestions = vec![Suggestion::new(denied.clone(), "Exactly what was denied.")];
    if let Some((family, _)) = denied.text_of("model").and_then(|model| model.split_once('-')) {
        let operation = denied.clone().replaced("model", format!("{family}-*"));
        suggestions.push(Suggestion::new(operation, "Every model of that family."));
    }
    if denied.value("id").is_some() {
        suggestions
            .push(Suggestion::new(denied.clone().without("id").without("item"), "The same for every one of them."));
    }
    suggestions
}

/// A request of the first route that has all of the operation's attributes. None where it would not be read as that.
pub(crate) fn example(operation: &Operation) -> Option<Request> {
    let rows = ROUTES.iter().filter(|row| row.action == operation.action);
    rows.filter_map(|row| row.example(operation)).find(|request| is_read_as::<OpenAi>(request, operation))
}

impl Row {
    fn example(&self, operation: &Operation) -> Option<Request> {
        let text = |name: &str| operation.text_of(name).map(sample);
        let mut request = Request::https(self.method, "api.openai.com").segment("v1");
        for part in self.pattern.split('/') {
            request = match placeholder(part) {
                Some(name) => request.segment(&text(name).unwrap_or_else(|| "example".to_owned())),
                None => request.segment(part),
            };
        }
        let mut members = Vec::new();
        if let Some(model) = text("model").filter(|_| self.reads != Reads::Nothing) {
            members.push(("model", quoted(&model)));
        }
        if operation.flag_of("stream") == Some(true) {
            members.push(("stream", "true".to_owned()));
        }
        match self.reads {
            Reads::Nothing => return Some(request),
            Reads::Form => return Some(form(request, operation)),
            Reads::Model => members.push(("input", quoted("…"))),
            Reads::Generation | Reads::Settings => {
                members.push(self.input(operation.flag_of("uses_files") == Some(true)));
                let tools: Vec<String> =
                    operation.texts_of("tools").unwrap_or_default().iter().map(|tool| self.tool(tool)).collect();
                members.extend((!tools.is_empty()).then(|| ("tools", format!("[{}]", tools.join(",")))));
            }
            Reads::Batch => {
                let endpoint = text("endpoint").unwrap_or_else(|| "chat/completions".to_owned());
                members.push(("endpoint", quoted(&format!("/v1/{endpoint}"))));
            }
            Reads::Purpose => members.push(("purpose", quoted(&text("purpose").unwrap_or_else(|| "batch".to_owned())))),
        }
        let members: Vec<String> = members.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
        Some(request.header("content-type", "application/json").body(format!("{{{}}}", members.join(","))))
    }

    fn input(&self, file: bool) -> (&'static str, String) {
        match (self.action, file) {
            ("responses.create", false) => ("input", quoted("…")),
            ("responses.create", true) => {
                ("input", r#"[{"role":"user","content":[{"type":"input_file","file_id":"file-1"}]}]"#.to_owned())
            }
            ("assistants.write" | "runs.create", true) => {
                ("tool_resources", r#"{"file_search":{"vector_store_ids":["vs_1"]}}"#.to_owned())
            }
            ("assistants.write" | "runs.create", false) => ("instructions", quoted("…")),
            (_, false) => ("messages", r#"[{"role":"user","content":"…"}]"#.to_owned()),
            (_, true) => {
                ("messages", r#"[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]"#.to_owned())
            }
        }
    }

    /// Chat nests the name; responses do not.
    fn tool(&self, tool: &str) -> String {
        match tool.split_once(':') {
            Some((kind, name)) if ["function", "custom"].contains(&kind) && self.action == "responses.create" => {
                format!(r#"{{"type":"{kind}","name":{}}}"#, quoted(&sample(name)))
            }
            Some((kind, name)) if ["function", "custom"].contains(&kind) => {
                format!(r#"{{"type":"{kind}","{kind}":{{"name":{}}}}}"#, quoted(&sample(name)))
            }
            Some(("mcp", server)) => format!(r#"{{"type":"mcp","server_url":{}}}"#, quoted(&sample(server))),
            _ => format!(r#"{{"type":{}}}"#, quoted(tool)),
        }
    }
}

fn form(request: Request, operation: &Operation) -> Request {
    let mut body = String::new();
    let mut field = |head: &str, content: &str| {
        body.push_str(&format!("--example\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n"));
    };
    if let Some(model) = operation.text_of("model") {
        field("name=\"model\"", &sample(model));
    }
    if operation.flag_of("stream") == Some(true) {
        field("name=\"stream\"", "true");
    }
    if operation.flag_of("uses_files") != Some(false) {
        field("name=\"file\"; filename=\"example\"", "…");
    }
    body.push_str("--example--\r\n");
    request.header("content-type", "multipart/form-data; boundary=example").body(body)
}
