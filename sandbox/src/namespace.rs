//! A namespace that exists and in which nothing runs yet.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::channel::{self, Frame, FromInit, FromNetwork, Order, StartInit, ToInit};
use crate::covers::{Covers, MOST};
use crate::error::SandboxError;
use crate::running::Running;
use crate::spec::{Entry, Spec};
use crate::stage::NETWORK;
use crate::sys;

/// How long a stage may take to say anything. Milliseconds are usual; a machine under load may need a second.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the network stage may take to end everything.
const GRACE: Duration = Duration::from_secs(5);

/// A namespace: created, nothing runs in it yet. Dropping it ends it.
#[derive(Debug)]
pub struct Namespace {
    stage: Stage,
    lacks: Vec<String>,
}

/// Listeners opened inside the namespace, for the supervisor to accept from. They block.
#[derive(Debug)]
pub struct Doors {
    /// `127.0.0.1:3128`, for clients that know that there is a proxy.
    pub proxy: TcpListener,
    /// Every other connection to any address but the loopback ones: IPv4, and IPv6 where the kernel has it. Where a
    /// connection was going is `getsockopt(SO_ORIGINAL_DST)`; one that was made to the listener itself says the
    /// listener's own address, and goes nowhere.
    pub captured: Vec<TcpListener>,
    /// Port 53 of every address, UDP and TCP. Where the kernel has IPv6 both are of that family and take IPv4 too, as
    /// `::ffff:127.0.0.1`.
    pub resolver: (UdpSocket, TcpListener),
}

/// Which network a sandbox has.
#[derive(Clone, Debug)]
pub struct Network {
    pid: i32,
}

impl Network {
    /// A process that lives in the network for as long as the sandbox: `/proc/PID/net/tcp` is its table. Nothing of the
    /// command's.
    pub fn pid(&self) -> i32 {
        self.pid
    }
}

/// The network stage, which is killed and reaped when it is dropped: everything inside ends with it.
#[derive(Debug)]
pub(crate) struct Stage {
    child: Child,
    pub(crate) channel: UnixStream,
}

