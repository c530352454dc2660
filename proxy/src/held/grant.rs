//! What lets a request through once: a policy that is certified for the one question, on the version in force here.

use std::sync::Arc;
use std::time::Duration;

use narrowgate_core::held::{HeldOutcome, HeldStatus};
use narrowgate_core::wire::Bundle;
use tokio::time::Instant;

use super::poll;
use crate::active::Enforced;
use crate::bundle::{BundleError, open_held};
use crate::shared::{Shared, now};

/// A grant is for one version. A policy that changes all the time leaves none that fits.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where the gateway is behind this proxy: the version that it gave is being replaced.
const PAUSE: Duration = Duration::from_millis(100);
/// A grant whose certificate names no end has one all the same, in seconds.
const LONGEST: i64 = 3600;

/// The grant of one question, checked once for all that wait for it.
#[derive(Debug)]
pub(crate) struct Grant {
    held_id: Option<String>,
    /// As the gateway gave it.
    bundle: Option<Bundle>,
    /// As it was checked.
    opened: Option<Arc<Enforced>>,
}

/// Why nobody is let through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrantError {
    /// The gateway gives none, or none any more.
    #[error("the gateway gives no grant for it: {0}")]
    None(String),
    /// It is not for this.
    #[error("the gateway's grant is refused: {0}")]
    Bundle(#[from] BundleError),
    /// The policy in force changed faster than grants were made.
    #[error("no grant was made on the policy in force within {} seconds", PATIENCE.as_secs())]
    Late,
}

impl Grant {
    pub(super) fn new(held_id: Option<String>, bundle: Option<Bundle>) -> Grant {
        Grant { held_id, bundle, opened: None }
    }

    /// The policy with the rule, made on the version that is in force here.
    ///
    /// # Errors
    /// See [`GrantError`]; nothing may pass then.
    pub(super) async fn on_what_is_in_force(&mut self, shared: &Shared) -> Result<Arc<Enforced>, GrantError> {
        let deadline = Instant::now() + PATIENCE;
        let mut changes = shared.active.subscribe();
        loop {
            let here = *changes.borrow_and_update();
            if let Some(opened) = self.opened.as_ref().filter(|opened| opened.snapshot.version() == here) {
                return Ok(opened.clone());
            }
            match self.bundle.take() {
                Some(bundle) if bundle.version == here => {
                    let opened = Arc::new(self.open(shared, bundle).await?);
                    self.opened = Some(opened.clone());
                    return Ok(opened);
                }
                // Made on what this proxy is about to have.
                Some(bundle) if bundle.version > here => {
                    self.bundle = Some(bundle);
                    match tokio::time::timeout_at(deadline, changes.changed()).await {
                        Ok(Ok(())) => {}
                        _ => return Err(GrantError::Late),
                    }
                }
                Some(_) => tokio::time::sleep(PAUSE).await,
                None => self.bundle = Some(self.fetch(shared, deadline).await?),
            }
            if Instant::now() >= deadline {
                return Err(GrantError::Late);
            }
        }
    }

    async fn fetch(&self, shared: &Shared, deadline: Instant) -> Result<Bundle, GrantError> {
        let none = |why: &str| GrantError::None(why.to_owned());
        let held_id = self.held_id.as_deref().ok_or_else(|| none("it names no question"))?;
        let outcome =
            poll::outcome(shared, held_id, deadline, None).await.map_err(|e| GrantError::None(e.to_string()))?;
        match outcome {
            HeldOutcome { status: HeldStatus::Once, grant: Some(bundle), .. } => Ok(bundle),
            HeldOutcome { message: Some(why), .. } => Err(none(&why)),
            HeldOutcome { status, .. } => Err(none(status.as_str())),
        }
    }

    async fn open(&self, shared: &Shared, bundle: Bundle) -> Result<Enforced, GrantError> {
        match self.check(shared, &bundle).await {
            Err(BundleError::Certificate(why)) if why.is_about_keys() => {
                let Some(trust) = shared.held.trust.get() else { return Err(BundleError::Certificate(why).into()) };
                match trust.refresh(&shared.gateway).await {
                    Ok(true) => Ok(self.check(shared, &bundle).await?),
                    _ => Err(BundleError::Certificate(why).into()),
                }
            }
            checked => Ok(checked?),
        }
    }

    async fn check(&self, shared: &Shared, bundle: &Bundle) -> Result<Enforced, BundleError> {
        use narrowgate_core::certificate::CertificateError::{Malformed, Untrusted};
        let keys = shared.held.trust.get().ok_or(Untrusted)?.keys();
        let (bundle, sandbox, schema) = (bundle.clone(), shared.sandbox.clone(), shared.plugins.schema().clone());
        let held = self.held_id.clone().unwrap_or_default();
        let now = now();
        // Compiling takes milliseconds to seconds; requests go on meanwhile.
        let opened = tokio::task::spawn_blocking(move || open_held(&bundle, &keys, &sandbox, &schema, now, &held));
        let mut opened = opened.await.map_err(|_| Malformed("it could not be checked"))??;
        opened.expires = Some(opened.expires.unwrap_or(i64::MAX).min(now.saturating_add(LONGEST)));
        Ok(opened)
    }
}
