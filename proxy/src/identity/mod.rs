//! Who opened this connection? The program behind a local client, read from `/proc`.
//!
//! The way: both ends of the connection name a socket in the kernel's table; its inode names the processes that hold
//! it; each of those names a live executable, opened through `/proc/PID/exe` and hashed as it runs. Everything about a
//! process goes through one open handle of its `/proc` directory, which a reused pid cannot satisfy, and is read again
//! at the end: a holder that became another program meanwhile starts the search anew, one that let go is no holder.
//!
//! Whoever holds the socket can write to it, so that all its holders count. With one executable they are one client
//! (forked children), and only ancestors that all of them have are theirs; with several, ownership is ambiguous.
//!
//! A sandbox may be another network namespace: the table is then that of a process in it, whose other namespaces change
//! nothing here, since pids and sockets are read as this process sees them. For a captured connection the client's
//! socket still names the destination that it asked for, and is looked up by that. Where two captured sockets share
//! address and port, the kernel gives one of them another port on the way; that client is unknown.
//!
//! Of each process it is told that it holds the socket, that it does not, or neither; a search that cannot be told of one
//! has no answer, and the client is ambiguous. A program can make itself unreadable, and in a sandbox it then is such a
//! process. Outside of one it is passed over, as are other users' processes, which an ordinary user cannot read either.
//!
//! What this does not see: a socket in flight inside another socket's queue, unreadable holders outside of a sandbox, and
//! what a program was made to do by its environment or by an interpreter's script.
//!
//! A connection can change hands, so that what was found is looked at again before every request, by its [`Evidence`].
//! That has a limit which looking cannot remove: identity by `/proc` tells programs apart that do not work together. A
//! process that may exec an allowed binary can lend itself its name: it connects, sends, and becomes that binary before
//! the first look, and the socket then is the allowed binary's. A sandbox with a supervisor of its own, which sees every
//! exec and every connect, is what will close it.

mod command;
mod descent;
mod executable;
mod holders;
mod listing;
mod socket;

use std::net::SocketAddr;
use std::time::Duration;

use narrowgate_core::request::Process;
use procfs::process::Process as Entry;

pub(crate) use command::CommandLine;
use descent::parent;
use executable::{Executable, Unidentified, View};
use holders::{Held, Look, Untold};
use socket::SocketError;

/// How far up a chain of parents is read.
const ANCESTORS: usize = 32;
/// How long a program that is being started may take to close what it was not given.
const SETTLE: Duration = Duration::from_millis(5);
/// How often a search starts anew because something changed under it.
const ATTEMPTS: usize = 8;

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

/// What an [`Identity::Known`] rests on.
#[derive(Debug, Clone)]
pub(crate) struct Evidence {
    inode: u64,
    executable: Executable,
    owners: Vec<Owner>,
    view: View,
}

/// One run of a program: pids are used again, pids with their start times are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Execution {
    /// As this process's `/proc` numbers it.
    pub(crate) pid: i32,
    /// In clock ticks since the machine started.
    pub(crate) started: u64,
}

/// A process that holds the socket.
#[derive(Debug, Clone)]
struct Owner {
    pid: i32,
    /// With the pid, which process: pids are used again.
    started: u64,
    /// The file that is the socket.
    file: Held,
}

impl Evidence {
    /// Whom the connection is attributed to. Of several holders, the one that started first: the others are its children,
    /// or those of whoever opened the socket, and what they do with it is done on its behalf.
    pub(crate) fn execution(&self) -> Option<Execution> {
        let executions = self.owners.iter().map(|owner| Execution { pid: owner.pid, started: owner.started });
        executions.min_by_key(|execution| (execution.started, execution.pid))
    }

    /// The command line of [`execution`](Evidence::execution), as it has it now, without secrets. `None` where that
    /// process is gone.
    pub(crate) fn command(&self) -> Option<CommandLine> {
        let execution = self.execution()?;
        let process = Entry::new(execution.pid).ok()?;
        let command = command::of(&process)?;
        process.stat().is_ok_and(|stat| stat.starttime == execution.started).then_some(command)
    }

    /// Whether each of the owners is still the same process, running the same file, with the same socket. Some tens of
    /// microseconds; does not see an owner that came later.
    pub(crate) fn stands(&self) -> bool {
        self.owners.iter().all(|owner| {
            let Ok(process) = Entry::new(owner.pid) else { return false };
            holders::holds_as(&process, &owner.file, self.inode)
                && executable::is_still(&process, &self.executable, self.view)
                // Last: the handle still is of a process that lives, and so was all along.
                && process.stat().is_ok_and(|stat| stat.starttime == owner.started)
        })
    }

    /// As [`stands`](Evidence::stands), and that nobody else holds the socket. Reads all of `/proc`.
    pub(crate) fn is_complete(&self) -> bool {
        let Ok(owners) = holders::owners(self.inode, self.view.sandbox) else { return false };
        let known = |process: &Entry| self.owners.iter().any(|owner| owner.pid == process.pid);
        owners.len() == self.owners.len() && owners.iter().all(known) && self.stands()
    }
}

