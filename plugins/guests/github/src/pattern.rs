//! Path patterns as in the public documentation: `/repos/{owner}/{repo}/contents/{path...}`. They are taken apart when
//! this crate is compiled, so that hundreds of them cost a request next to nothing, and so that a placeholder which is
//! no attribute does not compile.

use crate::attributes::{ATTRIBUTES, Attribute};
use narrowgate_plugin::{Result, Value};

/// More than any route has.
const MOST_PARTS: usize = 6;

/// A pattern, or the rest of one after a prefix. Empty: nothing.
#[derive(Clone, Copy)]
pub(crate) struct Pattern {
    #[cfg(test)]
    text: &'static str,
    parts: [Part; MOST_PARTS],
    len: usize,
}

#[derive(Clone, Copy)]
pub(crate) enum Part {
    Fixed(&'static str),
    /// One segment.
    One(&'static Attribute),
    /// All segments that remain, also none.
    Rest(&'static Attribute),
}

impl Pattern {
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which refuses what is out of bounds")]
    pub(crate) const fn parse(text: &'static str) -> Self {
        let mut parts = [Part::Fixed(""); MOST_PARTS];
        let mut len = 0;
        let mut at = 0;
        while at < text.len() {
            assert!(text.as_bytes()[at] == b'/', "a pattern is empty or starts with a slash");
            let start = at + 1;
            at = start;
            while at < text.len() && text.as_bytes()[at] != b'/' {
                at += 1;
            }
            parts[len] = part(text.split_at(at).0.split_at(start).1);
            len += 1;
        }
        Self {
            #[cfg(test)]
            text,
            parts,
            len,
        }
    }

    pub(crate) fn parts(&self) -> &[Part] {
        self.parts.get(..self.len).unwrap_or_default()
    }

    /// The segments after this pattern; `None` where there are too few, or a fixed part is another.
    pub(crate) fn after<'s, 'r>(&self, segments: &'s [&'r str]) -> Option<&'s [&'r str]> {
        let mut rest = segments;
        for part in self.parts() {
            rest = match part {
                Part::Rest(_) => &[],
                Part::Fixed(fixed) => rest.split_first().filter(|(segment, _)| *segment == fixed)?.1,
                Part::One(_) => rest.split_first()?.1,
            };
        }
        Some(rest)
    }

    /// Reads the placeholders of segments that this pattern fits. False where one cannot be that attribute.
    pub(crate) fn read(&self, segments: &[&str], attributes: &mut Vec<(String, Value)>) -> Result<bool> {
        let mut rest = segments;
        for part in self.parts() {
            let (attribute, text) = match (part, rest.split_first()) {
                (Part::Rest(attribute), _) => (attribute, core::mem::take(&mut rest).join("/")),
                (Part::One(attribute), Some((segment, after))) => {
                    rest = after;
                    (attribute, (*segment).to_owned())
                }
                (Part::Fixed(_), Some((_, after))) => {
                    rest = after;
                    continue;
                }
                (_, None) => return Ok(false),
            };
            match attribute.read(&text)? {
                Some(value) => attributes.push((attribute.name.to_owned(), value)),
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
impl core::fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(self.text)
    }
}

const fn part(text: &'static str) -> Part {
    let bytes = text.as_bytes();
    if !matches!(bytes, [b'{', .., b'}']) {
        return Part::Fixed(text);
    }
    let inner = text.split_at(text.len() - 1).0.split_at(1).1;
    match inner.as_bytes() {
        [.., b'.', b'.', b'.'] => Part::Rest(named(inner.split_at(inner.len() - 3).0)),
        _ => Part::One(named(inner)),
    }
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which refuses what is out of bounds")]
pub(crate) const fn named(name: &str) -> &'static Attribute {
    let mut at = 0;
    while !same(ATTRIBUTES[at].name, name) {
        at += 1;
    }
    &ATTRIBUTES[at]
}

#[expect(clippy::indexing_slicing, reason = "lengths compared first")]
const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && one.len() == other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}
