//! JSON, read the one way that all parsers agree on: a name twice in an object, at any depth, is refused, because
//! parsers differ in which of the two they keep; and so is what only lenient parsers accept.

use crate::{Refusal, Result, arguments::fold};
use core::{cell::Cell, fmt};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// How deep lists and objects may nest.
const DEPTH: usize = 64;

/// One JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A number that is written as a whole one and fits 64 bits with a sign.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object: its members in order, no name twice.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads one JSON value, and nothing after it.
    ///
    /// # Errors
    /// - [`Refusal::Malformed`]: not JSON, not UTF-8, more than one value, or nested deeper than 64.
    /// - [`Refusal::Ambiguous`]: an object with a name twice.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let repeated = Cell::new(false);
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let read = Reader { depth: DEPTH, repeated: &repeated }
            .deserialize(&mut deserializer)
            .and_then(|json| deserializer.end().map(|()| json));
        match read {
            Ok(json) => Ok(json),
            Err(_) if repeated.get() => Err(Refusal::ambiguous("an object of the JSON body has a name twice")),
            Err(why) => Err(Refusal::malformed(format!(
                "the body is not strict JSON: at line {}, column {}",
                why.line(),
                why.column()
            ))),
        }
    }

    /// The member of an object; `None` where there is none, or where this is no object.
    ///
    /// # Errors
    /// [`Refusal::Ambiguous`] where another member's name differs in case alone: some servers would take that one.
    pub fn member(&self, name: &str) -> Result<Option<&Json>> {
        let Self::Object(members) = self else { return Ok(None) };
        let folded = fold(name);
        // Few members have a name that is not ASCII, and only those need be folded to be compared.
        let same = |held: &str| held.eq_ignore_ascii_case(name) || !held.is_ascii() && fold(held) == folded;
        let mut found = None;
        for (held, value) in members.iter().filter(|(held, _)| same(held)) {
            if held != name {
                return Err(Refusal::ambiguous(format!(
                    "the JSON body has a member {held:?}, which some servers read as {name:?}"
                )));
            }
            found = Some(value);
        }
        Ok(found)
    }

    /// The text that a member holds; `None` where it is absent or `null`.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] where it holds something else, and what [`Json::member`] refuses.
    pub fn text_member(&self, name: &str) -> Result<Option<&str>> {
        match self.member(name)? {
            None | Some(Self::Null) => Ok(None),
            Some(Self::Text(text)) => Ok(Some(text)),
            Some(_) => Err(Refusal::malformed(format!("the member {name:?} of the JSON body must be a text"))),
        }
    }

    /// The whole number that a member holds; `None` where it is absent or `null`.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] where it holds something else, and what [`Json::member`] refuses.
    pub fn integer_member(&self, name: &str) -> Result<Option<i64>> {
        match self.member(name)? {
            None | Some(Self::Null) => Ok(None),
            Some(Self::Integer(number)) => Ok(Some(*number)),
            Some(_) => Err(Refusal::malformed(format!("the member {name:?} of the JSON body must be a whole number"))),
        }
    }

    /// The yes or no that a member holds; `None` where it is absent or `null`.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] where it holds something else, and what [`Json::member`] refuses.
    pub fn flag_member(&self, name: &str) -> Result<Option<bool>> {
        match self.member(name)? {
            None | Some(Self::Null) => Ok(None),
            Some(Self::Flag(flag)) => Ok(Some(*flag)),
            Some(_) => Err(Refusal::malformed(format!("the member {name:?} of the JSON body must be true or false"))),
        }
    }

    /// The items of the list that a member holds; `None` where it is absent or `null`.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] where it holds something else, and what [`Json::member`] refuses.
    pub fn list_member(&self, name: &str) -> Result<Option<&[Json]>> {
        match self.member(name)? {
            None | Some(Self::Null) => Ok(None),
            Some(Self::List(items)) => Ok(Some(items)),
            Some(_) => Err(Refusal::malformed(format!("the member {name:?} of the JSON body must be a list"))),
        }
    }

    /// The text, if this is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The members, if this is an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&[(String, Json)]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The items, if this is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Json]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// A text, a number or a yes or no as a text; `None` for the rest.
    #[must_use]
    pub fn scalar_text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Number(number) => Some(number.to_string()),
            Self::Flag(flag) => Some(flag.to_string()),
            Self::Null | Self::List(_) | Self::Object(_) => None,
        }
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    depth: usize,
    repeated: &'a Cell<bool>,
}

