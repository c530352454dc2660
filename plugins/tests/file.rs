//! Files that are no plugins, and what is said of them without running anything.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{Guest, HOST, manifest, with_section};
use narrowgate_plugins::{FileError, PackError, PluginFile, PluginRef, embed_manifest, pack};

#[track_caller]
fn check_refused(bytes: Vec<u8>, expect: &str) {
    let error = PluginFile::parse(bytes).unwrap_err().to_string();
    assert!(error.contains(expect), "{error:?} lacks {expect:?}");
}

#[test]
fn a_packed_guest_says_what_it_is() {
    let file = Guest::new().file_of();
    assert_eq!(file.name().as_str(), "acme");
    assert_eq!(file.interface_version(), "1.0.0");
    assert_eq!(file.vocabulary().manifest(), &manifest());
    assert_eq!(file.digest(), narrowgate_core::digest::Digest::of(file.bytes()));
}

#[test]
fn packing_is_deterministic_and_embedding_replaces() {
    let module = Guest::new().module();
    let component = pack(&module).unwrap();
    assert_eq!(component, pack(&module).unwrap());
    let once = embed_manifest(&HOST, &component).unwrap();
    let twice = embed_manifest(&HOST, once.bytes()).unwrap();
    assert_eq!(once.bytes(), twice.bytes());
    let stale = with_section(with_section(component, b"{}"), b"[]");
    assert_eq!(embed_manifest(&HOST, &stale).unwrap().bytes(), once.bytes());
}

#[test]
fn what_has_not_the_form_of_a_plugin_is_refused() {
    let json = manifest().to_json();
    let good = Guest::new().with_manifest(&json);
    check_refused(Vec::new(), "not a WebAssembly component");
    check_refused(b"#!/bin/sh\n".to_vec(), "not a WebAssembly component");
    check_refused(Guest::new().module(), "it is a core module");
    check_refused(vec![0; 4 * 1024 * 1024 + 1], "more than the 4194304 bytes");
    check_refused(good[..good.len() - 40].to_vec(), "not a valid component");
    check_refused(Guest::new().component(), "has no section narrowgate:manifest");
    check_refused(with_section(good.clone(), &json), "has 2 sections narrowgate:manifest");
    check_refused(Guest::new().with_manifest(b"{}"), "manifest: ");
    check_refused(Guest::new().with_manifest(&json[1..]), "manifest: ");
    let mut nameless = manifest();
    nameless.name = "rest".to_owned();
    check_refused(Guest::new().with_manifest(&nameless.to_json()), "manifest: /name: the name \"rest\" is taken");
}

#[test]
fn versions_that_the_host_does_not_speak_are_named() {
    let version = |version: &str| {
        let wit = Guest::new().wit.replace("semantics@1.0.0", &format!("semantics@{version}"));
        Guest { wit, ..Guest::new() }
    };
    for unknown in ["2.0.0", "0.9.0", "1.0.0-rc.1"] {
        let expect = format!("exports narrowgate:semantics/plugin@{unknown}; this host speaks the versions 1.x.y");
        check_refused(version(unknown).with_manifest(&manifest().to_json()), &expect);
    }
    for known in ["1.0.1", "1.7.0"] {
        let plugin = version(known).load();
        assert!(plugin.classify(&common::Asked::put().facts()).is_ok(), "{known}");
    }
}

#[test]
fn imports_are_refused_by_pack_and_by_parse() {
    let world = Guest::new().wit.replace("    export plugin;", "    import sneak: func();\n    export plugin;");
    let imports = "(import \"$root\" \"sneak\" (func $sneak))".to_owned();
    let smuggler = Guest { imports, wit: world, ..Guest::new() };
    let error = pack(&smuggler.module()).unwrap_err();
    assert!(matches!(&error, PackError::File(FileError::Imports(name)) if name == "sneak"), "{error}");
    check_refused(smuggler.with_manifest(&manifest().to_json()), "imports \"sneak\"; a plugin imports nothing");
}

#[test]
fn other_exports_are_refused() {
    let wit = Guest::new().wit.replace("    export plugin;", "    export plugin;\n    export more: func();");
    let functions = "(func (export \"more\"))".to_owned();
    let guest = Guest { wit, functions, ..Guest::new() };
    check_refused(guest.with_manifest(&manifest().to_json()), "exports \"more\"");
}

#[test]
fn functions_that_the_compiler_would_choke_on_are_refused() {
    let functions = format!("(func $large {})", "(drop (i32.const 1))".repeat(200_000));
    let guest = Guest { functions, ..Guest::new() };
    check_refused(guest.with_manifest(&manifest().to_json()), "a function of 600002 bytes; at most 524288");
}

#[test]
fn pins_hold() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("acme.wasm");
    let file = Guest::new().file_of();
    std::fs::write(&path, file.bytes()).unwrap();
    let read = |text: String| text.parse::<PluginRef>().unwrap().read().map(|file| file.digest());
    let path = path.display();
    assert_eq!(read(path.to_string()).unwrap(), file.digest());
    assert_eq!(read(format!("{path}@{}", file.digest())).unwrap(), file.digest());
    let other = narrowgate_core::digest::Digest::of(b"other");
    let error = read(format!("{path}@{other}")).unwrap_err().to_string();
    assert!(error.contains(&format!("is {}, and {other} is pinned", file.digest())), "{error}");
    assert!(read(format!("{path}.gone")).is_err());
    for wrong in ["", "a@sha256:", "a@sha256:ABCD", "@sha256:x"] {
        assert!(wrong.parse::<PluginRef>().is_err(), "{wrong:?}");
    }
    let at = "a@b.wasm".parse::<PluginRef>().unwrap();
    assert!(at.pin.is_none() && at.path.ends_with("a@b.wasm"));
}
