//! Patterns over what plugins say: texts that may be paths, names or numbers.

use super::PatternError;

/// Which values of an attribute are meant. Read as a path pattern is: `*` is any number of characters other than `/`, and
/// a whole segment `**` is zero or more segments. `refs/heads/*` is one level, `docs/**` is `docs` and all below.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValuePattern {
    text: String,
    form: ValueForm,
}

/// How a value is matched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueForm {
    /// This text, in which `*` is a star.
    Exact,
    /// A glob whose `*` cross no `/`: as many slashes as the pattern has.
    Flat,
    /// Everything.
    Any,
    /// What stands before and after a `**`, without the slashes at it; both literal, at most one empty.
    Below(String, String),
}

impl ValuePattern {
    /// Reads a pattern; a text without `*` is itself.
    ///
    /// # Errors
    /// Control characters, `?`, `**` within a segment or more than once, and `*` beside `**`, each with what to write
    /// instead.
    pub fn parse(text: &str) -> Result<ValuePattern, PatternError> {
        let wrong = |at: usize, problem: &str| Err(PatternError::new(text, at, problem));
        plain(text)?;
        if let Some(at) = text.find('?') {
            return wrong(at, "? is no wildcard here; for the character itself write {exact: …}");
        }
        let segments: Vec<&str> = text.split('/').collect();
        let mut at = 0;
        for segment in &segments {
            if segment.contains("**") && *segment != "**" {
                return wrong(at, "** stands for whole segments; put it between slashes");
            }
            at += segment.len() + 1;
        }
        let globs = segments.iter().filter(|segment| segment.contains('*')).count();
        let form = match segments.iter().position(|segment| *segment == "**") {
            None if globs == 0 => ValueForm::Exact,
            None => ValueForm::Flat,
            Some(_) if globs > 1 => {
                return wrong(0, "beside ** there can be no other wildcard; write the segments out");
            }
            Some(_) if segments.len() == 1 => ValueForm::Any,
            Some(place) => {
                let (before, after) = segments.split_at(place);
                ValueForm::Below(before.join("/"), after.get(1..).unwrap_or_default().join("/"))
            }
        };
        Ok(ValuePattern { text: text.to_owned(), form })
    }

    /// The text itself, whatever is in it.
    ///
    /// # Errors
    /// Control characters, which no value has.
    pub fn exact(text: &str) -> Result<ValuePattern, PatternError> {
        plain(text)?;
        Ok(ValuePattern { text: text.to_owned(), form: ValueForm::Exact })
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How values are matched.
    pub fn form(&self) -> &ValueForm {
        &self.form
    }

    /// Whether the text alone would be read as another pattern than this one.
    pub fn needs_exact(&self) -> bool {
        self.form == ValueForm::Exact && self.text.contains(['*', '?'])
    }

    /// Whether `value` is meant.
    pub fn matches(&self, value: &str) -> bool {
        match &self.form {
            ValueForm::Exact => self.text == value,
            ValueForm::Any => true,
            ValueForm::Flat => {
                let (pattern, value): (Vec<&str>, Vec<&str>) =
                    (self.text.split('/').collect(), value.split('/').collect());
                pattern.len() == value.len()
                    && pattern
                        .iter()
                        .zip(value)
                        .all(|(glob, piece)| super::glob::matches(&super::glob::pieces(glob, false), piece))
            }
            ValueForm::Below(before, after) => {
                let inner = value.strip_prefix(before.as_str()).and_then(|rest| rest.strip_suffix(after.as_str()));
                match (before.as_str(), after.as_str()) {
                    ("", _) => value == after || inner.is_some_and(|inner| inner.ends_with('/')),
                    (_, "") => value == before || inner.is_some_and(|inner| inner.starts_with('/')),
                    _ => inner.is_some_and(|inner| {
                        inner == "/" || (inner.len() > 1 && inner.starts_with('/') && inner.ends_with('/'))
                    }),
                }
            }
        }
    }
}

fn plain(text: &str) -> Result<(), PatternError> {
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(PatternError::new(text, at, "a value has no control characters")),
        None => Ok(()),
    }
}
