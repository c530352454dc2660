//! What the gateway does, whoever asks: over HTTP or in the same process.

use std::sync::Arc;
use std::time::Duration;

use narrowgate_core::schema::Schema;
use narrowgate_core::wire::{Bundle, CeilingView};
use narrowgate_prover::{Approval, Proven};
use tokio::sync::{OwnedRwLockReadGuard, RwLock, Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::Mode;
use crate::failure::Failure;
use crate::judge::{Judge, Judgement, Waiting};
use crate::key_ring::KeyRing;
use crate::room::Rooms;
use crate::store::{NewVersion, SandboxRow, Store};
use crate::token::{Role, Token};
use crate::turns::{Behalf, Turns};

/// The right to sign with the current key. Held until what was signed is stored.
pub(crate) type Signer = OwnedRwLockReadGuard<KeyRing>;

/// Everything that calls share.
pub(crate) struct Service {
    pub(crate) store: Store,
    pub(crate) judge: Judge,
    pub(crate) ceiling: CeilingView,
    /// Read by whoever signs, for as long as what was signed is not stored: so a new key has signed all that comes
    /// into force after it.
    pub(crate) keys: Arc<RwLock<KeyRing>>,
    pub(crate) mode: Mode,
    /// How long what nobody was asked about lasts.
    pub(crate) lease: Duration,
    /// Proofs at a time.
    pub(crate) turns: Turns,
    /// Counts changes to anything; whoever waits for one looks again. One counter for all sandboxes: a needless look
    /// is one indexed read, and there is no per-sandbox registry to keep right.
    pub(crate) changes: watch::Sender<u64>,
    /// Room for the calls of sandboxes.
    pub(crate) rooms: Rooms,
    /// Room for those who follow events.
    pub(crate) followers: Arc<Semaphore>,
    /// Ends long polls when the gateway ends.
    pub(crate) closing: CancellationToken,
}

impl Service {
    /// A sandbox with a proven baseline; its version and its token. 409 where the name is taken.
    pub(crate) async fn create_sandbox(
        &self,
        name: &str,
        policy_yaml: String,
        approver: &str,
    ) -> Result<(u64, Token), Failure> {
        check_name(name)?;
        if self.store.sandbox(name).await?.is_some() {
            return Err(taken(name));
        }
        let judgement = self.judged(Behalf::People, move |judge| judge.policy(&policy_yaml)).await?;
        let fit = match judgement {
            Judgement::Fits(fit) => fit,
            Judgement::Refused(refused) => {
                return Err(Failure::Invalid {
                    code: refused.code.as_str(),
                    message: refused.detail.unwrap_or(refused.message),
                    pointer: Some("/policy_yaml".to_owned()),
                });
            }
        };
        let version = self.store.next_version(name).await?;
        let signer = self.signer().await;
        let baseline = Service::certified(&signer, name, version, approver, &fit.proven, fit.policy_yaml)?;
        let token = Token::generate(Role::Sandbox)?;
        if !self.store.create_sandbox(name, &baseline, &token).await? {
            return Err(taken(name));
        }
        drop(signer);
        self.changed();
        Ok((version, token))
    }

    /// Ends a sandbox and its token.
    pub(crate) async fn delete_sandbox(&self, name: &str, by: &str) -> Result<(), Failure> {
        if !self.store.delete_sandbox(name, by, clock::now()).await? {
            return Err(Failure::no_sandbox(name));
        }
        self.changed();
        Ok(())
    }

    /// A live sandbox, or 404.
    pub(crate) async fn sandbox(&self, name: &str) -> Result<SandboxRow, Failure> {
        self.store.sandbox(name).await?.ok_or_else(|| Failure::no_sandbox(name))
    }

    /// The active version once it is newer than `after`; `None` where that did not happen in time.
    pub(crate) async fn bundle(&self, name: &str, after: u64, wait: Duration) -> Result<Option<Bundle>, Failure> {
        let deadline = Instant::now() + wait;
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let active = self.sandbox(name).await?.active;
            if active.version() > after {
                return bundle(name, &active, self.judge.plugins.schema()).map(Some);
            }
            if !self.next_change(&mut changes, deadline).await {
                return Ok(None);
            }
        }
    }

    /// Waits for a change; `false` at the deadline and when the gateway ends.
    pub(crate) async fn next_change(&self, changes: &mut watch::Receiver<u64>, deadline: Instant) -> bool {
        tokio::select! {
            changed = timeout_at(deadline, changes.changed()) => matches!(changed, Ok(Ok(()))),
            () = self.closing.cancelled() => false,
        }
    }

    /// Wakes whoever waits.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Runs a judgement where it does not hold up other calls, for as long as the caller waits.
    pub(crate) async fn judged<T: Send + 'static>(
        &self,
        behalf: Behalf<'_>,
        run: impl FnOnce(&Judge) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = self.turns.next(behalf).await.map_err(|e| Failure::Internal(e.to_string()))?;
        let waiting = Waiting::default();
        let judge = self.judge.while_awaited(&waiting);
        let judgement = move || {
            let judgement = run(&judge);
            drop(turn);
            judgement
        };
        tokio::task::spawn_blocking(judgement)
            .await
            .map_err(|e| Failure::Internal(format!("a judgement ended early: {e}")))
    }

    /// The key of now; no other takes its place until this is dropped.
    pub(crate) async fn signer(&self) -> Signer {
        Arc::clone(&self.keys).read_owned().await
    }

    /// Signs a proof. This is the one place that makes a version, and it takes a [`Proven`].
    pub(crate) fn certified(
        signer: &Signer,
        sandbox: &str,
        version: u64,
        approver: &str,
        proven: &Proven,
        policy_yaml: String,
    ) -> Result<NewVersion, Failure> {
        let now = clock::now();
        let approval = Approval {
            approver: approver.to_owned(),
            time: now,
            expires: None,
            sandbox: sandbox.to_owned(),
            version,
            held: None,
        };
        let envelope = proven.certify(signer.signing(), &approval);
        let certificate = serde_json::to_string(&envelope)
            .map_err(|e| Failure::Internal(format!("a certificate does not serialise: {e}")))?;
        Ok(NewVersion {
            version,
            policy_yaml,
            policy_hash: proven.policy().to_string(),
            ceiling_digest: proven.ceiling().to_string(),
            schema_digest: proven.schema().to_string(),
            certificate,
            approver: approver.to_owned(),
            now,
        })
    }
}

