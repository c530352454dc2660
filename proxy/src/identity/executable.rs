//! What a process runs: the live file, its name and its digest.
//!
//! The name is believed only if the file of that name is, right now, the file that runs. A deleted executable reads as
//! `NAME (deleted)`, one in another mount namespace as a name that means something else here, and a replaced one as
//! the name of its successor: none of them is the program that a policy names.
//!
//! Where a sandbox has a mount namespace of its own, names are looked up in two views: ours, and that of the process
//! which stands for the sandbox. A file of the host has the same name in both. One that exists only inside is known by
//! its name inside, which is the one that the sandbox's programs use and that a policy can say; whoever may write there
//! decides what runs under it, as everywhere. The view of the process in question is not asked: in a mount namespace of
//! its own making, anything can be called `/usr/bin/curl`.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use procfs::ProcError;
use procfs::process::Process as Entry;
use ring::digest::{Context, SHA256};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::listing;

/// No program is larger; reading on would let a sparse file keep us busy.
const SIZE_MAX: u64 = 1 << 30;
/// How many digests are kept.
const DIGESTS: usize = 512;
/// A file changed this recently may change again within one tick of its time stamp: its digest is not kept.
const SETTLED_SECONDS: i64 = 2;

/// A live executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Executable {
    pub(super) path: String,
    pub(super) sha256: String,
    file: FileId,
}

/// Why a process has no name.
#[derive(Debug)]
pub(super) enum Unidentified {
    /// It ended.
    Gone,
    /// It belongs to somebody else.
    Unreadable(String),
    /// It could not be looked at.
    Untold(String),
    /// What runs is not what its name says.
    Hidden(String),
}

impl From<Errno> for Unidentified {
    fn from(error: Errno) -> Unidentified {
        match error {
            Errno::NOENT | Errno::SRCH => Unidentified::Gone,
            _ => Unidentified::Untold(format!("threads cannot be listed: {error}")),
        }
    }
}

/// Where names mean something: here, and in the mount namespace of the process that stands for the sandbox, if it has
/// one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    pub(super) sandbox: Option<i32>,
}

impl View {
    /// Whether `path` names the file `live` in one of the views.
    fn has(self, path: &Path, live: &Metadata) -> bool {
        let is_it = |path: &Path| fs::metadata(path).is_ok_and(|it| (it.dev(), it.ino()) == (live.dev(), live.ino()));
        let inside = |pid: i32| {
            let relative = path.strip_prefix("/").ok()?;
            Some(Path::new("/proc").join(pid.to_string()).join("root").join(relative))
        };
        is_it(path) || self.sandbox.and_then(inside).is_some_and(|path| is_it(&path))
    }
}

/// Which file, and which state of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct FileId {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Digests of files as they were. Process-wide: a digest is a fact about a file, whoever asks.
static KNOWN: LazyLock<Mutex<HashMap<FileId, String>>> = LazyLock::new(Mutex::default);

/// The process's executable, hashed through its open file.
pub(super) fn of(process: &Entry, view: View) -> Result<Executable, Unidentified> {
    let path = name(process, view)?;
    let mut file = open(process, OFlags::RDONLY | OFlags::CLOEXEC)?;
    let read = |e: io::Error| Unidentified::Unreadable(format!("{path}: {e}"));
    let id = FileId::of(&file.metadata().map_err(read)?);
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
    let sha256 = match known {
        Some(sha256) => sha256,
        None if id.size > SIZE_MAX => return Err(Unidentified::Hidden(format!("{path} is too large to be hashed"))),
        None => {
            let sha256 = hash(&mut file).map_err(read)?;
            // What was hashed is what `id` says only if it did not change meanwhile.
            if FileId::of(&file.metadata().map_err(read)?) != id {
                return Err(Unidentified::Hidden(format!("{path} changes while it runs")));
            }
            remember(&id, &sha256);
            sha256
        }
    };
    Ok(Executable { path, sha256, file: id })
}

/// The path of the process's executable, if the file of that name is the one that runs.
pub(super) fn name(process: &Entry, view: View) -> Result<String, Unidentified> {
    let live = open(process, OFlags::PATH | OFlags::CLOEXEC)?;
    let untold = |e: io::Error| Unidentified::Untold(format!("the executable of process {}: {e}", process.pid));
    let path = fs::read_link(format!("/proc/self/fd/{}", live.as_raw_fd())).map_err(untold)?;
    let live = live.metadata().map_err(untold)?;
    let named = view.has(&path, &live);
    match path.to_str() {
        Some(text) if named && text.starts_with('/') => Ok(text.to_owned()),
        _ => Err(Unidentified::Hidden(format!(
            "{} is not the file that runs under this name: deleted, replaced or in another mount namespace",
            path.display()
        ))),
    }
}

/// Whether the process still runs `executable`.
pub(super) fn is_still(process: &Entry, executable: &Executable, view: View) -> bool {
    let live = open(process, OFlags::PATH | OFlags::CLOEXEC);
    live.is_ok_and(|live| live.metadata().is_ok_and(|live| FileId::of(&live) == executable.file))
        && name(process, view).is_ok_and(|path| path == executable.path)
}

impl FileId {
    fn of(metadata: &Metadata) -> FileId {
        FileId {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn remember(id: &FileId, sha256: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
    if now - id.changed.0 <= SETTLED_SECONDS {
        return;
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= DIGESTS {
        known.clear();
    }
    known.insert(id.clone(), sha256.to_owned());
}

fn hash(file: &mut File) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0_u8; 64 * 1024];
    let mut left = SIZE_MAX;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(HEXLOWER.encode(context.finish().as_ref()));
        }
        left = left.checked_sub(read as u64).ok_or_else(|| io::Error::other("grows without end"))?;
        context.update(buffer.get(..read).unwrap_or_default());
    }
}

/// What the process runs. The thread that it is named after may have ended, and what the others run is the same.
fn open(process: &Entry, flags: OFlags) -> Result<File, Unidentified> {
    match process.open_relative_flags("exe", flags) {
        Err(ProcError::NotFound(_)) => {}
        other => return other.map_err(|e| unidentified(process, &e)),
    }
    let threads = process.open_relative_flags("task", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC);
    let threads = threads.map_err(|e| unidentified(process, &e))?;
    let found =
        listing::find(threads.into(), |id| match process.open_relative_flags(format!("task/{id}/exe"), flags) {
            Err(ProcError::NotFound(_)) => Ok(None),
            other => other.map(Some).map_err(|e| unidentified(process, &e)),
        });
    found?.ok_or(Unidentified::Gone)
}

/// Whatever else a failure means, it does not mean that there is nobody.
fn unidentified(process: &Entry, error: &ProcError) -> Unidentified {
    match error {
        ProcError::NotFound(_) => Unidentified::Gone,
        ProcError::PermissionDenied(_) => {
            Unidentified::Unreadable(format!("process {} may not be read by this user", process.pid))
        }
        _ => Unidentified::Untold(format!("process {} cannot be looked at: {error}", process.pid)),
    }
}
