//! DSSE envelopes and the Ed25519 keys that open them.
//!
//! What is signed is the payload's type and its bytes, each with its length, so that no document can be passed off as
//! one of another kind. Strict on purpose: one spelling of base64, a bounded number of signatures, and no signature by
//! a key that is not, or no longer, trusted counts for anything.

use data_encoding::BASE64;
use ring::signature::{ED25519, UnparsedPublicKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// More signatures than this are a denial of service, not a document: one is usual, two announce a new key.
const MOST_SIGNATURES: usize = 4;

/// A DSSE envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// What the payload is, as a media type.
    pub payload_type: String,
    /// The payload in standard base64, padded.
    pub payload: String,
    /// At least one, at most four.
    pub signatures: Vec<Signature>,
}

/// One signature over the envelope's pre-authentication encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The key's id; a hint, never trusted.
    pub keyid: String,
    /// Standard base64, padded.
    pub sig: String,
}

/// An Ed25519 public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey([u8; 32]);

/// A public key, and until when its signatures count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key.
    pub key: VerifyingKey,
    /// The end of its trust, in seconds since the Unix epoch, for a key that was replaced; none for a current one.
    pub until: Option<i64>,
}

/// Why an envelope is not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not an envelope of this kind.
    #[error("{0}")]
    Malformed(&'static str),
    /// No signature by a known key.
    #[error("no signature by a key that is trusted here")]
    Untrusted,
    /// Signed by a key whose time is over, and by no other.
    #[error("signed by key {keyid}, which was retired at {until} and is no longer trusted")]
    Retired {
        /// The key's id.
        keyid: String,
        /// When its trust ended, as RFC 3339.
        until: String,
    },
}

/// A payload, and the key that vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The bytes that were signed.
    pub payload: Vec<u8>,
    /// Whose signature counted: of several, the one that is trusted longest.
    pub signer: TrustedKey,
}

/// The payload of `envelope`, if it is of this type and a key that is trusted at `now` signed it. Signatures by other
/// keys are ignored, as DSSE has it.
///
/// # Errors
/// See [`EnvelopeError`]; nothing of an envelope that fails is returned.
pub fn open(envelope: &Envelope, payload_type: &str, keys: &[TrustedKey], now: i64) -> Result<Opened, EnvelopeError> {
    if envelope.payload_type != payload_type {
        return Err(EnvelopeError::Malformed("payloadType is not that of this kind of document"));
    }
    if envelope.signatures.len() > MOST_SIGNATURES {
        return Err(EnvelopeError::Malformed("more than 4 signatures"));
    }
    let payload = BASE64
        .decode(envelope.payload.as_bytes())
        .map_err(|_| EnvelopeError::Malformed("payload is not standard base64 with padding"))?;
    let signed = pre_authentication_encoding(payload_type, &payload);
    let signers = || keys.iter().filter(|trusted| signed_by(envelope, &signed, &trusted.key));
    match signers().filter(|trusted| trusted.is_good(now)).max_by_key(|trusted| trusted.until.unwrap_or(i64::MAX)) {
        Some(signer) => Ok(Opened { signer: signer.clone(), payload }),
        None => Err(signers().next().map_or(EnvelopeError::Untrusted, |retired| EnvelopeError::Retired {
            keyid: retired.key.keyid(),
            until: rfc3339(retired.until.unwrap_or(now)),
        })),
    }
}

/// What DSSE signs: type and payload, each with its length.
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// Whether this very key signed. The key id is not looked at: it is a hint, and a wrong one must change nothing.
fn signed_by(envelope: &Envelope, signed: &[u8], key: &VerifyingKey) -> bool {
    envelope.signatures.iter().any(|signature| {
        BASE64
            .decode(signature.sig.as_bytes())
            .is_ok_and(|sig| UnparsedPublicKey::new(&ED25519, &key.0).verify(signed, &sig).is_ok())
    })
}

fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

impl VerifyingKey {
    /// From the raw key.
    pub fn from_bytes(bytes: [u8; 32]) -> VerifyingKey {
        VerifyingKey(bytes)
    }

    /// From standard base64 of the raw key.
    pub fn from_base64(text: &str) -> Option<VerifyingKey> {
        Some(VerifyingKey(BASE64.decode(text.trim().as_bytes()).ok()?.try_into().ok()?))
    }

    /// The raw key in standard base64.
    pub fn to_base64(&self) -> String {
        BASE64.encode(&self.0)
    }

    /// The first 16 hex digits of the raw key's SHA-256.
    pub fn keyid(&self) -> String {
        Digest::of(&self.0).hex().get(..16).unwrap_or_default().to_owned()
    }
}

impl TrustedKey {
    /// Whether its signatures count at `now`, in seconds since the Unix epoch.
    pub fn is_good(&self, now: i64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl From<VerifyingKey> for TrustedKey {
    /// A current key.
    fn from(key: VerifyingKey) -> TrustedKey {
        TrustedKey { key, until: None }
    }
}
