//! `GET /v1/inbox/events`: server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_core::Stream;
use tokio::sync::mpsc;

use super::call::Call;
use crate::events::{MOST_FOLLOWERS, Sent};
use crate::failure::Failure;
use crate::service::Service;
use crate::token::Role;

/// So that both sides notice a connection that is dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// `GET /v1/inbox/events`
pub(super) async fn follow(
    State(service): State<Arc<Service>>,
    caller: Call,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    caller.needs(&[Role::Reviewer, Role::Admin])?;
    let after = headers.get("last-event-id").map(|id| {
        let number = id.to_str().ok().and_then(|id| id.parse::<u64>().ok());
        number.ok_or_else(|| Failure::invalid(format!("Last-Event-ID {id:?} is not the id of an event")))
    });
    let Some(events) = service.follow(after.transpose()?).await? else {
        return Err(Failure::NotAsHeld {
            code: "busy",
            message: format!("{MOST_FOLLOWERS} follow already"),
            held: None,
        });
    };
    Ok(Sse::new(Events { events, _call: caller }).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

/// The call is answered for as long as it is followed.
struct Events {
    events: mpsc::Receiver<Sent>,
    _call: Call,
}

impl Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(context).map(|sent| sent.map(|sent| Ok(event(sent))))
    }
}

/// Data is JSON without line breaks, as the database writes it.
fn event(sent: Sent) -> Event {
    match sent {
        Sent::Event(row) => Event::default().id(row.seq().to_string()).event(row.kind).data(row.data),
        Sent::Gap(gap) => {
            let data = serde_json::to_string(&gap).unwrap_or_default();
            Event::default().event("gap").data(data)
        }
    }
}
