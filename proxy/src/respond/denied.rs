//! Why a request is denied.

use http::StatusCode;
use narrowgate_core::blocked::Blocked;
use narrowgate_core::decide::{Reason, Refusal};
use narrowgate_core::denial::DeniedOperation;
use narrowgate_core::request::Host;

/// Why a request is denied, and in whose words.
#[derive(Debug, Clone)]
pub(crate) struct Denied {
    pub(super) refusal: Refusal,
    pub(super) words: Words,
    /// Those that are not allowed, where a plugin said what the request means.
    pub(super) operations: Vec<DeniedOperation>,
    pub(super) status: StatusCode,
}

#[derive(Debug, Clone)]
pub(super) enum Words {
    /// The general sentence about the reason.
    General,
    /// A particular one in its place.
    Instead(String),
    /// Why a plugin has no answer, in the general one.
    Cause(String),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Denied {
        Denied { refusal, words: Words::General, operations: Vec::new(), status: StatusCode::FORBIDDEN }
    }
}

impl Denied {
    /// A denial that no rule of a policy gave.
    pub(crate) fn new(reason: Reason) -> Denied {
        Refusal::because(reason).into()
    }

    /// No policy is in force.
    pub(crate) fn unavailable() -> Denied {
        Denied::new(Reason::PolicyUnavailable)
    }

    /// Whether a rule could have allowed it: nothing else forbids it.
    pub(crate) fn is_grantable(&self) -> bool {
        matches!(self.refusal.reason, Reason::NoMatchingRule | Reason::LeaseExpired)
            && self.status == StatusCode::FORBIDDEN
    }

    /// The same request's denial for another reason, which no rule gave.
    pub(crate) fn turned(&self, reason: Reason) -> Denied {
        let policy = self.refusal.policy.clone();
        Denied::new(reason).of(self.operations.clone()).under(policy)
    }

    /// The request has no single reading.
    pub(crate) fn ambiguous(why: &str) -> Denied {
        Denied::new(Reason::RequestAmbiguous).because(why)
    }

    /// The message itself is broken, or names two destinations: 400, since there is no one request to deny.
    pub(crate) fn malformed(why: &str) -> Denied {
        Denied { status: StatusCode::BAD_REQUEST, ..Denied::ambiguous(why) }
    }

    /// The destination is one that no policy opens.
    pub(crate) fn blocked(host: &Host, blocked: Blocked) -> Denied {
        let why = format!("{host} is a {} address, which no sandbox may reach", blocked.class);
        Denied::new(Reason::DestinationBlocked).because(why)
    }

    /// What was to be read of the request before it is decided did not come in time.
    pub(crate) fn slow(why: &str) -> Denied {
        Denied { status: StatusCode::REQUEST_TIMEOUT, ..Denied::unasked(why) }
    }

    /// A plugin has no answer, or could not be asked: the sentence says whose turn it is.
    pub(crate) fn unasked(why: &str) -> Denied {
        Denied { words: Words::Cause(why.to_owned()), ..Denied::new(Reason::PluginError) }
    }

    /// The plugin found that the request has no single reading.
    pub(crate) fn two_readings(why: &str) -> Denied {
        Denied { words: Words::Cause(why.to_owned()), ..Denied::new(Reason::RequestAmbiguous) }
    }

    /// Says which operations are not allowed.
    pub(crate) fn of(mut self, operations: Vec<DeniedOperation>) -> Denied {
        self.operations = operations;
        self
    }

    /// Names the entry that governs the destination.
    pub(crate) fn under(mut self, policy: Option<String>) -> Denied {
        self.refusal.policy = policy;
        self
    }

    /// Replaces the general sentence about the reason with a particular one. Never holds a query, header or body.
    pub(crate) fn because(mut self, why: impl Into<String>) -> Denied {
        self.words = Words::Instead(why.into());
        self
    }
}
