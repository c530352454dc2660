//! The policy before a change, blurred: who reached which host at all, and with which methods.
//!
//! "A binary newly reaches a host" compares pairs of binary and host, whatever was asked there. So the policy before is
//! widened until paths and queries, and for reaching also methods, do not matter any more. A deny that is total in what
//! is left stays; one that carves out a path says nothing about reaching. A rule that denies void entirely reached
//! nothing, and is left out.

use std::collections::{BTreeMap, BTreeSet};

use narrowgate_core::pattern::{MethodPattern, PathPattern, Segment};
use narrowgate_core::policy::{Access, Allow, Endpoint, Policy, Rest, RestRule, Rule, Traffic};

use super::change::{What, grants};
use super::risk::{Answer, Questions, nothing};

/// Who reached which host and port.
pub(super) fn reached(questions: &Questions<'_>) -> Result<Policy, String> {
    let all = |_: &Rest| Ok(Rest { allow: Allow::Access(Access::Full), ..Rest::default() });
    let any = |deny: &Rule| deny.rest().is_some_and(|deny| is_total(deny) && deny.method == MethodPattern::Any);
    blurred(questions, all, any)
}

/// Who reached which host and port with which methods, or with which of a plugin's actions.
pub(super) fn methods(questions: &Questions<'_>) -> Result<Policy, String> {
    let anywhere = PathPattern::parse("/**").map_err(|e| e.to_string())?;
    let by_method = |rest: &Rest| {
        let rule = |rule: &Rule| match rule {
            Rule::Rest(rule) => {
                Rule::Rest(RestRule { method: rule.method.clone(), path: anywhere.clone(), query: BTreeMap::new() })
            }
            Rule::Operation(rule) => Rule::Operation(rule.without_attributes()),
        };
        let allow = match &rest.allow {
            Allow::Access(access) => Allow::Access(*access),
            Allow::Rules(rules) => Allow::Rules(rules.iter().map(rule).collect()),
        };
        Ok(Rest { protocol: rest.protocol.clone(), allow, ..Rest::default() })
    };
    let total = |deny: &Rule| match deny {
        Rule::Rest(deny) => is_total(deny),
        Rule::Operation(deny) => deny.attributes.is_empty(),
    };
    blurred(questions, by_method, total)
}

fn blurred(
    questions: &Questions<'_>,
    widen: impl Fn(&Rest) -> Result<Rest, String>,
    keep: impl Fn(&Rule) -> bool,
) -> Result<Policy, String> {
    let before = questions.change.before;
    let void = void(questions)?;
    let mut policy = before.clone();
    for (key, entry) in &mut policy.entries {
        for (at, endpoint) in entry.endpoints.iter_mut().enumerate() {
            let live = |rule: Option<usize>| !void.contains(&(key.clone(), at, rule));
            endpoint.traffic = Traffic::Rest(match &endpoint.traffic {
                Traffic::Opaque if live(None) => Rest { allow: Allow::Access(Access::Full), ..Rest::default() },
                Traffic::Opaque => Rest::default(),
                Traffic::Rest(rest) => {
                    let allow = match &rest.allow {
                        Allow::Access(_) if !live(None) => Allow::default(),
                        Allow::Access(access) => Allow::Access(*access),
                        Allow::Rules(rules) => {
                            let rules = rules.iter().enumerate().filter(|(n, _)| live(Some(*n)));
                            Allow::Rules(rules.map(|(_, rule)| rule.clone()).collect())
                        }
                    };
                    let wide = match allow == Allow::default() {
                        true => Rest::default(),
                        false => widen(&Rest { allow, ..rest.clone() })?,
                    };
                    Rest { deny: rest.deny.iter().filter(|deny| keep(deny)).cloned().collect(), ..wide }
                }
            });
        }
    }
    Ok(policy)
}

/// Whether a deny is for every path and query of its methods.
fn is_total(deny: &RestRule) -> bool {
    deny.path.segments() == [Segment::Any] && deny.query.is_empty()
}

/// The rules of the policy before that let nothing through, because denies are for all they are for.
fn void(questions: &Questions<'_>) -> Result<BTreeSet<(String, usize, Option<usize>)>, String> {
    let change = questions.change;
    let denies = |endpoint: &Endpoint| matches!(&endpoint.traffic, Traffic::Rest(rest) if !rest.deny.is_empty());
    if !change.before.entries.values().flat_map(|entry| &entry.endpoints).any(denies) {
        return Ok(BTreeSet::new());
    }
    let nothing = nothing(change.before_compiled.schema());
    let mut void = BTreeSet::new();
    for grant in grants(change.before) {
        let id = grant.id();
        let alone = change.before_compiled.part(|policy| policy.id().to_string() == id, None);
        if let Answer::Never = questions.ask(&alone.map_err(|e| e.to_string())?, &nothing) {
            let rule = match grant.what {
                What::Rule(number, _) => Some(number),
                What::Opaque | What::Preset(_) => None,
            };
            void.insert((grant.key.to_owned(), grant.at, rule));
        }
    }
    Ok(void)
}
