//! Machine code is taken from a cache only where nobody else can have put it there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use common::{Asked, Guest};
use narrowgate_plugins::{Compiled, Host, PluginFile};

/// How `file` is compiled by a new host with this cache; it must work in any case.
fn compiled(directory: &Path, file: &PluginFile) -> Compiled {
    let plugin = Host::with_cache(directory).unwrap().load(file).unwrap();
    assert!(plugin.classify(&Asked::put().facts()).is_ok());
    plugin.compiled().clone()
}

/// The one file with code.
fn entry(directory: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| !path.ends_with("key"));
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[test]
fn what_was_compiled_is_found_again() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("cache");
    let file = Guest::new().file_of();
    assert_eq!(compiled(&directory, &file), Compiled::Anew);
    assert_eq!(compiled(&directory, &file), Compiled::FromCache);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!((mode(&entry(&directory)), mode(&directory.join("key"))), (0o600, 0o600));
    assert!(entry(&directory).display().to_string().contains(&file.digest().hex()));
}

#[test]
fn what_others_may_have_written_is_compiled_anew_and_replaced() {
    type Attack = fn(&Path);
    let cases: [(&str, Attack); 6] = [
        ("was not written by this cache", |path| {
            let mut bytes = fs::read(path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("was not written by this cache", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("is too short", |path| fs::write(path, b"x").unwrap()),
        ("is open to other users (mode 0644)", |path| {
            fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
        }),
        ("is a symbolic link", |path| {
            let moved = path.parent().unwrap().parent().unwrap().join("moved");
            fs::rename(path, &moved).unwrap();
            symlink(&moved, path).unwrap();
        }),
        ("is of another type", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
    ];
    let file = Guest::new().file_of();
    for (expect, attack) in cases {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("cache");
        compiled(&directory, &file);
        let path = entry(&directory);
        attack(&path);
        assert_eq!(compiled(&directory, &file), Compiled::AnewDespiteCache(expect.to_owned()));
        if !path.is_dir() {
            assert_eq!(compiled(&directory, &file), Compiled::FromCache, "{expect}: replaced");
        }
    }
}

#[test]
fn one_plugins_code_is_not_anothers() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("cache");
    let (one, other) = (Guest::new().file_of(), Guest::file("state").file_of());
    compiled(&directory, &one);
    let path = entry(&directory);
    let name = path.file_name().unwrap().to_str().unwrap().replace(&one.digest().hex(), &other.digest().hex());
    fs::rename(&path, directory.join(name)).unwrap();
    let host = Host::with_cache(&directory).unwrap();
    let expect = Compiled::AnewDespiteCache("was not written by this cache".to_owned());
    assert_eq!(host.load(&other).unwrap().compiled(), &expect);
}

#[test]
fn a_directory_that_is_not_ours_alone_is_no_cache() {
    let parent = tempfile::tempdir().unwrap();
    let check = |path: &Path, expect: &str| {
        let error = Host::with_cache(path).unwrap_err().to_string();
        assert!(error.contains(expect) && error.contains(path.to_str().unwrap()), "{error:?} lacks {expect:?}");
    };
    let path = |name: &str| parent.path().join(name);
    fs::create_dir(path("open")).unwrap();
    fs::set_permissions(path("open"), Permissions::from_mode(0o755)).unwrap();
    check(&path("open"), "is open to other users (mode 0755); expected mode 0700");
    fs::create_dir(path("real")).unwrap();
    symlink(path("real"), path("link")).unwrap();
    check(&path("link"), "a symbolic link");
    fs::write(path("file"), b"").unwrap();
    check(&path("file"), "is no directory");
    check(&path("missing/parent"), "cannot be made");
    // A key that others can read, or that is too short, is no key.
    let directory = path("cache");
    Host::with_cache(&directory).unwrap();
    fs::set_permissions(directory.join("key"), Permissions::from_mode(0o640)).unwrap();
    check(&directory, "its file \"key\" is open to other users (mode 0640)");
    fs::set_permissions(directory.join("key"), Permissions::from_mode(0o600)).unwrap();
    fs::write(directory.join("key"), b"short").unwrap();
    check(&directory, "its file \"key\" does not have 32 bytes");
}
