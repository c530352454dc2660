//! What a plugin said of a request, held against its vocabulary.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use smol_str::SmolStr;

use super::{Action, Kind, Vocabulary};
use crate::request::{Host, Method};

/// How many operations one request may be.
pub const MAX_OPERATIONS: usize = 16;
/// How many attributes one operation may have.
pub const MAX_ATTRIBUTES: usize = 32;
/// How many bytes one text may have.
pub const MAX_TEXT: usize = 4096;
/// How many elements one set of texts, or one set of fields, may have.
pub const MAX_ELEMENTS: usize = 64;

/// An operation as a plugin put it: nothing about it is known to be true or even well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// An action, without the plugin's name.
    pub action: String,
    /// Its attributes.
    pub attributes: Vec<(String, LabelValue)>,
}

/// An attribute's value as a plugin put it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelValue {
    /// A text.
    Text(String),
    /// A whole number in decimal.
    Integer(String),
    /// Yes or no.
    Flag(bool),
    /// A set of texts.
    Texts(Vec<String>),
    /// Texts by name.
    Fields(Vec<(String, String)>),
}

/// What one request means, in one of its operations. Only [`Vocabulary::admit`] makes one: its action is declared, it has
/// every attribute that is not optional, and no other than those declared, each of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Meaning {
    plugin: SmolStr,
    action: SmolStr,
    attributes: BTreeMap<SmolStr, Value>,
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Yes or no.
    Flag(bool),
    /// A set of texts.
    Texts(BTreeSet<String>),
    /// Texts by name.
    Fields(BTreeMap<String, String>),
}

/// Why what a plugin said is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAdmitted(String);

impl Meaning {
    /// The plugin's name.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// The Cedar action's id: `github::contents.write`.
    pub fn action(&self) -> &str {
        &self.action
    }

    /// By name.
    pub fn attributes(&self) -> &BTreeMap<SmolStr, Value> {
        &self.attributes
    }

    /// The same as a plugin would put it.
    pub fn label(&self) -> Label {
        let value = |value: &Value| match value {
            Value::Text(text) => LabelValue::Text(text.clone()),
            Value::Integer(number) => LabelValue::Integer(number.to_string()),
            Value::Flag(flag) => LabelValue::Flag(*flag),
            Value::Texts(texts) => LabelValue::Texts(texts.iter().cloned().collect()),
            Value::Fields(fields) => {
                LabelValue::Fields(fields.iter().map(|(name, text)| (name.clone(), text.clone())).collect())
            }
        };
        let action = self.action.split_once("::").map_or("", |(_, action)| action).to_owned();
        Label { action, attributes: self.attributes.iter().map(|(name, is)| (name.to_string(), value(is))).collect() }
    }
}

impl Value {
    /// As in denials and reports.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Text(text) => json!(text),
            Value::Integer(number) => json!(number),
            Value::Flag(flag) => json!(flag),
            Value::Texts(texts) => json!(texts),
            Value::Fields(fields) => json!(fields),
        }
    }
}

impl Vocabulary {
    /// Takes what the plugin said of a request with this method to this host, if the vocabulary admits it.
    ///
    /// # Errors
    /// An action or attribute that is not declared, that is missing or there twice, of another kind, or beyond the limits;
    /// a method that cannot carry the action; a host that the plugin does not speak for; control characters.
    pub fn admit(&self, host: &Host, method: &Method, label: Label) -> Result<Meaning, NotAdmitted> {
        let Label { action: name, attributes } = label;
        let action = self
            .actions
            .get(name.as_str())
            .ok_or_else(|| NotAdmitted(format!("the action {} is not declared", quote(&name))))?;
        if !self.is_for(host) {
            return Err(NotAdmitted(format!("{} does not speak for the host {host}", self.name)));
        }
        if !action.methods.contains(&method.as_str()) {
            return Err(NotAdmitted(format!("{} is not carried by {method}", action.id)));
        }
        if attributes.len() > MAX_ATTRIBUTES {
            return Err(NotAdmitted(format!("{} has more than {MAX_ATTRIBUTES} attributes", action.id)));
        }
        let mut known = BTreeMap::new();
        for (attribute, value) in attributes {
            let value = admit_value(action, &attribute, value)?;
            if known.insert(SmolStr::new(&attribute), value).is_some() {
                return Err(NotAdmitted(format!("{} has the attribute {} twice", action.id, quote(&attribute))));
            }
        }
        let missing = action.attributes.iter().find(|(name, is)| !is.optional && !known.contains_key(*name));
        if let Some((name, _)) = missing {
            return Err(NotAdmitted(format!("{} comes without its attribute {name:?}", action.id)));
        }
        Ok(Meaning { plugin: SmolStr::new(self.name.as_str()), action: action.id.clone(), attributes: known })
    }
}

fn admit_value(action: &Action, name: &str, value: LabelValue) -> Result<Value, NotAdmitted> {
    let Action { id, attributes, .. } = action;
    let refuse = |problem: &str| Err(NotAdmitted(format!("{id}: the attribute {} {problem}", quote(name))));
    let Some(declared) = attributes.get(name) else { return refuse("is not declared") };
    let is_plain = |text: &str| text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
    let value = match (declared.kind, value) {
        (Kind::Text, LabelValue::Text(text)) => Value::Text(text),
        (Kind::Integer, LabelValue::Integer(digits)) => match digits.parse::<i64>() {
            Ok(number) if number.to_string() == digits => Value::Integer(number),
            _ => return refuse("is not a whole number of 64 bits in decimal"),
        },
        (Kind::Flag, LabelValue::Flag(flag)) => Value::Flag(flag),
        (Kind::Texts, LabelValue::Texts(texts)) => {
            if texts.len() > MAX_ELEMENTS {
                return refuse("has too many elements");
            }
            Value::Texts(texts.into_iter().collect())
        }
        (Kind::Fields, LabelValue::Fields(fields)) => {
            let count = fields.len();
            let fields: BTreeMap<String, String> = fields.into_iter().collect();
            if count > MAX_ELEMENTS {
                return refuse("has too many fields");
            }
            if fields.len() < count {
                return refuse("has a field twice");
            }
            Value::Fields(fields)
        }
        (kind, _) => return refuse(&format!("is not of its kind, {}", kind.as_str())),
    };
    let plain = match &value {
        Value::Text(text) => is_plain(text),
        Value::Texts(texts) => texts.iter().all(|text| is_plain(text)),
        Value::Fields(fields) => fields.iter().all(|(name, text)| is_plain(name) && is_plain(text)),
        Value::Integer(_) | Value::Flag(_) => true,
    };
    match plain {
        true => Ok(value),
        false => refuse("has a control character or more than 4096 bytes"),
    }
}

/// What a plugin wrote, short enough for a message and a log line.
fn quote(text: &str) -> String {
    let short: String = text.chars().take(64).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}
