//! Which keys a gateway signs with, and how one follows another.
//!
//! A gateway's key set is a document of its own, signed like a certificate but of another type, so that neither can
//! stand for the other. Each set has a number. The one after it is signed by the key that was current before, which
//! says until when it is still to be trusted, and by the key that is current from then on, which proves that somebody
//! holds it. Who pinned one set can so follow to the newest, and needs to trust nothing but what it pinned.
//!
//! INVARIANT: a set is followed only while the key that announces its successor is itself still trusted. Whoever was
//! away for longer than that must be enrolled anew by the operator: an announcement from then on could as well be made
//! by whoever found the old key.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::dsse::{self, Envelope, EnvelopeError, TrustedKey, VerifyingKey};

/// DSSE's payload type for key sets.
pub const PAYLOAD_TYPE: &str = "application/vnd.narrowgate.keys+json";
/// What a [`KeySet`] calls itself.
pub const TYPE: &str = "urn:narrowgate:keys:v1";
/// No gateway has replaced its key more often while all of them were still trusted.
const MOST_KEYS: usize = 16;

/// The keys of one gateway from one moment on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySet {
    /// [`TYPE`].
    #[serde(rename = "_type")]
    kind: String,
    /// 1 for a gateway's first key; one more with every new key.
    sequence: u64,
    /// When it was made, in seconds since the Unix epoch.
    issued_at: i64,
    /// The current key first, then those that it replaced, the newest first.
    keys: Vec<Key>,
}

/// One key of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    /// The raw 32 bytes, standard base64.
    public_key: String,
    /// When its trust ends, in seconds since the Unix epoch; none for the current key.
    not_after: Option<i64>,
}

/// Why an envelope does not carry a key set that may be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a key set.
    #[error("the key set is malformed: {0}")]
    Malformed(&'static str),
    /// Not signed by the key that it must be signed by.
    #[error("key set {sequence} is not signed by key {keyid}")]
    Unsigned {
        /// The set's number.
        sequence: u64,
        /// The missing signature's key.
        keyid: String,
    },
    /// Not the next one.
    #[error("key set {offered} does not follow key set {known}")]
    NotNext {
        /// The set's number.
        offered: u64,
        /// The number of the set that is known.
        known: u64,
    },
    /// The key that announces it is not trusted any more.
    #[error(
        "key {keyid}, the current one here, was replaced, and its word counts no longer: whoever holds it could announce any key"
    )]
    Lapsed {
        /// The key that was current.
        keyid: String,
    },
}

impl KeySet {
    /// A gateway's first set.
    pub fn first(key: &VerifyingKey, now: i64) -> KeySet {
        KeySet {
            kind: TYPE.to_owned(),
            sequence: 1,
            issued_at: now,
            keys: vec![Key { public_key: key.to_base64(), not_after: None }],
        }
    }

    /// The set in which `key` takes over at `now`, and the current key is trusted for another `overlap` seconds.
    pub fn next(&self, key: &VerifyingKey, now: i64, overlap: i64) -> KeySet {
        let mut keys = vec![Key { public_key: key.to_base64(), not_after: None }];
        let until = |old: &Key| old.not_after.unwrap_or(now.saturating_add(overlap.max(0)));
        keys.extend(
            self.keys.iter().map(|old| Key { public_key: old.public_key.clone(), not_after: Some(until(old)) }),
        );
        // The key that announces the set stays in it in any case: it must be said that it is over.
        let mut nth = 0;
        keys.retain(|old| {
            nth += 1;
            nth <= 2 || (nth <= MOST_KEYS && old.not_after.is_none_or(|until| now < until))
        });
        KeySet { kind: TYPE.to_owned(), sequence: self.sequence.saturating_add(1), issued_at: now, keys }
    }

    /// The set's number.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Every key with the end of its trust, the current one first.
    pub fn trusted(&self) -> Vec<TrustedKey> {
        let trusted =
            |key: &Key| Some(TrustedKey { key: VerifyingKey::from_base64(&key.public_key)?, until: key.not_after });
        self.keys.iter().filter_map(trusted).collect()
    }

