//! Processes: descriptors, signals, ends.

use std::io::{self, stderr, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal as Number};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Resource, Signal, WaitOptions, WaitStatus, getrlimit, kill_process, pidfd_open,
    set_dumpable_behavior, set_parent_process_death_signal, setrlimit,
};

use crate::error::SandboxError;

/// Signals that are the command's: a terminal sends them to all of a process group, and a stage must not end, or stop,
/// for one.
pub(crate) fn leave_signals_to_the_command() -> Result<(), Errno> {
    let mut set = SigSet::all();
    set.remove(Number::SIGCONT);
    set.thread_block().map_err(from_nix)
}

/// Blocks nothing, as a command expects, which inherits it. Process 1 of a namespace need not: the kernel ignores for it
/// whatever it does not handle.
pub(crate) fn take_signals() -> Result<(), Errno> {
    SigSet::empty().thread_set_mask().map_err(from_nix)
}

/// A descriptor that is readable when a child has ended, from now on.
pub(crate) fn children_that_end() -> Result<SignalFd, Errno> {
    let mut set = SigSet::empty();
    set.add(Number::SIGCHLD);
    set.thread_block().map_err(from_nix)?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map_err(from_nix)
}

/// Whether this process, and so all that it starts, ignores that a child ends: the kernel reaps for those, and nobody
/// learns how a command ended.
pub(crate) fn ignores_ends_of_children() -> io::Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default().trim();
    let ignored = u64::from_str_radix(ignored, 16).map_err(io::Error::other)?;
    Ok(ignored >> (libc::SIGCHLD - 1) & 1 == 1)
}

/// Ends, by `SIGKILL`, when its parent does. Only for a stage whose parent has one thread: it is the *thread* that
/// started it whose end counts.
pub(crate) fn end_with_parent() -> Result<(), Errno> {
    set_parent_process_death_signal(Some(Signal::KILL))
}

/// Nobody without capabilities reads its memory, environment, descriptors or executable through `/proc`.
pub(crate) fn be_opaque() -> Result<(), Errno> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// This process's stdin, as a descriptor that does not reach a child.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    stdin().as_fd().try_clone_to_owned()
}

/// Makes a descriptor this process's stdin.
pub(crate) fn set_stdin(file: &OwnedFd) -> Result<(), Errno> {
    rustix::stdio::dup2_stdin(file)
}

/// No descriptor but stdin, stdout and stderr reaches a child.
pub(crate) fn keep_descriptors_from_children() {
    close_fds::set_fds_cloexec(3, &[]);
}

/// Standard streams pass through, so none may be a way out: a socket of the outer network could be connected anew, and
/// from a directory `..` leads under what covers files.
pub(crate) fn check_streams() -> Result<(), SandboxError> {
    let (input, output, error) = (stdin(), stdout(), stderr());
    let streams = [("stdin", input.as_fd()), ("stdout", output.as_fd()), ("stderr", error.as_fd())];
    for (stream, file) in streams {
        if let Some(what) = way_out(file).map_err(|errno| SandboxError::stage("init", errno))? {
            return Err(SandboxError::Stream { stream: stream.to_owned(), what });
        }
    }
    Ok(())
}

fn way_out(file: BorrowedFd<'_>) -> Result<Option<String>, Errno> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode);
    Ok(match kind {
        FileType::Directory => Some("a directory".to_owned()),
        FileType::BlockDevice => Some("a block device".to_owned()),
        FileType::Socket => match rustix::net::sockopt::socket_domain(file)? {
            // What Node and others make instead of pipes, and what stays connected. Any other could be connected to an
            // abstract name of the network that it was made in.
            AddressFamily::UNIX if is_stream(file)? && rustix::net::getpeername(file).is_ok() => None,
            AddressFamily::UNIX => Some("a Unix socket that is no connected stream".to_owned()),
            other => Some(format!("a socket of address family {}", other.as_raw())),
        },
        _ => None,
    })
}

fn is_stream(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    let kind = rustix::net::sockopt::socket_type(file)?;
    Ok(kind == SocketType::STREAM || kind == SocketType::SEQPACKET)
}

/// Waits until one of two descriptors is readable or closed, and says which are.
pub(crate) fn wait_for(first: BorrowedFd<'_>, second: BorrowedFd<'_>) -> Result<(bool, bool), Errno> {
    loop {
        let mut ready = [first, second].map(|file| PollFd::from_borrowed_fd(file, PollFlags::IN));
        match poll(&mut ready, None) {
            Err(Errno::INTR) => {}
            Err(other) => return Err(other),
            Ok(_) => {
                let [first, second] = ready.map(|file| !file.revents().is_empty());
                return Ok((first, second));
            }
        }
    }
}

/// Readable when the child has ended. The child must not have been reaped.
pub(crate) fn end_of(child: &Child) -> Result<OwnedFd, Errno> {
    pidfd_open(pid(child)?, PidfdFlags::empty())
}

/// Whether a child that was not reaped ends within a time.
pub(crate) fn ends_within(child: &Child, time: Duration) -> bool {
    let Ok(end) = end_of(child) else { return false };
    let timeout = Timespec { tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: 0 };
    loop {
        match poll(&mut [PollFd::new(&end, PollFlags::IN)], Some(&timeout)) {
            Err(Errno::INTR) => {}
            ended => return ended.is_ok_and(|count| count > 0),
        }
    }
}

/// Reaps one child that has ended, whosever it was: process 1 inherits orphans.
pub(crate) fn reap() -> Result<Option<(i32, WaitStatus)>, Errno> {
    match rustix::process::wait(WaitOptions::NOHANG) {
        Ok(ended) => Ok(ended.map(|(pid, status)| (pid.as_raw_pid(), status))),
        Err(Errno::CHILD) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Sends a signal to a child that was not reaped.
pub(crate) fn signal(child: &Child, signal: i32) -> Result<(), Errno> {
    kill_process(pid(child)?, Signal::from_named_raw(signal).ok_or(Errno::INVAL)?)
}

fn pid(child: &Child) -> Result<Pid, Errno> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)
}

fn from_nix(errno: nix::errno::Errno) -> Errno {
    Errno::from_raw_os_error(errno as i32)
}

/// Lets this process have as many files open as it may. What it started before keeps the limit that it has.
pub fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused, it stays as it was: enough for a few hundred connections.
    let _ = setrlimit(Resource::Nofile, limit);
}
