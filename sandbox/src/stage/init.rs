//! The init stage: process 1 inside. Arranges the files, gives up every privilege, starts the command, and reaps.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::channel::{self, Frame, FromInit, Order, ToInit};
use crate::error::SandboxError;
use crate::running::Ended;
use crate::sys::mounts::{self, Replaced};
use crate::sys::{capabilities, landlock, paths, process, seccomp, users};

pub(super) fn run(_argument: &OsStr, channel: &UnixStream) -> io::Result<()> {
    process::end_with_parent()?;
    process::take_signals()?;
    let Some(Frame { message: ToInit::Launch(order), blob, files }) = channel::receive(channel)? else {
        return Ok(());
    };
    if let Some(stdin) = files.first() {
        process::set_stdin(stdin)?;
    }
    drop(files);
    match confine(&order, &blob).and_then(|lacks| Ok((start(&order)?, lacks))) {
        Err(error) => channel::send(channel, &FromInit::Failed(error), &[], &[]),
        Ok((child, lacks)) => {
            channel::send(channel, &FromInit::Started { lacks }, &[], &[])?;
            match supervise(&child, channel)? {
                Some(ended) => channel::send(channel, &FromInit::Ended(ended), &[], &[]),
                // The supervisor is gone. Process 1 ends, and the kernel ends the rest.
                None => Ok(()),
            }
        }
    }
}

/// Everything that is for good, in the order in which each step still has the privileges that it needs.
fn confine(order: &Order, contents: &[u8]) -> Result<Vec<String>, SandboxError> {
    process::check_streams()?;
    let workdir = env::current_dir().ok();
    users::enter_mount_namespace()?;
    let placed = arrange(order, contents)?;
    let filesystem = order.filesystem.as_ref().map(|policy| paths::resolve(policy, workdir.as_deref())).transpose()?;
    if let Some(filesystem) = &filesystem {
        mounts::read_only_but(&filesystem.read_write)?;
    }
    // The directory that this process is in may have been covered: it is entered again by its name. Where that is nothing,
    // the root is where the command starts, and not what a policy means by the working directory.
    let workdir = workdir.filter(|workdir| env::set_current_dir(workdir).is_ok());
    if workdir.is_none() {
        env::set_current_dir("/").map_err(|error| SandboxError::stage("init", format!("/: {error}")))?;
    }

    let failed = |what: &'static str| {
        move |reason: rustix::io::Errno| SandboxError::Confine { what: what.to_owned(), reason: reason.to_string() }
    };
    capabilities::give_up().map_err(failed("capabilities"))?;
    let lacks = landlock::restrict(filesystem.as_ref(), &placed)?;
    process::be_opaque().map_err(failed("what /proc tells of process 1"))?;
    process::keep_descriptors_from_children();
    seccomp::install()?;
    Ok(lacks)
}

/// What the command sees of the machine's files. Says where the placed ones are.
fn arrange(order: &Order, contents: &[u8]) -> Result<Vec<PathBuf>, SandboxError> {
    mounts::make_private()?;
    mounts::proc()?;
    mounts::read_only_below(Path::new("/sys"))?;
    mounts::dev()?;
    mounts::no_devices()?;
    mounts::no_kernel_files()?;
    let mut replaced = Replaced::default();
    // Sockets of the machine's services are in there.
    replaced.cover_directory(Path::new("/run"), 0o755)?;
    mounts::stage()?;
    for path in &order.hidden {
        replaced.hide(Path::new(path))?;
    }
    for (directory, names) in &order.covers.sockets {
        let Some(directory) = mounts::open_path(Path::new(directory)) else { continue };
        names.iter().try_for_each(|name| replaced.cover_socket(&directory, name))?;
    }
    let kept: Vec<&Path> = order.covers.kept.iter().map(Path::new).collect();
    for directory in &order.covers.emptied {
        replaced.empty_but(Path::new(directory), &kept)?;
    }
    if let Some(directory) = runtime_directory(order) {
        mounts::empty_directory_in_run(directory)?;
    }
    let mut placed = Vec::new();
    let mut rest = contents;
    for (path, length) in &order.files {
        let (content, after) = rest.split_at_checked(*length).unwrap_or((rest, &[]));
        rest = after;
        placed.push(replaced.place(Path::new(path), content)?);
    }
    mounts::unstage()?;
    replaced.seal()?;
    Ok(placed)
}

/// The directory for sockets of a user's programs, which programs expect to be theirs, empty and writable.
fn runtime_directory(order: &Order) -> Option<&Path> {
    let (_, value) = order.environment.iter().find(|(name, _)| name == "XDG_RUNTIME_DIR")?;
    Some(Path::new(value)).filter(|path| path.starts_with("/run/user"))
}

fn start(order: &Order) -> Result<Child, SandboxError> {
    let Some((program, arguments)) = order.command.split_first() else { return Err(SandboxError::NoCommand) };
    let environment = order.environment.iter().map(|(name, value)| (name, value));
    Command::new(program).args(arguments).env_clear().envs(environment).spawn().map_err(|error| {
        let command = program.to_string_lossy().into_owned();
        match error.kind() {
            io::ErrorKind::NotFound => SandboxError::CommandNotFound { command },
            // A directory of the path that cannot be searched makes `exec` say so, though there is nothing anywhere.
            io::ErrorKind::PermissionDenied if !is_anywhere(program, order) => {
                SandboxError::CommandNotFound { command }
            }
            _ => SandboxError::CommandNotExecutable { command, reason: error.to_string() },
        }
    })
}

/// Whether there is such a file, as named or in the path.
fn is_anywhere(program: &OsStr, order: &Order) -> bool {
    let program = Path::new(program);
    let path = order.environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value);
    let is_named = program.components().count() > 1;
    is_named || path.is_some_and(|path| env::split_paths(path).any(|directory| directory.join(program).exists()))
}

/// Waits for the command's end, reaps what it leaves behind, passes signals on. `None` where the supervisor is gone.
fn supervise(child: &Child, channel: &UnixStream) -> io::Result<Option<Ended>> {
    // The command would have inherited that this signal is blocked, so it is only now; what ended before is reaped first.
    let children = process::children_that_end()?;
    loop {
        while children.read_signal().is_ok_and(|signal| signal.is_some()) {}
        while let Some((pid, status)) = process::reap()? {
            if u32::try_from(pid).ok() != Some(child.id()) {
                continue;
            }
            if let Some(signal) = status.terminating_signal() {
                return Ok(Some(Ended::Signal(signal)));
            }
            if let Some(code) = status.exit_status() {
                return Ok(Some(Ended::Code(u8::try_from(code).unwrap_or(u8::MAX))));
            }
        }
        let (said, _) = process::wait_for(channel.as_fd(), children.as_fd())?;
        if said {
            match channel::receive(channel)? {
                Some(Frame { message: ToInit::Signal(signal), .. }) => process::signal(child, signal)?,
                Some(Frame { .. }) => {}
                None => return Ok(None),
            }
        }
    }
}