impl Reader<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Flag(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        Ok(i64::try_from(number).map_or(Json::Number(number as f64), Json::Integer))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Json, E> {
        Ok(Json::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let reader = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(reader)? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
        let reader = self.deeper()?;
        let mut members: Vec<(String, Json)> = Vec::new();
        while let Some(name) = object.next_key::<String>()? {
            members.push((name, object.next_value_seed(reader)?));
        }
        // Sorted rather than compared pair by pair, which an attacker's object of many members would make quadratic.
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            self.repeated.set(true);
            return Err(A::Error::custom("a name twice"));
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read() {
        let body = br#" {"a":null,"b":[true,-7,1.5,"\u00e9\""],"c":{},"big":18446744073709551615} "#;
        let expect = Json::Object(vec![
            ("a".into(), Json::Null),
            (
                "b".into(),
                Json::List(vec![Json::Flag(true), Json::Integer(-7), Json::Number(1.5), Json::Text("é\"".into())]),
            ),
            ("c".into(), Json::Object(vec![])),
            ("big".into(), Json::Number(18_446_744_073_709_551_615.0)),
        ]);
        assert_eq!(Json::parse(body), Ok(expect));
    }

    #[test]
    fn what_is_refused() {
        check(br#"{"a":1,"a":1}"#, "ambiguous");
        check(br#"{"a":1,"\u0061":2}"#, "ambiguous");
        check(br#"{"x":[{"a":1,"b":2,"a":3}]}"#, "ambiguous");
        check(b"", "malformed");
        check(b"{} {}", "malformed");
        check(b"{}\0", "malformed");
        check(b"\xef\xbb\xbf{}", "malformed");
        check(b"\"\xff\"", "malformed");
        check(br#""\ud800""#, "malformed");
        check(b"[1,]", "malformed");
        check(b"{'a':1}", "malformed");
        check(b"[NaN]", "malformed");
        check(b"01", "malformed");
        check(b"1e999", "malformed");
        check(b"\"\n\"", "malformed");
        check(b"/* */ {}", "malformed");
        check(&[[b'['; 65], [b']'; 65]].concat(), "malformed");
        assert!(Json::parse(&[[b'['; 64], [b']'; 64]].concat()).is_ok());
        check(&[b'['; 1 << 20], "malformed");
    }

    #[test]
    fn members() {
        let json = Json::parse(br#"{"branch":"main","Model":"x","model":"y","n":3,"none":null}"#).unwrap();
        assert_eq!(json.text_member("branch"), Ok(Some("main")));
        assert_eq!(json.text_member("none"), Ok(None));
        assert_eq!(json.text_member("absent"), Ok(None));
        assert_eq!(json.integer_member("n"), Ok(Some(3)));
        assert!(matches!(json.text_member("n"), Err(Refusal::Malformed(_))));
        assert!(matches!(json.text_member("model"), Err(Refusal::Ambiguous(_))));
        assert!(matches!(json.text_member("BRANCH"), Err(Refusal::Ambiguous(_))));
        let json = Json::parse("{\"ba\u{17f}e\":\"main\"}".as_bytes()).unwrap();
        assert!(matches!(json.text_member("base"), Err(Refusal::Ambiguous(_))));
        assert_eq!(Json::List(vec![]).text_member("a"), Ok(None));
    }

    fn check(body: &[u8], expect: &str) {
        let kind = match Json::parse(body) {
            Err(Refusal::Ambiguous(_)) => "ambiguous",
            Err(Refusal::Malformed(_)) => "malformed",
            other => panic!("{other:?} for {:?}", String::from_utf8_lossy(body)),
        };
        assert_eq!(kind, expect, "{:?}", String::from_utf8_lossy(body));
    }
}
