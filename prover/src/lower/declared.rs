//! Which attributes the schema declares: what plugins add can be read, and one that the prover does not model is
//! never taken for one that is absent.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::SchemaFragment;
use serde_json::{Map, Value};
use smol_str::SmolStr;

/// What an attribute holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Long,
    Flag,
    /// A set of texts.
    Texts,
    /// Texts by names of the request's own: the tags of an entity.
    Fields,
    /// A record with attributes of its own.
    Record(Arc<Attributes>),
    /// Anything else.
    Other,
}

/// The attributes of an entity or a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Attributes {
    /// With whether they are always there.
    known: BTreeMap<SmolStr, (Kind, bool)>,
    /// Whether others may occur.
    open: bool,
}

impl Attributes {
    /// Whether the attribute may be there. Where the schema could not be read that far, it may.
    pub(super) fn may_have(&self, attr: &str) -> bool {
        self.open || self.known.contains_key(attr)
    }

    /// What the attribute holds, and whether it is always there.
    pub(super) fn get(&self, attr: &str) -> Option<(&Kind, bool)> {
        self.known.get(attr).map(|(kind, required)| (kind, *required))
    }

    fn unknown() -> Arc<Attributes> {
        Arc::new(Attributes { known: BTreeMap::new(), open: true })
    }
}

/// The declarations of the schema's unnamed namespace.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(super) process: Arc<Attributes>,
    pub(super) endpoint: Arc<Attributes>,
    pub(super) query: Arc<Attributes>,
    pub(super) segments: Arc<Attributes>,
    contexts: BTreeMap<String, Arc<Attributes>>,
}

impl Declared {
    /// Reads a schema in Cedar's own syntax. What is not found there is open: it may have any attribute.
    pub(super) fn of(text: &str) -> Declared {
        let schema = SchemaFragment::from_cedarschema_str(text).ok();
        let schema = schema.and_then(|(fragment, _)| fragment.to_json_value().ok()).unwrap_or_default();
        let schema = Json { root: schema.get("") };
        let mut contexts: BTreeMap<String, Arc<Attributes>> = BTreeMap::new();
        for (action, declaration) in schema.section("actions").into_iter().flatten() {
            let Some(context) = declaration.get("appliesTo").and_then(|applies| applies.get("context")) else {
                continue;
            };
            let attributes = schema.record(context);
            // Equal contexts are one, so that what is read of one holds for the other.
            let same = contexts.values().find(|known| **known == attributes).cloned();
            contexts.insert(action.clone(), same.unwrap_or(attributes));
        }
        let entity = |name: &str| {
            let declaration = schema.section("entityTypes").and_then(|types| types.get(name));
            declaration.and_then(|d| d.get("shape")).map_or_else(Attributes::unknown, |shape| schema.record(shape))
        };
        let common = |name: &str| {
            let declaration = schema.section("commonTypes").and_then(|types| types.get(name));
            declaration.map_or_else(Attributes::unknown, |shape| schema.record(shape))
        };
        Declared {
            process: entity("Process"),
            endpoint: entity("Endpoint"),
            query: entity("Query"),
            segments: common("Segments"),
            contexts,
        }
    }

    /// The context of an action.
    pub(super) fn context(&self, action: &str) -> Arc<Attributes> {
        self.contexts.get(action).cloned().unwrap_or_else(Attributes::unknown)
    }
}

/// Cedar's JSON form of a schema namespace.
struct Json<'a> {
    root: Option<&'a Value>,
}

impl<'a> Json<'a> {
    fn section(&self, name: &str) -> Option<&'a Map<String, Value>> {
        self.root?.get(name)?.as_object()
    }

    /// A type that should be a record.
    fn record(&self, of: &Value) -> Arc<Attributes> {
        match self.kind(of, 0) {
            Kind::Record(attributes) => attributes,
            _ => Attributes::unknown(),
        }
    }

    fn kind(&self, of: &Value, depth: usize) -> Kind {
        /// Common types may name each other, though not in a circle; nobody nests them deeper.
        const DEEPEST: usize = 32;
        let text = |field: &str| of.get(field).and_then(Value::as_str);
        if depth > DEEPEST {
            return Kind::Other;
        }
        match text("type") {
            Some("Record") => Kind::Record(Arc::new(self.attributes(of, depth))),
            Some("Set") => match of.get("element").map(|element| self.kind(element, depth + 1)) {
                Some(Kind::Text) => Kind::Texts,
                _ => Kind::Other,
            },
            Some("String") => Kind::Text,
            Some("Long") => Kind::Long,
            Some("Boolean" | "Bool") => Kind::Flag,
            Some("EntityOrCommon") => self.named(text("name").unwrap_or_default(), depth),
            Some(name) => self.named(name, depth),
            None => Kind::Other,
        }
    }

    fn named(&self, name: &str, depth: usize) -> Kind {
        if let Some(common) = self.section("commonTypes").and_then(|types| types.get(name)) {
            return self.kind(common, depth + 1);
        }
        if name == "Fields" && self.section("entityTypes").is_some_and(|types| types.contains_key(name)) {
            return Kind::Fields;
        }
        match name.strip_prefix("__cedar::").unwrap_or(name) {
            "String" => Kind::Text,
            "Long" => Kind::Long,
            "Bool" => Kind::Flag,
            _ => Kind::Other,
        }
    }

    fn attributes(&self, record: &Value, depth: usize) -> Attributes {
        let open = record.get("additionalAttributes").is_some_and(|more| *more != Value::Bool(false));
        let mut known = BTreeMap::new();
        for (name, of) in record.get("attributes").and_then(Value::as_object).into_iter().flatten() {
            let required = of.get("required").and_then(Value::as_bool).unwrap_or(true);
            known.insert(SmolStr::new(name), (self.kind(of, depth + 1), required));
        }
        Attributes { known, open }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use narrowgate_core::schema;

    use super::*;

    #[test]
    fn the_schema_is_read() {
        let declared = Declared::of(schema::TEXT);
        let (get, connect) = (declared.context("GET"), declared.context("connect"));
        for (attributes, attr, kind, required) in [
            (&declared.process, "sha256", Kind::Text, true),
            (&declared.process, "ancestors", Kind::Texts, true),
            (&declared.endpoint, "labels", Kind::Long, true),
            (&declared.endpoint, "address", Kind::Other, false),
            (&declared.query, "repeated", Kind::Texts, true),
            (&declared.segments, "t15", Kind::Text, false),
            (&get, "path_globs", Kind::Texts, true),
            (&get, "segments", Kind::Record(Arc::clone(&declared.segments)), true),
            (&connect, "now", Kind::Long, true),
        ] {
            assert_eq!(attributes.get(attr), Some((&kind, required)), "{attr}");
        }
        for (attributes, attr) in [
            (&declared.process, "host"),
            (&declared.query, "x"),
            (&declared.segments, "h16"),
            (&get, "body"),
            (&connect, "path"),
        ] {
            assert!(!attributes.may_have(attr), "{attr}");
        }
        assert!(declared.context("unknown").may_have("anything"));
        assert!(Arc::ptr_eq(&get, &declared.context("PUT")));
    }
}
