//! A part of a policy set, for questions about it: some of its permits, at some destinations, with all its forbids.
//!
//! What is made here is never enforced and never certified.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::pst::{ActionConstraint, Clause, Effect, Policy as PstPolicy, Template};
use cedar_policy::{Policy, PolicySet};

use super::{CompileError, Compiled, conditions, printable};
use crate::pattern::HostPattern;
use crate::request::Port;
use crate::schema::{Schema, carried_by};
use crate::vocabulary::Group;

/// Requests by destination and action.
#[derive(Debug, Clone)]
pub struct Region {
    /// Their hosts.
    pub host: HostPattern,
    /// Their ports; empty for any.
    pub ports: Vec<Port>,
    /// Their Cedar actions, such as `PUT`, with every operation that such a method carries or that is in the same group,
    /// but for operations that read where none of these does; empty for any.
    pub actions: Vec<&'static str>,
}

impl Compiled {
    /// The permits that `keep` names, narrowed to `region`, and every forbid as it is: what those permits add to what
    /// the whole allows there, and nothing that the whole denies.
    ///
    /// # Errors
    /// None that a policy set of this type can cause.
    pub fn part(&self, keep: impl Fn(&Policy) -> bool, region: Option<&Region>) -> Result<Compiled, CompileError> {
        let is_forbid = |policy: &Policy| policy.effect() == cedar_policy::Effect::Forbid;
        let mut all: Vec<&Policy> =
            self.policies.policies().filter(|policy| is_forbid(policy) || keep(policy)).collect();
        // One text, and so one digest, for one part.
        all.sort_by(|a, b| a.id().cmp(b.id()));
        let (mut policies, mut text, mut origins) = (PolicySet::new(), String::new(), BTreeMap::new());
        for policy in all {
            let id = policy.id().to_string();
            let invalid = |message: String| CompileError::Invalid {
                file: "part of a policy".to_owned(),
                policy: id.clone(),
                message,
            };
            let policy = match region {
                Some(region) if !is_forbid(policy) => match narrowed(policy, region, &self.schema).map_err(&invalid)? {
                    Some(policy) => policy,
                    None => continue,
                },
                _ => policy.clone(),
            };
            text.push_str(&format!("// {id}\n{}\n\n", policy.to_cedar().unwrap_or_default()));
            policies.add(policy).map_err(|e| invalid(e.to_string()))?;
            origins.extend(self.origins.get(&id).map(|origin| (id.clone(), origin.clone())));
        }
        Compiled::validated(policies, text, origins, "part of a policy", &self.schema)
    }
}

/// `None` where the permit is for none of the region's actions.
fn narrowed(policy: &Policy, region: &Region, schema: &Schema) -> Result<Option<Policy>, String> {
    let tree = policy.to_pst().map_err(|e| e.to_string())?;
    let PstPolicy::Static(tree) = tree else { return Err("a template-linked policy".to_owned()) };
    let mut tree: Template = tree.body().clone();
    debug_assert_eq!(tree.effect, Effect::Permit);
    if !region.actions.is_empty() {
        let reads = region.actions.iter().any(|of| schema.is_in(of, Group::Read.as_str()));
        let groups = [Group::Read, Group::Write, Group::Delete, Group::Admin].map(Group::as_str);
        let is_like = |id: &str, of: &str| {
            schema.is_in(id, &carried_by(of))
                || groups.iter().any(|group| schema.is_in(id, group) && schema.is_in(of, group))
        };
        let is_operation = |id: &str| {
            schema.operation(id).is_some_and(|(_, action)| reads || action.group != Group::Read)
                && region.actions.iter().any(|of| is_like(id, of))
        };
        let in_region = |id: &str| region.actions.contains(&id) || is_operation(id);
        let wanted: Vec<&str> = match &tree.action {
            ActionConstraint::Any => schema.requests().filter(|id| in_region(id)).collect(),
            ActionConstraint::Eq(uid) => schema.requests().filter(|id| in_region(id) && uid.eid == *id).collect(),
            ActionConstraint::In(uids) => {
                let named = |id: &&str| in_region(id) && uids.iter().any(|uid| schema.is_in(id, &uid.eid));
                schema.requests().filter(named).collect()
            }
        };
        if wanted.is_empty() {
            return Ok(None);
        }
        tree.action = conditions::actions(&wanted);
    }
    let mut all = conditions::host(&region.host);
    if !region.ports.is_empty() {
        all.push(conditions::ports(&region.ports));
    }
    if let Some(condition) = conditions::all(all) {
        tree.try_add_clause(Clause::When(Arc::new(condition))).map_err(|e| e.to_string())?;
    }
    printable(tree).map(Some)
}
