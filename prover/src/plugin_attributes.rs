//! What plugins will declare: actions in groups, with attributes of every kind. Random conditions on them, lowered and
//! searched, against Cedar's authorizer on a small universe.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, RestrictedExpression as Value, Schema,
    ValidationMode, Validator,
};
use narrowgate_core::schema;
use proptest::prelude::*;
use proptest::sample::select;

use crate::lower::{Cube, Value as PointValue, Var, Vocabulary};
use crate::side::Side;
use crate::solve::{Budget, Point, find_uncovered};

const ACTION: &str = "forge::contents.write";

fn text() -> String {
    let context = "{ now: Long, method: String, path: String, segments: Segments, path_globs: Set<String>, query: Query, \
         operation: { owner: String, number: Long, force: Bool, labels: Set<String>, ref?: String, size?: Long, draft?: Bool } }";
    format!(
        "{}\naction \"{ACTION}\" in [\"write\"] appliesTo {{ principal: [Process], resource: [Endpoint], context: {context} }};",
        schema::TEXT
    )
}

fn schema() -> Schema {
    Schema::from_cedarschema_str(&text()).unwrap().0
}

/// What an operation says: `None` for an optional attribute that is absent.
#[derive(Debug, Clone)]
struct Operation {
    method: String,
    owner: String,
    number: i64,
    force: bool,
    labels: Vec<String>,
    reference: Option<String>,
    size: Option<i64>,
    draft: Option<bool>,
}

impl Operation {
    fn of(point: &Point, elements: &HashSet<String>) -> Operation {
        let path = |name: &str| format!("context.operation.{name}").into();
        let text = |var: Var| match point.get(&var) {
            PointValue::Text(text) => text,
            other => panic!("{other:?}"),
        };
        let number = |name: &str| match point.get(&Var::Long(path(name))) {
            PointValue::Number(n) => n,
            other => panic!("{other:?}"),
        };
        let is = |var: Var| point.get(&var) == PointValue::Is(true);
        let has = |name: &str| is(Var::Has(path(name)));
        let mut labels: Vec<String> = elements
            .iter()
            .filter(|element| is(Var::Member(path("labels"), element.as_str().into())))
            .cloned()
            .collect();
        if labels.is_empty() && !is(Var::Empty(path("labels"))) {
            labels.push("nobody names this".to_owned());
        }
        Operation {
            method: text(Var::AnyMethod),
            owner: text(Var::Text(path("owner"))),
            number: number("number"),
            force: is(Var::Flag(path("force"))),
            labels,
            reference: has("ref").then(|| text(Var::Text(path("ref")))),
            size: has("size").then(|| number("size")),
            draft: has("draft").then(|| is(Var::Flag(path("draft")))),
        }
    }

    fn is_allowed(&self, policies: &PolicySet) -> bool {
        let text = |text: &str| Value::new_string(text.to_owned());
        let mut operation = vec![
            ("owner", text(&self.owner)),
            ("number", Value::new_long(self.number)),
            ("force", Value::new_bool(self.force)),
            ("labels", Value::new_set(self.labels.iter().map(|label| text(label)))),
        ];
        operation.extend(self.reference.as_ref().map(|reference| ("ref", text(reference))));
        operation.extend(self.size.map(|size| ("size", Value::new_long(size))));
        operation.extend(self.draft.map(|draft| ("draft", Value::new_bool(draft))));
        let record = Value::new_record(operation.into_iter().map(|(name, value)| (name.to_owned(), value))).unwrap();
        let context =
            Context::from_pairs([("method".to_owned(), text(&self.method)), ("operation".to_owned(), record)]).unwrap();
        let uid = |text: &str| EntityUid::from_str(text).unwrap();
        let (process, endpoint, action) =
            (uid("Process::\"p\""), uid("Endpoint::\"e\""), uid(&format!("Action::\"{ACTION}\"")));
        let action_entity =
            Entity::new(action.clone(), HashMap::new(), HashSet::from([uid("Action::\"write\"")])).unwrap();
        let request = cedar_policy::Request::new(process, action, endpoint, context, None).unwrap();
        let entities = Entities::from_entities([action_entity], None).unwrap();
        Authorizer::new().is_authorized(&request, policies, &entities).decision() == Decision::Allow
    }
}

