//! Which of the gateway's keys are believed: those of the first start, pinned, and whatever they announce.
//!
//! A gateway that comes with other keys is not believed, unless the key that is current here announces them and is still
//! trusted itself. Whoever was away for longer than that is told so, and is for the operator to enrol anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use arc_swap::ArcSwap;
use narrowgate_core::dsse::TrustedKey;
use narrowgate_core::keys::{KeySet, KeySetError};
use narrowgate_core::wire::{KeyView, Keys};

use crate::files::write_atomic;
use crate::shared::now;
use crate::{ClientError, GatewayClient};

/// Why there are no keys to check certificates with, or not the newest.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The first start needs the gateway, and so does every look for newer keys.
    #[error(transparent)]
    Gateway(#[from] ClientError),
    /// The pinned keys cannot be read or written.
    #[error("{}: {problem}", path.display())]
    File {
        /// `gateway-keys.json`.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The gateway has newer keys, and what is pinned here does not lead to them.
    #[error(
        "the gateway has other keys than those pinned here, and they are not followed: {source}; compare with `narrowgate key list`, then remove {} to enrol this proxy anew",
        path.display()
    )]
    NotFollowed {
        /// `gateway-keys.json`.
        path: PathBuf,
        /// Why not.
        source: KeySetError,
    },
}

/// The keys that are believed, in `gateway-keys.json`.
#[derive(Debug)]
pub(crate) struct Trust {
    path: PathBuf,
    pinned: ArcSwap<Pinned>,
}

/// INVARIANT: at least one key, the current one first.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pinned {
    keys: Vec<TrustedKey>,
    sequence: u64,
}

impl Trust {
    /// The keys that are pinned in `dir`; on the first start, the gateway's.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub(crate) async fn open(gateway: &GatewayClient, dir: &Path) -> Result<Trust, KeysError> {
        let path = dir.join("gateway-keys.json");
        let fail = |problem: String| KeysError::File { path: path.clone(), problem };
        let pinned = match fs::read(&path) {
            Ok(bytes) => {
                let keys: Keys =
                    serde_json::from_slice(&bytes).map_err(|e| fail(format!("not a list of keys: {e}")))?;
                Pinned::of(&keys).ok_or_else(|| fail("no Ed25519 key in it".to_owned()))?
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let pinned = enrolled(&gateway.get("/v1/keys").await?).map_err(&fail)?;
                pinned.write(&path).map_err(|e| fail(e.to_string()))?;
                pinned
            }
            Err(e) => return Err(fail(e.to_string())),
        };
        Ok(Trust { path, pinned: ArcSwap::from_pointee(pinned) })
    }

    /// The keys as of now.
    pub(crate) fn keys(&self) -> Vec<TrustedKey> {
        self.pinned.load().keys.clone()
    }

    /// Asks the gateway for what its keys announce; whether there was anything new.
    ///
    /// # Errors
    /// See [`KeysError`]; what is pinned stays.
    pub(crate) async fn refresh(&self, gateway: &GatewayClient) -> Result<bool, KeysError> {
        let offered: Keys = gateway.get("/v1/keys").await?;
        let pinned = self.pinned.load_full();
        let Some(current) = pinned.keys.first() else { return Ok(false) };
        let newest = KeySet::newest(&offered.sets, pinned.sequence, &current.key, now());
        let newest = newest.map_err(|source| KeysError::NotFollowed { path: self.path.clone(), source })?;
        let Some(set) = newest else { return Ok(false) };
        let pinned = Pinned { keys: set.trusted(), sequence: set.sequence() };
        if let Err(e) = pinned.write(&self.path) {
            // The next start follows again, if that is soon enough; not following now would stop this sandbox's updates.
            tracing::warn!("{}: {e}", self.path.display());
        }
        self.pinned.store(Arc::new(pinned));
        Ok(true)
    }

    /// The number of the key set, for people.
    pub(crate) fn sequence(&self) -> u64 {
        self.pinned.load().sequence
    }
}

impl Pinned {
    fn of(keys: &Keys) -> Option<Pinned> {
        let trusted: Vec<TrustedKey> = keys.keys.iter().filter_map(KeyView::trusted).collect();
        (!trusted.is_empty()).then_some(Pinned { keys: trusted, sequence: keys.sequence })
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let keys =
            Keys { keys: self.keys.iter().map(KeyView::of).collect(), sequence: self.sequence, sets: Vec::new() };
        write_atomic(path, &serde_json::to_vec_pretty(&keys)?, 0o600)
    }
}

/// The first look is trusted because of whom it came from: the gateway that the operator named, by loopback or TLS.
fn enrolled(offered: &Keys) -> Result<Pinned, String> {
    let pinned = match offered.sets.last() {
        Some(newest) => {
            let set = KeySet::enrol(newest).map_err(|e| format!("the gateway's keys: {e}"))?;
            Some(Pinned { keys: set.trusted(), sequence: set.sequence() })
        }
        None => Pinned::of(offered),
    };
    pinned.ok_or_else(|| "no Ed25519 key among the gateway's keys".to_owned())
}
