//! Who calls, and the room that the call takes until it is answered.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;

use crate::crowd::{Connection, InUse};
use crate::failure::Failure;
use crate::room::{Place, Room};
use crate::service::Service;
use crate::store::Caller;
use crate::token::Token;

/// A call of somebody who said who they are. Every handler holds it until it has its answer: until then the connection
/// does not make way for another, and a sandbox's place is taken.
pub(super) struct Call {
    caller: Caller,
    /// Of a sandbox; people need none.
    place: Option<Place>,
    _connection: Option<InUse>,
}

impl Deref for Call {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl FromRequestParts<Arc<Service>> for Call {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Call, Failure> {
        let mut given = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else { return Err(Failure::Unauthenticated) };
        let (scheme, token) =
            value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or(Failure::Unauthenticated)?;
        let token = Token::parse(token.trim())
            .filter(|_| scheme.eq_ignore_ascii_case("bearer"))
            .ok_or(Failure::Unauthenticated)?;
        let caller = service.store.caller(&token).await?.ok_or(Failure::Unauthenticated)?;
        let place = match &caller.sandbox {
            Some(sandbox) => Some(service.rooms.work.take(sandbox).ok_or(Failure::Busy)?),
            None => None,
        };
        let connection = parts.extensions.get::<Arc<Connection>>().map(Connection::in_use);
        Ok(Call { caller, place, _connection: connection })
    }
}

/// For how long a call may wait.
pub(super) struct Wait {
    pub(super) time: Duration,
    /// Not for as long as it asked for: so many wait already.
    pub(super) is_cut: bool,
}

impl Call {
    /// Makes a call one that waits, which is another kind of room. Where that is full, it still gets to know how things
    /// stand, but does not wait.
    pub(super) fn wait(&mut self, room: &Room, time: Duration) -> Wait {
        let Some(sandbox) = self.caller.sandbox.as_deref().filter(|_| !time.is_zero()) else {
            return Wait { time, is_cut: false };
        };
        match room.take(sandbox) {
            Some(place) => {
                self.place = Some(place);
                Wait { time, is_cut: false }
            }
            None => Wait { time: Duration::ZERO, is_cut: true },
        }
    }
}