impl Stage {
    /// Ends everything inside and waits for it.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        // The stage kills init when its supervisor is gone, and ends after it. Only where it does not, it is killed
        // itself: init dies with its parent.
        let _ = self.channel.shutdown(Shutdown::Both);
        if !sys::process::ends_within(&self.child, GRACE) {
            self.child.kill()?;
        }
        self.child.wait().map(drop)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl Namespace {
    /// Makes the namespaces and opens the listeners inside; `entry` says how this program is started as a stage. Takes
    /// some milliseconds, and blocks for them.
    ///
    /// # Errors
    /// Where the kernel does not let this user have namespaces, or cannot redirect, or this process ignores `SIGCHLD`.
    pub fn create(entry: &Entry) -> Result<(Self, Doors), SandboxError> {
        let failed = |reason: io::Error| SandboxError::stage("network", reason);
        if sys::process::ignores_ends_of_children().map_err(failed)? {
            return Err(SandboxError::IgnoredChildren);
        }
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        ours.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        // The environment is the command's, not the stages': whoever reads a stage's finds nothing.
        let child = Command::new(&entry.program)
            .arg(&entry.argument)
            .arg(NETWORK)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .map_err(|error| failed(io::Error::other(format!("{}: {error}", entry.program.display()))))?;
        let stage = Stage { child, channel: ours };
        let frame: Option<Frame<FromNetwork>> = channel::receive(&stage.channel).map_err(failed)?;
        match frame {
            Some(Frame { message: FromNetwork::Ready { lacks }, files, .. }) => {
                let doors =
                    Doors::from_files(files).ok_or_else(|| failed(io::Error::other("listeners are missing")))?;
                Ok((Self { stage, lacks }, doors))
            }
            Some(Frame { message: FromNetwork::Failed(error), .. }) => Err(error),
            other => Err(failed(io::Error::other(format!("said {other:?} instead of what it made")))),
        }
    }

    /// The network that it has.
    pub fn network(&self) -> Network {
        // Pids fit: the kernel's limit is 2^22.
        Network { pid: i32::try_from(self.stage.child.id()).unwrap_or(i32::MAX) }
    }

    /// What the kernel does not have and the sandbox does without, one sentence each, for a person.
    pub fn lacks(&self) -> &[String] {
        &self.lacks
    }

    /// Starts the command, with this process's stdin, stdout, stderr and working directory, in its process group.
    ///
    /// # Errors
    /// [`SandboxError::CommandNotFound`] and [`SandboxError::CommandNotExecutable`] are the command's, the rest are the
    /// sandbox's. Nothing is left in either case.
    pub fn launch(self, spec: Spec) -> Result<Running, SandboxError> {
        if spec.command.is_empty() {
            return Err(SandboxError::NoCommand);
        }
        let failed = |reason: io::Error| SandboxError::stage("init", reason);
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        channel::send(&self.stage.channel, &StartInit, &[], &[theirs.as_fd()]).map_err(failed)?;
        drop(theirs);
        ours.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let (order, contents, lacks_outside) = order(spec)?;
        let stdin = io::stdin();
        let sent = channel::send(&ours, &ToInit::Launch(Box::new(order)), &contents, &[stdin.as_fd()]);
        match channel::receive(&ours) {
            Ok(Some(Frame { message: FromInit::Started { lacks }, .. })) => {
                let all = self.lacks.iter().cloned().chain(lacks_outside).chain(lacks).collect();
                ours.set_read_timeout(None).map_err(failed)?;
                Ok(Running::new(self.stage, ours, all))
            }
            Ok(Some(Frame { message: FromInit::Failed(error), .. })) => Err(error),
            Ok(other) => {
                sent.map_err(failed)?;
                Err(failed(io::Error::other(format!("said {other:?} instead of whether the command runs"))))
            }
            Err(error) => Err(failed(error)),
        }
    }
}

impl Doors {
    fn from_files(files: Vec<OwnedFd>) -> Option<Self> {
        let mut files = files.into_iter();
        let proxy = files.next()?.into();
        let resolver = (files.next()?.into(), files.next()?.into());
        let captured: Vec<TcpListener> = files.map(TcpListener::from).collect();
        (!captured.is_empty()).then_some(Self { proxy, captured, resolver })
    }
}

/// The order, the contents of its files, and what is missing.
fn order(spec: Spec) -> Result<(Order, Vec<u8>, Vec<String>), SandboxError> {
    let kept = kept(&spec);
    let mut environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    environment
        .retain(|(name, _)| !spec.without.contains(name) && !spec.environment.iter().any(|(set, _)| set == name));
    environment.extend(spec.environment);
    // Read out here, where the host's are listed, and as late as possible.
    let (listeners, is_complete) = sys::sockets::listeners(MOST)
        .map_err(|error| SandboxError::stage("init", format!("the machine's sockets: {error}")))?;
    let covers = Covers::of(listeners, &kept)?;
    let mut lacks = covers.lacks();
    if !is_complete {
        lacks.push("not every socket was looked for: there are too many names and directories".to_owned());
    }
    let mut contents = Vec::new();
    let mut files = Vec::new();
    for file in spec.files {
        files.push((file.path.into_os_string(), file.content.len()));
        contents.extend(file.content);
    }
    let order = Order {
        command: spec.command,
        environment,
        files,
        hidden: spec.hidden.into_iter().map(PathBuf::into_os_string).collect(),
        covers,
        filesystem: spec.filesystem,
    };
    Ok((order, contents, lacks))
}

/// What has to stay where it is: where the command works, what its policy names, the program.
fn kept(spec: &Spec) -> BTreeSet<PathBuf> {
    let workdir = std::env::current_dir().and_then(fs::canonicalize).ok();
    let program = spec.command.first().map(Path::new).filter(|program| program.components().count() > 1);
    let policy = spec.filesystem.iter().flat_map(|policy| policy.read_only.iter().chain(&policy.read_write));
    let named = policy.map(PathBuf::as_path).chain(program).filter_map(|path| fs::canonicalize(path).ok());
    // What everybody writes in may be one's own.
    let is_for_everybody =
        |path: &Path| fs::metadata(path).is_ok_and(|data| sys::mounts::is_for_everybody(data.permissions().mode()));
    named.filter(|path| !is_for_everybody(path)).chain(workdir).collect()
}
