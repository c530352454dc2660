//! `narrowgate plugin`, with a project that is made, built, tested and inspected by the real binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use support::{Dir, Ran};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/guests/dist").join(name).canonicalize().unwrap()
}

/// Runs the binary, with compiled dependencies shared with the shipped plugins.
fn run(dir: &Dir, args: &[&str]) -> Ran {
    let mut command = dir.command(args);
    command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests"));
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// What is refused, with exit code 2 and a message that has all of these words.
#[track_caller]
fn invalid(dir: &Dir, args: &[&str], words: &[&str]) {
    let ran = run(dir, args);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}: {}", ran.err);
    for word in words {
        assert!(ran.err.contains(word), "{args:?}: {word:?} is not in: {}", ran.err);
    }
}

#[test]
fn a_new_project_is_built_tested_and_inspected() {
    let dir = Dir::new();
    let made = run(&dir, &["plugin", "new", "tickets"]);
    assert_eq!(made.code, 0, "{}", made.err);
    invalid(&dir, &["plugin", "test", "tickets"], &["tickets: nothing is built", "`narrowgate plugin build`"]);
    let built = run(&dir, &["plugin", "build", "tickets"]);
    assert_eq!(built.code, 0, "{}", built.err);
    assert!(built.out.starts_with("tickets/tickets.wasm: tickets 1.0.0, 5 actions, "), "{}", built.out);

    // Without golden files, it says what would be in them; with them, it compares.
    let first = run(&dir, &["plugin", "test", "tickets"]);
    assert_eq!(first.code, 1, "{}", first.err);
    assert!(first.out.contains("FAIL  note-write: no golden file; it would be"), "{}", first.out);
    let blessed = run(&dir, &["plugin", "test", "tickets", "--bless"]);
    assert_eq!(blessed.code, 0, "{}", blessed.err);
    let again = run(&dir, &["plugin", "test", "tickets"]);
    assert_eq!((again.code, again.err.as_str()), (0, ""), "{}", again.out);
    assert!(again.out.ends_with("7 cases, 0 failed; every declared action occurs\n"), "{}", again.out);
    let golden: serde_json::Value = serde_json::from_str(&dir.read("tickets/cases/note-write.golden.json")).unwrap();
    let expected = serde_json::json!([{ "action": "tickets::note.write", "attributes": {
        "book": "plans", "id": "2026-q4", "tags": ["draft", "work"], "title": "Fourth quarter" } }]);
    assert_eq!(golden["operations"], expected);
    assert_eq!(golden["variants"]["truncated"]["refusal"]["kind"], "needs-body");
    assert_eq!(golden["variants"]["duplicate_header"]["refusal"]["kind"], "ambiguous");

    // A difference is a diff, for people and for scripts.
    let other = dir.read("tickets/cases/note-write.golden.json").replace("\"plans\"", "\"diary\"");
    dir.write("tickets/cases/note-write.golden.json", &other);
    let differs = run(&dir, &["plugin", "test", "tickets/tickets.wasm"]);
    assert_eq!(differs.code, 1, "{}", differs.err);
    for line in ["FAIL  note-write: not as in its golden file", "-        \"book\": \"diary\"", "7 cases, 1 failed"] {
        assert!(differs.out.contains(line), "{line:?} is not in: {}", differs.out);
    }
    let json = dir.json(&["plugin", "test", "tickets", "--format", "json"]);
    assert_eq!((&json["ok"], &json["plugin"]), (&false.into(), &"tickets".into()), "{json}");
    let verdicts = json["cases"].as_array().unwrap().iter().filter(|case| case["verdict"]["is"] == "differs");
    assert_eq!(verdicts.map(|case| case["name"].as_str().unwrap()).collect::<Vec<_>>(), ["note-write"]);

    // What was edited since is not what is tested.
    let source = fs::File::options().append(true).open(dir.join("tickets/src/lib.rs")).unwrap();
    source.set_modified(SystemTime::now() + Duration::from_secs(60)).unwrap();
    let stale = run(&dir, &["plugin", "test", "tickets"]);
    assert!(stale.err.contains("tickets/src/lib.rs is newer than tickets/tickets.wasm"), "{}", stale.err);

    let inspected = dir.json(&["plugin", "inspect", "tickets/tickets.wasm", "--format", "json"]);
    assert_eq!(inspected["imports"], serde_json::json!([]));
    assert!(built.out.contains(inspected["digest"].as_str().unwrap()), "{inspected}");
    invalid(&dir, &["plugin", "new", "tickets"], &["tickets: is there already"]);
}

