//! The rule language: what a policy file says, as types that cannot hold anything else.
//!
//! [`Policy::parse`] is the only way in from text and [`Policy::to_yaml`] the way out; the two round-trip. Nothing
//! here decides anything: [`crate::compile`] gives a policy its meaning, in Cedar.

mod clash;
mod decode;
mod encode;
mod filesystem;
pub mod json_schema;

use std::collections::BTreeMap;
use std::fmt;

pub(crate) use decode::{Decoder, Spot};
pub use filesystem::Filesystem;

use crate::denial::DeniedOperation;
use crate::pattern::{BinaryPattern, Glob, HostPattern, MethodPattern, PathPattern, ValueForm, ValuePattern};
use crate::request::{PathOptions, Port};
use crate::vocabulary::PluginName;

/// A policy, or a ceiling written in the rule language.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// What happens to a request that no rule allows.
    pub on_miss: OnMiss,
    /// What of the file system a confined command may use; `None` where that is not bounded.
    pub filesystem: Option<Filesystem>,
    /// The entries of `network_policies`, by key.
    pub entries: BTreeMap<String, Entry>,
}

/// What happens to a request that no rule allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnMiss {
    /// It is denied.
    #[default]
    Deny,
    /// It waits for a person, if it could be granted inside the ceiling.
    Ask {
        /// For so many seconds, from [`MIN_ASK`] to [`MAX_ASK`].
        timeout: u32,
    },
}

/// How long a request waits where the policy does not say, in seconds.
pub const DEFAULT_ASK: u32 = 120;
/// The shortest wait that a policy can name, in seconds.
pub const MIN_ASK: u32 = 1;
/// The longest, in seconds.
pub const MAX_ASK: u32 = 3600;

/// Some endpoints, for some binaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// For people; the key where the file gives none.
    pub name: String,
    /// Which executables; empty means any.
    pub binaries: Vec<BinaryPattern>,
    /// At least one.
    pub endpoints: Vec<Endpoint>,
}

/// One destination and what may be done there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Which hosts.
    pub host: HostPattern,
    /// Which ports: at least one, ascending, each once.
    pub ports: Vec<Port>,
    /// Opaque bytes, or requests that are read.
    pub traffic: Traffic,
    /// When what it allows ends, in seconds since the Unix epoch. What it denies does not end.
    pub expires_at: Option<i64>,
    /// In a ceiling: what fits inside may be applied without a person.
    pub review_auto: bool,
}

/// How an endpoint's traffic is treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traffic {
    /// Relayed unread: every request of every protocol is allowed.
    Opaque,
    /// Read and decided request by request.
    Rest(Rest),
}

/// What an inspected HTTP endpoint allows and denies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rest {
    /// The plugin that the endpoint's `protocol` names; `None` for `rest`.
    pub protocol: Option<PluginName>,
    /// What is allowed.
    pub allow: Allow,
    /// What is denied whatever any entry allows.
    pub deny: Vec<Rule>,
    /// How paths are read.
    pub paths: PathOptions,
}

impl Rest {
    /// The plugin that says what requests mean here: that of the protocol, or else that whose actions the rules name.
    pub fn plugin(&self) -> Option<&PluginName> {
        self.protocol.as_ref().or_else(|| self.rules().find_map(|rule| Some(rule.operation()?.plugin())))
    }

    /// What is allowed and what is denied, as far as it is rules.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        let allowed = match &self.allow {
            Allow::Rules(rules) => rules.as_slice(),
            Allow::Access(_) => &[],
        };
        allowed.iter().chain(&self.deny)
    }
}

/// An access preset or rules, never both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allow {
    /// A preset.
    Access(Access),
    /// Rules; empty only where the endpoint exists for its denies.
    Rules(Vec<Rule>),
}

impl Default for Allow {
    fn default() -> Allow {
        Allow::Rules(Vec::new())
    }
}

/// Access presets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// GET, HEAD and OPTIONS.
    ReadOnly,
    /// The same, and POST, PUT and PATCH.
    ReadWrite,
    /// Any method.
    Full,
}

impl Access {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Access::ReadOnly => "read-only",
            Access::ReadWrite => "read-write",
            Access::Full => "full",
        }
    }

    /// The Cedar actions it stands for.
    pub const fn actions(self) -> &'static [&'static str] {
        match self {
            Access::ReadOnly => &["GET", "HEAD", "OPTIONS"],
            Access::ReadWrite => &["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH"],
            Access::Full => &["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "OTHER"],
        }
    }
}

/// Some requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// By what is on the wire.
    Rest(RestRule),
    /// By what they mean.
    Operation(OperationRule),
}

impl Rule {
    /// The rule, if it is about what is on the wire.
    pub fn rest(&self) -> Option<&RestRule> {
        match self {
            Rule::Rest(rule) => Some(rule),
            Rule::Operation(_) => None,
        }
    }

    /// The rule, if it is about what requests mean.
    pub fn operation(&self) -> Option<&OperationRule> {
        match self {
            Rule::Operation(rule) => Some(rule),
            Rule::Rest(_) => None,
        }
    }
}

/// Requests, by a plugin's action and what it says of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRule {
    plugin: PluginName,
    action: String,
    /// What each named attribute must be. Attributes not named are free.
    pub attributes: BTreeMap<String, Wanted>,
}

