//! What the agent process says on its standard output, one JSON object a line, for the demo to check and to tell.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One thing that happened to the agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "snake_case")]
pub(super) enum Said {
    /// An exchange with the API.
    Exchange(Exchange),
    /// It read what the denial points to.
    Read {
        /// The step's action, `read_skill` and so on.
        action: String,
        /// What it learned, in a few words.
        learned: String,
    },
    /// It posted a proposal.
    Proposed {
        /// `too_broad` or `narrow`.
        which: String,
        /// The operation it posted.
        operation: Value,
        /// The id, where it was accepted.
        accepted: Option<String>,
        /// The reason, where it was not.
        refused: Option<String>,
    },
    /// It waits for the decision.
    Waiting {
        /// For which proposal.
        chunk_id: String,
    },
    /// The decision came.
    Decided {
        /// `approved` and so on.
        status: String,
        /// Whether its proxy enforces it.
        policy_reloaded: bool,
    },
    /// It cannot go on.
    Failed {
        /// At which step.
        step: String,
        /// Why.
        problem: String,
    },
}

/// A request to the API and its answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Exchange {
    /// Which step of the demo this is.
    pub(super) step: Step,
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    pub(super) status: u16,
    /// `x-narrowgate-decision`, where the answer is the proxy's own.
    pub(super) decision: Option<String>,
    /// The answer's body.
    pub(super) body: Value,
    /// How many requests went before on the same TLS connection.
    pub(super) earlier_on_connection: u32,
}

/// The exchanges with the API, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    /// A read that the policy allows.
    AllowedRead,
    /// A write that it does not.
    DeniedWrite,
    /// The same write, granted.
    GrantedWrite,
    /// The upstream really has it.
    ReadBack,
    /// A path beside it.
    DeniedSibling,
}
