//! What a reviewer should know of a change before granting it, though it fits under the ceiling.
//!
//! Two kinds. *Breadth*: how a new rule is broader than the denials it cites; read off the rules, since what a wildcard
//! costs is a matter of what was written. *Risk*: what the change would newly make possible at link-local addresses
//! and at hosts with credentials; a matter of what the policy means, so each is a question to the prover over policy
//! before and after, and a wildcard or a lifted deny counts like a name. What the prover cannot decide is noted too.
//!
//! Nothing here refuses anything: that is the ceiling's part. But [`automatic`] lets a change pass without a person
//! only where nothing is noted.

mod automatic;
mod breadth;
mod change;
mod evidence;
mod operations;
mod reached;
mod risk;

use narrowgate_core::credentials::Credentials;
use narrowgate_core::finding::{Finding, FindingName};

pub use automatic::{automatic, automatic_part};
pub use breadth::is_interpreter;
pub use change::Change;
pub use evidence::Evidence;

use crate::prove::Options;

/// How many findings of one name are listed. A proposal may have a thousand rules; a reviewer reads the first few.
const LISTED: usize = 8;

/// Everything to be noted about `change`: risks first, then breadth, each in the order of the policy. All questions
/// together take no longer than `options` allow for one.
pub fn findings(
    change: &Change<'_>,
    evidence: &Evidence,
    credentials: &Credentials,
    options: &Options,
) -> Vec<Finding> {
    let mut all = risk::findings(change, credentials, options);
    all.extend(breadth::findings(change, evidence));
    all.sort_by_key(|finding| finding.name);
    abridged(all)
}

/// The first few of each name; the last of them says how many more there are, so that none goes unsaid.
fn abridged(all: Vec<Finding>) -> Vec<Finding> {
    let mut out: Vec<Finding> = Vec::new();
    let mut seen: Option<(FindingName, usize)> = None;
    let close = |out: &mut Vec<Finding>, seen: Option<(FindingName, usize)>| {
        if let (Some((_, count)), Some(last)) = (seen, out.last_mut())
            && count > LISTED
        {
            last.detail.push_str(&format!(" And {} more findings like this.", count - LISTED));
        }
    };
    for finding in all {
        let count = match seen {
            Some((name, count)) if name == finding.name => count + 1,
            _ => {
                close(&mut out, seen);
                1
            }
        };
        seen = Some((finding.name, count));
        if count <= LISTED {
            out.push(finding);
        }
    }
    close(&mut out, seen);
    out
}