/// Everything that is active was certified for the plugins that are here ([`crate::Gateway::start`]).
fn bundle(name: &str, active: &crate::store::VersionRow, schema: &Schema) -> Result<Bundle, Failure> {
    let corrupt = |what: &str| {
        Failure::Internal(format!("version {} of {name:?} has a {what} that does not read back", active.version()))
    };
    Ok(Bundle {
        sandbox: name.to_owned(),
        version: active.version(),
        policy_yaml: active.policy_yaml.clone(),
        policy_hash: active.policy_hash.parse().map_err(|_| corrupt("policy hash"))?,
        certificate: serde_json::from_str(&active.certificate).map_err(|_| corrupt("certificate"))?,
        plugins: schema.pins(),
    })
}

/// Names are in URLs, file names and log lines.
fn check_name(name: &str) -> Result<(), Failure> {
    let first = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let rest = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'));
    if first && rest && name.len() <= 64 {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    let message = format!(
        "{shown:?} is not a sandbox name: at most 64 lower-case letters, digits, '-', '_' and '.', beginning with a letter or a digit"
    );
    Err(Failure::Invalid { code: "invalid_name", message, pointer: Some("/name".to_owned()) })
}

fn taken(name: &str) -> Failure {
    Failure::Conflict {
        code: "sandbox_exists",
        message: format!("there is a sandbox {name:?} already"),
        proposal: None,
    }
}
