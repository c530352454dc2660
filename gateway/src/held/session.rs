//! The end of a session: what was granted for it goes, and so does what waits in it.

use narrowgate_core::held::Session;
use narrowgate_core::policy::{Allow, Endpoint, Entry, Policy, Rest, Role, Rule, Traffic};
use serde_json::{Value, json};

use super::ask::check_id;
use crate::clock;
use crate::failure::Failure;
use crate::judge::Judgement;
use crate::review::ROUNDS;
use crate::service::Service;
use crate::store::{Ending, NewVersion, SessionGrant, VersionRow};
use crate::turns::Behalf;

/// Who approved a version that has less than the one before it.
const APPROVER: &str = "session ended";

impl Service {
    /// From now on this session runs, or one is over. The same again changes nothing.
    pub(crate) async fn put_session(&self, sandbox: &str, session: &Session) -> Result<(), Failure> {
        let ending = match (session.session.as_deref(), session.ended.as_deref()) {
            (running, None) => Ending::AllBut(running),
            (None, Some(over)) => Ending::Only(over),
            (Some(running), Some(over)) => {
                let message = format!(
                    "{over:?} ends anyway where {running:?} runs; say which one runs, or with \"session\": null which one is over"
                );
                let pointer = Some("/ended".to_owned());
                return Err(Failure::Invalid { code: "invalid_request", message, pointer });
            }
        };
        if let Ending::Only(over) = ending {
            check_id("/ended", over)?;
        }
        if let Ending::AllBut(Some(session)) = ending {
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
        match self.store.end_sessions(sandbox, ending, clock::now()).await? {
            None => return Err(Failure::no_sandbox(sandbox)),
            Some(true) => self.changed(),
            Some(false) => {}
        }
        self.end_grants(sandbox, ending).await
    }

    async fn end_grants(&self, sandbox: &str, ending: Ending<'_>) -> Result<(), Failure> {
        for _ in 0..ROUNDS {
            let grants = self.store.ending_grants(sandbox, ending).await?;
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

/// The policy without what was granted for these sessions; `None` where it has none of that.
fn without(active: &VersionRow, grants: &[SessionGrant]) -> Result<Option<String>, Failure> {
    let mut policy = Policy::parse(&active.policy_yaml, "the active policy", Role::Policy)
        .map_err(|e| Failure::Internal(e.to_string()))?;
    let before = policy.clone();
    for grant in grants {
        let granted = entry(grant)?;
        let Some(entry) = policy.entries.get_mut(&grant.name) else { continue };
        // For other programs it is another's, under the same name.
        if entry.binaries != granted.binaries {
            continue;
        }
        entry.endpoints.retain_mut(|endpoint| !granted.endpoints.iter().any(|granted| is_used_up(endpoint, granted)));
        if entry.endpoints.is_empty() {
            policy.entries.remove(&grant.name);
        }
    }
    Ok((policy != before).then(|| policy.to_yaml()))
}

/// Takes what was granted out of an endpoint that is the granted one, or the granted one with more allowed since;
/// whether nothing is left of it. What was added stays as it was approved, and so ends when the endpoint would have.
/// An endpoint that differs in anything else, its end for instance, is another's.
fn is_used_up(endpoint: &mut Endpoint, granted: &Endpoint) -> bool {
    let ((own, rules), (same, taken)) = (split(endpoint), split(granted));
    if own != same {
        return false;
    }
    let left: Vec<Rule> = rules.into_iter().filter(|rule| !taken.contains(rule)).collect();
    let is_used_up = left.is_empty();
    if let Traffic::Rest(Rest { allow: Allow::Rules(rules), .. }) = &mut endpoint.traffic {
        *rules = left;
    }
    is_used_up
}

/// An endpoint without the rules that others can be added to, and those.
fn split(endpoint: &Endpoint) -> (Endpoint, Vec<Rule>) {
    let mut endpoint = endpoint.clone();
    let rules = match &mut endpoint.traffic {
        Traffic::Rest(Rest { allow: Allow::Rules(rules), .. }) => std::mem::take(rules),
        _ => Vec::new(),
    };
    (endpoint, rules)
}

/// A stored entry, through the reader that policies come in by.
fn entry(grant: &SessionGrant) -> Result<Entry, Failure> {
    let unreadable =
        |detail: String| Failure::Internal(format!("a session's grant {:?} does not read back: {detail}", grant.name));
    let stored: Value = serde_json::from_str(&grant.entry).map_err(|e| unreadable(e.to_string()))?;
    let policy = json!({ "version": 1, "network_policies": { grant.name.clone(): stored } }).to_string();
    let mut policy =
        Policy::parse(&policy, "a session's grant", Role::Policy).map_err(|e| unreadable(e.to_string()))?;
    policy.entries.remove(&grant.name).ok_or_else(|| unreadable("it is empty".to_owned()))
}
