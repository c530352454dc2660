//! The vocabulary, read off the table of routes.

use crate::routes::{ACTIONS, Declared, ROUTES, Reads, Row, placeholder};
use narrowgate_plugin::{Action, Kind, Vocabulary};

/// A conversation with a few images in it.
const BODY_LIMIT: u32 = 2 << 20;

pub(crate) fn vocabulary() -> Vocabulary {
    Vocabulary::new("openai", env!("CARGO_PKG_VERSION"), "OpenAI's API, and what speaks it.")
        .header("content-type")
        .body(&["POST"], BODY_LIMIT)
        .actions(ACTIONS.iter().map(action))
}

const ATTRIBUTES: &[(&str, Kind, &str)] = &[
    (
        "endpoint",
        Kind::Text,
        "The endpoint, without version and ids: `chat/completions`; of a batch, where its requests go.",
    ),
    ("model", Kind::Text, "The model, as the request names it; without it, the server's choice."),
    ("stream", Kind::Flag, "Whether the answer comes in pieces."),
    (
        "tools",
        Kind::Texts,
        "`function:NAME` and `custom:NAME`, which the caller runs; by its kind what the server runs: `web_search`, \
         `code_interpreter`; `mcp:URL` for remote servers.",
    ),
    ("uses_tools", Kind::Flag, "Whether there are any tools."),
    ("uses_files", Kind::Flag, "Whether files, images or sound go along, inside or by reference."),
    ("purpose", Kind::Text, "What the file is for: `assistants`, `batch`, `fine-tune`."),
    ("id", Kind::Text, "The id of the file, thread, run's thread, and so on."),
    ("item", Kind::Text, "The id of what is within: the message, the run, the file of a store."),
];

fn action(declared: &Declared) -> Action {
    let rows: Vec<&Row> = ROUTES.iter().filter(|row| row.action == declared.name).collect();
    let mut methods: Vec<&str> = rows.iter().map(|row| row.method).collect();
    methods.dedup();
    let mut action = Action::new(declared.group, declared.name, declared.doc).methods(&methods);
    for (name, kind, doc) in ATTRIBUTES {
        let held: Vec<Option<bool>> = rows.iter().map(|row| row.optional(name)).collect();
        if held.iter().any(Option::is_some) {
            action = action.attribute(name, *kind, held.iter().any(|held| *held != Some(false)), doc);
        }
    }
    action
}

impl Row {
    /// Whether this route's operations may come without an attribute; `None` where they never have it.
    pub(crate) fn optional(&self, attribute: &str) -> Option<bool> {
        if self.pattern.split('/').any(|part| placeholder(part) == Some(attribute)) {
            return Some(false);
        }
        match (self.reads, attribute) {
            (Reads::Generation | Reads::Settings | Reads::Model | Reads::Form, "model") => Some(true),
            (Reads::Generation | Reads::Settings | Reads::Model | Reads::Form | Reads::Batch, "endpoint") => {
                Some(false)
            }
            (Reads::Generation | Reads::Settings | Reads::Model | Reads::Form, "stream") => Some(false),
            (Reads::Generation, "tools" | "uses_tools" | "uses_files") => Some(false),
            (Reads::Settings, "tools" | "uses_tools" | "uses_files") => Some(true),
            (Reads::Form, "uses_files") => Some(false),
            (Reads::Purpose, "purpose") => Some(false),
            _ => None,
        }
    }
}