impl OperationRule {
    /// A rule about an action such as `github::contents.write`.
    ///
    /// # Errors
    /// What is wrong with the action, quoting it. Whether a plugin declares it is known where policies are compiled.
    pub fn new(action: &str, attributes: BTreeMap<String, Wanted>) -> Result<OperationRule, String> {
        match action.split_once("::") {
            Some((plugin, name)) if !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control()) => {
                let plugin = PluginName::parse(plugin)?;
                Ok(OperationRule { plugin, action: action.to_owned(), attributes })
            }
            _ => Err(format!("{action:?} is not a plugin's action such as github::contents.write")),
        }
    }

    /// The plugin's name.
    pub fn plugin(&self) -> &PluginName {
        &self.plugin
    }

    /// The action's id, with the plugin's name in front.
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The same, whatever is said of the action.
    pub fn without_attributes(&self) -> OperationRule {
        OperationRule { attributes: BTreeMap::new(), ..self.clone() }
    }

    /// Whether it is about an operation, as a denial tells it.
    pub fn matches(&self, operation: &DeniedOperation) -> bool {
        self.action == operation.action
            && self
                .attributes
                .iter()
                .all(|(name, wanted)| operation.attributes.get(name).is_some_and(|value| wanted.matches(value)))
    }

    /// The conditions that more than one value fits, as `name=pattern`.
    pub fn wide(&self) -> impl Iterator<Item = String> {
        self.conditions().filter(|(_, values)| !matches!(values, [one] if *one.form() == ValueForm::Exact)).map(text)
    }

    /// Each attribute, or field as `attribute.field`, with its values.
    fn conditions(&self) -> impl Iterator<Item = (String, &[ValuePattern])> {
        self.attributes.iter().flat_map(|(name, wanted)| match wanted {
            Wanted::OneOf(values) => vec![(name.clone(), values.as_slice())],
            Wanted::Fields(fields) => {
                fields.iter().map(|(field, values)| (format!("{name}.{field}"), values.as_slice())).collect()
            }
        })
    }
}

/// As reviewers read it: `github::contents.write owner=acme path=docs/**`.
impl fmt::Display for OperationRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.action)?;
        self.conditions().map(text).try_for_each(|condition| write!(f, " {condition}"))
    }
}

/// `name=value`, or `name={a, b}`; a value that could be misread is quoted.
fn text((name, values): (String, &[ValuePattern])) -> String {
    let value = |value: &ValuePattern| {
        let odd = |c: char| c.is_whitespace() || "{},=\"'".contains(c) || !(' '..='~').contains(&c);
        match value.needs_exact() || value.as_str().is_empty() || value.as_str().contains(odd) {
            true => format!("{:?}", value.as_str()),
            false => value.as_str().to_owned(),
        }
    };
    match values {
        [one] => format!("{name}={}", value(one)),
        many => format!("{name}={{{}}}", many.iter().map(value).collect::<Vec<_>>().join(", ")),
    }
}

impl Wanted {
    /// Whether a value, as a denial tells it, is wanted.
    fn matches(&self, value: &serde_json::Value) -> bool {
        use serde_json::Value;
        let any = |values: &[ValuePattern], text: &str| values.iter().any(|pattern| pattern.matches(text));
        match (self, value) {
            (Wanted::OneOf(values), Value::String(text)) => any(values, text),
            (Wanted::OneOf(values), Value::Array(items)) => {
                items.iter().all(|item| item.as_str().is_some_and(|text| any(values, text)))
            }
            (Wanted::OneOf(values), Value::Number(_) | Value::Bool(_)) => any(values, &value.to_string()),
            (Wanted::Fields(wanted), Value::Object(fields)) => wanted
                .iter()
                .all(|(name, values)| fields.get(name).and_then(Value::as_str).is_some_and(|text| any(values, text))),
            _ => false,
        }
    }
}

/// What an attribute must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// One of these; of a set, every element.
    OneOf(Vec<ValuePattern>),
    /// Of fields: each of these must be there and be one of its values. Fields not named are free.
    Fields(BTreeMap<String, Vec<ValuePattern>>),
}

/// Requests, by method, path and query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestRule {
    /// Which methods.
    pub method: MethodPattern,
    /// Which canonical paths.
    pub path: PathPattern,
    /// What each named query key must be. Keys not named are free.
    pub query: BTreeMap<String, Vec<Glob>>,
}

/// What a text is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// What is enforced: an L4 and an inspected endpoint may not match the same connection.
    Policy,
    /// An upper bound: endpoints simply add up.
    Ceiling,
}

impl Policy {
    /// Reads YAML or JSON. `file` is only quoted in errors.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line, column and field.
    pub fn parse(text: &str, file: &str, role: Role) -> Result<Policy, ParseErrors> {
        decode::policy(text, file, role)
    }

    /// A policy that allows nothing.
    pub fn empty() -> Policy {
        Policy::default()
    }
}

/// Everything that is wrong with a text; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseErrors(Vec<ParseError>);

/// One thing that is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1; 0 where the text has none (a JSON value).
    pub line: usize,
    /// The column, from 1; 0 where the text has none.
    pub column: usize,
    /// The field, as a JSON pointer; empty for the whole document.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl ParseErrors {
    /// In the order of the file.
    pub fn errors(&self) -> &[ParseError] {
        &self.0
    }

    pub(crate) fn new(errors: Vec<ParseError>) -> ParseErrors {
        debug_assert!(!errors.is_empty());
        ParseErrors(errors)
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseErrors {}
impl std::error::Error for ParseError {}
