//! `narrowgate check FILE…`: does what you wrote say something valid?

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use narrowgate_core::compile::Compiled;
use narrowgate_core::policy::{Policy, Role};
use narrowgate_core::proposal::Proposal;
use narrowgate_prover::Ceiling;
use owo_colors::OwoColorize as _;
use serde_json::json;

use crate::exit::{Ended, Exit, Failure};
use crate::files;
use crate::output::{self, Format};

/// Validate policies, ceilings and proposals
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The files: .cedar is a ceiling, JSON with `operations` a proposal, any other YAML or JSON a policy (a ceiling if its name says so)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the files are, instead of guessing
    #[arg(long = "as", value_enum, value_name = "KIND")]
    kind: Option<Kind>,
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Policy,
    Ceiling,
    Proposal,
}

impl Check {
    pub(crate) fn run(self) -> Ended {
        let mut worst = Exit::Done;
        let mut all = Vec::new();
        for path in &self.files {
            let (kind, result) = match files::read(path) {
                Ok(text) => {
                    let kind = self.kind.unwrap_or_else(|| guess(path, &text));
                    (Some(kind), check(kind, &text, &path.display().to_string()))
                }
                Err(failure) => (self.kind, Err(failure.to_string())),
            };
            let kind = kind.map_or("file", Kind::name);
            if result.is_err() {
                worst = Exit::Invalid;
            }
            match (self.format, result) {
                (Format::Text, Ok(summary)) => {
                    output::line(format!("{}: {} {kind}, {summary}", path.display(), "valid".green()))?
                }
                (Format::Text, Err(message)) => output::complain(&Failure::Invalid(message)),
                (Format::Json, Ok(summary)) => {
                    all.push(json!({ "file": path, "kind": kind, "valid": true, "summary": summary }))
                }
                (Format::Json, Err(message)) => {
                    let errors: Vec<&str> = message.lines().collect();
                    all.push(json!({ "file": path, "kind": kind, "valid": false, "errors": errors }));
                }
            }
        }
        if self.format == Format::Json {
            output::json(&json!({ "files": all }))?;
        }
        Ok(worst)
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Policy => "policy",
            Kind::Ceiling => "ceiling",
            Kind::Proposal => "proposal",
        }
    }
}

fn guess(path: &Path, text: &str) -> Kind {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if name.ends_with(".cedar") || name.contains("ceiling") {
        return Kind::Ceiling;
    }
    let proposes = serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value.get("operations").is_some());
    // Half-written JSON is told apart by name, so that its error is about the right thing.
    if proposes || name.contains("proposal") { Kind::Proposal } else { Kind::Policy }
}

fn check(kind: Kind, text: &str, file: &str) -> Result<String, String> {
    let named = |error: &dyn std::fmt::Display| format!("{file}: {error}");
    match kind {
        Kind::Policy => {
            let policy = Policy::parse(text, file, Role::Policy).map_err(|errors| errors.to_string())?;
            let compiled = Compiled::policy(&policy).map_err(|error| named(&error))?;
            let endpoints = policy.entries.values().map(|entry| entry.endpoints.len()).sum();
            Ok(format!(
                "{}, {}, {}",
                count(policy.entries.len(), "entry", "entries"),
                count(endpoints, "endpoint", "endpoints"),
                count(compiled.policies().policies().count(), "Cedar policy", "Cedar policies")
            ))
        }
        Kind::Ceiling => {
            let ceiling = Ceiling::parse(text, file).map_err(|error| error.to_string())?;
            Ok(count(ceiling.compiled().policies().policies().count(), "Cedar policy", "Cedar policies"))
        }
        Kind::Proposal => {
            let proposal = Proposal::parse(text.as_bytes()).map_err(|error| named(&error))?;
            Ok(count(proposal.operations.len(), "operation", "operations"))
        }
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart() {
        for (name, text, kind) in [
            ("a.cedar", "", Kind::Ceiling),
            ("org-ceiling.yaml", "", Kind::Ceiling),
            ("a.json", r#"{"operations":[]}"#, Kind::Proposal),
            ("a.json", r#"{"network_policies":{}}"#, Kind::Policy),
            ("proposal.json", "{", Kind::Proposal),
            ("a.yaml", "version: 1", Kind::Policy),
        ] {
            assert_eq!(guess(Path::new(name), text), kind, "{name}");
        }
    }
}
