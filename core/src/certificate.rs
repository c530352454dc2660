//! What the proxy demands before it enforces a policy: a signed statement that the policy was proven.
//!
//! An in-toto statement (subject: the compiled policy) in a DSSE envelope, signed with Ed25519. The prover makes
//! statements, since only it holds a proof; everyone can check them here.

use data_encoding::BASE64;
use ring::signature::{ED25519, UnparsedPublicKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::digest::Digest;

/// DSSE's payload type for in-toto statements.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// in-toto's statement type.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// What a [`Containment`] predicate is called.
pub const PREDICATE_TYPE: &str = "urn:narrowgate:predicate:containment:v1";

/// A DSSE envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// [`PAYLOAD_TYPE`].
    pub payload_type: String,
    /// The statement's JSON in standard base64.
    pub payload: String,
    /// At least one.
    pub signatures: Vec<Signature>,
}

/// One signature over the envelope's pre-authentication encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The key's id; a hint, never trusted.
    pub keyid: String,
    /// Standard base64.
    pub sig: String,
}

/// An in-toto statement about one compiled policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub kind: String,
    /// The compiled policy, once.
    pub subject: Vec<Subject>,
    /// [`PREDICATE_TYPE`].
    pub predicate_type: String,
    /// What was proven of it.
    pub predicate: Containment,
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// `policy`.
    pub name: String,
    /// `{"sha256": "<hex>"}`.
    pub digest: BTreeMap<String, String>,
}

/// What was proven, against what, for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Containment {
    /// `within`: nothing else is certified.
    pub verdict: String,
    /// The compiled ceiling.
    pub ceiling: Digest,
    /// The Cedar schema.
    pub schema: Digest,
    /// The plugins whose labels the proof assumes to be true.
    pub plugins: BTreeMap<String, Digest>,
    /// Engine names and versions that agreed.
    pub engines: Vec<String>,
    /// How many request environments were checked.
    pub environments_checked: usize,
    /// The sandbox that the policy is for.
    pub sandbox: String,
    /// The policy's version there.
    pub version: u64,
    /// Who approved it.
    pub approver: String,
    /// When, in seconds since the Unix epoch.
    pub approved_at: i64,
    /// When the certificate stops being valid, in seconds since the Unix epoch.
    pub expires_at: Option<i64>,
}

/// Why an envelope does not certify a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not an envelope of this kind.
    #[error("the certificate is malformed: {0}")]
    Malformed(&'static str),
    /// No signature by a known key.
    #[error("the certificate is not signed by a key that is trusted here")]
    Untrusted,
    /// About another policy.
    #[error("the certificate is for policy {certified}, not {policy}")]
    OtherPolicy {
        /// The statement's subject.
        certified: String,
        /// What it was checked for.
        policy: Digest,
    },
    /// Proven over another schema.
    #[error("the certificate was made over another schema; have the policy proven again")]
    OtherSchema,
    /// Its time is over.
    #[error("the certificate has expired")]
    Expired,
}

/// An Ed25519 public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey([u8; 32]);

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

/// Checks that `envelope` certifies `policy` at `now`, in seconds since the Unix epoch.
///
/// # Errors
/// Says what is wrong; nothing of an envelope that fails is returned.
pub fn verify(
    envelope: &Envelope,
    keys: &[VerifyingKey],
    policy: Digest,
    now: i64,
) -> Result<Statement, CertificateError> {
    use CertificateError::{Expired, Malformed, OtherPolicy, OtherSchema, Untrusted};
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(Malformed("payloadType is not application/vnd.in-toto+json"));
    }
    let payload = BASE64.decode(envelope.payload.as_bytes()).map_err(|_| Malformed("payload is not base64"))?;
    let signed = pre_authentication_encoding(&payload);
    let trusted = envelope.signatures.iter().any(|signature| {
        BASE64.decode(signature.sig.as_bytes()).is_ok_and(|sig| {
            keys.iter().any(|key| UnparsedPublicKey::new(&ED25519, &key.0).verify(&signed, &sig).is_ok())
        })
    });
    if !trusted {
        return Err(Untrusted);
    }
    let statement: Statement = serde_json::from_slice(&payload).map_err(|_| Malformed("payload is not a statement"))?;
    if statement.kind != STATEMENT_TYPE || statement.predicate_type != PREDICATE_TYPE {
        return Err(Malformed("not a containment statement"));
    }
    if statement.predicate.verdict != "within" || statement.predicate.environments_checked == 0 {
        return Err(Malformed("certifies nothing"));
    }
    match statement.subject.as_slice() {
        [subject] if subject.digest.get("sha256") == Some(&policy.hex()) => {}
        subjects => {
            let certified = subjects.first().and_then(|s| s.digest.get("sha256")).cloned().unwrap_or_default();
            return Err(OtherPolicy { certified: format!("sha256:{certified}"), policy });
        }
    }
    if statement.predicate.schema != crate::schema::digest() {
        return Err(OtherSchema);
    }
    if statement.predicate.expires_at.is_some_and(|end| end <= now) {
        return Err(Expired);
    }
    Ok(statement)
}

/// What DSSE signs: type and payload, each with its length.
pub fn pre_authentication_encoding(payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

impl Statement {
    /// A statement about `policy`.
    pub fn new(policy: Digest, predicate: Containment) -> Statement {
        Statement {
            kind: STATEMENT_TYPE.to_owned(),
            subject: vec![Subject {
                name: "policy".to_owned(),
                digest: BTreeMap::from([("sha256".to_owned(), policy.hex())]),
            }],
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate,
        }
    }

    /// The bytes that are signed and carried: compact JSON, members in the order of the type's fields.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}
