//! The shipped plugins, as `plugins/guests/dist` has them, against their sources.
//!
//! With `NARROWGATE_BLESS=1` that directory and the golden files are written anew first, which is what
//! `cargo xtask guests` does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use narrowgate_core::digest::Digest;
use narrowgate_plugins::{Host, PluginFile, cases};
use serde::{Deserialize, Serialize};
use support::Dir;

static HOST: LazyLock<Host> = LazyLock::new(|| Host::new().unwrap());

/// `digests.json`, once it is as it shall be.
static DIGESTS: LazyLock<Digests> = LazyLock::new(|| {
    if env::var_os("NARROWGATE_BLESS").is_some_and(|value| value == "1") {
        bless();
    }
    serde_json::from_slice(&fs::read(dist("digests.json")).unwrap()).unwrap()
});

#[derive(Debug, Serialize, Deserialize)]
struct Digests {
    /// What the plugins in Rust were built with: with the same, they are built to the same bytes.
    toolchain: String,
    /// By name.
    plugins: BTreeMap<String, Shipped>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Shipped {
    /// The directory of its sources in `plugins/guests`.
    source: String,
    /// Of the component.
    digest: Digest,
    /// Of the sources, where no two builds of them are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sources: Option<Digest>,
}

fn guests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("plugins/guests")
}

fn dist(name: &str) -> PathBuf {
    guests().join("dist").join(name)
}

/// The directories of plugins' sources.
fn sources() -> BTreeSet<String> {
    let entries = fs::read_dir(guests()).unwrap().map(|entry| entry.unwrap());
    let is_source = |dir: &Path| dir.join("cases").is_dir();
    entries.filter(|entry| is_source(&entry.path())).map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// The digest of a plugin's sources, if it is in JavaScript: the engine in it starts from random seeds, so that no two
/// builds are the same.
fn javascript(source: &str) -> Option<Digest> {
    let dir = guests().join(source);
    let files = ["package.json", "plugin.js", "json.js"].map(|file| fs::read(dir.join(file)));
    if files.iter().all(Result::is_err) {
        return None;
    }
    let parts = files.map(|file| file.unwrap());
    let whole: Vec<u8> =
        parts.iter().flat_map(|part| [part.len().to_string().as_bytes(), b"\n", part].concat()).collect();
    Some(Digest::of(&whole))
}

/// Builds a plugin as its author would; with what, is the second part.
fn build(source: &str, toolchain: &str) -> (PluginFile, String) {
    let dir = Dir::new();
    let mut command = dir.command(&["plugin", "build", "--output", "built.wasm", "--format", "json", "--locked"]);
    command.args(["--toolchain", toolchain]).arg(guests().join(source));
    command.env("CARGO_TARGET_DIR", guests().join("../../target/guests"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{source}: {said}\n`cargo xtask guests --check` installs what is missing");
    let built: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let file = PluginFile::read(&dir.join("built.wasm")).unwrap();
    (file, built["toolchain"].as_str().unwrap_or_default().to_owned())
}

fn vocabulary(file: &PluginFile) -> String {
    serde_json::to_string_pretty(file.vocabulary().manifest()).unwrap() + "\n"
}

fn bless() {
    let mut digests = Digests { toolchain: String::new(), plugins: BTreeMap::new() };
    let before = fs::read(dist("digests.json")).ok().and_then(|json| serde_json::from_slice::<Digests>(&json).ok());
    let before = before.map(|digests| digests.plugins).unwrap_or_default();
    fs::create_dir_all(dist("")).unwrap();
    for source in sources() {
        let sources = javascript(&source);
        let same = before.iter().find(|(_, one)| sources.is_some() && one.sources == sources);
        let file = if let Some((name, _)) = same {
            PluginFile::read(&dist(&format!("{name}.wasm"))).unwrap()
        } else {
            let toolchain = env::var("NARROWGATE_GUESTS_TOOLCHAIN").unwrap_or_else(|_| "auto".to_owned());
            let (file, toolchain) = build(&source, &toolchain);
            if sources.is_none() {
                digests.toolchain = toolchain;
            }
            file
        };
        let name = file.name().to_string();
        fs::write(dist(&format!("{name}.wasm")), file.bytes()).unwrap();
        fs::write(dist(&format!("{name}.vocabulary.json")), vocabulary(&file)).unwrap();
        cases::bless(&HOST.load(&file).unwrap(), &guests().join(&source).join("cases")).unwrap();
        digests.plugins.insert(name, Shipped { source, digest: file.digest(), sources });
    }
    fs::write(dist("digests.json"), serde_json::to_string_pretty(&digests).unwrap() + "\n").unwrap();
}

#[test]
fn what_is_shipped_is_accepted_and_holds_its_cases() {
    let files = fs::read_dir(dist("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut expected = BTreeSet::from(["digests.json".to_owned()]);
    for (name, Shipped { source, digest, .. }) in &DIGESTS.plugins {
        expected.extend([format!("{name}.wasm"), format!("{name}.vocabulary.json")]);
        let file = PluginFile::read(&dist(&format!("{name}.wasm"))).unwrap();
        assert_eq!((file.name().as_str(), file.digest()), (name.as_str(), *digest));
        let shown = fs::read_to_string(dist(&format!("{name}.vocabulary.json"))).unwrap();
        assert_eq!(shown, vocabulary(&file), "{name}");
        let plugin = HOST.load(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let report = cases::run(&plugin, &guests().join(source).join("cases")).unwrap();
        assert!(report.is_ok(), "{name}:\n{report}");
    }
    assert_eq!(files.collect::<BTreeSet<_>>(), expected);
}

#[test]
fn what_is_shipped_is_built_of_the_sources() {
    let named: BTreeSet<String> = DIGESTS.plugins.values().map(|one| one.source.clone()).collect();
    assert_eq!(named, sources());
    let recorded = DIGESTS.toolchain.split_once(": ").map_or("auto", |(toolchain, _)| toolchain);
    let asked = env::var("NARROWGATE_GUESTS_TOOLCHAIN").unwrap_or_else(|_| recorded.to_owned());
    for (name, Shipped { source, digest, sources }) in &DIGESTS.plugins {
        if sources.is_some() {
            assert_eq!(
                *sources,
                javascript(source),
                "{name}; `npm install` there, and `cargo xtask guests` ships it anew"
            );
            continue;
        }
        let (built, toolchain) = build(source, &asked);
        assert_eq!(built.name().as_str(), name);
        if toolchain == DIGESTS.toolchain {
            assert_eq!(built.digest(), *digest, "{name}, built with {toolchain}; `cargo xtask guests` ships it anew");
        } else {
            // Another compiler makes other code of the same sources, but no other vocabulary.
            let shown = fs::read_to_string(dist(&format!("{name}.vocabulary.json"))).unwrap();
            assert_eq!(vocabulary(&built), shown, "{name}; `cargo xtask guests` ships it anew");
            println!("{name}: compared by vocabulary, since this is {toolchain} and not {}", DIGESTS.toolchain);
        }
    }
}
