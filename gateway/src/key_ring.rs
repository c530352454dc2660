//! The key that signs, and what tells others that it does: the chain of key sets in which each key announces the next.
//!
//! `signing.key` is the secret (mode 0600), `keys.json` the chain. A key is replaced in three steps, of which each may
//! be the last before a crash: the new secret is written beside the old one, the chain is written with the new set, the
//! new secret takes the old one's place. A start finds the first step undone and the second one done, and finishes it.
//! The old secret is gone then; only its public half is still trusted for a while.

use std::fs;
use std::path::{Path, PathBuf};

use narrowgate_core::dsse::Envelope;
use narrowgate_core::keys::KeySet;
use narrowgate_core::wire::{KeyView, Keys};
use narrowgate_prover::SigningKey;
use serde::{Deserialize, Serialize};

use crate::data_dir::{DataDirError, io_error, read_secret, write_secret};

/// Whoever missed more than this many keys is enrolled anew.
const KEPT_SETS: usize = 16;

/// The gateway's keys, as of now.
pub(crate) struct KeyRing {
    dir: PathBuf,
    signing: SigningKey,
    set: KeySet,
    chain: Vec<Envelope>,
}

/// `keys.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Chain {
    sets: Vec<Envelope>,
}

impl KeyRing {
    /// The keys in `dir`, made on the first start.
    ///
    /// # Errors
    /// [`DataDirError`]; in particular where others can read the secret, or secret and chain do not go together.
    pub(crate) fn open(dir: &Path, now: i64) -> Result<KeyRing, DataDirError> {
        let signing = match read_key(&secret(dir))? {
            Some(key) => key,
            None => return KeyRing::create(dir, now),
        };
        let Some(chain) = read_chain(dir)? else { return KeyRing::begin(dir, signing, now) };
        let Some(newest) = chain.last() else { return Err(broken(dir)) };
        let set = KeySet::enrol(newest).map_err(|_| broken(dir))?;
        let is_current = |key: &SigningKey| {
            set.trusted().first().is_some_and(|current| current.until.is_none() && current.key == key.verifying_key())
        };
        if is_current(&signing) {
            return Ok(KeyRing { dir: dir.to_owned(), signing, set, chain });
        }
        // The chain was written, and the new secret not yet put in the old one's place.
        match read_key(&next_secret(dir))? {
            Some(signing) if is_current(&signing) => {
                promote(dir)?;
                Ok(KeyRing { dir: dir.to_owned(), signing, set, chain })
            }
            _ => Err(broken(dir)),
        }
    }

    /// Replaces the key: the new one signs from now on, the old one is trusted for another `overlap` seconds.
    ///
    /// # Errors
    /// [`DataDirError`]; unless the chain was written, everything is as before.
    pub(crate) fn rotated(&self, now: i64, overlap: i64) -> Result<KeyRing, DataDirError> {
        let (pkcs8, signing) = SigningKey::generate().map_err(|_| DataDirError::NoRandomness)?;
        let set = self.set.next(&signing.verifying_key(), now, overlap);
        let mut chain = self.chain.clone();
        chain.push(signing.succeed(&self.signing, &set));
        chain.drain(..chain.len().saturating_sub(KEPT_SETS));
        write_secret(&next_secret(&self.dir), &pkcs8)?;
        write_chain(&self.dir, &chain)?;
        promote(&self.dir)?;
        Ok(KeyRing { dir: self.dir.clone(), signing, set, chain })
    }

    /// The key that signs.
    pub(crate) fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// What is told of it: the keys that are trusted at `now`, and the chain.
    pub(crate) fn view(&self, now: i64) -> Keys {
        let trusted = self.set.trusted();
        Keys {
            keys: trusted.iter().filter(|key| key.is_good(now)).map(KeyView::of).collect(),
            sequence: self.set.sequence(),
            sets: self.chain.clone(),
        }
    }

    fn create(dir: &Path, now: i64) -> Result<KeyRing, DataDirError> {
        let (pkcs8, signing) = SigningKey::generate().map_err(|_| DataDirError::NoRandomness)?;
        if chain_file(dir).exists() {
            tracing::warn!(
                "signing.key is gone and a new one is made: no proxy will trust it until it is enrolled anew"
            );
            fs::remove_file(chain_file(dir)).map_err(|e| io_error("remove", &chain_file(dir), e))?;
        }
        write_secret(&secret(dir), &pkcs8)?;
        KeyRing::begin(dir, signing, now)
    }

    /// The first link, which nobody but the key itself can sign.
    fn begin(dir: &Path, signing: SigningKey, now: i64) -> Result<KeyRing, DataDirError> {
        let set = KeySet::first(&signing.verifying_key(), now);
        let chain = vec![signing.announce(&set)];
        write_chain(dir, &chain)?;
        Ok(KeyRing { dir: dir.to_owned(), signing, set, chain })
    }
}

fn secret(dir: &Path) -> PathBuf {
    dir.join("signing.key")
}

fn next_secret(dir: &Path) -> PathBuf {
    dir.join("signing.key.next")
}

fn chain_file(dir: &Path) -> PathBuf {
    dir.join("keys.json")
}

fn read_key(path: &Path) -> Result<Option<SigningKey>, DataDirError> {
    let Some(bytes) = read_secret(path)? else { return Ok(None) };
    let damaged = |_| DataDirError::Damaged { path: path.to_owned(), wanted: "an Ed25519 key in PKCS #8" };
    SigningKey::from_pkcs8(&bytes).map(Some).map_err(damaged)
}

