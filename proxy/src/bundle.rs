//! Policies from the gateway: nothing is enforced that is not proven, for this sandbox and newer than the last.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use narrowgate_core::certificate::{self, CertificateError, Certified};
use narrowgate_core::compile::{CompileError, Compiled};
use narrowgate_core::decide::Snapshot;
use narrowgate_core::digest::Digest;
use narrowgate_core::dsse::TrustedKey;
use narrowgate_core::policy::{ParseErrors, Policy, Role};
use narrowgate_core::schema::Schema;
use narrowgate_core::wire::Bundle;

use crate::ClientError;
use crate::active::Enforced;
use crate::audit::{Change, What};
use crate::files::write_atomic;
use crate::shared::{Shared, id, now};
use crate::trust::{KeysError, Trust};

/// How long the gateway holds a poll when there is nothing new, in seconds.
const POLL: u64 = 60;
/// Between polls that fail.
const BACKOFF: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Why a bundle is not enforced.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not meant for this proxy.
    #[error("the bundle is for sandbox {bundle:?}, and this proxy serves {here:?}")]
    OtherSandbox {
        /// The bundle's.
        bundle: String,
        /// This proxy's.
        here: String,
    },
    /// Older than what is in force, or the same number with other contents.
    #[error("version {offered} is no successor of version {current}, which was in force last")]
    NotNewer {
        /// In the bundle.
        offered: u64,
        /// The last one in force here.
        current: u64,
    },
    /// The certificate is about another version or sandbox than the bundle says.
    #[error("the certificate is for version {version} of sandbox {sandbox:?}")]
    OtherStatement {
        /// In the certificate.
        sandbox: String,
        /// In the certificate.
        version: u64,
    },
    /// It names others than were assumed.
    #[error("the bundle names other plugins than its certificate assumes")]
    Plugins,
    /// No valid certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The policy does not parse.
    #[error("the policy is invalid: {0}")]
    Policy(#[from] ParseErrors),
    /// The policy does not compile.
    #[error("the policy does not compile: {0}")]
    Compile(#[from] CompileError),
    /// It compiles to something that was not proven.
    #[error("the policy compiles to {compiled}, and {certified} was proven")]
    OtherPolicy {
        /// By this proxy.
        compiled: Digest,
        /// By the bundle.
        certified: Digest,
    },
}

/// Checks everything about `bundle` but its place in the order of versions.
///
/// # Errors
/// See [`BundleError`].
pub(crate) fn open(
    bundle: &Bundle,
    keys: &[TrustedKey],
    sandbox: &str,
    schema: &Arc<Schema>,
    now: i64,
) -> Result<Enforced, BundleError> {
    open_as(bundle, keys, sandbox, schema, now, None)
}

/// The same of what lets one held request through, and puts nothing in force.
///
/// # Errors
/// See [`BundleError`].
pub(crate) fn open_held(
    bundle: &Bundle,
    keys: &[TrustedKey],
    sandbox: &str,
    schema: &Arc<Schema>,
    now: i64,
    held: &str,
) -> Result<Enforced, BundleError> {
    open_as(bundle, keys, sandbox, schema, now, Some(held))
}

fn open_as(
    bundle: &Bundle,
    keys: &[TrustedKey],
    sandbox: &str,
    schema: &Arc<Schema>,
    now: i64,
    held: Option<&str>,
) -> Result<Enforced, BundleError> {
    if bundle.sandbox != sandbox {
        return Err(BundleError::OtherSandbox { bundle: bundle.sandbox.clone(), here: sandbox.to_owned() });
    }
    // First the signature: nothing else is looked at of a bundle that nobody vouches for.
    let (envelope, policy) = (&bundle.certificate, bundle.policy_hash);
    let Certified { statement, signer } = match held {
        None => certificate::verify(envelope, keys, policy, schema, now)?,
        Some(held) => certificate::verify_held(envelope, keys, policy, schema, now, held)?,
    };
    let proven = statement.predicate;
    if proven.sandbox != sandbox || proven.version != bundle.version {
        return Err(BundleError::OtherStatement { sandbox: proven.sandbox, version: proven.version });
    }
    if proven.plugins != bundle.plugins {
        return Err(BundleError::Plugins);
    }
    let policy = Policy::parse(&bundle.policy_yaml, "policy", Role::Policy)?;
    let compiled = Compiled::policy_over(&policy, Role::Policy, schema)?;
    if compiled.digest() != bundle.policy_hash {
        return Err(BundleError::OtherPolicy { compiled: compiled.digest(), certified: bundle.policy_hash });
    }
    let snapshot = Snapshot::new(policy, compiled, bundle.version);
    // What a replaced key signed is worth nothing once its time is over.
    let expires = proven.expires_at.into_iter().chain(signer.until).min();
    Ok(Enforced { snapshot, yaml: bundle.policy_yaml.clone(), expires })
}

/// INVARIANT: versions only grow, across restarts too (the last one is cached).
pub(crate) fn succeeds(bundle: &Bundle, last: Option<(u64, Digest)>) -> Result<(), BundleError> {
    let Some((version, digest)) = last else { return Ok(()) };
    let same = bundle.version == version && bundle.policy_hash == digest;
    match same || bundle.version > version {
        true => Ok(()),
        false => Err(BundleError::NotNewer { offered: bundle.version, current: version }),
    }
}

/// Follows the gateway's versions and keeps the last good one.
pub(crate) struct Loader {
    shared: Arc<Shared>,
    trust: Arc<Trust>,
    cache: PathBuf,
}

impl Loader {
    pub(crate) fn new(shared: Arc<Shared>, trust: Arc<Trust>, dir: &Path) -> Loader {
        Loader { shared, trust, cache: dir.join("bundle.json") }
    }

    /// Puts the cached bundle in force if it is still good.
    pub(crate) async fn load_cached(&self) {
        let bundle = match fs::read(&self.cache) {
            Ok(bytes) => serde_json::from_slice::<Bundle>(&bytes).map_err(|e| e.to_string()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return,
            Err(e) => Err(e.to_string()),
        };
        let loaded = match bundle {
            Ok(bundle) => self.adopt(bundle).await.map_err(|e| e.to_string()),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = loaded {
            tracing::warn!("{}: not used: {problem}", self.cache.display());
        }
    }

    /// Asks the gateway for a version after `after`, waiting up to `wait` seconds for one.
    pub(crate) async fn fetch(&self, after: u64, wait: u64) -> Result<Option<Bundle>, ClientError> {
        let path = format!("/v1/sandboxes/{}/bundle?after={after}&wait={wait}", self.shared.sandbox);
        self.shared.gateway.get_within(&path, Duration::from_secs(wait)).await
    }

    /// Puts `bundle` in force, if it may be: for the next request of every connection.
    pub(crate) async fn adopt(&self, bundle: Bundle) -> Result<(), BundleError> {
        succeeds(&bundle, self.shared.active.last())?;
        let (keys, sandbox) = (self.trust.keys(), self.shared.sandbox.clone());
        let schema = self.shared.plugins.schema().clone();
        // Compiling takes milliseconds to seconds; requests go on meanwhile.
        let opened = tokio::task::spawn_blocking(move || {
            open(&bundle, &keys, &sandbox, &schema, now()).map(|opened| (opened, bundle))
        });
        let (enforced, bundle) = match opened.await {
            Ok(opened) => opened?,
            Err(_) => return Err(CertificateError::Malformed("it could not be checked").into()),
        };
        let bytes = serde_json::to_vec(&bundle).map_err(io::Error::from);
        if let Err(e) = bytes.and_then(|bytes| write_atomic(&self.cache, &bytes, 0o600)) {
            // Enforcing what was approved matters more than starting without a gateway.
            tracing::warn!("{}: {e}", self.cache.display());
        }
        self.shared.active.store(enforced);
        self.record(Change::Loaded, &bundle, format!("policy version {} is in force", bundle.version));
        Ok(())
    }

    /// [`adopt`](Loader::adopt), after a look for newer keys where the bundle is not by one that is trusted.
    ///
    /// # Errors
    /// Why it is not enforced, in a line.
    pub(crate) async fn adopt_with_newest_keys(&self, bundle: Bundle) -> Result<(), String> {
        let why = match self.adopt(bundle.clone()).await {
            Ok(()) => return Ok(()),
            Err(BundleError::Certificate(why)) if why.is_about_keys() => why.to_string(),
            Err(why) => return Err(why.to_string()),
        };
        match self.follow_keys().await {
            Ok(true) => {}
            Ok(false) => return Err(why),
            Err(e) => return Err(format!("{why}; {e}")),
        }
        match self.adopt(bundle).await {
            Ok(()) => Ok(()),
            Err(why) => {
                // What stays in force may be by a key that is now known to end.
                self.load_cached().await;
                Err(why.to_string())
            }
        }
    }

    /// Pins what the gateway's keys announce; whether there was anything new.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub(crate) async fn follow_keys(&self) -> Result<bool, KeysError> {
        let followed = self.trust.refresh(&self.shared.gateway).await?;
        if followed {
            let detail = format!("the gateway's key was replaced; key set {} is pinned", self.trust.sequence());
            tracing::info!("{detail}");
            let (version, hash) = self.shared.active.last().unzip();
            let what = What::Config { change: Change::KeysReplaced, version, hash, subject: None, detail };
            // Not written: reported there. Nothing is granted by a key alone.
            let _ = self.shared.audit(&id("c_"), what);
        }
        Ok(followed)
    }

    /// Follows until the proxy stops.
    pub(crate) async fn follow(self) {
        let mut failures = 0;
        let mut refused: Option<(u64, String)> = None;
        loop {
            let asked = Instant::now();
            let after = match self.shared.active.version() {
                // The gateway took it back, and may give the same one again.
                0 => self.shared.active.last().map_or(0, |(last, _)| last.saturating_sub(1)),
                version => version,
            };
            let polled = tokio::select! {
                polled = self.fetch(after, POLL) => polled,
                () = until(self.shared.active.expires()) => {
                    self.lapse();
                    continue;
                }
                () = self.shared.stop.cancelled() => return,
            };
            let pause = match polled {
                Ok(None) => {
                    failures = 0;
                    // A gateway that does not hold the poll must not be asked in a tight loop.
                    Duration::from_secs(1).saturating_sub(asked.elapsed())
                }
                Ok(Some(bundle)) => match self.adopt_with_newest_keys(bundle.clone()).await {
                    Ok(()) => {
                        (failures, refused) = (0, None);
                        Duration::ZERO
                    }
                    Err(why) => {
                        let news = (bundle.version, why);
                        if refused.as_ref() != Some(&news) {
                            self.refuse(&bundle, &news.1);
                            refused = Some(news);
                        }
                        backoff(&mut failures)
                    }
                },
                Err(e) if is_revocation(&e) => {
                    self.revoke(&e);
                    backoff(&mut failures)
                }
                Err(e) => {
                    tracing::warn!("{e}; version {} stays in force", self.shared.active.version());
                    backoff(&mut failures)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shared.stop.cancelled() => return,
            }
        }
    }

    /// The gateway gives this sandbox no policy any more: nothing is enforced from now on, and nothing is left that a
    /// later start could take up again.
    pub(crate) fn revoke(&self, why: &ClientError) {
        match fs::remove_file(&self.cache) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => tracing::error!("{}: {e}", self.cache.display()),
            _ => {}
        }
        if self.shared.active.version() == 0 {
            return;
        }
        self.clear(&why.to_string());
    }

    /// The certificate of what is in force, or the key that signed it, came to its end, and nothing took its place.
    fn lapse(&self) {
        self.clear("the certificate of the policy in force, or the key that signed it, came to its end");
    }

    fn clear(&self, why: &str) {
        self.shared.active.clear();
        tracing::error!("{why}; no policy is in force any more, and everything is denied");
        let (version, hash) = self.shared.active.last().unzip();
        let detail = format!("{why}; no policy is in force");
        // Not written: reported there. What was taken back stays so.
        let _ = self
            .shared
            .audit(&id("c_"), What::Config { change: Change::Revoked, version, hash, subject: None, detail });
    }

    /// Says that a bundle is not enforced, and what stays.
    pub(crate) fn refuse(&self, bundle: &Bundle, why: &str) {
        tracing::error!("policy version {} is refused: {why}", bundle.version);
        self.record(Change::Refused, bundle, format!("{why}; what was in force stays"));
    }

    fn record(&self, change: Change, bundle: &Bundle, detail: String) {
        let (version, hash) = (Some(bundle.version), Some(bundle.policy_hash));
        // Not written: reported there. What was proven is enforced all the same, and each request needs a line of its own.
        let _ = self.shared.audit(&id("c_"), What::Config { change, version, hash, subject: None, detail });
    }
}

/// Whether the gateway itself said that this proxy has no policy: the token is no longer good, or the sandbox is gone.
pub(crate) fn is_revocation(error: &ClientError) -> bool {
    matches!(error.status(), Some(401 | 403 | 404))
}

/// Waits until the wall clock shows `expires`, in seconds since the Unix epoch; for ever where there is none.
async fn until(expires: Option<i64>) {
    let Some(expires) = expires else { return std::future::pending().await };
    // In steps: a clock that was set forward must be noticed too.
    while now() < expires {
        let left = u64::try_from(expires.saturating_sub(now())).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(200).max(Duration::from_secs(left.min(5) / 2))).await;
    }
}

fn backoff(failures: &mut usize) -> Duration {
    let pause = BACKOFF.get(*failures).or(BACKOFF.last()).copied().unwrap_or_default();
    *failures += 1;
    pause
}
