//! Routes: how a row of the table is matched with a request.

use crate::attributes::{Attribute, Form};
use crate::pattern::{Part, Pattern, named};
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
    pub(crate) prefix: Pattern,
    pub(crate) rows: &'static [Row],
}

/// One route.
pub(crate) struct Row {
    pub(crate) method: &'static str,
    /// What follows the section's prefix.
    pub(crate) pattern: Pattern,
    pub(crate) action: &'static str,
    /// Attributes that are not in the path.
    pub(crate) extras: &'static [Extra],
}

/// An attribute from the query or from the JSON body.
pub(crate) struct Extra {
    pub(crate) attribute: &'static Attribute,
    pub(crate) from: From,
    pub(crate) optional: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Query(&'static str),
    Body(&'static str),
}

pub(crate) const fn section(prefix: &'static str, rows: &'static [Row]) -> Section {
    Section { host: crate::API, prefix: Pattern::parse(prefix), rows }
}

pub(crate) const fn get(pattern: &'static str, action: &'static str) -> Row {
    row("GET", pattern, action)
}

pub(crate) const fn post(pattern: &'static str, action: &'static str) -> Row {
    row("POST", pattern, action)
}

pub(crate) const fn put(pattern: &'static str, action: &'static str) -> Row {
    row("PUT", pattern, action)
}

pub(crate) const fn patch(pattern: &'static str, action: &'static str) -> Row {
    row("PATCH", pattern, action)
}

pub(crate) const fn remove(pattern: &'static str, action: &'static str) -> Row {
    row("DELETE", pattern, action)
}

const fn row(method: &'static str, pattern: &'static str, action: &'static str) -> Row {
    Row { method, pattern: Pattern::parse(pattern), action, extras: &[] }
}

impl Row {
    pub(crate) const fn with(self, extras: &'static [Extra]) -> Self {
        Self { extras, ..self }
    }
}

pub(crate) const fn query(attribute: &str, key: &'static str) -> Extra {
    Extra { attribute: named(attribute), from: From::Query(key), optional: true }
}

/// A member that the body must have.
pub(crate) const fn body(attribute: &str, member: &'static str) -> Extra {
    Extra { attribute: named(attribute), from: From::Body(member), optional: false }
}

pub(crate) const fn optional_body(attribute: &str, member: &'static str) -> Extra {
    Extra { attribute: named(attribute), from: From::Body(member), optional: true }
}

impl Section {
    /// The routes here that a method and a path fit, by their fixed parts.
    pub(crate) fn routes<'r>(&'static self, method: &'r str, path: &'r [&'r str]) -> impl Iterator<Item = Route> + 'r {
        let rest = self.prefix.after(path);
        let rows = rest.into_iter().flat_map(|rest| self.rows.iter().map(move |row| (row, rest)));
        let fits = move |row: &Row, rest| row.method == method && row.pattern.after(rest).is_some_and(<[_]>::is_empty);
        rows.filter(move |(row, rest)| fits(row, rest)).map(move |(row, _)| Route { section: self, row })
    }
}

/// One row, with what stands before it.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    pub(crate) section: &'static Section,
    pub(crate) row: &'static Row,
}

impl Route {
    /// The operation; `None` where a part of the path cannot be the attribute that stands there.
    pub(crate) fn read(self, request: &Request, path: &[&str]) -> Result<Option<Operation>> {
        let mut operation = Operation::new(self.row.action);
        let Some(rest) = self.section.prefix.after(path) else { return Ok(None) };
        if !self.section.prefix.read(path, &mut operation.attributes)?
            || !self.row.pattern.read(rest, &mut operation.attributes)?
        {
            return Ok(None);
        }
        self.row.read_extras(request, operation).map(Some)
    }

    /// The parts of the whole path.
    pub(crate) fn parts(self) -> impl Iterator<Item = &'static Part> {
        self.section.prefix.parts().iter().chain(self.row.pattern.parts())
    }

    /// Its attributes, and whether its operations may come without them.
    pub(crate) fn attributes(self) -> impl Iterator<Item = (&'static Attribute, bool)> {
        let in_path = self.parts().filter_map(|part| match part {
            Part::One(attribute) | Part::Rest(attribute) => Some((*attribute, false)),
            Part::Fixed(_) => None,
        });
        in_path.chain(self.row.extras.iter().map(|extra| (extra.attribute, extra.optional)))
    }
}

impl Row {
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
                Some(value) => operation = operation.with(extra.attribute.name, value),
                None if extra.optional => {}
                None => return Err(Refusal::malformed(format!("the {} is missing", extra.from.name()))),
            }
        }
        Ok(operation)
    }
}

impl Extra {
    fn value(&self, name: &str, text: &str) -> Result<Value> {
        let value = self.attribute.read(text)?;
        value.ok_or_else(|| Refusal::malformed(format!("{name:?} is not what GitHub documents for it")))
    }

    fn member(&self, request: &Request, json: &Json, member: &str) -> Result<Option<Value>> {
        if request.has_query(member) {
            return Err(Refusal::ambiguous(format!("{member:?} belongs in the JSON body, and the query has it")));
        }
        match self.attribute.form {
            Form::Integer => Ok(json.integer_member(member)?.map(Value::Integer)),
            Form::Flag => Ok(json.flag_member(member)?.map(Value::Flag)),
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
    request.check_charset()?;
    match request.json()? {
        json @ Json::Object(_) => Ok(json),
        _ => Err(Refusal::malformed("the body must be a JSON object")),
    }
}
