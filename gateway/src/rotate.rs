//! A new signing key, while everything goes on: first it is certain that every policy in force can be signed anew, then
//! the key changes, then each policy becomes a new version under it. A proxy that meets the new key in a bundle asks for
//! the key sets, in which the old key announces it. What is not signed anew in time (the gateway was killed) is at the
//! next start.

use narrowgate_core::certificate;
use narrowgate_core::digest::Digest;
use narrowgate_core::dsse::Envelope;
use narrowgate_core::schema::Schema;
use narrowgate_core::wire::Keys;

use crate::clock;
use crate::failure::Failure;
use crate::judge::{Fit, Judgement};
use crate::service::{Service, Signer};
use crate::store::VersionRow;
use crate::turns::Behalf;

/// For how long the old key stays trusted unless it is said: long enough for a machine that is off over a weekend.
const USUAL_OVERLAP: u64 = 7 * 24 * 60 * 60;
/// A key that is trusted for longer than this beside its successor was not replaced.
const LONGEST_OVERLAP: u64 = 90 * 24 * 60 * 60;
/// How often a policy is proven anew because another version came first.
const ROUNDS: usize = 16;

impl Service {
    /// Replaces the signing key; the old one stays trusted for `overlap` seconds.
    pub(crate) async fn rotate_key(&self, overlap: Option<u64>, by: &str) -> Result<Keys, Failure> {
        let overlap = overlap.unwrap_or(USUAL_OVERLAP);
        if overlap > LONGEST_OVERLAP {
            return Err(Failure::Invalid {
                code: "invalid_request",
                message: format!("an overlap of {overlap} seconds; at most {LONGEST_OVERLAP} (90 days)"),
                pointer: Some("/overlap_seconds".to_owned()),
            });
        }
        for sandbox in self.store.sandboxes().await? {
            self.proven_anew(&sandbox.name, &sandbox.active).await?;
        }
        let view = self.replace_key(overlap).await?;
        tracing::info!(sequence = view.sequence, overlap, by, "signing key replaced");
        for sandbox in self.store.sandboxes().await? {
            self.certify_anew(&sandbox.name).await?;
        }
        self.changed();
        Ok(view)
    }

    /// Waits for whoever signs at the moment; whoever signs next signs with the new key.
    async fn replace_key(&self, overlap: u64) -> Result<Keys, Failure> {
        let now = clock::now();
        let mut keys = self.keys.write().await;
        let rotated = keys.rotated(now, i64::try_from(overlap).unwrap_or(i64::MAX));
        *keys = rotated.map_err(|e| Failure::Internal(format!("the key was not replaced: {e}")))?;
        Ok(keys.view(now))
    }

    async fn certify_anew(&self, name: &str) -> Result<(), Failure> {
        for _ in 0..ROUNDS {
            // Deleted meanwhile: nothing to sign.
            let Some(sandbox) = self.store.sandbox(name).await? else { return Ok(()) };
            let active = sandbox.active;
            if is_current(&self.signer().await, &active, self.judge.plugins.schema()) {
                return Ok(());
            }
            let Fit { proven, policy_yaml, .. } = *self.proven_anew(name, &active).await?;
            let signer = self.signer().await;
            let next = Service::certified(&signer, name, active.version() + 1, "gateway", &proven, policy_yaml)?;
            if self.store.recertify(&[(name.to_owned(), next)]).await? {
                return Ok(());
            }
        }
        Err(Failure::Conflict {
            code: "busy",
            message: format!(
                "the key is replaced, and sandbox {name:?} changed too fast to be signed anew; restart the gateway"
            ),
            proposal: None,
        })
    }

    /// A certificate is only ever made from a proof of now.
    async fn proven_anew(&self, name: &str, active: &VersionRow) -> Result<Box<Fit>, Failure> {
        let yaml = active.policy_yaml.clone();
        match self.judged(Behalf::People, move |judge| judge.policy(&yaml)).await? {
            Judgement::Fits(fit) => Ok(fit),
            Judgement::Refused(refused) => Err(Failure::Conflict {
                code: "not_proven",
                message: format!("sandbox {name:?} could not be signed anew: {}", refused.reason_in_full()),
                proposal: None,
            }),
        }
    }
}

/// Whether the version's certificate is by the current key and assumes the plugins that are here.
pub(crate) fn is_current(signer: &Signer, version: &VersionRow, schema: &Schema) -> bool {
    let keys = [signer.signing().verifying_key().into()];
    let (Ok(envelope), Ok(policy)) =
        (serde_json::from_str::<Envelope>(&version.certificate), version.policy_hash.parse::<Digest>())
    else {
        return false;
    };
    certificate::verify(&envelope, &keys, policy, schema, clock::now()).is_ok()
}
