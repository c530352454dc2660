//! The routes of held requests and of events.

use narrowgate_core::events::{Activation, Gap, ProposalSummary};
use narrowgate_core::held::{HeldAnswer, HeldList, HeldOutcome, HeldView, Hold, Session};
use schemars::generate::SchemaGenerator;
use serde_json::json;

use super::{Route, Schemas, route};

/// What a proxy calls.
pub(super) fn held_routes(generator: &mut SchemaGenerator) -> Vec<Route> {
    let mut of = Schemas(generator);
    let outcome = of.schema::<HeldOutcome>();
    vec![
        Route {
            body: Some(of.schema::<Hold>()),
            answers: vec![(
                200,
                "It waits, or nobody is asked. The same key again is the same request.",
                Some(outcome.clone()),
            )],
            errors: &[409],
            ..route(
                "post",
                "/v1/sandboxes/{name}/held",
                "Ask a person about a request that no rule allows.",
                &["sandbox (its own)"],
            )
        },
        Route {
            query: &[
                ("wait", "integer", "Seconds to wait for an outcome, at most 300; 0 where absent."),
                ("requests", "integer", "How many requests wait for the answer by now, 1 to 4096; reviewers see it."),
            ],
            answers: vec![(
                200,
                "Where it stands. Reading changes nothing; the grant of an answer `once` can be fetched for a minute. \
                 `waiting` before the time is over where so many wait already.",
                Some(outcome),
            )],
            ..route("get", "/v1/sandboxes/{name}/held/{id}", "The outcome of a held request.", &["sandbox (its own)"])
        },
        Route {
            query: &[("requests", "integer", "With an answer once: how many requests it let through, 1 to 4096.")],
            answers: vec![(204, "It is cancelled if it waited; an answer once is spent.", None)],
            ..route(
                "delete",
                "/v1/sandboxes/{name}/held/{id}",
                "Whoever asked went away, or is done.",
                &["sandbox (its own)"],
            )
        },
        Route {
            body: Some(of.schema::<Session>()),
            answers: vec![(
                204,
                "What was granted for sessions that are over is gone, what waited there cancelled.",
                None,
            )],
            errors: &[409],
            ..route(
                "put",
                "/v1/sandboxes/{name}/session",
                "Say which session runs from now on, or which one is over.",
                &["sandbox (its own)"],
            )
        },
    ]
}

/// What reviewers call.
pub(super) fn reviewer_routes(generator: &mut SchemaGenerator) -> Vec<Route> {
    let mut of = Schemas(generator);
    // What events carry, which no answer's own schema names.
    of.schema::<ProposalSummary>();
    of.schema::<Activation>();
    of.schema::<Gap>();
    let view = of.schema::<HeldView>();
    vec![
        Route {
            query: &[
                ("sandbox", "string", "Only of this sandbox."),
                ("status", "string", "Only with this status; `all` for any, `waiting` where absent."),
            ],
            answers: vec![(
                200,
                "Oldest first; at most 1000 and 8 MiB. What waits before what has ended; of what waits, the oldest of \
                 each sandbox; of what has ended, the newest.",
                Some(of.schema::<HeldList>()),
            )],
            ..route("get", "/v1/held", "List held requests.", &["reviewer", "admin"])
        },
        Route {
            answers: vec![(200, "As of now.", Some(view.clone()))],
            ..route("get", "/v1/held/{id}", "Show a held request.", &["reviewer", "admin"])
        },
        Route {
            body: Some(of.schema::<HeldAnswer>()),
            answers: vec![(200, "Answered.", Some(view))],
            errors: &[409],
            ..route("post", "/v1/held/{id}/answer", "Answer a held request, exactly as it was shown.", &["reviewer"])
        },
        Route {
            answers: vec![(204, "The next such request is asked about again.", None)],
            ..route("delete", "/v1/held/never/{id}", "Take an answer `never` back.", &["reviewer"])
        },
        Route {
            answers: vec![(
                200,
                "text/event-stream: `proposal` and `decision` (ProposalSummary), `activation` (Activation), `held` and \
                 `held_outcome` (HeldView without review_token), `gap` (Gap). From the event after the header \
                 Last-Event-ID, or from now on; at least once, in the order of the changes.",
                Some(json!({ "type": "string" })),
            )],
            errors: &[400, 409],
            ..route("get", "/v1/inbox/events", "Follow what happens.", &["reviewer", "admin"])
        },
    ]
}