fn universe() -> Vec<Operation> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
    let mut out = Vec::new();
    for method in ["GET", "PUT"] {
        for owner in ["acme", "acme-x", "b"] {
            for number in [0, 1, 7] {
                for labels in [owned(&[]), owned(&["a"]), owned(&["a", "b"]), owned(&["z"])] {
                    for reference in [None, Some("main".to_owned()), Some("x".to_owned())] {
                        for (size, draft) in
                            [(None, None), (Some(5), Some(true)), (Some(50), None), (None, Some(false))]
                        {
                            for force in [false, true] {
                                let (method, owner) = (method.to_owned(), owner.to_owned());
                                let (labels, reference) = (labels.clone(), reference.clone());
                                out.push(Operation { method, owner, number, force, labels, reference, size, draft });
                            }
                        }
                    }
                }
            }
        }
    }
    out
}

fn condition() -> impl Strategy<Value = String> {
    let atom = select(vec![
        "context.operation.owner == \"acme\"",
        "context.operation.owner like \"acme*\"",
        "context.operation.number > 0",
        "context.operation.number == 7",
        "context.operation.force",
        "context.operation.force == false",
        "context.operation.labels.contains(\"a\")",
        "context.operation.labels.containsAny([\"b\", \"z\"])",
        "context.operation.labels.containsAll([\"a\", \"b\"])",
        "context.operation.labels.isEmpty()",
        "context.operation has ref",
        "(context.operation has ref && context.operation.ref == \"main\")",
        "(context.operation has size && context.operation.size < 10)",
        "(context.operation has draft && context.operation.draft)",
        "(if context.operation has draft then context.operation.draft else true)",
        "context.method == \"PUT\"",
        "action in Action::\"write\"",
        "action in Action::\"read\"",
    ]);
    atom.prop_map(str::to_owned).prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|c| format!("!({c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a} || {b})")),
        ]
    })
}

/// One permit for each condition, where strict validation admits them.
fn policies(conditions: &[String], schema: &Schema) -> Option<PolicySet> {
    let permit = |c: &String| format!("permit(principal, action == Action::\"{ACTION}\", resource) when {{ {c} }};\n");
    let policies = PolicySet::from_str(&conditions.iter().map(permit).collect::<String>()).unwrap();
    let valid = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict).validation_passed();
    valid.then_some(policies)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]
    #[test]
    fn what_plugins_declare_is_decided_exactly(policy in condition(), bound in proptest::collection::vec(condition(), 1..4)) {
        let schema = schema();
        let vocabulary = Arc::new(Vocabulary::read(&schema, &text(), &BTreeMap::new()).unwrap());
        let (Some(policy), Some(bound)) = (policies(&[policy], &schema), policies(&bound, &schema)) else { return Ok(()) };
        let mut budget = Budget::new(1_000_000, Instant::now() + Duration::from_secs(60));
        let mut side = |policies: &PolicySet| {
            let trees: Vec<_> = policies.policies().map(|policy| policy.to_pst().unwrap()).collect();
            Side::of_trees(&trees, &vocabulary, &mut budget).unwrap()
        };
        let (candidate, ceiling) = (side(&policy), side(&bound));
        for side in [&candidate, &ceiling] {
            prop_assert!(side.unsupported_permits.is_empty(), "{:?}", side.unsupported_permits);
        }
        let elements = ["a", "b", "z"].map(str::to_owned).into();
        let exceeds = |operation: &Operation| operation.is_allowed(&policy) && !operation.is_allowed(&bound);
        let mut found = false;
        for entry in candidate.permits.entries() {
            let covered: Vec<&Cube> = ceiling.permits.entries().iter().map(|entry| &entry.cube).collect();
            if let Some(point) = find_uncovered(&entry.cube, &covered, &mut budget).unwrap() {
                let operation = Operation::of(&point, &elements);
                prop_assert!(exceeds(&operation), "{operation:?}");
                found = true;
            }
        }
        if !found {
            prop_assert!(!universe().iter().any(exceeds), "{:?}", universe().into_iter().find(exceeds));
        }
    }
}

#[test]
fn a_group_bounds_actions_that_it_has_never_heard_of() {
    let schema = schema();
    let vocabulary = Arc::new(Vocabulary::read(&schema, &text(), &BTreeMap::new()).unwrap());
    let env = vocabulary.envs().iter().find(|env| env.action == ACTION).unwrap();
    assert!(env.is_in("write") && !env.is_in("read") && env.is_http());
    let policies = PolicySet::from_str("forbid(principal, action in Action::\"write\", resource);").unwrap();
    let trees: Vec<_> = policies.policies().map(|policy| policy.to_pst().unwrap()).collect();
    let mut budget = Budget::new(1000, Instant::now() + Duration::from_secs(60));
    let side = Side::of_trees(&trees, &vocabulary, &mut budget).unwrap();
    let envs: Vec<&str> = side.forbids.entries()[0].envs.iter().map(|at| side.envs()[at].action.as_str()).collect();
    assert_eq!(envs, ["POST", "PUT", "PATCH", ACTION]);
}
