//! A call's arguments as attributes: scalars as texts by name, and the names of everything else.
//!
//! Every argument is in one of the two, so that a rule can bound the scalars by name, and refuse what it cannot see with
//! the other: lists, objects, `null`, texts that no attribute can hold because they are longer than 4096 bytes or have
//! control characters, such as lines, and texts that lead upwards as paths do (`docs/../x`), which a rule's `docs/**` would
//! take for something below `docs`.
//!
//! `true` and `"true"` are the same text here, and so are `5`, `5.0` and `"5"`: servers coerce one to the other. Numbers
//! are written the shortest way in decimal, without an exponent; one that binary floating point would round to a
//! neighbour (2⁵³ and beyond) is ambiguous.

use crate::{Json, Refusal, Result};
use std::collections::BTreeSet;

/// The longest text that an attribute holds, in bytes.
const LONGEST: usize = 4096;

/// One argument's value, as far as an attribute can hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// A scalar.
    Text(String),
    /// Anything else.
    Structured,
}

/// The arguments of one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Scalars by name, in order.
    pub fields: Vec<(String, String)>,
    /// The names of what is no scalar, in order.
    pub structured: Vec<String>,
}

impl Argument {
    /// A text, if an attribute can hold it and a glob can judge it.
    #[must_use]
    pub fn text(text: &str) -> Self {
        if fits(text) && !leads_upwards(text) { Self::Text(text.to_owned()) } else { Self::Structured }
    }

    /// Yes or no.
    #[must_use]
    pub fn flag(flag: bool) -> Self {
        Self::Text(flag.to_string())
    }

    /// A number, in shortest decimal.
    ///
    /// # Errors
    /// [`Refusal::Ambiguous`] for 2⁵³ and beyond.
    pub fn number(number: f64) -> Result<Self> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if number.abs() < EXACT {
            // Adding zero makes `0` of `-0`.
            Ok(Self::Text((number + 0.0).to_string()))
        } else {
            Err(Refusal::ambiguous("an argument is a number of 2^53 or more, which servers round differently"))
        }
    }

    /// A JSON value.
    ///
    /// # Errors
    /// As [`Argument::number`].
    pub fn json(value: &Json) -> Result<Self> {
        match value {
            Json::Text(text) => Ok(Self::text(text)),
            Json::Flag(flag) => Ok(Self::flag(*flag)),
            // An integer that rounding would change is beyond what is exact, before and after it.
            Json::Integer(number) => Self::number(*number as f64),
            Json::Number(number) => Self::number(*number),
            Json::Null | Json::List(_) | Json::Object(_) => Ok(Self::Structured),
        }
    }
}

impl Arguments {
    /// The members of a JSON object.
    ///
    /// # Errors
    /// [`Refusal::Ambiguous`] where two names differ in case alone, [`Refusal::NotUnderstood`] for a name that no
    /// attribute can hold, and as [`Argument::number`].
    pub fn json(members: &[(String, Json)]) -> Result<Self> {
        unique_ignoring_case(members)?;
        let mut arguments = Self::default();
        for (name, value) in members {
            arguments.add(name, Argument::json(value)?)?;
        }
        Ok(arguments)
    }

    /// One more, whose name must be new.
    ///
    /// # Errors
    /// [`Refusal::NotUnderstood`] for a name that no attribute can hold.
    pub fn add(&mut self, name: &str, argument: Argument) -> Result<()> {
        if !fits(name) {
            return Err(Refusal::not_understood("an argument's name is too long or has control characters"));
        }
        match argument {
            Argument::Text(text) => self.fields.push((name.to_owned(), text)),
            Argument::Structured => self.structured.push(name.to_owned()),
        }
        Ok(())
    }
}

