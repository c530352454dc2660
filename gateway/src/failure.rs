//! Why a call did not do what it was asked: whose turn it is decides the variant.

use narrowgate_core::held::HeldView;
use narrowgate_core::wire::ProposalView;

use crate::store::StoreError;
use crate::token::NoRandomness;

/// The caller's turn in every variant but the last.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The body or a parameter is wrong.
    Invalid { code: &'static str, message: String, pointer: Option<String> },
    /// No, or an unknown token.
    Unauthenticated,
    /// Not in this role.
    Forbidden { needs: &'static str },
    /// There is none, or none that this caller may know of.
    NotFound { what: String },
    /// It is there, but not in the state that this needs.
    Conflict { code: &'static str, message: String, proposal: Option<Box<ProposalView>> },
    /// The same of a held request.
    NotAsHeld { code: &'static str, message: String, held: Option<Box<HeldView>> },
    /// The body is larger than this many bytes.
    TooLarge { limit: usize },
    /// The body took too long.
    TooSlow,
    /// So many calls of this sandbox, or of all of them, are answered right now.
    Busy,
    /// Ours. The text goes to the log, not to the caller.
    Internal(String),
}

impl Failure {
    pub(crate) fn invalid(message: impl Into<String>) -> Failure {
        Failure::Invalid { code: "invalid_request", message: message.into(), pointer: None }
    }

    pub(crate) fn no_sandbox(name: &str) -> Failure {
        Failure::NotFound { what: format!("no sandbox {name:?}") }
    }

    pub(crate) fn no_held(id: &str) -> Failure {
        Failure::NotFound { what: format!("no held request {id:?}") }
    }

    pub(crate) fn no_proposal(id: &str) -> Failure {
        Failure::NotFound { what: format!("no proposal {id:?}") }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Invalid { message, .. }
            | Failure::Conflict { message, .. }
            | Failure::NotAsHeld { message, .. } => f.write_str(message),
            Failure::NotFound { what } => f.write_str(what),
            Failure::Internal(detail) => f.write_str(detail),
            Failure::Unauthenticated => f.write_str("a valid token is needed: authorization: Bearer TOKEN"),
            Failure::Forbidden { needs } => write!(f, "this needs {needs}"),
            Failure::TooLarge { limit } => write!(f, "the body is larger than {limit} bytes"),
            Failure::TooSlow => f.write_str("the body took too long"),
            Failure::Busy => f.write_str("too many calls of sandboxes are answered right now; try again in a second"),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Internal(error.to_string())
    }
}

impl From<NoRandomness> for Failure {
    fn from(error: NoRandomness) -> Failure {
        Failure::Internal(error.to_string())
    }
}
