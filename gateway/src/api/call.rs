//! Who calls, and the room that the call takes until it is answered.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;

use crate::crowd::{Connection, InUse};
use crate::failure::Failure;
use crate::room::{Place, Room, Rooms};
use crate::service::Service;
use crate::store::Caller;
use crate::token::Token;

/// A call of somebody who said who they are. Every handler holds it until it has its answer: until then the connection
/// does not make way for another, and a sandbox's place is taken.
pub(super) struct Call {
    caller: Caller,
    /// Of a sandbox; people need none.
    _place: Option<Place>,
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
        Call::within(&[&service.rooms.work], parts, service).await
    }
}

/// A call of a proxy that says what is over.
pub(super) struct Ending(pub(super) Call);

impl FromRequestParts<Arc<Service>> for Ending {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Ending, Failure> {
        Call::within(&[&service.rooms.ends, &service.rooms.work], parts, service).await.map(Ending)
    }
}

impl Call {
    /// In the first of the rooms that has a place.
    async fn within(rooms: &[&Room], parts: &Parts, service: &Service) -> Result<Call, Failure> {
        let caller = caller(parts, service).await?;
        let place = match &caller.sandbox {
            Some(sandbox) => Some(rooms.iter().find_map(|room| room.take(sandbox)).ok_or(Failure::Busy)?),
            None => None,
        };
        Ok(Call { caller, _place: place, _connection: connection(parts) })
    }

    /// Keeps the place until the change is done, also where the caller goes away: or who comes and goes would have any
    /// number of changes under way.
    pub(super) async fn until<T>(self, change: impl Future<Output = T>) -> T {
        let done = change.await;
        drop(self);
        done
    }
}

/// What a call may wait for, each with a room of its own.
pub(super) trait Awaited {
    fn room(rooms: &Rooms) -> &Room;
}

/// A person.
pub(super) struct Person;

impl Awaited for Person {
    fn room(rooms: &Rooms) -> &Room {
        &rooms.waits
    }
}

/// The next policy.
pub(super) struct NextPolicy;

impl Awaited for NextPolicy {
    fn room(rooms: &Rooms) -> &Room {
        &rooms.watches
    }
}

/// A call that may wait. Where the room for that is full, it is one that looks how things stand.
pub(super) struct Poll<A> {
    call: Call,
    /// There is no room to wait.
    pub(super) is_cut: bool,
    awaited: PhantomData<A>,
}

impl<A> Deref for Poll<A> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.call
    }
}

impl<A: Awaited> FromRequestParts<Arc<Service>> for Poll<A> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Poll<A>, Failure> {
        let caller = caller(parts, service).await?;
        let (place, is_cut) = match &caller.sandbox {
            None => (None, false),
            Some(sandbox) => match A::room(&service.rooms).take(sandbox) {
                Some(place) => (Some(place), false),
                None => (Some(service.rooms.work.take(sandbox).ok_or(Failure::Busy)?), true),
            },
        };
        let call = Call { caller, _place: place, _connection: connection(parts) };
        Ok(Poll { call, is_cut, awaited: PhantomData })
    }
}

impl<A> Poll<A> {
    /// For how long it waits that would wait so long.
    pub(super) fn time(&self, asked: Duration) -> Duration {
        if self.is_cut { Duration::ZERO } else { asked }
    }
}

async fn caller(parts: &Parts, service: &Service) -> Result<Caller, Failure> {
    let mut given = parts.headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return Err(Failure::Unauthenticated) };
    let (scheme, token) =
        value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or(Failure::Unauthenticated)?;
    let token =
        Token::parse(token.trim()).filter(|_| scheme.eq_ignore_ascii_case("bearer")).ok_or(Failure::Unauthenticated)?;
    service.store.caller(&token).await?.ok_or(Failure::Unauthenticated)
}

fn connection(parts: &Parts) -> Option<InUse> {
    parts.extensions.get::<Arc<Connection>>().map(Connection::in_use)
}
