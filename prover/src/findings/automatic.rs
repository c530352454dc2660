//! Whether a change may come into force without a person.
//!
//! The ceiling's author says where, with `@review("auto")` on a permit (`review: auto` on an endpoint). Everything here
//! errs towards asking: a change passes only if it adds rules and nothing else, none of them opaque, nothing is noted
//! about it, and the prover says that all that the new rules allow is inside the marked permits and outside every
//! forbid.

use narrowgate_core::finding::Finding;

use super::change::{Change, What};
use crate::ceiling::Ceiling;
use crate::prove::{Options, prove};
use crate::verdict::Verdict;

/// The ceiling's permits that are marked, with all its forbids; `None` where none is marked.
pub fn automatic_part(ceiling: &Ceiling) -> Option<Ceiling> {
    let is_marked = |policy: &cedar_policy::Policy| policy.annotation("review") == Some("auto");
    let is_permit = |policy: &cedar_policy::Policy| policy.effect() == cedar_policy::Effect::Permit;
    if !ceiling.compiled().policies().policies().any(|policy| is_permit(policy) && is_marked(policy)) {
        return None;
    }
    Ceiling::new(ceiling.compiled().part(is_marked, None).ok()?).ok()
}

/// Whether nobody needs to be asked about `change`, which must be proven inside the whole ceiling already. `part` is
/// [`automatic_part`] of it, `findings` everything that is noted about the change.
///
/// # Errors
/// Why a person is asked. The reason is for those who may read the ceiling.
pub fn automatic(
    change: &Change<'_>,
    part: Option<&Ceiling>,
    findings: &[Finding],
    options: &Options,
) -> Result<(), String> {
    let added = change.added();
    let ask = |reason: &str| Err(reason.to_owned());
    if change.removes() {
        return ask("it takes something away; only additions are automatic");
    }
    if change.adds_a_deny() {
        return ask("it adds a deny rule; only grants are automatic");
    }
    if added.is_empty() {
        return ask("it adds no grant");
    }
    if let Some(opaque) = added.iter().find(|grant| grant.what == What::Opaque) {
        return Err(format!("{} would be opaque (L4), which is never automatic", opaque.place()));
    }
    if !findings.is_empty() {
        let mut names: Vec<&str> = findings.iter().map(|finding| finding.name.as_str()).collect();
        names.dedup();
        return Err(format!("there are findings: {}", names.join(", ")));
    }
    let Some(part) = part else { return ask("no permit of the ceiling is marked @review(\"auto\")") };
    let ids: std::collections::BTreeSet<String> = added.iter().map(|grant| grant.id()).collect();
    let addition = change.after_compiled.part(|policy| ids.contains(&policy.id().to_string()), None);
    let addition = addition.map_err(|e| e.to_string())?;
    match prove(&addition, part, options).verdict {
        Verdict::Within(_) => Ok(()),
        Verdict::Exceeds(found) => {
            Err(format!("`{}` is outside the ceiling's permits that are marked @review(\"auto\")", found.curl()))
        }
        Verdict::Unsupported(reason) | Verdict::Inconclusive(reason) => {
            Err(format!("it is not proven inside the ceiling's @review(\"auto\") permits ({})", reason.code))
        }
        Verdict::Disagree(disagreement) => Err(disagreement.reason.message),
    }
}