/// Refuses an object with two members whose names differ in case alone: some servers, such as those written in Go, take
/// either for the other.
///
/// # Errors
/// [`Refusal::Ambiguous`].
pub fn unique_ignoring_case(members: &[(String, Json)]) -> Result<()> {
    let mut folded = BTreeSet::new();
    if members.iter().all(|(name, _)| folded.insert(fold(name))) {
        Ok(())
    } else {
        Err(Refusal::ambiguous("two members of an object have names that differ in case alone"))
    }
}

/// A name without its case, as loosely as any server might read it: `ſ` is an `s` and the Kelvin sign a `k`.
#[must_use]
pub fn fold(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Whether an attribute can hold a text: at most 4096 bytes, without control characters.
#[must_use]
pub fn fits(text: &str) -> bool {
    text.len() <= LONGEST && !text.contains(char::is_control)
}

/// Whether a text, read as a path or a URI, has a `..` among its segments, percent-encoded or not.
#[must_use]
pub fn leads_upwards(text: &str) -> bool {
    text.split(['/', '\\', '?', '#']).any(|segment| {
        let mut rest = segment;
        let mut dots = 0;
        while let Some(after) = rest.strip_prefix('.').or_else(|| encoded_dot(rest)) {
            rest = after;
            dots += 1;
        }
        dots == 2 && rest.is_empty()
    })
}

fn encoded_dot(text: &str) -> Option<&str> {
    text.strip_prefix("%2e").or_else(|| text.strip_prefix("%2E"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scalars, and the names of the rest.
    type Both<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

    #[track_caller]
    fn check(json: &str, expect: Result<Both<'_>, ()>) {
        let value = Json::parse(json.as_bytes()).unwrap();
        let arguments = Arguments::json(value.as_object().unwrap()).map_err(|_| ());
        let expect = expect.map(|(fields, structured)| Arguments {
            fields: fields.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect(),
            structured: structured.iter().map(|name| (*name).into()).collect(),
        });
        assert_eq!(arguments, expect, "{json}");
    }

    #[test]
    fn scalars_are_texts_by_name() {
        check(r#"{"a": "x", "b": true, "c": 5}"#, Ok((&[("a", "x"), ("b", "true"), ("c", "5")], &[])));
        check(
            r#"{"a": 5.0, "b": 1e3, "c": -0, "d": -0.0}"#,
            Ok((&[("a", "5"), ("b", "1000"), ("c", "0"), ("d", "0")], &[])),
        );
        check(r#"{"a": 0.1, "b": 1e-7}"#, Ok((&[("a", "0.1"), ("b", "0.0000001")], &[])));
    }

    #[test]
    fn whatever_else_is_named() {
        check(r#"{"a": [], "b": {}, "c": null, "d": "two\nlines"}"#, Ok((&[], &["a", "b", "c", "d"])));
        check(&format!(r#"{{"a": "{}"}}"#, "x".repeat(4097)), Ok((&[], &["a"])));
    }

    #[test]
    fn what_leads_upwards_is_no_text() {
        for up in ["..", "docs/../x", "/docs/..", r"docs\\..\\x", "docs/%2e%2E/x", "docs/.%2e/x", "file:///a/..?b"] {
            check(&format!(r#"{{"a": "{up}"}}"#), Ok((&[], &["a"])));
        }
        for level in ["...", "a..b", "docs/..x", "x../y", "docs/./x", ".", "main..topic"] {
            check(&format!(r#"{{"a": "{level}"}}"#), Ok((&[("a", level)], &[])));
        }
    }

    #[test]
    fn what_servers_read_two_ways_is_refused() {
        check(r#"{"a": 9007199254740991}"#, Ok((&[("a", "9007199254740991")], &[])));
        check(r#"{"a": 9007199254740992}"#, Err(()));
        check(r#"{"a": -9007199254740993}"#, Err(()));
        check(r#"{"a": 1e300}"#, Err(()));
        check(r#"{"path": "x", "Path": "y"}"#, Err(()));
        check("{\"task\": \"x\", \"ta\u{17f}k\": \"y\"}", Err(()));
        check(r#"{"a\nb": "x"}"#, Err(()));
    }
}
