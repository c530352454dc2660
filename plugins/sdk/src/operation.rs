//! Making and reading operations, suggestions and refusals.

use crate::{Operation, Refusal, Suggestion, Value};

/// How many operations one request may have: the host denies more.
pub const MOST_OPERATIONS: usize = 16;

impl Operation {
    /// An operation without attributes. `action` is a name of the vocabulary, without the plugin's own.
    #[must_use]
    pub fn new(action: &str) -> Self {
        Self { action: action.to_owned(), attributes: Vec::new() }
    }

    /// With one more attribute. A name given twice is kept twice, and the host denies it.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.attributes.push((name.to_owned(), value));
        self
    }

    /// With a text.
    #[must_use]
    pub fn text(self, name: &str, text: impl Into<String>) -> Self {
        self.with(name, Value::Text(text.into()))
    }

    /// With a text where there is one.
    #[must_use]
    pub fn optional_text(self, name: &str, text: Option<impl Into<String>>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// With a whole number.
    #[must_use]
    pub fn integer(self, name: &str, number: i64) -> Self {
        self.with(name, Value::Integer(number))
    }

    /// With a yes or no.
    #[must_use]
    pub fn flag(self, name: &str, flag: bool) -> Self {
        self.with(name, Value::Flag(flag))
    }

    /// With a set of texts: sorted here, each once.
    #[must_use]
    pub fn texts(self, name: &str, mut texts: Vec<String>) -> Self {
        texts.sort_unstable();
        texts.dedup();
        self.with(name, Value::Texts(texts))
    }

    /// With texts by name.
    #[must_use]
    pub fn fields(self, name: &str, fields: Vec<(String, String)>) -> Self {
        self.with(name, Value::Fields(fields))
    }

    /// What an attribute holds.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|(held, _)| held == name).map(|(_, value)| value)
    }

    /// The text that an attribute holds; `None` too where it holds something else.
    #[must_use]
    pub fn text_of(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number that an attribute holds; `None` too where it holds something else.
    #[must_use]
    pub fn integer_of(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The yes or no that an attribute holds; `None` too where it holds something else.
    #[must_use]
    pub fn flag_of(&self, name: &str) -> Option<bool> {
        match self.value(name)? {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The set that an attribute holds; `None` too where it holds something else.
    #[must_use]
    pub fn texts_of(&self, name: &str) -> Option<&[String]> {
        match self.value(name)? {
            Value::Texts(texts) => Some(texts),
            _ => None,
        }
    }

    /// With this text in place of what the attribute held; unchanged where it has no such attribute.
    #[must_use]
    pub fn replaced(mut self, name: &str, text: impl Into<String>) -> Self {
        if let Some((_, value)) = self.attributes.iter_mut().find(|(held, _)| held == name) {
            *value = Value::Text(text.into());
        }
        self
    }

    /// Without an attribute: in a suggestion, "whatever it holds".
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.attributes.retain(|(held, _)| held != name);
        self
    }
}

impl Suggestion {
    /// Advice: this operation, and for people why.
    #[must_use]
    pub fn new(operation: Operation, doc: &str) -> Self {
        Self { operation, doc: doc.to_owned() }
    }
}

impl Refusal {
    /// Not a request that this plugin knows.
    #[must_use]
    pub fn not_understood(why: impl Into<String>) -> Self {
        Self::NotUnderstood(why.into())
    }

    /// Two servers could read it two ways.
    #[must_use]
    pub fn ambiguous(why: impl Into<String>) -> Self {
        Self::Ambiguous(why.into())
    }

    /// What decides is in a body that is missing or too long.
    #[must_use]
    pub fn needs_body(why: impl Into<String>) -> Self {
        Self::NeedsBody(why.into())
    }

    /// Not what the protocol says.
    #[must_use]
    pub fn malformed(why: impl Into<String>) -> Self {
        Self::Malformed(why.into())
    }

    /// The reason, without its kind.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::NotUnderstood(why) | Self::Ambiguous(why) | Self::NeedsBody(why) | Self::Malformed(why) => why,
        }
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(self.reason())
    }
}

impl core::error::Error for Refusal {}
