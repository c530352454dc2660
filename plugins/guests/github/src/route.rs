//! Routes: how a row of the table is matched with a request.

use crate::attributes::{Attribute, Form};
use narrowgate_plugin::{Group, Json, Operation, Refusal, Request, Result, Value};

/// What belongs together: actions, and the routes that stand for them.
pub(crate) struct Topic {
    pub(crate) actions: &'static [Declared],
    pub(crate) sections: &'static [Section],
}

/// An action, but for what the routes say of it.
pub(crate) struct Declared {
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    pub(crate) doc: &'static str,
    /// Why a read is carried by POST.
    pub(crate) exemption: Option<&'static str>,
}

pub(crate) const fn read(name: &'static str, doc: &'static str) -> Declared {
    Declared { name, group: Group::Read, doc, exemption: None }
}

pub(crate) const fn write(name: &'static str, doc: &'static str) -> Declared {
    Declared { name, group: Group::Write, doc, exemption: None }
}

pub(crate) const fn delete(name: &'static str, doc: &'static str) -> Declared {
    Declared { name, group: Group::Delete, doc, exemption: None }
}

pub(crate) const fn admin(name: &'static str, doc: &'static str) -> Declared {
    Declared { name, group: Group::Admin, doc, exemption: None }
}

/// Routes with the same start. It is matched once for all of them, which keeps a table of hundreds of routes cheap.
pub(crate) struct Section {
    pub(crate) host: &'static str,
    /// As in the public documentation: `/repos/{owner}/{repo}/pulls`.
    pub(crate) prefix: &'static str,
    pub(crate) rows: &'static [Row],
}

/// One route.
pub(crate) struct Row {
    pub(crate) method: &'static str,
    /// What follows the section's prefix. `{name}` is one segment, `{name...}` all that remain, also none.
    pub(crate) pattern: &'static str,
    pub(crate) action: &'static str,
    /// Attributes that are not in the path.
    pub(crate) extras: &'static [Extra],
}

/// An attribute from the query or from the JSON body.
pub(crate) struct Extra {
    pub(crate) attribute: &'static str,
    pub(crate) from: From,
    pub(crate) optional: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Query(&'static str),
    Body(&'static str),
}

pub(crate) const fn section(prefix: &'static str, rows: &'static [Row]) -> Section {
    Section { host: crate::API, prefix, rows }
}

pub(crate) const fn get(pattern: &'static str, action: &'static str) -> Row {
    Row { method: "GET", pattern, action, extras: &[] }
}

pub(crate) const fn post(pattern: &'static str, action: &'static str) -> Row {
    Row { method: "POST", pattern, action, extras: &[] }
}

pub(crate) const fn put(pattern: &'static str, action: &'static str) -> Row {
    Row { method: "PUT", pattern, action, extras: &[] }
}

pub(crate) const fn patch(pattern: &'static str, action: &'static str) -> Row {
    Row { method: "PATCH", pattern, action, extras: &[] }
}

pub(crate) const fn remove(pattern: &'static str, action: &'static str) -> Row {
    Row { method: "DELETE", pattern, action, extras: &[] }
}

impl Row {
    pub(crate) const fn with(self, extras: &'static [Extra]) -> Self {
        Self { extras, ..self }
    }
}

pub(crate) const fn query(attribute: &'static str, key: &'static str) -> Extra {
    Extra { attribute, from: From::Query(key), optional: true }
}

/// A member that the body must have.
pub(crate) const fn body(attribute: &'static str, member: &'static str) -> Extra {
    Extra { attribute, from: From::Body(member), optional: false }
}

pub(crate) const fn optional_body(attribute: &'static str, member: &'static str) -> Extra {
    Extra { attribute, from: From::Body(member), optional: true }
}

pub(crate) type Attributes = Vec<(String, Value)>;

impl Section {
    /// The attributes in the prefix, and the segments that remain; `None` where the path starts otherwise.
    pub(crate) fn matches<'s, 'r>(&self, segments: &'s [&'r str]) -> Result<Option<(Attributes, &'s [&'r str])>> {
        let mut attributes = Attributes::new();
        let rest = walk(self.prefix, segments, &mut attributes)?;
        Ok(rest.map(|rest| (attributes, rest)))
    }
}

