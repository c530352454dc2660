//! The rules of `deny.toml` over `cargo metadata`: bans, wildcard versions, licences and sources.
//!
//! cargo-deny does the same and more; this is for machines that do not have it, and for the test that holds the rules
//! on every run. It reads the same file and refuses a section it does not know the meaning of.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use cargo_metadata::{CargoOpt, Metadata, MetadataCommand, Package};
use serde::Deserialize;

use crate::spdx;

/// What was looked at, and what is wrong with it.
#[derive(Debug)]
pub struct Report {
    /// How many packages the workspace's graph has, on all platforms and with all features.
    pub packages: usize,
    /// How many crates are banned.
    pub bans: usize,
    /// One for each broken rule, in the graph's order.
    pub violations: Vec<Violation>,
}

/// A package that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name and version.
    pub package: String,
    /// The rule, and how it is broken.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "deny: {}: {}", self.package, self.message)
    }
}

/// Why the rules could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum DenyError {
    /// `deny.toml` cannot be read.
    #[error("deny.toml cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// `deny.toml` is not what this check understands.
    #[error("deny.toml: {0}")]
    Config(#[from] toml::de::Error),
    /// `cargo metadata` failed.
    #[error("the dependency graph cannot be read: {0}")]
    Graph(#[from] cargo_metadata::Error),
}

/// Checks the workspace at `root` against its `deny.toml`.
pub fn check(root: &Path) -> Result<Report, DenyError> {
    let rules: Rules = toml::from_str(&std::fs::read_to_string(root.join("deny.toml"))?)?;
    let metadata =
        MetadataCommand::new().manifest_path(root.join("Cargo.toml")).features(CargoOpt::AllFeatures).exec()?;
    Ok(Report { packages: metadata.packages.len(), bans: rules.bans.deny.len(), violations: judge(&rules, &metadata) })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    #[serde(rename = "graph")]
    _graph: Option<BTreeMap<String, toml::Value>>,
    #[serde(rename = "advisories")]
    _advisories: Option<BTreeMap<String, toml::Value>>,
    bans: Bans,
    licenses: Licenses,
    sources: Sources,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Bans {
    deny: Vec<Ban>,
    #[serde(rename = "multiple-versions")]
    _multiple_versions: Option<String>,
    wildcards: Level,
    #[serde(default)]
    allow_wildcard_paths: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Licenses {
    allow: Vec<String>,
    #[serde(rename = "confidence-threshold")]
    _confidence_threshold: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Sources {
    unknown_registry: Level,
    unknown_git: Level,
    allow_registry: Vec<String>,
    allow_git: Vec<String>,
}

#[derive(Deserialize, PartialEq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Level {
    Allow,
    Warn,
    Deny,
}

fn judge(rules: &Rules, metadata: &Metadata) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in &metadata.packages {
        let broken = [banned(rules, package), licence(rules, package), source(rules, package)];
        let messages = broken.into_iter().flatten().chain(wildcards(rules, package));
        let name = format!("{} {}", package.name, package.version);
        violations.extend(messages.map(|message| Violation { package: name.clone(), message }));
    }
    violations
}

fn banned(rules: &Rules, package: &Package) -> Option<String> {
    let ban = rules.bans.deny.iter().find(|ban| ban.name == package.name.as_str())?;
    Some(format!("banned ({})", ban.reason))
}

fn wildcards(rules: &Rules, package: &Package) -> Vec<String> {
    // What others publish is theirs; crates.io refuses wildcards anyway.
    if rules.bans.wildcards != Level::Deny || package.source.is_some() {
        return Vec::new();
    }
    let loose = package.dependencies.iter().filter(|dependency| {
        dependency.req.comparators.is_empty() && !(rules.bans.allow_wildcard_paths && dependency.path.is_some())
    });
    loose.map(|dependency| format!("depends on any version of {}", dependency.name)).collect()
}

fn licence(rules: &Rules, package: &Package) -> Option<String> {
    let Some(expression) = &package.license else {
        return Some("declares no licence".to_owned());
    };
    match spdx::satisfied(expression, &rules.licenses.allow) {
        Ok(true) => None,
        Ok(false) => Some(format!("its licence {expression:?} is not among those that deny.toml allows")),
        Err(error) => Some(error),
    }
}

fn source(rules: &Rules, package: &Package) -> Option<String> {
    let source = package.source.as_ref()?.repr.as_str();
    let (level, allowed) = match source.split_once('+') {
        Some(("registry" | "sparse", url)) => {
            (rules.sources.unknown_registry, known(&rules.sources.allow_registry, url))
        }
        Some(("git", url)) => (rules.sources.unknown_git, known(&rules.sources.allow_git, url)),
        _ => (Level::Deny, false),
    };
    (level == Level::Deny && !allowed).then(|| format!("comes from {source}, which deny.toml does not allow"))
}

fn known(allowed: &[String], url: &str) -> bool {
    // A git source carries its revision after `?` or `#`.
    let bare = url.split(['?', '#']).next().unwrap_or(url);
    allowed.iter().any(|known| known == bare)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Rules, judge};
    use cargo_metadata::Metadata;

    const RULES: &str = r#"
        [bans]
        deny = [{ crate = "openssl", reason = "one TLS stack" }]
        wildcards = "deny"
        allow-wildcard-paths = true
        [licenses]
        allow = ["MIT"]
        [sources]
        unknown-registry = "deny"
        unknown-git = "deny"
        allow-registry = ["https://github.com/rust-lang/crates.io-index"]
        allow-git = []
    "#;
    const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

    /// The graph of one package, with one dependency of one requirement.
    fn check(name: &str, licence: Option<&str>, source: Option<&str>, req: &str, expect: &[&str]) {
        let graph = format!(
            r#"{{"packages":[{{"name":"{name}","version":"1.0.0","id":"{name}","license":{licence},"source":{source},
                "dependencies":[{{"name":"dep","req":"{req}","kind":null,"optional":false,"uses_default_features":true,
                "features":[],"target":null,"source":null,"rename":null,"registry":null}}],
                "targets":[],"features":{{}},"manifest_path":"/Cargo.toml","metadata":null,"edition":"2024",
                "authors":[],"categories":[],"keywords":[]}}],
                "workspace_members":[],"workspace_default_members":[],"resolve":null,"target_directory":"/t","version":1,
                "workspace_root":"/","metadata":null}}"#,
            licence = licence.map_or("null".to_owned(), |text| format!("{text:?}")),
            source = source.map_or("null".to_owned(), |text| format!("{text:?}")),
        );
        let rules: Rules = toml::from_str(RULES).unwrap();
        let metadata: Metadata = serde_json::from_str(&graph).unwrap();
        let found: Vec<String> = judge(&rules, &metadata).into_iter().map(|violation| violation.message).collect();
        assert_eq!(found.len(), expect.len(), "{found:?}");
        for (message, part) in found.iter().zip(expect) {
            assert!(message.contains(part), "{message} lacks {part}");
        }
    }

    #[test]
    fn rules() {
        check("good", Some("MIT OR GPL-3.0"), Some(CRATES_IO), "^1", &[]);
        check("openssl", Some("MIT"), Some(CRATES_IO), "^1", &["one TLS stack"]);
        check("copyleft", Some("GPL-3.0"), Some(CRATES_IO), "^1", &["GPL-3.0"]);
        check("bare", None, Some(CRATES_IO), "^1", &["declares no licence"]);
        check("odd", Some("MIT OR"), Some(CRATES_IO), "^1", &["missing"]);
        check("mirror", Some("MIT"), Some("registry+https://mirror.invalid/index"), "^1", &["mirror.invalid"]);
        check("forge", Some("MIT"), Some("git+https://forge.invalid/a?rev=1#1"), "^1", &["forge.invalid"]);
        check("own", Some("MIT"), None, "*", &["any version of dep"]);
        check("theirs", Some("MIT"), Some(CRATES_IO), "*", &[]);
    }

    #[test]
    fn unknown_sections_are_refused() {
        assert!(toml::from_str::<Rules>(&RULES.replace("[sources]", "[origins]")).is_err());
        assert!(toml::from_str::<Rules>(&RULES.replace("allow-git", "allow-got")).is_err());
    }
}