#[test]
fn inspect_shows_what_a_plugin_may_say() {
    let dir = Dir::new();
    fs::copy(shipped("notes.wasm"), dir.join("notes.wasm")).unwrap();
    let ran = run(&dir, &["plugin", "inspect", "notes.wasm"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    let digest = dir.json(&["plugin", "inspect", "notes.wasm", "--format", "json"])["digest"].clone();
    let steady = ran.out.lines().map(|line| match line.split_once(' ') {
        Some(("digest", value)) if value.trim() == digest => "digest     [its digest]\n".to_owned(),
        Some(("size", _)) => "size       [its size]\n".to_owned(),
        _ => format!("{line}\n"),
    });
    insta::assert_snapshot!("inspect", steady.collect::<String>());
}

#[test]
fn a_file_that_is_no_plugin_is_refused_with_the_reason() {
    let dir = Dir::new();
    let bytes = fs::read(shipped("git.wasm")).unwrap();
    fs::write(dir.join("good.wasm"), &bytes).unwrap();
    fs::write(dir.join("module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    fs::write(dir.join("cut.wasm"), &bytes[..bytes.len() / 2]).unwrap();
    // The manifest is the last of the file: it now says something else than the code.
    let found = bytes.windows(7).rposition(|window| window == b"Deletes").unwrap();
    let mut lies = bytes.clone();
    lies[found..found + 7].copy_from_slice(b"Creates");
    fs::write(dir.join("lies.wasm"), lies).unwrap();
    let pin = format!("good.wasm@sha256:{}", "0".repeat(64));
    for (file, words) in [
        ("none.wasm", ["none.wasm", "No such file"]),
        ("policy.yaml", ["policy.yaml", "not a WebAssembly component"]),
        ("module.wasm", ["module.wasm", "it is a core module"]),
        ("cut.wasm", ["cut.wasm", "not a valid component"]),
        ("lies.wasm", ["lies.wasm", "describe differs from the manifest"]),
        (pin.as_str(), ["good.wasm", "is pinned"]),
    ] {
        invalid(&dir, &["plugin", "inspect", file], &words);
    }
    assert_eq!(run(&dir, &["plugin", "inspect", "good.wasm"]).code, 0);
}

#[test]
fn what_is_missing_is_named() {
    let dir = Dir::new();
    fs::create_dir(dir.join("empty")).unwrap();
    invalid(&dir, &["plugin", "build", "empty"], &["empty", "neither a Cargo.toml nor a package.json"]);
    invalid(&dir, &["plugin", "new", "Tickets"], &["Tickets", "a-z"]);
    invalid(&dir, &["plugin", "new", "rest"], &["rest", "taken"]);
    assert_eq!(run(&dir, &["plugin", "new", "desk", "--language", "javascript"]).code, 0);
    invalid(&dir, &["plugin", "build", "desk"], &["desk", "`npm install`"]);
    for name in ["a.wasm", "b.wasm"] {
        fs::copy(shipped("git.wasm"), dir.join("desk").join(name)).unwrap();
    }
    invalid(&dir, &["plugin", "test", "desk"], &["desk/a.wasm and desk/b.wasm", "name the one"]);
    fs::create_dir(dir.join("desk/none")).unwrap();
    invalid(&dir, &["plugin", "test", "desk/a.wasm", "--cases", "desk/none"], &["desk/none", "no .http files"]);
}
