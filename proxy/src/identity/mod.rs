//! Who opened this connection? The program behind a local client, read from `/proc`.
//!
//! The way: both ends of the connection name a socket in the kernel's table; its inode names the processes that hold
//! it; each of those names a live executable, opened through `/proc/PID/exe` and hashed as it runs. Everything about a
//! process goes through one open handle of its `/proc` directory, which a reused pid cannot satisfy, and is read again
//! at the end: a process that let go of the socket, or became another program meanwhile, starts the search anew.
//!
//! Whoever holds the socket can write to it, so that all its holders count. With one executable they are one client
//! (forked children), and only ancestors that all of them have are theirs; with several, ownership is ambiguous.
//!
//! What this does not see: a socket in flight inside another socket's queue, a file table that one thread keeps to
//! itself, holders whose `/proc` entries this user may not read, and what a program was made to do by its environment
//! or by an interpreter's script. It tells programs apart that do not conspire as the same user; the sandbox keeps
//! apart the rest.

mod executable;
mod socket;

use std::net::SocketAddr;
use std::time::Duration;

use narrowgate_core::request::Process;
use procfs::process::Process as Entry;

use executable::{Executable, Unidentified};
use socket::SocketError;

/// How far up a chain of parents is read.
const ANCESTORS: usize = 32;
/// How long a program that is being started may take to close what it was not given.
const SETTLE: Duration = Duration::from_millis(5);
/// How often a search starts anew because something changed under it.
const ATTEMPTS: usize = 4;

/// Whose connection it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Exactly one program.
    Known(Process),
    /// More than one program, or one that hides what it is: to be denied. The text says why, for the log.
    Ambiguous(String),
    /// Nobody on this machine, or nobody whose files may be read: a process without a path, which only rules that ask
    /// for no binary match. The text says why, for the log.
    Unknown(String),
}

/// Identifies the process at `peer` of the connection from `peer` to `local`. Blocks on file reads: not for a thread
/// that runs an async executor.
pub(crate) fn identify(peer: SocketAddr, local: SocketAddr, sandbox: &str) -> Identity {
    let (peer, local) = (socket::canonical(peer), socket::canonical(local));
    if !peer.ip().is_loopback() && peer.ip() != local.ip() {
        return Identity::Unknown(format!("{} is not this machine", peer.ip()));
    }
    for _ in 0..ATTEMPTS {
        if let Some(identity) = attempt(peer, local, sandbox) {
            return identity;
        }
    }
    Identity::Ambiguous("the processes that hold the client's socket keep changing".into())
}

/// One search; `None` if something changed while it ran.
fn attempt(peer: SocketAddr, local: SocketAddr, sandbox: &str) -> Option<Identity> {
    let inode = match socket::inode(peer, local) {
        Ok(inode) => inode,
        Err(SocketError::Gone) => return Some(Identity::Unknown("the client's socket is closed".into())),
        Err(SocketError::Unreadable(problem)) => return Some(Identity::Unknown(problem)),
    };
    let owners = socket::owners(inode);
    let mut found: Option<(Executable, Vec<String>)> = None;
    for owner in &owners {
        let executable = match executable::of(owner) {
            Ok(executable) => executable,
            Err(Unidentified::Gone) => return None,
            Err(Unidentified::Unreadable(problem)) => return Some(Identity::Unknown(problem)),
            Err(Unidentified::Hidden(problem)) => return Some(Identity::Ambiguous(problem)),
        };
        let ancestors = ancestors(owner);
        match &mut found {
            None => found = Some((executable, ancestors)),
            Some((first, shared)) if *first == executable => shared.retain(|path| ancestors.contains(path)),
            Some((first, _)) => {
                // A client that starts another program: the kernel names the new executable a moment before it closes
                // the descriptors that are not the new program's. Who shares the socket on purpose still does later.
                std::thread::sleep(SETTLE);
                if !socket::holds(owner, inode) || !executable::is_still(owner, &executable) {
                    return None;
                }
                let both = format!("{} and {} share the client's socket", first.path, executable.path);
                return Some(Identity::Ambiguous(both));
            }
        }
    }
    let Some((executable, ancestors)) = found else {
        return Some(Identity::Unknown("no process whose files may be read holds the client's socket".into()));
    };
    let unchanged = |owner: &Entry| socket::holds(owner, inode) && executable::is_still(owner, &executable);
    if !owners.iter().all(unchanged) {
        return None;
    }
    let Executable { path, sha256, .. } = executable;
    Some(Identity::Known(Process { path, sha256, ancestors, sandbox: sandbox.to_owned() }))
}

/// The executables of the parents, nearest first. One that cannot be named (unreadable, deleted, replaced) is left out:
/// a name that is not there grants nothing.
fn ancestors(process: &Entry) -> Vec<String> {
    let mut names = Vec::new();
    let mut above: Option<Entry> = None;
    for _ in 0..ANCESTORS {
        let Some(parent) = parent(above.as_ref().unwrap_or(process)) else { break };
        if let Ok(name) = executable::name(&parent)
            && !names.contains(&name)
        {
            names.push(name);
        }
        above = Some(parent);
    }
    names
}

/// The parent, held open; `None` at the top, or if the parent ended meanwhile.
fn parent(child: &Entry) -> Option<Entry> {
    let ppid = child.stat().ok()?.ppid;
    let parent = Entry::new(ppid).ok().filter(|_| ppid > 0)?;
    // A child whose parent ends is given another one. As it still has this one, the pid was not reused before we opened it.
    (child.stat().ok()?.ppid == ppid).then_some(parent)
}

#[cfg(test)]
mod tests;
