//! What became of a question, in the one form that responses, log lines and events are made from: they cannot disagree.

use http::HeaderValue;
use narrowgate_core::denial::{HeldDenial, ReviewerNo};
use narrowgate_core::held::{HeldOutcome, HeldStatus};

/// Who or what decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The policy in force.
    Policy,
    /// A person.
    Reviewer,
    /// Nobody, in time: an answer that does not come is no permission.
    Timeout,
    /// The gateway, before a person was asked: it cannot be granted here.
    Ceiling,
}

impl Source {
    /// As in log lines.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Policy => "policy",
            Source::Reviewer => "reviewer",
            Source::Timeout => "timeout",
            Source::Ceiling => "ceiling",
        }
    }
}

/// The question that a request waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// `h_…`
    pub held_id: String,
    /// Until when it could wait, RFC 3339.
    pub deadline: String,
}

/// How a request came to its decision, where it waited or would have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// Who decided.
    pub source: Source,
    /// What a person was asked; absent where nobody was.
    pub held: Option<Mention>,
    /// How a person said no, now or before.
    pub answer: Option<ReviewerNo>,
    /// The person who answered.
    pub decided_by: Option<String>,
    /// Their words, or why nobody was asked.
    pub message: Option<String>,
}

impl Review {
    /// What `outcome` says.
    pub(crate) fn of(outcome: &HeldOutcome) -> Review {
        let code = outcome.message.as_deref().and_then(|message| message.split(':').next()).unwrap_or_default();
        let source = match outcome.status {
            // Nobody was asked: what is in force has it, or is about to.
            HeldStatus::Once | HeldStatus::Session | HeldStatus::Always if outcome.held_id.is_none() => Source::Policy,
            HeldStatus::Once | HeldStatus::Session | HeldStatus::Always | HeldStatus::Denied | HeldStatus::Never => {
                Source::Reviewer
            }
            HeldStatus::Refused if ["outside_org_ceiling", "not_proven"].contains(&code) => Source::Ceiling,
            HeldStatus::Refused => Source::Policy,
            HeldStatus::Waiting | HeldStatus::TimedOut | HeldStatus::Cancelled => Source::Timeout,
        };
        let held = outcome
            .held_id
            .clone()
            .map(|held_id| Mention { held_id, deadline: outcome.deadline.clone().unwrap_or_default() });
        let answer = match outcome.status {
            HeldStatus::Denied => Some(ReviewerNo::No),
            HeldStatus::Never => Some(ReviewerNo::Never),
            _ => None,
        };
        Review { source, held, answer, decided_by: outcome.decided_by.clone(), message: outcome.message.clone() }
    }

    /// The same question, decided by the policy before anybody answered, or against what they answered.
    pub(crate) fn by_policy(self) -> Review {
        Review { source: Source::Policy, answer: None, decided_by: None, message: None, ..self }
    }

    /// As a denial tells it; `None` where no person had a part in it.
    pub(crate) fn denial(&self) -> Option<HeldDenial> {
        if self.held.is_none() && self.answer.is_none() {
            return None;
        }
        let (held_id, deadline) = self.held.clone().map(|held| (held.held_id, held.deadline)).unzip();
        Some(HeldDenial {
            held_id,
            deadline,
            answer: self.answer,
            decided_by: self.decided_by.clone(),
            message: self.message.clone(),
        })
    }

    /// As a response's header tells it.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let held = self.held.as_ref()?;
        HeaderValue::from_str(&format!("{}; deadline={}", held.held_id, held.deadline)).ok()
    }
}
