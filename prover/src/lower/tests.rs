//! What no text can say, since it is refused before it gets here, and is refused here too.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::str::FromStr;
use std::time::{Duration, Instant};

use cedar_policy::{EntityUid, PolicyId, PolicySet, SlotId};

use super::*;
use crate::solve::Budget;

/// Templates are refused as text; a link of one would be read as the policy that it stands for, and no wider.
#[test]
fn a_template_linked_policy_is_what_it_is_linked_to() {
    let mut policies = PolicySet::from_str("permit(principal in ?principal, action, resource);").unwrap();
    let sandbox = EntityUid::from_str("Sandbox::\"dev\"").unwrap();
    let values = HashMap::from([(SlotId::principal(), sandbox)]);
    policies.link(PolicyId::new("policy0"), PolicyId::new("linked"), values).unwrap();
    let written = PolicySet::from_str("permit(principal in Sandbox::\"dev\", action, resource);").unwrap();
    let lowered = |policies: &PolicySet, id: &str| {
        let tree = policies.policy(&PolicyId::new(id)).unwrap().to_pst().unwrap();
        let mut budget = Budget::new(1000, Instant::now() + Duration::from_secs(60));
        lower(&tree, Vocabulary::of(narrowgate_core::schema::Schema::standard()).unwrap().envs(), &mut budget).unwrap()
    };
    let (linked, written) = (lowered(&policies, "linked"), lowered(&written, "policy0"));
    assert_eq!(format!("{:?}", linked.cubes), format!("{:?}", written.cubes));
    assert!(linked.permit && !linked.cubes.is_empty());
}
