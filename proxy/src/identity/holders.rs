//! Which processes hold a socket. Of each there are three answers: it does, it does not, and that it cannot be told.
//!
//! Only what has ended is passed over without being looked at. A look that fails in any other way (no descriptor left to
//! look with) leaves everything open, and whose files may not be read is suspect where it is in the sandbox: a program
//! makes itself unreadable with one system call. Outside of one, processes of other users are unreadable as a rule, and
//! are passed over.
//!
//! A thread may have files of its own, and the thread that a process is named after may have ended before the others.

use std::io::{BufRead, BufReader};
use std::mem::MaybeUninit;

use procfs::ProcError;
use procfs::process::Process as Entry;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, RawDir, fstat, open, openat, readlinkat_raw};
use rustix::io::Errno;

use super::{descent, listing};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// How often a process is looked at anew because a thread of it ended meanwhile.
const LOOKS: usize = 8;
/// In bytes: files are read by the hundred.
const MANY: usize = 8 * 1024;
/// In bytes: longer than any socket's name, so that what is cut off is none's.
const LINK: usize = 64;

/// It cannot be told who holds the socket. The text says why, for the log.
#[derive(Debug)]
pub(super) struct Untold(pub(super) String);

impl From<Errno> for Untold {
    fn from(error: Errno) -> Untold {
        Untold(format!("processes cannot be listed: {error}"))
    }
}

/// Which of a process's files the socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// Below the process's directory: `fd` or `fdinfo`, of the process or of one of its threads.
    table: String,
    descriptor: String,
}

/// What one look at a process says.
#[derive(Debug)]
pub(super) enum Look {
    Holds(Held),
    HoldsNot,
    /// This user may not see its files.
    Forbidden,
}

/// How the socket is called in the two kinds of tables.
struct Wanted {
    link: String,
    number: String,
}

impl Wanted {
    fn of(inode: u64) -> Wanted {
        Wanted { link: format!("socket:[{inode}]"), number: inode.to_string() }
    }
}

/// What one look at one table of files says.
enum Table {
    Holds(Held),
    HoldsNot,
    /// There is no file in it at all.
    Empty,
}

/// What puts an end to looking at threads.
enum Thread {
    Holds(Held),
    Ended,
}

/// Every process that holds the socket. All of `/proc` is read: the first holder found is not the answer while a second
/// may exist.
///
/// With `namespace`, it is a socket of the sandbox that this process stands for, whose processes descend from it.
pub(super) fn owners(inode: u64, namespace: Option<i32>) -> Result<Vec<Entry>, Untold> {
    let mut owners = Vec::new();
    let all = open("/proc", DIRECTORY, Mode::empty())?;
    listing::find(all, |pid| {
        let process = match Entry::new(pid) {
            Ok(process) => process,
            Err(ProcError::NotFound(_)) => return Ok(None),
            Err(e) => return Err(cannot_tell(pid, &e)),
        };
        match look(&process, inode, namespace)? {
            Look::Holds(_) => owners.push(process),
            Look::HoldsNot => {}
            Look::Forbidden if namespace.is_some_and(|top| descent::is_suspect(&process, top)) => {
                return Err(Untold(format!(
                    "process {pid} hides its files, and so whether it has the client's socket"
                )));
            }
            Look::Forbidden => {}
        }
        Ok(None::<()>)
    })?;
    Ok(owners)
}

/// Whether one of the process's files is the socket.
pub(super) fn look(process: &Entry, inode: u64, namespace: Option<i32>) -> Result<Look, Untold> {
    for _ in 0..LOOKS {
        match look_once(process, inode, namespace) {
            Ok(Some(look)) => return Ok(look),
            Ok(None) => {}
            Err(Errno::NOENT | Errno::SRCH) => return Ok(Look::HoldsNot),
            Err(Errno::ACCESS | Errno::PERM) => return Ok(Look::Forbidden),
            Err(e) => return Err(cannot_tell(process.pid, &e)),
        }
    }
    Err(Untold(format!("threads of process {} come and go too fast to be looked at", process.pid)))
}

/// Whether this file of the process is still the socket: one look instead of one at each of its files.
pub(super) fn holds_as(process: &Entry, file: &Held, inode: u64) -> bool {
    let table = directory(process, &file.table);
    table.is_ok_and(|table| is_socket(&table, &file.table, &file.descriptor, &Wanted::of(inode)).unwrap_or(false))
}

