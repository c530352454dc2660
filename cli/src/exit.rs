//! Exit codes, and the one error type that every verb ends in.

use thiserror::Error;

/// How a command ended, as scripts see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Within the ceiling, allowed, or simply done.
    Done,
    /// Exceeds the ceiling, denied, or not what was asked to be confirmed.
    Refused,
    /// A usage mistake or an input that is not valid.
    Invalid,
    /// Neither yes nor no: unsupported, inconclusive, or not answered.
    Undecided,
    /// Two engines contradict each other: a defect here.
    Disagreed,
    /// Ended by Ctrl-C.
    Interrupted,
    /// As a command ended that was run.
    Command(u8),
}

impl Exit {
    /// The number given to the operating system.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Refused => 1,
            Exit::Invalid => 2,
            Exit::Undecided => 3,
            Exit::Disagreed => 4,
            Exit::Interrupted => 130,
            Exit::Command(code) => code,
        }
    }
}

/// Why a command could not do what it was asked; the message is what the person reads.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The answer is no.
    #[error("{0}")]
    Refused(String),
    /// Something that was given is wrong, and the message says what would be right.
    #[error("{0}")]
    Invalid(String),
    /// There is no answer.
    #[error("{0}")]
    Undecided(String),
    /// The reader of our output went away (`narrowgate … | head`): nothing to complain about.
    #[error("the reader of the output went away")]
    BrokenPipe,
}

impl Failure {
    pub(crate) fn invalid(message: impl std::fmt::Display) -> Failure {
        Failure::Invalid(message.to_string())
    }

    pub(crate) fn refused(message: impl std::fmt::Display) -> Failure {
        Failure::Refused(message.to_string())
    }

    pub(crate) fn undecided(message: impl std::fmt::Display) -> Failure {
        Failure::Undecided(message.to_string())
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Refused(_) => Exit::Refused,
            Failure::Invalid(_) => Exit::Invalid,
            Failure::Undecided(_) => Exit::Undecided,
            Failure::BrokenPipe => Exit::Done,
        }
    }
}

/// What a verb returns.
pub(crate) type Ended = Result<Exit, Failure>;
