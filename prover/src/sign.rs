//! The key that turns a proof into a certificate.

use data_encoding::BASE64;
use narrowgate_core::certificate::{PAYLOAD_TYPE, Statement};
use narrowgate_core::dsse::{Envelope, Signature, VerifyingKey, pre_authentication_encoding};
use narrowgate_core::keys::{self, KeySet};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// An Ed25519 key. Its secret half is never printed.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: VerifyingKey,
}

/// Who approved a proven policy, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// A person's name, or `auto`.
    pub approver: String,
    /// When, in seconds since the Unix epoch.
    pub time: i64,
    /// When the certificate stops being valid, likewise.
    pub expires: Option<i64>,
    /// The sandbox that the policy is for.
    pub sandbox: String,
    /// The policy's version there.
    pub version: u64,
    /// The one held request that it is for, where it is not to come into force.
    pub held: Option<String>,
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a key file.
    #[error("the signing key is not an Ed25519 key in PKCS #8 form")]
    Malformed,
    /// No randomness.
    #[error("the system gave no random bytes for a new signing key")]
    Random,
}

impl SigningKey {
    /// A new key, with the PKCS #8 bytes to keep. They are the secret: mode 0600.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate() -> Result<(Vec<u8>, SigningKey), KeyError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Random)?;
        let key = SigningKey::from_pkcs8(document.as_ref())?;
        Ok((document.as_ref().to_vec(), key))
    }

    /// Reads the bytes that [`SigningKey::generate`] gave.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn from_pkcs8(bytes: &[u8]) -> Result<SigningKey, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(bytes).map_err(|_| KeyError::Malformed)?;
        let raw: [u8; 32] = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Malformed)?;
        Ok(SigningKey { pair, public: VerifyingKey::from_bytes(raw) })
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.public.clone()
    }

    /// Announces a key set. It is of another type than certificates, so that this signs no policy.
    pub fn announce(&self, set: &KeySet) -> Envelope {
        self.seal(keys::PAYLOAD_TYPE, &set.to_bytes())
    }

    /// The same by the key that this one replaces and by this one, as [`KeySet::follow`] wants it.
    pub fn succeed(&self, old: &SigningKey, set: &KeySet) -> Envelope {
        let mut envelope = old.announce(set);
        envelope.signatures.extend(self.announce(set).signatures);
        envelope
    }

    pub(crate) fn sign(&self, statement: &Statement) -> Envelope {
        self.seal(PAYLOAD_TYPE, &statement.to_bytes())
    }

    fn seal(&self, payload_type: &str, payload: &[u8]) -> Envelope {
        let signature = self.pair.sign(&pre_authentication_encoding(payload_type, payload));
        Envelope {
            payload_type: payload_type.to_owned(),
            payload: BASE64.encode(payload),
            signatures: vec![Signature { keyid: self.public.keyid(), sig: BASE64.encode(signature.as_ref()) }],
        }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("keyid", &self.public.keyid()).finish_non_exhaustive()
    }
}
