//! `narrowgate verify BUNDLE`: check a ruleset against its certificate, offline, as the proxy does before it enforces it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use narrowgate_core::certificate::{self, Certified};
use narrowgate_core::compile::Compiled;
use narrowgate_core::dsse::{TrustedKey, VerifyingKey};
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::schema::Schema;
use narrowgate_core::wire::{Bundle, KeyView, Keys};
use narrowgate_prover::SigningKey;
use owo_colors::OwoColorize as _;
use serde_json::json;

use crate::exit::{Ended, Exit, Failure};
use crate::files;
use crate::key::time;
use crate::output::{self, Format, plain};
use crate::plugins::Given;

/// Check a certificate against a ruleset, offline
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A bundle: what a proxy keeps as bundle.json, or what `prove --certificate` wrote
    bundle: PathBuf,
    /// The keys to trust: what `key list --format json` prints, public keys in base64 (one a line), or a signing key's
    /// file. Without it: gateway-keys.json beside the bundle, where the proxy pins its gateway's keys
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    plugins: Given,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Verify {
    pub(crate) fn run(self) -> Ended {
        let file = self.bundle.display().to_string();
        let bundle: Bundle = serde_json::from_str(&files::read(&self.bundle)?)
            .map_err(|error| Failure::invalid(format!("{file}: not a bundle: {error}")))?;
        let keys = self.keys()?;
        let certified = check(&bundle, &keys, &self.plugins.schema()?)
            .map_err(|problem| Failure::refused(format!("{file}: {problem}")))?;
        let signer = KeyView::of(&certified.signer);
        match self.format {
            Format::Json => output::json(&json!({
                "valid": true, "sandbox": bundle.sandbox, "version": bundle.version, "policy_hash": bundle.policy_hash,
                "key": signer, "keyids": [signer.keyid], "statement": certified.statement,
            }))?,
            Format::Text => output::line(text(&bundle, &signer, &certified.statement))?,
        }
        Ok(Exit::Done)
    }

    fn keys(&self) -> Result<Vec<TrustedKey>, Failure> {
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
fn check(bundle: &Bundle, keys: &[TrustedKey], schema: &Arc<Schema>) -> Result<Certified, String> {
    let policy =
        Policy::parse(&bundle.policy_yaml, "policy_yaml", Role::Policy).map_err(|errors| errors.to_string())?;
    let compiled = Compiled::policy_over(&policy, Role::Policy, schema).map_err(|error| error.to_string())?;
    if compiled.digest() != bundle.policy_hash {
        return Err(format!("the policy compiles to {}, the bundle says {}", compiled.digest(), bundle.policy_hash));
    }
    let now = jiff::Timestamp::now().as_second();
    let certified = certificate::verify(&bundle.certificate, keys, compiled.digest(), compiled.schema(), now)
        .map_err(|error| error.to_string())?;
    let proven = &certified.statement.predicate;
    if (proven.sandbox.as_str(), proven.version) != (bundle.sandbox.as_str(), bundle.version) {
        return Err(format!(
            "the certificate is for version {} of sandbox {:?}, the bundle says {} of {:?}",
            proven.version, proven.sandbox, bundle.version, bundle.sandbox
        ));
    }
    Ok(certified)
}

fn read_keys(path: &Path) -> Result<Vec<TrustedKey>, Failure> {
    let wrong = |problem: &dyn std::fmt::Display| Failure::invalid(format!("key {}: {problem}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| wrong(&error))?;
    if let Ok(key) = SigningKey::from_pkcs8(&bytes) {
        return Ok(vec![key.verifying_key().into()]);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong(&"neither a PKCS#8 signing key, nor JSON, nor base64"))?;
    let listed: Option<Vec<TrustedKey>> = match serde_json::from_str::<Keys>(text) {
        Ok(keys) => keys.keys.iter().map(KeyView::trusted).collect(),
        Err(_) => {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            lines.map(|line| VerifyingKey::from_base64(line).map(TrustedKey::from)).collect()
        }
    };
    match listed {
        Some(keys) if keys.is_empty() => Err(wrong(&"it lists no key")),
        Some(keys) => Ok(keys),
        None => Err(wrong(&"not 32 bytes in base64")),
    }
}

fn text(bundle: &Bundle, signer: &KeyView, statement: &certificate::Statement) -> String {
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
    field(
        "key",
        match signer.not_after {
            None => format!("{}, current", signer.keyid),
            Some(until) => format!("{}, replaced, trusted until {}", signer.keyid, time(until)),
        },
    );
    lines.join("\n")
}
