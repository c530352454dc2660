//! Compiled functions on disk, so that a plugin is compiled once.
//!
//! What is kept is what the compiler made of each function, under the hash of the function, and the compiler asks for it
//! again (wasmtime's incremental compilation). The alternative, a whole executable image (`Component::deserialize`), would
//! load faster but needs `unsafe`, of which this workspace has none.
//!
//! Machine code is trusted code, so a file is used only if it is a regular file of this user, open to nobody else, and
//! carries the right HMAC over its name and content, whose key is in the same directory and as private. Permissions keep
//! others out; the HMAC keeps out what came to be there in another way: a truncated write, a restored backup, a file
//! that was moved in from a directory others could write to.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use narrowgate_core::digest::Digest;
use ring::{digest, hmac, rand};
use rustix::fs::{FileType, Mode, OFlags, fstat, mkdir, open, openat, renameat, unlinkat};
use wasmtime::{CacheStore, Engine};

use super::load::Compiled;

const KEY_FILE: &str = "key";
const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 32;
/// The largest file that is read: many times what the largest plugin compiles to.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// Why a directory is not used as a cache.
#[derive(Debug, thiserror::Error)]
#[error("the plugin cache {}: {problem}", directory.display())]
pub struct CacheError {
    directory: PathBuf,
    problem: String,
}

/// Compiled functions, by what the compiler looks them up with.
type Code = HashMap<Vec<u8>, Vec<u8>>;

/// A directory of compiled functions. The compiler is given those of one plugin at a time.
pub(super) struct Cache {
    directory: OwnedFd,
    key: hmac::Key,
    loading: Mutex<()>,
    functions: Mutex<Functions>,
}

#[derive(Default)]
struct Functions {
    known: Code,
    found: HashSet<Vec<u8>>,
    new: usize,
}

/// While it lives, the compiler sees what the cache has for one plugin.
pub(super) struct Session<'a> {
    cache: &'a Cache,
    name: String,
    rejected: Option<String>,
    _alone: MutexGuard<'a, ()>,
}

/// What a plugin's file is called under this engine: nothing that another compiler, or another configuration of it, made
/// has the same name.
pub(super) fn name(engine: &Engine, plugin: Digest) -> String {
    let mut compatibility = Sha256(digest::Context::new(&digest::SHA256));
    engine.precompile_compatibility_hash().hash(&mut compatibility);
    let compatibility = data_encoding::HEXLOWER.encode(compatibility.0.finish().as_ref());
    format!("{}-{}", plugin.hex(), compatibility.get(..16).unwrap_or_default())
}

impl Cache {
    pub(super) fn open(path: &Path) -> Result<Cache, CacheError> {
        let wrong = |problem: String| CacheError { directory: path.to_owned(), problem };
        match mkdir(path, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(wrong(format!("cannot be made: {error}"))),
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let directory = open(path, flags, Mode::empty())
            .map_err(|error| wrong(format!("is no directory, or a symbolic link to one: {error}")))?;
        private(&directory, FileType::Directory).map_err(|problem| wrong(format!("{problem}; expected mode 0700")))?;
        let key = key(&directory).map_err(wrong)?;
        Ok(Cache { directory, key, loading: Mutex::default(), functions: Mutex::default() })
    }

    /// Gives the compiler what is kept under this name. One at a time: the compiler does not say for whom it asks.
    pub(super) fn session(&self, name: &str) -> Session<'_> {
        let alone = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, rejected) = match self.read(name) {
            Ok(known) => (known.unwrap_or_default(), None),
            Err(problem) => (Code::new(), Some(problem)),
        };
        *self.functions() = Functions { known, ..Functions::default() };
        Session { cache: self, name: name.to_owned(), rejected, _alone: alone }
    }

    fn functions(&self) -> MutexGuard<'_, Functions> {
        // Nothing under the lock can be left half done.
        self.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, name: &str) -> Result<Option<Code>, String> {
        let Some(bytes) = read_private(&self.directory, name)? else { return Ok(None) };
        let (mac, content) = bytes.split_at_checked(MAC_BYTES).ok_or("is too short")?;
        hmac::verify(&self.key, &signed(name, content), mac).map_err(|_| "was not written by this cache".to_owned())?;
        decode(content).map(Some).ok_or("is not what this cache writes".to_owned())
    }

    fn write(&self, name: &str, known: &Code) -> Result<(), String> {
        let content = encode(known);
        let mac = hmac::sign(&self.key, &signed(name, &content));
        write_private(&self.directory, name, &[mac.as_ref(), &content])
    }
}

