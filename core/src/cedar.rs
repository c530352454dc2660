//! The one place where a canonical request becomes Cedar's, for enforcement and for replaying counterexamples alike.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet,
    RestrictedExpression as Value,
};

use crate::compile::{Compiled, Globs};
use crate::pattern::SEGMENTS_FROM_EITHER_END;
use crate::request::{Operation, Query, QueryValue, Request};
use crate::schema::Schema;
use crate::vocabulary::{Meaning, Value as Said};

/// `request` as Cedar's authorizer takes it. `globs` are the patterns whose names the policies at hand may ask for.
pub fn request(
    request: &Request,
    schema: &Schema,
    globs: &Globs,
) -> Result<(cedar_policy::Request, Entities), CedarError> {
    let action = schema.entity(request.operation.action()).ok_or(CedarError("unknown action"))?;
    let (principal, resource) = (principal(request, globs)?, resource(request)?);
    let mut entities = vec![action.clone()];
    let mut context = vec![("now".to_owned(), Value::new_long(request.now))];
    if let Operation::Http { method, target, meaning } = &request.operation {
        let path = target.path.as_str();
        let matching = globs.paths().filter(|pattern| pattern.matches(path)).map(|pattern| pattern.as_str());
        let (query, tags) = query(&target.query)?;
        context.push(("method".to_owned(), string(method.as_str())));
        context.push(("path".to_owned(), string(path)));
        context.push(("segments".to_owned(), segments(path, globs)?));
        context.push(("path_globs".to_owned(), set(matching)));
        context.push(("query".to_owned(), query));
        entities.push(tags);
        if let Some(meaning) = meaning {
            let said = said(meaning, &mut entities)?;
            context.push((meaning.plugin().to_owned(), said));
        }
    }
    let context = Context::from_pairs(context).map_err(|_| CedarError("context"))?;
    let asked = cedar_policy::Request::new(principal.uid(), action.uid(), resource.uid(), context, None)
        .map_err(|_| CedarError("request"))?;
    entities.extend([principal, resource]);
    let entities = Entities::from_entities(entities, None).map_err(|_| CedarError("entities"))?;
    Ok((asked, entities))
}

/// Whether `compiled` allows the request, by Cedar's authorizer over the whole set. An evaluation error is a no.
pub fn is_allowed(compiled: &Compiled, asked: &Request, globs: &Globs) -> bool {
    is_allowed_by(compiled.policies(), asked, compiled.schema(), globs)
}

/// The same for some policies of a set.
pub fn is_allowed_by(policies: &PolicySet, asked: &Request, schema: &Schema, globs: &Globs) -> bool {
    let Ok((asked, entities)) = request(asked, schema, globs) else { return false };
    let response = Authorizer::new().is_authorized(&asked, policies, &entities);
    response.decision() == Decision::Allow && response.diagnostics().errors().next().is_none()
}

/// A canonical request that Cedar does not take: a defect here, which denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request cannot be put to Cedar: {0}")]
pub struct CedarError(&'static str);

fn principal(request: &Request, globs: &Globs) -> Result<Entity, CedarError> {
    let process = &request.process;
    let matching = globs.binaries().filter(|pattern| pattern.path().matches(&process.path));
    let attributes = HashMap::from([
        ("path".to_owned(), string(&process.path)),
        ("sha256".to_owned(), string(&process.sha256)),
        ("ancestors".to_owned(), set(process.ancestors.iter().map(String::as_str))),
        ("segments".to_owned(), segments(&process.path, globs)?),
        ("path_globs".to_owned(), set(matching.map(|pattern| pattern.as_str()))),
    ]);
    let parents = HashSet::from([uid("Sandbox", &process.sandbox)]);
    Entity::new(uid("Process", &process.path), attributes, parents).map_err(|_| CedarError("principal"))
}

fn resource(request: &Request) -> Result<Entity, CedarError> {
    let mut attributes = HashMap::from([
        ("host".to_owned(), string(request.host.as_str())),
        ("labels".to_owned(), long(request.host.labels())),
        ("port".to_owned(), Value::new_long(i64::from(request.port.get()))),
    ]);
    if request.host.labels() == 0 {
        attributes.insert("address".to_owned(), Value::new_ip(request.host.as_str()));
    }
    let id = format!("{}:{}", request.host, request.port);
    Entity::new(uid("Endpoint", &id), attributes, HashSet::new()).map_err(|_| CedarError("resource"))
}

fn query(query: &Query) -> Result<(Value, Entity), CedarError> {
    let mut repeated = Vec::new();
    let mut tags = Vec::new();
    for key in query.keys() {
        match query.get(key) {
            QueryValue::One(value) => tags.push((key.to_owned(), string(value))),
            QueryValue::Repeated => repeated.push(key),
            QueryValue::Absent => {}
        }
    }
    let id = uid("Query", "query");
    let attributes = [("repeated".to_owned(), set(repeated.into_iter()))];
    let entity = Entity::new_with_tags(id.clone(), attributes, [], tags).map_err(|_| CedarError("query"))?;
    Ok((Value::new_entity_uid(id), entity))
}

/// What a plugin said, as the record that the schema declares. Fields are tags of an entity each.
fn said(meaning: &Meaning, entities: &mut Vec<Entity>) -> Result<Value, CedarError> {
    let mut record = Vec::new();
    for (name, value) in meaning.attributes() {
        let value = match value {
            Said::Text(text) => string(text),
            Said::Integer(number) => Value::new_long(*number),
            Said::Flag(flag) => Value::new_bool(*flag),
            Said::Texts(texts) => set(texts.iter().map(String::as_str)),
            Said::Fields(fields) => {
                let id = uid("Fields", name);
                let tags = fields.iter().map(|(name, text)| (name.clone(), string(text)));
                let entity = Entity::new_with_tags(id.clone(), [], [], tags).map_err(|_| CedarError("fields"))?;
                entities.push(entity);
                Value::new_entity_uid(id)
            }
        };
        record.push((name.to_string(), value));
    }
    Value::new_record(record).map_err(|_| CedarError("operation"))
}

/// The `Segments` of a path, empty where no policy at hand addresses them.
fn segments(path: &str, globs: &Globs) -> Result<Value, CedarError> {
    if !globs.segments() {
        return Value::new_record([("count".to_owned(), Value::new_long(0))]).map_err(|_| CedarError("segments"));
    }
    let pieces: Vec<&str> = path.strip_prefix('/').map(|rest| rest.split('/').collect()).unwrap_or_default();
    let named = |prefix: char, (at, piece): (usize, &&str)| (format!("{prefix}{at}"), string(piece));
    let from_head = pieces.iter().enumerate().take(SEGMENTS_FROM_EITHER_END).map(|item| named('h', item));
    let from_tail = pieces.iter().rev().enumerate().take(SEGMENTS_FROM_EITHER_END).map(|item| named('t', item));
    let count = ("count".to_owned(), long(pieces.len()));
    Value::new_record([count].into_iter().chain(from_head).chain(from_tail)).map_err(|_| CedarError("segments"))
}

fn string(text: &str) -> Value {
    Value::new_string(text.to_owned())
}

#[expect(clippy::cast_possible_wrap, reason = "counts of labels and segments")]
fn long(count: usize) -> Value {
    Value::new_long(count as i64)
}

fn set<'a>(items: impl Iterator<Item = &'a str>) -> Value {
    Value::new_set(items.map(string))
}

#[expect(clippy::expect_used, reason = "the type names are this file's constants")]
fn uid(kind: &str, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.parse::<EntityTypeName>().expect("a type name"), EntityId::new(id))
}
