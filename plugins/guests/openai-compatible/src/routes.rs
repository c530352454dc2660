//! The table of routes, and what of their bodies is read.

use narrowgate_plugin::{Group, Request};

/// What of a body becomes attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Nothing: the path says it all.
    Nothing,
    /// JSON: the model, tools, files.
    Generation,
    /// JSON, where what it leaves out stays as an assistant has it: the model, tools, files.
    Settings,
    /// JSON: the model.
    Model,
    /// A form of several parts: the model, and there are files in it.
    Form,
    /// JSON: which endpoint a file of requests is sent to.
    Batch,
    /// What a file is for: of a form, or of JSON.
    Purpose,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) method: &'static str,
    /// After the version: `{id}`, `{item}` and `{model}` are one segment each.
    pub(crate) pattern: &'static str,
    pub(crate) action: &'static str,
    pub(crate) reads: Reads,
}

/// A row, and what its placeholders stand for in a request.
pub(crate) struct Route<'r> {
    pub(crate) row: &'static Row,
    pub(crate) placeholders: Vec<(&'static str, &'r str)>,
}

/// Before the version, servers put one of these: OpenAI and most, OpenRouter, Groq.
const PREFIXES: [&[&str]; 3] = [&["v1"], &["api", "v1"], &["openai", "v1"]];

pub(crate) fn find(request: &Request) -> Option<Route<'_>> {
    let segments = request.segments();
    let path = PREFIXES.iter().find_map(|prefix| segments.strip_prefix(*prefix))?.to_vec();
    let method = if request.method == "HEAD" { "GET" } else { &request.method };
    ROUTES.iter().filter(|row| row.method == method).find_map(|row| row.matches(&path))
}

