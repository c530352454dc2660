//! Mode auto: what nobody needs to be asked about comes into force by itself, for a while.
//!
//! The judgement says whether a proposal is of that kind ([`crate::judge::Fit::is_automatic`]); here it is given an end
//! and put in force, by the same steps as a person's approval: stored as pending, proven anew on the policy of now,
//! certified, activated in one transaction. Whatever goes wrong on the way leaves it pending, for a person.

use narrowgate_core::proposal::Operation;

use crate::clock;
use crate::config::Mode;
use crate::drafts::is_draft;
use crate::failure::Failure;
use crate::judge::Judgement;
use crate::review::ROUNDS;
use crate::service::Service;
use crate::turns::Behalf;

/// Who approved what nobody was asked about.
pub(crate) const APPROVER: &str = "auto";

impl Service {
    /// The operation with an end: nothing that nobody looked at stays for good. `None` for an operation that cannot
    /// have one; those are not automatic.
    pub(crate) fn leased(&self, operation: &Operation) -> Option<Operation> {
        let Operation::AddRule { rule_name, rule } = operation else { return None };
        let end = clock::now().saturating_add(i64::try_from(self.lease.as_secs()).unwrap_or(i64::MAX));
        let mut rule = rule.clone();
        for endpoint in &mut rule.endpoints {
            endpoint.expires_at = Some(endpoint.expires_at.map_or(end, |own| own.min(end)));
        }
        Some(Operation::AddRule { rule_name: rule_name.clone(), rule })
    }

    /// Puts a stored proposal in force, if it still is one that nobody needs to be asked about.
    pub(crate) async fn apply(&self, id: &str) -> Result<(), Failure> {
        for _ in 0..ROUNDS {
            let row = self.store.proposal(id).await?.ok_or_else(|| Failure::no_proposal(id))?;
            if self.mode != Mode::Auto || !row.is_pending() || is_draft(&row) {
                return Ok(());
            }
            let active = self.sandbox(&row.sandbox).await?.active;
            let judgement = self.judge_again(&row, &active.policy_yaml, Behalf::Sandbox(&row.sandbox)).await?;
            let Judgement::Fits(fit) = judgement else { return Ok(()) };
            if !fit.is_automatic() || self.put_in_force(&row, &active, &fit, APPROVER).await? {
                return Ok(());
            }
        }
        Ok(())
    }
}
