//! Canonical queries.

use smol_str::SmolStr;

use super::Ambiguity;

/// A query string whose decoded keys and values every server reads alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Query {
    text: SmolStr,
    pairs: Vec<(SmolStr, SmolStr)>,
}

/// What a query says of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryValue<'a> {
    /// The key does not occur.
    Absent,
    /// It occurs once, with this decoded value.
    One(&'a str),
    /// It occurs more than once: which occurrence counts depends on the server.
    Repeated,
}

impl Query {
    /// Reads what stands after `?`. Pairs are separated by `&` alone and re-encoded, so that what is forwarded has
    /// one reading: `+` becomes `%20`, a raw `;` becomes `%3B`, empty pairs are dropped.
    ///
    /// # Errors
    /// Broken percent-encoding, a key or value that is not UTF-8 or contains control characters, more than 1,000
    /// pairs, more than 64 KiB of raw or of canonical text. Messages never quote the query.
    pub fn parse(raw: &str) -> Result<Query, Ambiguity> {
        let refuse = |problem| Ambiguity::new("query", "", problem);
        if raw.len() > MAX_BYTES {
            return Err(refuse("longer than 64 KiB"));
        }
        let mut query = Canonical::default();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = match pair.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (pair, None),
            };
            let key = decode(key).map_err(refuse)?;
            let value = value.map(decode).transpose().map_err(refuse)?;
            query.push(&key, value.as_deref()).map_err(refuse)?;
        }
        Ok(query.finish())
    }

    /// The query of these decoded keys and values, encoded and limited as [`Query::parse`] does: parsing its text gives
    /// it back.
    ///
    /// # Errors
    /// A key or value with control characters, more than 1,000 pairs, more than 64 KiB of canonical text.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Query, Ambiguity> {
        let refuse = |problem| Ambiguity::new("query", "", problem);
        let mut query = Canonical::default();
        for (key, value) in pairs {
            query.push(key, Some(value)).map_err(refuse)?;
        }
        Ok(query.finish())
    }

    /// What is forwarded after `?`; empty where there is no query.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the query says of `key`, which is compared decoded and case-sensitively.
    pub fn get(&self, key: &str) -> QueryValue<'_> {
        let mut values = self.pairs.iter().filter(|(k, _)| k == key).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (None, _) => QueryValue::Absent,
            (Some(value), None) => QueryValue::One(value),
            (Some(_), Some(_)) => QueryValue::Repeated,
        }
    }

    /// The decoded pairs in order, repeated keys included; the value is empty where there was none.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The decoded keys, each once, in order of first occurrence.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().enumerate().filter_map(|(at, (key, _))| {
            let seen = self.pairs.iter().take(at).any(|(earlier, _)| earlier == key);
            (!seen).then_some(key.as_str())
        })
    }
}

/// The longest canonical query, and the longest raw one.
const MAX_BYTES: usize = 64 * 1024;
/// The most pairs.
const MAX_PAIRS: usize = 1000;

/// A query under construction.
#[derive(Default)]
struct Canonical {
    text: String,
    pairs: Vec<(SmolStr, SmolStr)>,
}

impl Canonical {
    /// Adds a decoded pair; without a value, no `=` is written.
    fn push(&mut self, key: &str, value: Option<&str>) -> Result<(), &'static str> {
        if key.chars().chain(value.unwrap_or_default().chars()).any(char::is_control) {
            return Err("a key or value contains a control character");
        }
        if self.pairs.len() >= MAX_PAIRS {
            return Err("more than 1,000 pairs");
        }
        if !self.text.is_empty() {
            self.text.push('&');
        }
        encode(key, &mut self.text);
        if let Some(value) = value {
            self.text.push('=');
            encode(value, &mut self.text);
        }
        // On what is forwarded: a limit on the raw form would depend on how a value is spelled.
        if self.text.len() > MAX_BYTES {
            return Err("longer than 64 KiB in canonical form");
        }
        self.pairs.push((SmolStr::new(key), SmolStr::new(value.unwrap_or_default())));
        Ok(())
    }

    fn finish(self) -> Query {
        Query { text: SmolStr::new(self.text), pairs: self.pairs }
    }
}

fn decode(raw: &str) -> Result<String, &'static str> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err("'%' is followed by two hex digits");
                };
                out.push((high * 16 + low) as u8);
            }
            b'+' => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).map_err(|_| "a key or value is not UTF-8")
}

fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$'()*,:@/?".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn one_form_or_none() {
        let cases = [
            ("", Some("")),
            ("a=1&b=2", Some("a=1&b=2")),
            ("a=x+y", Some("a=x%20y")),
            ("a=1;b=2", Some("a=1%3Bb%3D2")),
            ("a&&b=", Some("a&b=")),
            ("a%3d=%26", Some("a%3D=%26")),
            ("q=é", Some("q=%C3%A9")),
            ("a=%ff", None),
            ("a=%0a", None),
            ("a=%", None),
            ("a=%2", None),
        ];
        for (input, expect) in cases {
            let query = Query::parse(input);
            assert_eq!(query.as_ref().ok().map(Query::as_str), expect, "{input:?}");
            if let Ok(query) = query {
                assert_eq!(Query::parse(query.as_str()).as_ref(), Ok(&query), "idempotent: {input:?}");
            }
        }
    }

    #[test]
    fn pairs_and_text_agree_and_the_limit_is_on_what_is_forwarded() {
        for pairs in [&[("a", "1"), ("a", " ;&=é"), ("", "")][..], &[("k", &"!".repeat(30_000))], &[]] {
            let query = Query::from_pairs(pairs.iter().copied()).unwrap();
            assert_eq!(Query::parse(query.as_str()).unwrap(), query);
        }
        assert!(Query::from_pairs([("k", "\u{85}")]).is_err());
        assert!(Query::from_pairs([("\n", "")]).is_err());
        assert!(Query::parse(&format!("k={}", "\"".repeat(21_000))).is_ok());
        assert!(Query::parse(&format!("k={}", "\"".repeat(22_000))).is_err());
        assert!(Query::parse(&"a&".repeat(1000)).is_ok());
        assert!(Query::parse(&"a&".repeat(1001)).is_err());
    }

    #[test]
    fn a_repeated_key_has_no_value() {
        let query = Query::parse("a=1&%61=2&b=3").unwrap();
        assert_eq!(query.get("a"), QueryValue::Repeated);
        assert_eq!(query.get("b"), QueryValue::One("3"));
        assert_eq!(query.get("c"), QueryValue::Absent);
        assert_eq!(query.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert!(!Query::parse("token=s3cret&x=%").unwrap_err().to_string().contains("s3cret"));
    }
}
