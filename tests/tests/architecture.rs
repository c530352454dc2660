//! What must stay absent: edges between crates, unsafe code, input and output where there is none, second stacks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).exec().unwrap()
}

/// The workspace's crates and which of each other they name, in tests too.
fn edges(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let members: BTreeSet<String> = metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    let named = |package: &&cargo_metadata::Package| {
        let dependencies = package.dependencies.iter().map(|dependency| dependency.name.clone());
        (package.name.to_string(), dependencies.filter(|name| members.contains(name)).collect())
    };
    metadata.workspace_packages().iter().map(named).collect()
}

#[test]
fn dependencies_point_one_way() {
    let may_name: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("narrowgate-core", [].as_slice()),
        ("narrowgate-prover", &["narrowgate-core"]),
        ("narrowgate-plugins", &["narrowgate-core"]),
        // INVARIANT: `proxy` never links `gateway` or `prover`: what it enforces, it has from a certificate.
        ("narrowgate-proxy", &["narrowgate-core", "narrowgate-plugins"]),
        ("narrowgate-gateway", &["narrowgate-core", "narrowgate-prover", "narrowgate-plugins"]),
        // INVARIANT: what confines knows nothing of policies or proxies.
        ("narrowgate-sandbox", &[]),
        ("xtask", &[]),
    ]);
    let anything = ["narrowgate", "narrowgate-tests"];
    for (name, named) in edges(&metadata()) {
        if anything.contains(&name.as_str()) {
            continue;
        }
        let may = may_name.get(name.as_str()).unwrap_or_else(|| panic!("{name} is new; say here what it may name"));
        let extra: Vec<&String> = named.iter().filter(|other| !may.contains(&other.as_str())).collect();
        assert!(extra.is_empty(), "{name} may not depend on {extra:?}");
    }
}

#[test]
fn every_crate_has_the_workspace_lints() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"forbid\""));
    for package in metadata().workspace_packages() {
        let manifest = fs::read_to_string(&package.manifest_path).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} has lints of its own", package.name);
    }
}

#[test]
fn deny_toml_holds() {
    let report = xtask::deny::check(&root()).unwrap();
    assert!(report.packages > 100 && report.bans > 10, "{report:?}");
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
}

/// Words that a folder's source may not contain, outside the tests in it, and where they may stand nevertheless.
#[test]
fn input_and_output_stay_where_they_belong() {
    let absent: &[(&str, &[&str], &[&str])] = &[
        (
            "core/src",
            &["std::fs", "std::net::Tcp", "std::process", "std::env", "SystemTime", "Instant::now", "tokio"],
            &[],
        ),
        // A solver is a process; only these two files know.
        (
            "prover/src",
            &["std::fs", "std::net::Tcp", "std::process", "std::env", "SystemTime", "tokio"],
            &["smt/process.rs", "smt/mod.rs"],
        ),
        // An upstream is dialled in one place, which asks for a permit.
        ("proxy/src", &["TcpStream::connect"], &["dial.rs", "dial/"]),
        ("proxy/src", &["narrowgate_gateway", "narrowgate_prover"], &[]),
    ];
    for (folder, words, except) in absent {
        for (path, text) in sources(&root().join(folder)) {
            let name = path.strip_prefix(root().join(folder)).unwrap().to_string_lossy().into_owned();
            if except.iter().any(|start| name.starts_with(start))
                || name.ends_with("tests.rs")
                || name.contains("tests/")
            {
                continue;
            }
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            for (at, line) in code.lines().enumerate() {
                let comment = line.trim_start().starts_with("//");
                let word = words.iter().find(|word| !comment && line.contains(**word));
                assert_eq!(word, None, "does not belong in {folder}/{name}:{}", at + 1);
            }
        }
    }
}

#[test]
fn nothing_is_left_undone() {
    // Spelt in two parts, so that this file does not find itself.
    let words = [concat!("#[ig", "nore"), concat!("to", "do!("), concat!("unimple", "mented!("), concat!("FIX", "ME")];
    for member in
        ["core", "prover", "plugins", "proxy", "gateway", "sandbox", "cli", "tests", "xtask", "fuzz/fuzz_targets"]
    {
        for (path, text) in sources(&root().join(member)) {
            for word in words {
                assert!(!text.contains(word), "{}: {word}", path.display());
            }
        }
    }
}

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                found.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}