impl Row {
    /// The operation, if the request is one of this route's.
    pub(crate) fn read(&self, request: &Request, prefix: &Attributes, rest: &[&str]) -> Result<Option<Operation>> {
        let method = if request.method == "HEAD" { "GET" } else { &request.method };
        if method != self.method {
            return Ok(None);
        }
        let mut attributes = Attributes::new();
        let Some([]) = walk(self.pattern, rest, &mut attributes)? else { return Ok(None) };
        let mut operation = Operation::new(self.action);
        operation.attributes.extend(prefix.iter().cloned().chain(attributes));
        self.read_extras(request, operation).map(Some)
    }

    fn read_extras(&self, request: &Request, mut operation: Operation) -> Result<Operation> {
        let in_body = self.extras.iter().any(|extra| matches!(extra.from, From::Body(_)));
        let json = if in_body { Some(object(request)?) } else { None };
        for extra in self.extras {
            let value = match (extra.from, &json) {
                (From::Query(key), _) => request.query_one(key)?.map(|text| extra.value(key, text)).transpose()?,
                (From::Body(member), Some(json)) => extra.member(request, json, member)?,
                (From::Body(_), None) => None,
            };
            match value {
                Some(value) => operation = operation.with(extra.attribute, value),
                None if extra.optional => {}
                None => return Err(Refusal::malformed(format!("the {} is missing", extra.from.name()))),
            }
        }
        Ok(operation)
    }
}

impl Extra {
    fn value(&self, name: &str, text: &str) -> Result<Value> {
        let attribute = Attribute::named(self.attribute);
        attribute
            .and_then(|attribute| attribute.read(text).transpose())
            .unwrap_or_else(|| Err(Refusal::malformed(format!("{name:?} is not what GitHub documents for it"))))
    }

    fn member(&self, request: &Request, json: &Json, member: &str) -> Result<Option<Value>> {
        if request.has_query(member) {
            return Err(Refusal::ambiguous(format!("{member:?} belongs in the JSON body, and the query has it")));
        }
        match Attribute::named(self.attribute).map(|attribute| attribute.form) {
            Some(Form::Integer) => Ok(json.integer_member(member)?.map(Value::Integer)),
            Some(Form::Flag) => Ok(json.flag_member(member)?.map(Value::Flag)),
            _ => json.text_member(member)?.map(|text| self.value(member, text)).transpose(),
        }
    }
}

impl From {
    fn name(self) -> String {
        match self {
            Self::Query(key) => format!("query key {key:?}"),
            Self::Body(member) => format!("member {member:?} of the JSON body"),
        }
    }
}

fn object(request: &Request) -> Result<Json> {
    match request.json()? {
        json @ Json::Object(_) => Ok(json),
        _ => Err(Refusal::malformed("the body must be a JSON object")),
    }
}

/// Walks a pattern along segments and collects the placeholders' values; gives the segments that remain. Fixed parts
/// are compared first: of hundreds of patterns, nearly all end there.
fn walk<'s, 'r>(pattern: &str, segments: &'s [&'r str], attributes: &mut Attributes) -> Result<Option<&'s [&'r str]>> {
    let mut pairs = pattern.split('/').skip(1).zip(segments);
    if pairs.any(|(part, segment)| !part.starts_with('{') && part != *segment) {
        return Ok(None);
    }
    let mut rest = segments;
    for part in pattern.split('/').skip(1) {
        let Some(placeholder) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            let Some((_, after)) = rest.split_first() else { return Ok(None) };
            rest = after;
            continue;
        };
        let (name, text) = match placeholder.strip_suffix("...") {
            Some(name) => (name, core::mem::take(&mut rest).join("/")),
            None => {
                let Some((segment, after)) = rest.split_first() else { return Ok(None) };
                rest = after;
                (placeholder, (*segment).to_owned())
            }
        };
        match Attribute::named(name).map(|attribute| attribute.read(&text)).transpose()?.flatten() {
            Some(value) => attributes.push((name.to_owned(), value)),
            None => return Ok(None),
        }
    }
    Ok(Some(rest))
}
