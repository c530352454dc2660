//! The end of a session: what was granted for it goes, and so does what waits in it.

use narrowgate_core::held::Session;
use narrowgate_core::policy::{Policy, Role};

use super::ask::check_id;
use crate::clock;
use crate::failure::Failure;
use crate::judge::Judgement;
use crate::review::ROUNDS;
use crate::service::Service;
use crate::store::{NewVersion, SessionGrant, VersionRow};
use crate::turns::Behalf;

/// Who approved a version that has less than the one before it.
const APPROVER: &str = "session ended";

impl Service {
    /// From now on this session runs, or none. The same one again changes nothing.
    pub(crate) async fn put_session(&self, sandbox: &str, session: &Session) -> Result<(), Failure> {
        let keep = session.session.as_deref();
        if let Some(session) = keep {
            check_id("/session", session)?;
            if self.store.is_session_over(sandbox, session).await? {
                return Err(Failure::NotAsHeld {
                    code: "session_ended",
                    message: format!("session {session:?} is over; a new one has a new name"),
                    held: None,
                });
            }
        }
        // First no new grants for those that end, then the old ones go: a kill in between leaves them to the next call.
        match self.store.end_sessions(sandbox, keep, clock::now()).await? {
            None => return Err(Failure::no_sandbox(sandbox)),
            Some(true) => self.changed(),
            Some(false) => {}
        }
        self.end_grants(sandbox, keep).await
    }

    async fn end_grants(&self, sandbox: &str, keep: Option<&str>) -> Result<(), Failure> {
        for _ in 0..ROUNDS {
            let grants = self.store.other_sessions_grants(sandbox, keep).await?;
            if grants.is_empty() {
                return Ok(());
            }
            let active = self.sandbox(sandbox).await?.active;
            // Held until what it signed is stored.
            let signer = self.signer().await;
            let version = match without(&active, &grants)? {
                None => None,
                Some(yaml) => Some(self.certified_without(&signer, sandbox, &active, yaml).await?),
            };
            if self.store.end_grants(sandbox, &grants, version.as_ref()).await? {
                drop(signer);
                self.changed();
                tracing::info!(sandbox, grants = grants.len(), "what was granted for a session ended with it");
                return Ok(());
            }
        }
        Err(Failure::NotAsHeld {
            code: "busy",
            message: "other changes of the policy kept coming first; say it again".to_owned(),
            held: None,
        })
    }

    /// A version is only ever made from a proof, also where it can only allow less.
    async fn certified_without(
        &self,
        signer: &crate::service::Signer,
        sandbox: &str,
        active: &VersionRow,
        yaml: String,
    ) -> Result<NewVersion, Failure> {
        match self.judged(Behalf::People, move |judge| judge.policy(&yaml)).await? {
            Judgement::Fits(fit) => {
                let next = active.version() + 1;
                Service::certified(signer, sandbox, next, APPROVER, &fit.proven, fit.policy_yaml)
            }
            Judgement::Refused(refused) => Err(Failure::Internal(format!(
                "the policy of {sandbox:?} without a session's grants is not proven: {}",
                refused.reason_in_full()
            ))),
        }
    }
}

/// The policy without these entries; `None` where it has none of them. An entry of such a name that says something else
/// is not the session's.
fn without(active: &VersionRow, grants: &[SessionGrant]) -> Result<Option<String>, Failure> {
    let mut policy = Policy::parse(&active.policy_yaml, "the active policy", Role::Policy)
        .map_err(|e| Failure::Internal(e.to_string()))?;
    let before = policy.entries.len();
    for grant in grants {
        if policy.entries.get(&grant.name).is_some_and(|entry| entry.to_json().to_string() == grant.entry) {
            policy.entries.remove(&grant.name);
        }
    }
    Ok((policy.entries.len() < before).then(|| policy.to_yaml()))
}
