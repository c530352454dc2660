//! The fuzz targets' committed corpus through the same oracles: what fuzzing once found stays found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use narrowgate_tests::oracles;

fn replay(target: &str, oracle: impl Fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{} lost its files", dir.display());
    for file in files {
        // Names the file if the oracle panics: the test harness shows captured output of failures.
        println!("{}", file.display());
        oracle(&fs::read(&file).unwrap());
    }
}

#[test]
fn policy_parse() {
    replay("policy_parse", |bytes| str::from_utf8(bytes).into_iter().for_each(oracles::policy_text));
}

#[test]
fn canonicalise() {
    replay("canonicalise", |bytes| {
        if let Ok(text) = str::from_utf8(bytes) {
            oracles::canonical(text);
            oracles::authority(text);
            oracles::method(text);
        }
    });
}

#[test]
fn proposal_json() {
    replay("proposal_json", oracles::proposal_json);
}