impl Session<'_> {
    /// Keeps what was compiled, and says where the machine code came from.
    pub(super) fn finish(self) -> Compiled {
        let Functions { known, found, new } = std::mem::take(&mut *self.cache.functions());
        // The compiler's own trampolines may hash differently in another process; the plugin's functions do not.
        if new < found.len() && self.rejected.is_none() {
            return Compiled::FromCache;
        }
        // A cache that cannot be written costs time, at the next start, and nothing else.
        let _ = self.cache.write(&self.name, &known);
        match self.rejected {
            Some(problem) => Compiled::AnewDespiteCache(problem),
            None => Compiled::Anew,
        }
    }
}

impl CacheStore for Cache {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let mut functions = self.functions();
        let code = functions.known.get(key)?.clone();
        functions.found.insert(key.to_owned());
        Some(Cow::Owned(code))
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> bool {
        let mut functions = self.functions();
        functions.new += 1;
        functions.known.insert(key.to_owned(), value);
        true
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

/// What the HMAC is over.
fn signed(name: &str, content: &[u8]) -> Vec<u8> {
    [&(name.len() as u64).to_be_bytes(), name.as_bytes(), content].concat()
}

fn encode(known: &Code) -> Vec<u8> {
    let mut out = Vec::new();
    for part in known.iter().flat_map(|(key, code)| [key, code]) {
        out.extend((part.len() as u64).to_be_bytes());
        out.extend(part);
    }
    out
}

fn decode(mut content: &[u8]) -> Option<Code> {
    let mut next = || {
        let (length, rest) = content.split_first_chunk::<8>()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
        content = rest;
        Some(part.to_owned())
    };
    let mut known = Code::new();
    while let Some(key) = next() {
        known.insert(key, next()?);
    }
    content.is_empty().then_some(known)
}

/// The directory's key, which is made if there is none.
fn key(directory: &OwnedFd) -> Result<hmac::Key, String> {
    let of = |problem| format!("its file {KEY_FILE:?} {problem}");
    if read_private(directory, KEY_FILE).map_err(of)?.is_none() {
        let fresh = rand::generate::<[u8; KEY_BYTES]>(&rand::SystemRandom::new());
        let fresh = fresh.map_err(|_| "the machine gives no random bytes".to_owned())?.expose();
        write_private(directory, KEY_FILE, &[&fresh]).map_err(of)?;
    }
    // Read again: of two processes that start at once, both take the key that was written last.
    match read_private(directory, KEY_FILE).map_err(of)? {
        Some(key) if key.len() == KEY_BYTES => Ok(hmac::Key::new(hmac::HMAC_SHA256, &key)),
        _ => Err(of(format!("does not have {KEY_BYTES} bytes; remove it and what else is there"))),
    }
}

/// A file's content, if there is one, and if it is nobody else's.
fn read_private(directory: &OwnedFd, name: &str) -> Result<Option<Vec<u8>>, String> {
    // Without waiting: a pipe would have no other end.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(directory, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => return Err("is a symbolic link".to_owned()),
        Err(error) => return Err(format!("cannot be opened: {error}")),
    };
    private(&file, FileType::RegularFile)?;
    let mut bytes = Vec::new();
    let read = File::from(file).take(MAX_FILE + 1).read_to_end(&mut bytes);
    match read {
        Ok(_) if bytes.len() as u64 <= MAX_FILE => Ok(Some(bytes)),
        Ok(_) => Err("is too large".to_owned()),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

/// Whether what is open is of this type, this user's, and closed to all others.
fn private(file: &OwnedFd, expected: FileType) -> Result<(), String> {
    let stat = fstat(file).map_err(|error| format!("cannot be looked at: {error}"))?;
    if FileType::from_raw_mode(stat.st_mode) != expected {
        return Err("is of another type".to_owned());
    }
    let us = rustix::process::geteuid().as_raw();
    if stat.st_uid != us {
        return Err(format!("belongs to user {}, not to user {us}", stat.st_uid));
    }
    let mode = stat.st_mode & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!("is open to other users (mode {mode:04o})"));
    }
    Ok(())
}

/// Writes a file whole or not at all.
fn write_private(directory: &OwnedFd, name: &str, parts: &[&[u8]]) -> Result<(), String> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let temporary = format!("{name}.{}.{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let write = || -> io::Result<()> {
        let mut file = File::from(openat(directory, &*temporary, flags, Mode::RUSR | Mode::WUSR)?);
        for part in parts {
            file.write_all(part)?;
        }
        file.sync_data()?;
        Ok(renameat(directory, &*temporary, directory, name)?)
    };
    write().map_err(|error| {
        // It may not be there, or not be removable; either is no worse than what is reported.
        let _ = unlinkat(directory, &*temporary, rustix::fs::AtFlags::empty());
        format!("cannot be written: {error}")
    })
}

/// `Hash` into SHA-256, which is the same in every process.
struct Sha256(digest::Context);

impl Hasher for Sha256 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Unused: the digest is taken from the context.
    fn finish(&self) -> u64 {
        0
    }
}