    /// The bytes that are signed and carried: compact JSON, members in the order of the type's fields.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The set in `envelope`, signed by the key that it calls current. Says nothing about whether that key is to be
    /// trusted: for who enrols, over a channel that is trusted for another reason.
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn enrol(envelope: &Envelope) -> Result<KeySet, KeySetError> {
        let set = KeySet::read(envelope)?;
        set.needs_signature(envelope, &set.current()?)?;
        Ok(set)
    }

    /// The set in `envelope`, as the successor of set `sequence`, in which `current` is the current key.
    ///
    /// # Errors
    /// See [`KeySetError`]; nothing may be believed of a set that fails.
    pub fn follow(envelope: &Envelope, sequence: u64, current: &VerifyingKey, now: i64) -> Result<KeySet, KeySetError> {
        let set = KeySet::read(envelope)?;
        if sequence.checked_add(1) != Some(set.sequence) {
            return Err(KeySetError::NotNext { offered: set.sequence, known: sequence });
        }
        set.needs_signature(envelope, current)?;
        set.needs_signature(envelope, &set.current()?)?;
        match set.trusted().iter().any(|trusted| &trusted.key == current && trusted.is_good(now)) {
            true => Ok(set),
            false => Err(KeySetError::Lapsed { keyid: current.keyid() }),
        }
    }

    /// The newest set of `chain`, each followed from the one before, beginning with the successor of set `sequence`;
    /// none where there is nothing newer.
    ///
    /// # Errors
    /// See [`KeySetError`]; what was known before stays what is known.
    pub fn newest(
        chain: &[Envelope],
        sequence: u64,
        current: &VerifyingKey,
        now: i64,
    ) -> Result<Option<KeySet>, KeySetError> {
        let (mut sequence, mut current, mut newest) = (sequence, current.clone(), None);
        for envelope in chain {
            if KeySet::read(envelope)?.sequence <= sequence {
                continue;
            }
            let set = KeySet::follow(envelope, sequence, &current, now)?;
            (sequence, current) = (set.sequence, set.current()?);
            newest = Some(set);
        }
        Ok(newest)
    }

    fn read(envelope: &Envelope) -> Result<KeySet, KeySetError> {
        let malformed = KeySetError::Malformed;
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(malformed("payloadType is not application/vnd.narrowgate.keys+json"));
        }
        let payload = BASE64
            .decode(envelope.payload.as_bytes())
            .map_err(|_| malformed("payload is not standard base64 with padding"))?;
        let set: KeySet = serde_json::from_slice(&payload).map_err(|_| malformed("payload is not a key set"))?;
        if set.to_bytes() != payload {
            return Err(malformed("payload is not in canonical form"));
        }
        if set.kind != TYPE || set.sequence == 0 {
            return Err(malformed("not a key set of this version"));
        }
        let trusted = set.trusted();
        if trusted.len() != set.keys.len() {
            return Err(malformed("a key is not 32 bytes in standard base64"));
        }
        let mut repeated = trusted.iter().enumerate().map(|(n, a)| trusted.iter().take(n).any(|b| a.key == b.key));
        if trusted.len() > MOST_KEYS || repeated.any(|twice| twice) {
            return Err(malformed("more than 16 keys, or one twice"));
        }
        match trusted.split_first() {
            Some((current, old)) if current.until.is_none() && old.iter().all(|key| key.until.is_some()) => Ok(set),
            _ => Err(malformed("not exactly one current key, in the first place")),
        }
    }

    fn current(&self) -> Result<VerifyingKey, KeySetError> {
        let first = self.trusted().into_iter().next();
        first.map(|trusted| trusted.key).ok_or(KeySetError::Malformed("no key"))
    }

    fn needs_signature(&self, envelope: &Envelope, key: &VerifyingKey) -> Result<(), KeySetError> {
        match dsse::open(envelope, PAYLOAD_TYPE, &[key.clone().into()], self.issued_at) {
            Ok(_) => Ok(()),
            Err(EnvelopeError::Malformed(what)) => Err(KeySetError::Malformed(what)),
            Err(_) => Err(KeySetError::Unsigned { sequence: self.sequence, keyid: key.keyid() }),
        }
    }
}