/// `None` where a thread ended before it was looked at.
fn look_once(process: &Entry, inode: u64, namespace: Option<i32>) -> Result<Option<Look>, Errno> {
    let leader = match files(process, "", inode)? {
        Table::Holds(file) => return Ok(Some(Look::Holds(file))),
        other => other,
    };
    // After the leader's files: a thread that was there before them still is, or is seen in them.
    let tasks = directory(process, "task")?;
    // The directory and its name, and one for each thread.
    if fstat(&tasks)?.st_nlink == 3 {
        return Ok(Some(Look::HoldsNot));
    }
    // A leader that has ended has no files. Where it has some, threads with others of their own are rare, and reading
    // all files of all threads takes long where there are a thousand: it is done of what a sandbox confines, and of
    // nothing else.
    if !matches!(leader, Table::Empty) && !namespace.is_some_and(|top| descent::is_suspect(process, top)) {
        return Ok(Some(Look::HoldsNot));
    }
    let found = listing::find(tasks, |id| {
        if id == process.pid {
            return Ok(None);
        }
        Ok(match files(process, &format!("task/{id}/"), inode) {
            Ok(Table::Holds(file)) => Some(Thread::Holds(file)),
            Ok(_) => None,
            Err(Errno::NOENT | Errno::SRCH) => Some(Thread::Ended),
            Err(e) => return Err(e),
        })
    })?;
    Ok(match found {
        Some(Thread::Holds(file)) => Some(Look::Holds(file)),
        Some(Thread::Ended) => None,
        None => Some(Look::HoldsNot),
    })
}

/// The files of the process, or those `of` one of its threads.
fn files(process: &Entry, of: &str, inode: u64) -> Result<Table, Errno> {
    match table(process, &format!("{of}fd"), inode) {
        // The names of an unreadable program's files are root's. What else there is to say of them is said to whoever
        // may trace the program, which the owner of its user namespace may.
        Err(Errno::ACCESS | Errno::PERM) => table(process, &format!("{of}fdinfo"), inode),
        other => other,
    }
}

fn table(process: &Entry, name: &str, inode: u64) -> Result<Table, Errno> {
    let (files, wanted) = (directory(process, name)?, Wanted::of(inode));
    let mut buffer = [MaybeUninit::uninit(); MANY];
    let mut entries = RawDir::new(&files, &mut buffer);
    let mut is_empty = true;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let Ok(descriptor) = entry.file_name().to_str() else { continue };
        if descriptor.starts_with('.') {
            continue;
        }
        is_empty = false;
        match is_socket(&files, name, descriptor, &wanted) {
            Ok(true) => return Ok(Table::Holds(Held { table: name.to_owned(), descriptor: descriptor.to_owned() })),
            Ok(false) => {}
            // Closed meanwhile.
            Err(Errno::NOENT | Errno::SRCH) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(if is_empty { Table::Empty } else { Table::HoldsNot })
}

fn is_socket(files: &OwnedFd, table: &str, descriptor: &str, wanted: &Wanted) -> Result<bool, Errno> {
    if !table.ends_with("fdinfo") {
        let mut buffer = [MaybeUninit::uninit(); LINK];
        return match readlinkat_raw(files, descriptor, &mut buffer) {
            Ok((target, _)) => Ok(*target == *wanted.link.as_bytes()),
            // A path longer than the kernel shows: a file's.
            Err(Errno::NAMETOOLONG) => Ok(false),
            Err(e) => Err(e),
        };
    }
    let file = openat(files, descriptor, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    for line in BufReader::new(std::fs::File::from(file)).lines() {
        let line = line.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        // A file of the same number in a file system is taken for the socket: one holder too many.
        if let Some(number) = line.strip_prefix("ino:") {
            return Ok(number.trim() == wanted.number);
        }
    }
    // A kernel before 5.14 does not say it.
    Err(Errno::ACCESS)
}

fn directory(process: &Entry, name: &str) -> Result<OwnedFd, Errno> {
    process.open_relative_flags(name, DIRECTORY).map(OwnedFd::from).map_err(|e| errno(&e))
}

/// Of the two errors that mean the end, procfs makes one.
fn errno(error: &ProcError) -> Errno {
    match error {
        ProcError::NotFound(_) => Errno::NOENT,
        ProcError::PermissionDenied(_) => Errno::ACCESS,
        ProcError::Io(error, _) => Errno::from_io_error(error).unwrap_or(Errno::IO),
        _ => Errno::IO,
    }
}

fn cannot_tell(pid: i32, error: &impl std::fmt::Display) -> Untold {
    Untold(format!("process {pid} cannot be looked at: {error}"))
}