/// Identifies the process at `peer` of the connection from `peer` to `local`, with evidence where it is known. Blocks
/// on file reads: not for a thread that runs an async executor.
///
/// With `namespace`, the connection is in the network namespace of that process, which must be alive: everybody there is
/// on this machine, whatever the addresses say.
pub(crate) fn identify(
    peer: SocketAddr,
    local: SocketAddr,
    sandbox: &str,
    namespace: Option<i32>,
) -> (Identity, Option<Evidence>) {
    let (peer, local) = (socket::canonical(peer), socket::canonical(local));
    if namespace.is_none() && !peer.ip().is_loopback() && peer.ip() != local.ip() {
        return (Identity::Unknown(format!("{} is not this machine", peer.ip())), None);
    }
    for _ in 0..ATTEMPTS {
        if let Some((identity, evidence)) = attempt(peer, local, sandbox, namespace) {
            return (identity, evidence);
        }
    }
    (Identity::Ambiguous("the processes that hold the client's socket keep changing".into()), None)
}

/// One search; `None` if something changed while it ran.
fn attempt(
    peer: SocketAddr,
    local: SocketAddr,
    sandbox: &str,
    namespace: Option<i32>,
) -> Option<(Identity, Option<Evidence>)> {
    let view = View { sandbox: namespace };
    let unknown = |why: String| Some((Identity::Unknown(why), None));
    let ambiguous = |why: String| Some((Identity::Ambiguous(why), None));
    let inode = match socket::inode(peer, local, namespace) {
        Ok(inode) => inode,
        Err(SocketError::Gone) => return unknown("the client's socket is closed".into()),
        Err(SocketError::Unreadable(problem)) => return unknown(problem),
    };
    let entries = match holders::owners(inode, namespace) {
        Ok(entries) => entries,
        Err(Untold(problem)) => return ambiguous(problem),
    };
    let mut holders = Vec::new();
    for entry in &entries {
        match executable::of(entry, view) {
            Ok(executable) => holders.push(Holder { entry, executable, ancestors: ancestors(entry, view) }),
            Err(Unidentified::Gone) => match holders::look(entry, inode, namespace) {
                Ok(Look::HoldsNot) => {}
                // It was another of its threads that ended.
                _ => return None,
            },
            Err(Unidentified::Unreadable(problem)) => return unknown(problem),
            Err(Unidentified::Hidden(problem) | Unidentified::Untold(problem)) => return ambiguous(problem),
        }
    }
    if differ(&holders).is_some() {
        // A client that starts another program: the kernel names the new executable a moment before it closes the
        // descriptors that are not the new program's. Who shares the socket on purpose still does later.
        std::thread::sleep(SETTLE);
        holders.retain(|holder| !matches!(holders::look(holder.entry, inode, namespace), Ok(Look::HoldsNot)));
        if let Some((one, other)) = differ(&holders) {
            let both = format!("{} and {} share the client's socket", one.path, other.path);
            return holders.iter().all(|holder| holder.is_still(view)).then_some((Identity::Ambiguous(both), None));
        }
    }
    let Some(first) = holders.first() else {
        // Somebody held it when the search began: it changed hands.
        return if entries.is_empty() {
            unknown("no process whose files may be read holds the client's socket".into())
        } else {
            None
        };
    };
    let executable = first.executable.clone();
    let mut ancestors = first.ancestors.clone();
    let mut owners = Vec::new();
    for holder in &holders {
        // Who let go of it meanwhile, a child that became another program most often, no longer matters.
        let file = match holders::look(holder.entry, inode, namespace) {
            Ok(Look::Holds(file)) => file,
            Ok(Look::HoldsNot) => continue,
            Ok(Look::Forbidden) => return None,
            Err(Untold(problem)) => return ambiguous(problem),
        };
        if !holder.is_still(view) {
            return None;
        }
        let started = holder.entry.stat().ok()?.starttime;
        ancestors.retain(|path| holder.ancestors.contains(path));
        owners.push(Owner { pid: holder.entry.pid, started, file });
    }
    if owners.is_empty() {
        return None;
    }
    let Executable { path, sha256, .. } = executable.clone();
    let process = Process { path, sha256, ancestors, sandbox: sandbox.to_owned() };
    Some((Identity::Known(process), Some(Evidence { inode, executable, owners, view })))
}

/// A process that held the socket when it was looked for, and what it was then.
struct Holder<'a> {
    entry: &'a Entry,
    executable: Executable,
    ancestors: Vec<String>,
}

impl Holder<'_> {
    fn is_still(&self, view: View) -> bool {
        executable::is_still(self.entry, &self.executable, view)
    }
}

/// Two executables among the holders, where there are two.
fn differ<'a>(holders: &'a [Holder<'_>]) -> Option<(&'a Executable, &'a Executable)> {
    let first = &holders.first()?.executable;
    let other = holders.iter().find(|holder| holder.executable != *first)?;
    Some((first, &other.executable))
}

/// The executables of the parents, nearest first. One that cannot be named (unreadable, deleted, replaced) is left out:
/// a name that is not there grants nothing.
fn ancestors(process: &Entry, view: View) -> Vec<String> {
    let mut names = Vec::new();
    let mut above: Option<Entry> = None;
    for _ in 0..ANCESTORS {
        let Some(parent) = parent(above.as_ref().unwrap_or(process)) else { break };
        if let Ok(name) = executable::name(&parent, view)
            && !names.contains(&name)
        {
            names.push(name);
        }
        above = Some(parent);
    }
    names
}

#[cfg(test)]
mod tests;
