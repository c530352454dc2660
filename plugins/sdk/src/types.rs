//! What crosses the boundary, as the world `narrowgate:semantics` defines it.

/// What an action does, at the coarsest: what ceilings bound of actions that they do not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// What an attribute holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text of at most 4096 bytes without control characters.
    Text,
    /// A whole number that fits 64 bits with a sign.
    Integer,
    /// Yes or no.
    Flag,
    /// A set of texts.
    Texts,
    /// Texts by name, where the names are the request's own.
    Fields,
}

/// How a denial is put, for clients that would not show an HTTP 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenialForm {
    /// HTTP 403 with `application/problem+json`.
    Problem,
    /// A JSON-RPC error.
    JsonRpc,
    /// Git's own error packets.
    Git,
}

/// One attribute of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Whether an operation may come without it.
    pub optional: bool,
    /// For people.
    pub doc: String,
}

/// One action of a vocabulary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Without the plugin's name: `contents.write`.
    pub name: String,
    /// What it does, at the coarsest.
    pub group: Group,
    /// The HTTP methods that can carry it; `GET` stands for `HEAD` too.
    pub methods: Vec<String>,
    /// Why an action in the group `read` is carried by POST, PUT, PATCH or DELETE; needed where it is.
    pub read_exemption: Option<String>,
    /// For people.
    pub doc: String,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
}

/// Which bodies are read before a request is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyNeed {
    /// Of requests with these methods.
    pub methods: Vec<String>,
    /// How many bytes at most; at most 4 MiB.
    pub limit: u32,
}

/// Everything that a plugin may ever say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    /// A lower-case identifier.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// For people.
    pub doc: String,
    /// Host patterns as in a policy; empty for every host that a policy gives this protocol.
    pub hosts: Vec<String>,
    /// Request headers, in lower case, that [`crate::Plugin::classify`] looks at.
    pub headers: Vec<String>,
    /// Which bodies it needs.
    pub body: Option<BodyNeed>,
    /// How denials are put.
    pub denials: DenialForm,
    /// Its actions.
    pub actions: Vec<Action>,
}

/// A request's body, without content encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    Absent,
    /// All of it.
    Complete(Vec<u8>),
    /// There is more than these first bytes.
    Truncated(Vec<u8>),
}

/// One canonical request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Upper case.
    pub method: String,
    /// `https` or `http`.
    pub scheme: String,
    /// Lower case, without a trailing dot.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
    /// Canonical and percent-encoded.
    pub path: String,
    /// The path between its slashes, decoded. `/` is one empty segment; a trailing slash is an empty last one.
    pub segments: Vec<String>,
    /// Decoded, in order, repeated keys included.
    pub query: Vec<(String, String)>,
    /// Those that the vocabulary names, in lower case, in order, repeated ones included.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
}

/// What an attribute holds in one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Yes or no.
    Flag(bool),
    /// A set of texts.
    Texts(Vec<String>),
    /// Texts by name; no name twice.
    Fields(Vec<(String, String)>),
}

/// One thing that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// An action of the vocabulary, without the plugin's name.
    pub action: String,
    /// Its attributes, each at most once.
    pub attributes: Vec<(String, Value)>,
}

/// Why a request has no operations. The text must not repeat what may be secret in the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not a request that this plugin knows.
    NotUnderstood(String),
    /// Two servers could read it two ways.
    Ambiguous(String),
    /// What decides is in a body that is missing or too long.
    NeedsBody(String),
    /// Not what the protocol says.
    Malformed(String),
}

/// Advice: an operation whose texts may be globs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// What would be allowed.
    pub operation: Operation,
    /// For people.
    pub doc: String,
}
