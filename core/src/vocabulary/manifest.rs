//! A vocabulary as it is written down, in JSON.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that a plugin may ever say. It is embedded in the plugin's component, where `narrowgate plugin build` puts
/// what `describe` answers, and held against `describe` again whenever the plugin is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// A lower-case identifier: the namespace of its actions and attributes, and the endpoint's `protocol`.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// For people.
    pub doc: String,
    /// Host patterns as in a policy. Empty: every host that a policy gives this protocol.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Request headers, in lower case, that `classify` looks at. Credentials are never shown.
    #[serde(default)]
    pub headers: Vec<String>,
    /// Which bodies are read before a request is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyNeed>,
    /// How a denial is put.
    #[serde(default)]
    pub denials: DenialForm,
    /// The actions.
    pub actions: Vec<ActionDeclaration>,
}

/// Which bodies are read before a request is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyNeed {
    /// Of requests with these methods.
    pub methods: Vec<String>,
    /// How many bytes at most, up to 4 MiB. The rest of a longer body is streamed on unread.
    pub limit: u32,
}

/// How a denial is put, for clients that would not show an HTTP 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DenialForm {
    /// HTTP 403 with `application/problem+json`.
    #[default]
    Problem,
    /// A JSON-RPC error for each request of the body.
    JsonRpc,
    /// Git's own error packets.
    Git,
}

/// An action as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionDeclaration {
    /// Without the plugin's name: `contents.write`.
    pub name: String,
    /// What it does, at the coarsest.
    pub group: Group,
    /// The HTTP methods that can carry it; `GET` stands for `HEAD` too.
    pub methods: Vec<String>,
    /// Why an action in the group `read` is carried by POST, PUT, PATCH or DELETE; needed where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_exemption: Option<String>,
    /// For people.
    pub doc: String,
    /// What is said of it.
    #[serde(default)]
    pub attributes: Vec<AttributeDeclaration>,
}

/// An attribute as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttributeDeclaration {
    /// Letters, digits and `_`, with a lower-case letter first.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Whether an operation may come without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// For people.
    pub doc: String,
}

/// What an action does, at the coarsest: what ceilings bound of actions that they do not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Looks.
    Read,
    /// Makes or changes.
    Write,
    /// Removes.
    Delete,
    /// Changes who may do what, or nobody knows what it does.
    Admin,
}

impl Group {
    /// As in Cedar and in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Group::Read => "read",
            Group::Write => "write",
            Group::Delete => "delete",
            Group::Admin => "admin",
        }
    }
}

/// What an attribute holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number that fits 64 bits with a sign.
    Integer,
    /// Yes or no.
    Flag,
    /// A set of texts.
    Texts,
    /// Texts by name, where the names are the request's own, such as a tool's arguments.
    Fields,
}

impl Kind {
    /// As in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Integer => "integer",
            Kind::Flag => "flag",
            Kind::Texts => "texts",
            Kind::Fields => "fields",
        }
    }
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {problem}")]
pub struct ManifestError {
    /// The place, as a JSON pointer.
    pub at: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl Manifest {
    /// Reads JSON. Nothing is checked but its shape; [`super::Vocabulary`]'s `try_from` does the rest.
    ///
    /// # Errors
    /// Text that is no such JSON.
    pub fn parse(json: &[u8]) -> Result<Manifest, ManifestError> {
        serde_json::from_slice(json).map_err(|error| ManifestError { at: "/".to_owned(), problem: error.to_string() })
    }

    /// The one form in which it is embedded in a component.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and lists of them: nothing that JSON cannot say.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
