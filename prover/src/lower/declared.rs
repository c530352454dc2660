//! Which attributes the schema declares, so that one the prover does not model is never taken for one that is absent.

use std::sync::LazyLock;

use cedar_policy::SchemaFragment;
use narrowgate_core::schema;
use serde_json::Value;

/// Something with attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner<'a> {
    /// Entities of this type.
    Entity(&'a str),
    /// Values of this common type.
    Common(&'a str),
    /// The context of this action.
    Context(&'a str),
}

/// Whether `owner` may have the attribute. Where the schema cannot be read that far, it may.
pub(super) fn may_have(owner: Owner<'_>, attr: &str) -> bool {
    attributes(owner).is_none_or(|names| names.contains_key(attr))
}

fn attributes(owner: Owner<'_>) -> Option<&'static serde_json::Map<String, Value>> {
    let schema = SCHEMA.as_ref()?;
    let common = |name: &str| schema.get("commonTypes")?.get(name);
    let shape = match owner {
        Owner::Entity(name) => schema.get("entityTypes")?.get(name)?.get("shape")?,
        Owner::Common(name) => common(name)?,
        Owner::Context(action) => schema.get("actions")?.get(action)?.get("appliesTo")?.get("context")?,
    };
    let record = match shape.get("attributes") {
        Some(_) => shape,
        None => common(shape.get("name").or_else(|| shape.get("type"))?.as_str()?)?,
    };
    if record.get("additionalAttributes").is_some_and(|more| *more != Value::Bool(false)) {
        return None;
    }
    record.get("attributes")?.as_object()
}

/// The schema's unnamed namespace, as JSON.
static SCHEMA: LazyLock<Option<Value>> = LazyLock::new(|| {
    let (fragment, _) = SchemaFragment::from_cedarschema_str(schema::TEXT).ok()?;
    fragment.to_json_value().ok()?.get_mut("").map(Value::take)
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_read() {
        let there = [
            (Owner::Entity("Process"), "sha256"),
            (Owner::Entity("Endpoint"), "labels"),
            (Owner::Entity("Query"), "repeated"),
            (Owner::Common("Segments"), "t15"),
            (Owner::Context("GET"), "path_globs"),
            (Owner::Context("connect"), "now"),
            (Owner::Entity("Unknown"), "x"),
        ];
        let absent = [
            (Owner::Entity("Process"), "host"),
            (Owner::Entity("Query"), "x"),
            (Owner::Common("Segments"), "h16"),
            (Owner::Context("GET"), "body"),
            (Owner::Context("connect"), "path"),
        ];
        for (cases, expect) in [(&there[..], true), (&absent[..], false)] {
            for (owner, attr) in cases {
                assert_eq!(may_have(*owner, attr), expect, "{owner:?} {attr}");
            }
        }
    }
}