impl Row {
    fn matches<'r>(&'static self, path: &[&'r str]) -> Option<Route<'r>> {
        let mut placeholders = Vec::new();
        let mut segments = path.iter();
        for part in self.pattern.split('/') {
            let segment = *segments.next()?;
            match placeholder(part) {
                // With a slash in it, a server that decodes first would route it elsewhere.
                Some(name) if is_id(segment) || name == "model" && is_model(segment) => {
                    placeholders.push((name, segment))
                }
                None if part == segment => {}
                _ => return None,
            }
        }
        segments.next().is_none().then_some(Route { row: self, placeholders })
    }
}

pub(crate) fn placeholder(part: &'static str) -> Option<&'static str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
        && !is_dots(text)
}

/// Other servers' models are called `maker/model`.
fn is_model(text: &str) -> bool {
    text.split('/').all(is_id)
}

fn is_dots(text: &str) -> bool {
    matches!(text, "." | "..")
}

const fn row(method: &'static str, pattern: &'static str, action: &'static str, reads: Reads) -> Row {
    Row { method, pattern, action, reads }
}

const fn get(pattern: &'static str, action: &'static str) -> Row {
    row("GET", pattern, action, Reads::Nothing)
}

const fn post(pattern: &'static str, action: &'static str) -> Row {
    row("POST", pattern, action, Reads::Nothing)
}

const fn send(pattern: &'static str, action: &'static str, reads: Reads) -> Row {
    row("POST", pattern, action, reads)
}

const fn remove(pattern: &'static str, action: &'static str) -> Row {
    row("DELETE", pattern, action, Reads::Nothing)
}

pub(crate) static ROUTES: &[Row] = &[
    send("chat/completions", "chat.create", Reads::Generation),
    get("chat/completions", "chat.read"),
    get("chat/completions/{id}", "chat.read"),
    get("chat/completions/{id}/messages", "chat.read"),
    post("chat/completions/{id}", "chat.update"),
    remove("chat/completions/{id}", "chat.delete"),
    send("responses", "responses.create", Reads::Generation),
    send("responses/input_tokens", "responses.create", Reads::Generation),
    send("responses/compact", "responses.create", Reads::Generation),
    get("responses/{id}", "responses.read"),
    get("responses/{id}/input_items", "responses.read"),
    post("responses/{id}/cancel", "responses.cancel"),
    remove("responses/{id}", "responses.delete"),
    send("completions", "completions.create", Reads::Model),
    send("embeddings", "embeddings.create", Reads::Model),
    send("moderations", "moderations.create", Reads::Model),
    send("images/generations", "images.create", Reads::Model),
    send("images/edits", "images.create", Reads::Form),
    send("images/variations", "images.create", Reads::Form),
    send("audio/speech", "audio.create", Reads::Model),
    send("audio/transcriptions", "audio.create", Reads::Form),
    send("audio/translations", "audio.create", Reads::Form),
    get("models", "models.read"),
    get("models/{model}", "models.read"),
    remove("models/{model}", "models.delete"),
    get("files", "files.read"),
    get("files/{id}", "files.read"),
    get("files/{id}/content", "files.download"),
    send("files", "files.upload", Reads::Purpose),
    remove("files/{id}", "files.delete"),
    send("uploads", "files.upload", Reads::Purpose),
    post("uploads/{id}/parts", "uploads.continue"),
    post("uploads/{id}/complete", "uploads.continue"),
    post("uploads/{id}/cancel", "uploads.continue"),
    get("batches", "batches.read"),
    get("batches/{id}", "batches.read"),
    send("batches", "batches.create", Reads::Batch),
    post("batches/{id}/cancel", "batches.cancel"),
    get("fine_tuning/jobs", "fine_tuning.read"),
    get("fine_tuning/jobs/{id}", "fine_tuning.read"),
    get("fine_tuning/jobs/{id}/events", "fine_tuning.read"),
    get("fine_tuning/jobs/{id}/checkpoints", "fine_tuning.read"),
    send("fine_tuning/jobs", "fine_tuning.create", Reads::Model),
    post("fine_tuning/jobs/{id}/cancel", "fine_tuning.update"),
    post("fine_tuning/jobs/{id}/pause", "fine_tuning.update"),
    post("fine_tuning/jobs/{id}/resume", "fine_tuning.update"),
    get("fine_tuning/checkpoints/{id}/permissions", "fine_tuning.read"),
    post("fine_tuning/checkpoints/{id}/permissions", "fine_tuning.admin"),
    remove("fine_tuning/checkpoints/{id}/permissions/{item}", "fine_tuning.admin"),
    get("vector_stores", "vector_stores.read"),
    get("vector_stores/{id}", "vector_stores.read"),
    get("vector_stores/{id}/files", "vector_stores.read"),
    get("vector_stores/{id}/files/{item}", "vector_stores.read"),
    get("vector_stores/{id}/files/{item}/content", "vector_stores.read"),
    get("vector_stores/{id}/file_batches/{item}", "vector_stores.read"),
    get("vector_stores/{id}/file_batches/{item}/files", "vector_stores.read"),
    post("vector_stores/{id}/search", "vector_stores.search"),
    post("vector_stores", "vector_stores.write"),
    post("vector_stores/{id}", "vector_stores.write"),
    post("vector_stores/{id}/files", "vector_stores.write"),
    post("vector_stores/{id}/files/{item}", "vector_stores.write"),
    post("vector_stores/{id}/file_batches", "vector_stores.write"),
    post("vector_stores/{id}/file_batches/{item}/cancel", "vector_stores.write"),
    remove("vector_stores/{id}", "vector_stores.delete"),
    remove("vector_stores/{id}/files/{item}", "vector_stores.delete"),
    get("assistants", "assistants.read"),
    get("assistants/{id}", "assistants.read"),
    send("assistants", "assistants.write", Reads::Settings),
    send("assistants/{id}", "assistants.write", Reads::Settings),
    remove("assistants/{id}", "assistants.delete"),
    send("threads/runs", "runs.create", Reads::Settings),
    send("threads/{id}/runs", "runs.create", Reads::Settings),
    get("threads/{id}/runs", "runs.read"),
    get("threads/{id}/runs/{item}", "runs.read"),
    get("threads/{id}/runs/{item}/steps", "runs.read"),
    post("threads/{id}/runs/{item}", "runs.update"),
    post("threads/{id}/runs/{item}/cancel", "runs.update"),
    post("threads/{id}/runs/{item}/submit_tool_outputs", "runs.update"),
    get("threads/{id}", "threads.read"),
    get("threads/{id}/messages", "threads.read"),
    get("threads/{id}/messages/{item}", "threads.read"),
    post("threads", "threads.write"),
    post("threads/{id}", "threads.write"),
    post("threads/{id}/messages", "threads.write"),
    post("threads/{id}/messages/{item}", "threads.write"),
    remove("threads/{id}", "threads.delete"),
    remove("threads/{id}/messages/{item}", "threads.delete"),
    get("conversations/{id}", "conversations.read"),
    get("conversations/{id}/items", "conversations.read"),
    get("conversations/{id}/items/{item}", "conversations.read"),
    post("conversations", "conversations.write"),
    post("conversations/{id}", "conversations.write"),
    post("conversations/{id}/items", "conversations.write"),
    remove("conversations/{id}", "conversations.delete"),
    remove("conversations/{id}/items/{item}", "conversations.delete"),
];

pub(crate) struct Declared {
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    pub(crate) doc: &'static str,
}

const fn action(name: &'static str, group: Group, doc: &'static str) -> Declared {
    Declared { name, group, doc }
}

pub(crate) static ACTIONS: &[Declared] = &[
    action("chat.create", Group::Write, "Sends messages to a model."),
    action("chat.read", Group::Read, "Reads stored chats."),
    action("chat.update", Group::Write, "Changes what is noted on a stored chat."),
    action("chat.delete", Group::Delete, "Deletes a stored chat."),
    action("responses.create", Group::Write, "Sends input to a model, or has it counted or compacted."),
    action("responses.read", Group::Read, "Reads a stored response."),
    action("responses.cancel", Group::Write, "Cancels a response in the background."),
    action("responses.delete", Group::Delete, "Deletes a stored response."),
    action("completions.create", Group::Write, "Has a model complete a text."),
    action("embeddings.create", Group::Write, "Has a model embed texts."),
    action("moderations.create", Group::Write, "Has a model judge texts or images."),
    action("images.create", Group::Write, "Has a model make or change images."),
    action("audio.create", Group::Write, "Has a model speak, transcribe or translate."),
    action("models.read", Group::Read, "Lists models, or reads one's description."),
    action("models.delete", Group::Delete, "Deletes a fine-tuned model."),
    action("files.read", Group::Read, "Lists files, or reads one's description."),
    action("files.download", Group::Read, "Reads what is in a file."),
    action("files.upload", Group::Write, "Uploads a file, or begins to."),
    action("files.delete", Group::Delete, "Deletes a file."),
    action("uploads.continue", Group::Write, "Adds a part to an upload, completes or cancels it."),
    action("batches.read", Group::Read, "Reads batches."),
    action("batches.create", Group::Write, "Sends a file of requests; which models they name is in the file."),
    action("batches.cancel", Group::Write, "Cancels a batch."),
    action("fine_tuning.read", Group::Read, "Reads fine-tuning jobs, their events and checkpoints."),
    action("fine_tuning.create", Group::Write, "Begins to fine-tune a model."),
    action("fine_tuning.update", Group::Write, "Cancels, pauses or resumes a job."),
    action("fine_tuning.admin", Group::Admin, "Changes who may use a checkpoint."),
    action("vector_stores.read", Group::Read, "Reads vector stores and what is in them."),
    action("vector_stores.search", Group::Write, "Searches a vector store; the question is sent out."),
    action("vector_stores.write", Group::Write, "Creates or changes a vector store, or adds files to it."),
    action("vector_stores.delete", Group::Delete, "Deletes a vector store, or takes a file out of it."),
    action("assistants.read", Group::Read, "Reads assistants."),
    action("assistants.write", Group::Write, "Creates or changes an assistant."),
    action("assistants.delete", Group::Delete, "Deletes an assistant."),
    action("runs.create", Group::Write, "Runs an assistant, which has a model and tools of its own."),
    action("runs.read", Group::Read, "Reads runs and their steps."),
    action("runs.update", Group::Write, "Changes or cancels a run, or hands it what its tools gave."),
    action("threads.read", Group::Read, "Reads threads and their messages."),
    action("threads.write", Group::Write, "Creates or changes a thread or its messages."),
    action("threads.delete", Group::Delete, "Deletes a thread or a message."),
    action("conversations.read", Group::Read, "Reads conversations and their items."),
    action("conversations.write", Group::Write, "Creates or changes a conversation or its items."),
    action("conversations.delete", Group::Delete, "Deletes a conversation or an item."),
];
