//! A command that runs in a sandbox.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use serde::{Deserialize, Serialize};

use crate::channel::{self, Frame, FromInit, ToInit};
use crate::namespace::Stage;

/// A command that runs. Dropping it kills it, and everything that it started.
#[derive(Debug)]
pub struct Running {
    stage: Stage,
    init: Arc<Init>,
    lacks: Vec<String>,
    ended: Option<Ended>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// By itself, with an exit code.
    Code(u8),
    /// By a signal; 9 (`SIGKILL`) too where the whole sandbox was killed.
    Signal(i32),
}

impl Ended {
    /// What a shell would exit with: the code, or 128 and the signal.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => u8::try_from(signal.saturating_add(128)).unwrap_or(u8::MAX),
        }
    }
}

/// Reaches a command from any thread. Outlives it harmlessly.
#[derive(Clone, Debug)]
pub struct Handle {
    init: Arc<Init>,
}

/// The channel to the init stage: frames go out under the lock, one thread reads.
#[derive(Debug)]
struct Init {
    channel: UnixStream,
    sending: Mutex<()>,
}

const SIGKILL: i32 = libc::SIGKILL;

impl Running {
    pub(crate) fn new(stage: Stage, channel: UnixStream, lacks: Vec<String>) -> Self {
        let init = Arc::new(Init { channel, sending: Mutex::new(()) });
        Self { stage, init, lacks, ended: None }
    }

    /// Blocks until the command has ended, and with it everything that it started. Again the same afterwards.
    ///
    /// # Errors
    /// Where a stage cannot be waited for.
    pub fn wait(&mut self) -> io::Result<Ended> {
        if let Some(ended) = self.ended {
            return Ok(ended);
        }
        let ended = self.read_end()?;
        self.stage.end()?;
        self.ended = Some(ended);
        Ok(ended)
    }

    /// To signal or kill the command from elsewhere.
    pub fn handle(&self) -> Handle {
        Handle { init: Arc::clone(&self.init) }
    }

    /// What the kernel does not have and the sandbox does without, one sentence each, for a person: what
    /// [`crate::Namespace::lacks`] said, and what was found since.
    pub fn lacks(&self) -> &[String] {
        &self.lacks
    }

    fn read_end(&self) -> io::Result<Ended> {
        loop {
            let channels = [self.init.channel.as_fd(), self.stage.channel.as_fd()];
            let mut ready = channels.map(|channel| PollFd::from_borrowed_fd(channel, PollFlags::IN));
            match poll(&mut ready, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            let [init, _] = ready;
            if init.revents().is_empty() {
                // The network stage says nothing any more: it has ended, and init is about to.
                let _ = self.init.channel.shutdown(Shutdown::Both);
            }
            return match channel::receive(&self.init.channel)? {
                Some(Frame { message: FromInit::Ended(ended), .. }) => Ok(ended),
                Some(Frame { .. }) => continue,
                None => Ok(Ended::Signal(SIGKILL)),
            };
        }
    }
}

impl Handle {
    /// Sends a signal to the command itself.
    ///
    /// # Errors
    /// `InvalidInput` where there is no such signal, `BrokenPipe` where the command has ended.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        if rustix::process::Signal::from_named_raw(signal).is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{signal} is no signal; 1 to 31 are")));
        }
        let _sending = self.init.sending.lock().unwrap_or_else(PoisonError::into_inner);
        channel::send(&self.init.channel, &ToInit::Signal(signal), &[], &[])
    }

    /// Kills the command and everything that it started. [`Running::wait`] then says [`Ended::Signal`] of 9.
    ///
    /// # Errors
    /// Where the channel cannot be shut, which is never.
    pub fn kill(&self) -> io::Result<()> {
        // The init stage ends when its supervisor is gone, and so do all.
        match self.init.channel.shutdown(Shutdown::Both) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            other => other,
        }
    }
}
