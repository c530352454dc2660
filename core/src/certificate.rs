//! What the proxy demands before it enforces a policy: a signed statement that the policy was proven.
//!
//! An in-toto statement (subject: the compiled policy) in a [DSSE envelope](crate::dsse), signed with Ed25519. The prover
//! makes statements, since only it holds a proof; everyone can check them here. `docs/certificate.md` defines the bytes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::dsse::{self, Envelope, EnvelopeError, TrustedKey};
use crate::schema::Schema;

/// DSSE's payload type for in-toto statements.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// in-toto's statement type.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// What a [`Containment`] predicate is called.
pub const PREDICATE_TYPE: &str = "urn:narrowgate:predicate:containment:v1";

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
    /// The held request that is let through, once: such a statement puts no policy in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
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
    /// Signed by a key whose time is over.
    #[error("the certificate is signed by key {keyid}, which was retired at {until}; have the policy certified again")]
    Retired {
        /// The key's id.
        keyid: String,
        /// When its trust ended, as RFC 3339.
        until: String,
    },
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
    /// Proven for a plugin that is not the one here.
    #[error("the certificate assumes plugin {name}@{assumed}, and here it is {here}; have the policy proven again")]
    OtherPlugin {
        /// The plugin's name.
        name: String,
        /// The digest that the proof assumes, or `none`.
        assumed: String,
        /// The digest of the plugin here, or `none`.
        here: String,
    },
    /// About one held request, and not about what is in force; or about another held request.
    #[error("the certificate is for {}, not for {}", purpose(certified), purpose(wanted))]
    OtherPurpose {
        /// The statement's held request.
        certified: Option<String>,
        /// The one that it was checked for.
        wanted: Option<String>,
    },
    /// Its time is over.
    #[error("the certificate has expired")]
    Expired,
}

impl CertificateError {
    /// Whether the gateway's newest keys could make a difference.
    pub fn is_about_keys(&self) -> bool {
        matches!(self, CertificateError::Untrusted | CertificateError::Retired { .. })
    }
}

fn purpose(held: &Option<String>) -> String {
    held.as_ref().map_or_else(|| "a policy in force".to_owned(), |id| format!("held request {id}"))
}

/// A statement that holds, and the key that vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// What was proven.
    pub statement: Statement,
    /// The key, with the end of its trust where it was replaced.
    pub signer: TrustedKey,
}

/// Checks that `envelope` certifies `policy` at `now`, in seconds since the Unix epoch, for these plugins and no others.
///
/// # Errors
/// Says what is wrong; nothing of an envelope that fails is returned.
pub fn verify(
    envelope: &Envelope,
    keys: &[TrustedKey],
    policy: Digest,
    schema: &Schema,
    now: i64,
) -> Result<Certified, CertificateError> {
    check(envelope, keys, policy, schema, now, None)
}

/// As [`verify`], for the one held request that the statement names.
///
/// # Errors
/// As [`verify`], and where the statement is for another request or for none.
pub fn verify_held(
    envelope: &Envelope,
    keys: &[TrustedKey],
    policy: Digest,
    schema: &Schema,
    now: i64,
    held: &str,
) -> Result<Certified, CertificateError> {
    check(envelope, keys, policy, schema, now, Some(held))
}

fn check(
    envelope: &Envelope,
    keys: &[TrustedKey],
    policy: Digest,
    schema: &Schema,
    now: i64,
    held: Option<&str>,
) -> Result<Certified, CertificateError> {
    use CertificateError::{Expired, Malformed, OtherPlugin, OtherPolicy, OtherPurpose, OtherSchema};
    let opened = dsse::open(envelope, PAYLOAD_TYPE, keys, now)?;
    let statement: Statement =
        serde_json::from_slice(&opened.payload).map_err(|_| Malformed("payload is not a statement"))?;
    // One reading only: whatever else reads these bytes (member order, duplicate members, escapes) reads the same.
    if statement.to_bytes() != opened.payload {
        return Err(Malformed("payload is not in canonical form"));
    }
    if statement.kind != STATEMENT_TYPE || statement.predicate_type != PREDICATE_TYPE {
        return Err(Malformed("not a containment statement"));
    }
    if statement.predicate.verdict != "within" || statement.predicate.environments_checked == 0 {
        return Err(Malformed("certifies nothing"));
    }
    if statement.predicate.held.as_deref() != held {
        return Err(OtherPurpose { certified: statement.predicate.held, wanted: held.map(str::to_owned) });
    }
    let [subject] = statement.subject.as_slice() else { return Err(Malformed("not exactly one subject")) };
    let (Some(certified), 1, "policy") = (subject.digest.get("sha256"), subject.digest.len(), subject.name.as_str())
    else {
        return Err(Malformed("the subject is not a policy with one digest, its sha256"));
    };
    if *certified != policy.hex() {
        return Err(OtherPolicy { certified: format!("sha256:{certified}"), policy });
    }
    let (assumed, here) = (&statement.predicate.plugins, schema.pins());
    let names = assumed.keys().chain(here.keys());
    if let Some(name) = names.into_iter().find(|name| assumed.get(*name) != here.get(*name)) {
        let digest = |of: Option<&Digest>| of.map_or_else(|| "none".to_owned(), Digest::to_string);
        let (assumed, here) = (digest(assumed.get(name)), digest(here.get(name)));
        return Err(OtherPlugin { name: name.clone(), assumed, here });
    }
    if statement.predicate.schema != schema.digest() {
        return Err(OtherSchema);
    }
    if statement.predicate.expires_at.is_some_and(|end| end <= now) {
        return Err(Expired);
    }
    Ok(Certified { statement, signer: opened.signer })
}

impl From<EnvelopeError> for CertificateError {
    fn from(error: EnvelopeError) -> CertificateError {
        match error {
            EnvelopeError::Malformed(what) => CertificateError::Malformed(what),
            EnvelopeError::Untrusted => CertificateError::Untrusted,
            EnvelopeError::Retired { keyid, until } => CertificateError::Retired { keyid, until },
        }
    }
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