fn read_chain(dir: &Path) -> Result<Option<Vec<Envelope>>, DataDirError> {
    let Some(bytes) = read_secret(&chain_file(dir))? else { return Ok(None) };
    let chain: Chain = serde_json::from_slice(&bytes).map_err(|_| broken(dir))?;
    Ok(Some(chain.sets))
}

/// Nothing in it is secret, but whoever can write it can take every proxy's trust away: it is kept like the key.
fn write_chain(dir: &Path, chain: &[Envelope]) -> Result<(), DataDirError> {
    let path = chain_file(dir);
    let bytes = serde_json::to_vec_pretty(&Chain { sets: chain.to_vec() });
    write_secret(&path, &bytes.map_err(|e| io_error("write", &path, e.into()))?)
}

fn promote(dir: &Path) -> Result<(), DataDirError> {
    let path = secret(dir);
    let moved = fs::rename(next_secret(dir), &path).and_then(|()| fs::File::open(dir)?.sync_all());
    moved.map_err(|e| io_error("replace", &path, e))
}

fn broken(dir: &Path) -> DataDirError {
    DataDirError::Damaged { path: chain_file(dir), wanted: "key sets of which the newest is that of signing.key" }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn keyid(ring: &KeyRing) -> String {
        ring.signing().verifying_key().keyid()
    }

    #[test]
    fn a_crash_at_any_step_of_a_rotation_leaves_one_key_that_everybody_can_follow() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let first = KeyRing::open(dir, 0).unwrap();
        let (old_secret, old_chain) = (fs::read(secret(dir)).unwrap(), fs::read(chain_file(dir)).unwrap());
        let second = first.rotated(100, 50).unwrap();
        let (new_secret, new_chain) = (fs::read(secret(dir)).unwrap(), fs::read(chain_file(dir)).unwrap());
        assert_ne!(keyid(&first), keyid(&second));
        assert!(!next_secret(dir).exists());
        for (before, chain, beside, expect) in [
            // As after the rotation.
            (&new_secret, &new_chain, None, Some(&second)),
            // The new secret was written, or half of it (then under another name yet), and nothing else.
            (&old_secret, &old_chain, Some(&new_secret), Some(&first)),
            // The chain was written.
            (&old_secret, &new_chain, Some(&new_secret), Some(&second)),
            // What no crash leaves: the new secret is lost, or the old chain was put back.
            (&old_secret, &new_chain, None, None),
            (&old_secret, &new_chain, Some(&old_secret), None),
            (&new_secret, &old_chain, None, None),
        ] {
            write_secret(&secret(dir), before).unwrap();
            write_secret(&chain_file(dir), chain).unwrap();
            match beside {
                Some(bytes) => write_secret(&next_secret(dir), bytes).unwrap(),
                None => drop(fs::remove_file(next_secret(dir))),
            }
            let found = KeyRing::open(dir, 100);
            match expect {
                Some(ring) => {
                    let found = found.unwrap();
                    assert_eq!((keyid(&found), &found.set), (keyid(ring), &ring.set));
                    assert_eq!(
                        fs::read(secret(dir)).unwrap(),
                        if keyid(ring) == keyid(&first) { &old_secret[..] } else { &new_secret[..] }
                    );
                }
                None => assert!(found.err().unwrap().to_string().contains("keys.json")),
            }
        }
    }

    #[test]
    fn the_next_rotation_takes_the_place_of_one_that_a_crash_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let ring = KeyRing::open(dir.path(), 0).unwrap();
        write_secret(&next_secret(dir.path()), b"left behind").unwrap();
        let ring = KeyRing::open(dir.path(), 0).unwrap().rotated(1, ring.set.sequence() as i64).unwrap();
        assert_eq!(keyid(&KeyRing::open(dir.path(), 2).unwrap()), keyid(&ring));
    }

    #[test]
    fn secrets_are_for_their_owner_and_refused_where_others_can_read_them() {
        let dir = tempfile::tempdir().unwrap();
        KeyRing::open(dir.path(), 0).unwrap().rotated(1, 1).unwrap();
        for file in ["signing.key", "keys.json"] {
            let path = dir.path().join(file);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "{file}");
            for mode in [0o640, 0o604, 0o620, 0o602, 0o644, 0o666] {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
                let refused = KeyRing::open(dir.path(), 2).err().unwrap().to_string();
                assert!(refused.contains(&format!("mode {mode:03o}")), "{file}: {refused}");
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
            assert!(KeyRing::open(dir.path(), 2).is_ok(), "read-only is as good");
        }
    }

    #[test]
    fn what_is_told_leaves_out_what_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut ring = KeyRing::open(dir.path(), 0).unwrap();
        for n in 1..=20 {
            ring = ring.rotated(n * 10, 25).unwrap();
        }
        let view = ring.view(200);
        assert_eq!((view.sequence, view.sets.len()), (21, KEPT_SETS));
        let ends: Vec<_> = view.keys.iter().map(|key| key.not_after).collect();
        assert_eq!(ends, [None, Some(225), Some(215), Some(205)]);
        assert_eq!(ring.view(220).keys.len(), 2);
    }

    #[test]
    fn a_key_that_was_removed_on_purpose_begins_a_new_chain() {
        let dir = tempfile::tempdir().unwrap();
        let old = KeyRing::open(dir.path(), 0).unwrap().rotated(1, 100).unwrap();
        fs::remove_file(secret(dir.path())).unwrap();
        let new = KeyRing::open(dir.path(), 2).unwrap();
        assert_eq!((new.set.sequence(), new.view(2).keys.len()), (1, 1));
        assert_ne!(keyid(&new), keyid(&old));
    }
}
