//! Why there is no sandbox.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a sandbox was not made, or a command not started in it. Nothing of it is left then.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum SandboxError {
    /// The kernel does not let this user have namespaces. The operator's turn.
    #[error("cannot create {what}: {reason}; {enable}")]
    Namespaces {
        /// Which one.
        what: String,
        /// What the kernel said.
        reason: String,
        /// What would have to be set for it to be allowed.
        enable: String,
    },
    /// Addresses, routes or listeners inside could not be set up.
    #[error("cannot set up the network inside: {what}: {reason}")]
    Network {
        /// Which part.
        what: String,
        /// What the kernel said.
        reason: String,
    },
    /// Redirects could not be set up. The operator's turn.
    #[error(
        "cannot redirect connections inside: {what}: {reason}; the kernel needs the modules nf_tables, nft_chain_nat, \
         nft_redir and nft_reject_inet (Linux 5.2 or newer)"
    )]
    Redirect {
        /// Which rule.
        what: String,
        /// What the kernel said.
        reason: String,
    },
    /// The files inside could not be arranged.
    #[error("cannot arrange the files inside: {what}: {reason}")]
    Files {
        /// Which path or mount.
        what: String,
        /// What the kernel said, or what would have been right.
        reason: String,
    },
    /// A filesystem policy was given that this kernel cannot enforce. The operator's turn.
    #[error("cannot enforce the filesystem policy: {reason}; the kernel needs Landlock (5.13, and `landlock` in lsm=)")]
    Landlock {
        /// What is missing.
        reason: String,
    },
    /// Privileges could not be given up.
    #[error("cannot confine the command: {what}: {reason}")]
    Confine {
        /// Which privilege or filter.
        what: String,
        /// What the kernel said.
        reason: String,
    },
    /// A standard stream would be a way out.
    #[error("{stream} is {what}, which would be a way out of the sandbox; it may be a terminal, a file or a pipe")]
    Stream {
        /// `stdin`, `stdout` or `stderr`.
        stream: String,
        /// What it is.
        what: String,
    },
    /// A file of the policy is reached through a link that the command of an earlier run could have made.
    #[error(
        "the filesystem policy names {path}, which leads through the link {link}, and that lies where the policy lets the \
         command write: it could lead anywhere; name what is meant, or remove the link"
    )]
    Link {
        /// As named.
        path: String,
        /// The link.
        link: String,
    },
    /// This process ignores `SIGCHLD`, as does all that it starts: nobody would learn how the command ended.
    #[error(
        "SIGCHLD is ignored here, so that nobody would learn how the command ends; do not start this with it ignored"
    )]
    IgnoredChildren,
    /// No command was given.
    #[error("there is no command to run; give at least a program's name")]
    NoCommand,
    /// No such program.
    #[error("{command:?}: command not found")]
    CommandNotFound {
        /// As given.
        command: String,
    },
    /// There is such a file, but it does not run.
    #[error("{command:?} cannot be executed: {reason}")]
    CommandNotExecutable {
        /// As given.
        command: String,
        /// What the kernel said.
        reason: String,
    },
    /// A stage ended, or said something else than it should. Ours to mend.
    #[error("the sandbox's {stage} stage failed: {reason}")]
    Stage {
        /// `network` or `init`.
        stage: String,
        /// What happened.
        reason: String,
    },
}

impl SandboxError {
    /// What a shell would exit with: 127 for a command that is not found, 126 for one that does not run, and 125 where
    /// the sandbox itself failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::CommandNotFound { .. } => 127,
            Self::CommandNotExecutable { .. } => 126,
            _ => 125,
        }
    }

    pub(crate) fn stage(stage: &str, reason: impl ToString) -> Self {
        Self::Stage { stage: stage.to_owned(), reason: reason.to_string() }
    }
}
