//! `narrowgate verify BUNDLE`: check a ruleset against its certificate, offline, as the proxy does before it enforces it.

use std::path::{Path, PathBuf};

use clap::Args;
use narrowgate_core::certificate::{self, VerifyingKey};
use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::wire::{Bundle, Keys};
use narrowgate_prover::SigningKey;
use owo_colors::OwoColorize as _;
use serde_json::json;

use crate::exit::{Ended, Exit, Failure};
use crate::files;
use crate::output::{self, Format, plain};

/// Check a certificate against a ruleset, offline
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A bundle: what a proxy keeps as bundle.json, or what `prove --certificate` wrote
    bundle: PathBuf,
    /// The key to trust: a gateway's /v1/keys answer, 32 bytes in base64, or a signing key's file. Without it:
    /// gateway-keys.json beside the bundle, where the proxy pins its gateway's keys
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Verify {
    pub(crate) fn run(self) -> Ended {
        let file = self.bundle.display().to_string();
        let bundle: Bundle = serde_json::from_str(&files::read(&self.bundle)?)
            .map_err(|error| Failure::invalid(format!("{file}: not a bundle: {error}")))?;
        let keys = self.keys()?;
        let statement = check(&bundle, &keys).map_err(|problem| Failure::refused(format!("{file}: {problem}")))?;
        let keyids: Vec<String> =
            bundle.certificate.signatures.iter().map(|signature| signature.keyid.clone()).collect();
        match self.format {
            Format::Json => output::json(&json!({
                "valid": true, "sandbox": bundle.sandbox, "version": bundle.version, "policy_hash": bundle.policy_hash,
                "keyids": keyids, "statement": statement,
            }))?,
            Format::Text => output::line(text(&bundle, &keyids, &statement))?,
        }
        Ok(Exit::Done)
    }

    fn keys(&self) -> Result<Vec<VerifyingKey>, Failure> {
        let path = match &self.key {
            Some(path) => path.clone(),
            None => {
                let pinned = self.bundle.with_file_name("gateway-keys.json");
                if !pinned.is_file() {
                    return Err(Failure::invalid(format!(
                        "no key to trust: give --key FILE, or put {} there",
                        pinned.display()
                    )));
                }
                pinned
            }
        };
        read_keys(&path)
    }
}

/// Everything the proxy checks, but for whose sandbox and which version it is about to load.
fn check(bundle: &Bundle, keys: &[VerifyingKey]) -> Result<certificate::Statement, String> {
    let policy =
        Policy::parse(&bundle.policy_yaml, "policy_yaml", Role::Policy).map_err(|errors| errors.to_string())?;
    let compiled = Compiled::policy(&policy).map_err(|error| error.to_string())?;
    if compiled.digest() != bundle.policy_hash {
        return Err(format!("the policy compiles to {}, the bundle says {}", compiled.digest(), bundle.policy_hash));
    }
    let now = jiff::Timestamp::now().as_second();
    let statement =
        certificate::verify(&bundle.certificate, keys, compiled.digest(), now).map_err(|error| error.to_string())?;
    let certified = (statement.predicate.sandbox.as_str(), statement.predicate.version);
    if certified != (bundle.sandbox.as_str(), bundle.version) {
        return Err(format!(
            "the certificate is for version {} of sandbox {:?}, the bundle says {} of {:?}",
            certified.1, certified.0, bundle.version, bundle.sandbox
        ));
    }
    Ok(statement)
}

fn read_keys(path: &Path) -> Result<Vec<VerifyingKey>, Failure> {
    let wrong = |problem: &dyn std::fmt::Display| Failure::invalid(format!("key {}: {problem}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| wrong(&error))?;
    if let Ok(key) = SigningKey::from_pkcs8(&bytes) {
        return Ok(vec![key.verifying_key()]);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong(&"neither a PKCS#8 signing key, nor JSON, nor base64"))?;
    let encoded = match serde_json::from_str::<Keys>(text) {
        Ok(keys) => keys.keys.into_iter().map(|key| key.public_key).collect(),
        Err(_) => vec![text.trim().to_owned()],
    };
    let keys: Vec<VerifyingKey> = encoded
        .iter()
        .map(|key| VerifyingKey::from_base64(key).ok_or_else(|| wrong(&"not 32 bytes in base64")))
        .collect::<Result<_, _>>()?;
    if keys.is_empty() { Err(wrong(&"it lists no key")) } else { Ok(keys) }
}

fn text(bundle: &Bundle, keyids: &[String], statement: &certificate::Statement) -> String {
    let mut lines =
        vec![format!("{}  the certificate is for this policy, signed by a trusted key", "valid".green().bold())];
    let mut field = |name: &str, value: String| lines.push(format!("  {name:<10}{}", plain(&value)));
    let proven = &statement.predicate;
    if !bundle.sandbox.is_empty() {
        field("sandbox", format!("{}, version {}", bundle.sandbox, bundle.version));
    }
    field("policy", bundle.policy_hash.to_string());
    field("verdict", format!("{}, by {}", proven.verdict, proven.engines.join(", ")));
    field("ceiling", proven.ceiling.to_string());
    field("schema", proven.schema.to_string());
    field("approver", format!("{}, {}", proven.approver, time(proven.approved_at)));
    if let Some(at) = proven.expires_at {
        field("expires", time(at));
    }
    field("key", keyids.join(", "));
    lines.join("\n")
}

fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}
