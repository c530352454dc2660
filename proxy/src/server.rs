//! The listener: a task per connection, and where each of its requests goes.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::HOST;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use narrowgate_core::request::{Authority, Port};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::body::Body;
use crate::connect::connect;
use crate::doors::{Door, Names, captured, socks};
use crate::exchange::Conversation;
use crate::forward::Wire;
use crate::policy_local;
use crate::respond::{Attempt, Denied, error};
use crate::shared::{Peer, Shared, Who, now};
use crate::stream::Client;
use crate::strict::Strict;

/// More wait in the system's queue.
const MOST_CONNECTIONS: usize = 4096;
/// For a whole message head, and for the next one on a connection that is kept alive.
pub(crate) const HEAD: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 60 });
/// For what is in flight when the proxy stops.
const GRACE: Duration = Duration::from_secs(2);

/// How many clients are connected, through whatever door.
pub(crate) fn slots() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MOST_CONNECTIONS))
}

/// Accepts at `door` until the proxy stops.
pub(crate) async fn listen(shared: Arc<Shared>, door: Door, listener: TcpListener, slots: Arc<Semaphore>) {
    let door = Arc::new(door);
    loop {
        let accept = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            accepted = accept => accepted,
            () = shared.stop.cancelled() => return,
        };
        let Ok(slot) = slot else { return };
        match accepted {
            Ok((stream, client)) => {
                let (shared, door) = (shared.clone(), door.clone());
                shared.tasks.clone().spawn(async move { enter(shared, &door, stream, client, slot).await });
            }
            Err(e) => {
                // Out of file descriptors, most often; what holds them must get a chance to let go.
                tracing::warn!("accept: {e}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn enter(shared: Arc<Shared>, door: &Door, stream: TcpStream, from: SocketAddr, slot: OwnedSemaphorePermit) {
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!("no TCP_NODELAY: {e}");
    }
    // The other end as the client's own socket has it, which is what it is found by in the system's table.
    let destination = match door {
        Door::Proxy(_) => stream.local_addr(),
        Door::Captured(_) => captured::original_destination(&stream),
    };
    let destination = match destination {
        Ok(destination) => destination,
        Err(e) => {
            tracing::warn!("a connection from {from} is closed, where it was to go is not known: {e}");
            return captured::reset(&stream);
        }
    };
    let peer = Peer::identify(from, destination, &shared.sandbox, door.namespace(), slot).await;
    let client = Client { shared, peer };
    match door {
        Door::Proxy(inside) => explicit(client, inside.as_ref().map(|inside| &*inside.names), stream).await,
        Door::Captured(inside) => captured::serve(client, &inside.names, destination, stream).await,
    }
}

/// A client that knows of the proxy: HTTP or SOCKS, by the first byte.
async fn explicit(client: Client, names: Option<&Names>, stream: TcpStream) {
    let mut first = [0];
    let peeked = tokio::select! {
        peeked = tokio::time::timeout(HEAD, stream.peek(&mut first)) => peeked,
        () = client.shared.stop.cancelled() => return,
    };
    let Ok(Ok(1..)) = peeked else { return };
    match first {
        [socks::VERSION] => socks::serve(client, names, stream).await,
        [socks::VERSION_4] => socks::reject_version_4(&client, stream).await,
        _ => serve(client, stream).await,
    }
}

async fn serve(client: Client, stream: TcpStream) {
    let stop = client.shared.stop.clone();
    let conversation = Arc::new(Conversation::new(client.shared.clone(), client.peer.clone()));
    let client = Arc::new(client);
    serve_http(stream, &stop, move |request, verdict| {
        let (client, conversation) = (client.clone(), conversation.clone());
        async move { dispatch(&client, &conversation, request, verdict).await }
    })
    .await;
}

/// Serves HTTP/1 on `stream`, read strictly: `answer` gets each request, and why it must be refused if it must.
pub(crate) async fn serve_http<S, A, F>(stream: S, stop: &CancellationToken, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Fn(Request<Incoming>, Option<&'static str>) -> F,
    F: Future<Output = Response<Body>>,
{
    let (strict, verdicts) = Strict::new(stream);
    let count = AtomicU64::new(0);
    let service = service_fn(|request| {
        // Requests of one connection are answered one after the other, in the order in which they were read.
        let verdict = verdicts.of(count.fetch_add(1, Ordering::Relaxed));
        let answer = answer(request, verdict);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(strict), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(GRACE, connection.as_mut()).await {
                Ok(result) => result,
                Err(_) => return,
            }
        }
    };
    if let Err(e) = result {
        tracing::debug!("client connection: {e}");
    }
}

/// Where a request to the proxy itself goes, by the form of its target.
async fn dispatch(
    client: &Client,
    conversation: &Conversation,
    request: Request<Incoming>,
    verdict: Option<&'static str>,
) -> Response<Body> {
    let shared = &client.shared;
    let who = &*client.peer.who().await;
    let refuse = |attempt: Attempt, why: &str| {
        let enforced = shared.active.load(now());
        shared.deny(who, &attempt, Denied::malformed(why), enforced.as_deref())
    };
    if let Some(why) = verdict {
        return refuse(Attempt::unread(None, Wire::Plain), why);
    }
    let ambiguous = |why: &str| refuse(Attempt::nowhere(request.method()), why);
    if request.method() == Method::CONNECT {
        return connect(client, who, request).await;
    }
    let named = match (request.uri().scheme_str(), request.uri().authority()) {
        (Some("http"), Some(authority)) => authority.as_str(),
        (Some("https"), _) => {
            let message = "https:// goes through CONNECT; set the proxy as an HTTP proxy for HTTPS";
            return error(StatusCode::BAD_REQUEST, "use_connect", message, json!({}));
        }
        (None, None) => match request.headers().get(HOST).map(|host| host.to_str()) {
            Some(Ok(host)) => host,
            _ => return not_a_server(),
        },
        _ => return ambiguous("the request target is neither a path nor an http:// URL"),
    };
    let to = match Authority::parse(named, Some(Port::HTTP)) {
        Ok(to) => to,
        Err(why) => return ambiguous(&why.to_string()),
    };
    if to.host.as_str() == policy_local::HOST {
        return answer_policy_local(shared, who, &to, request).await;
    }
    if request.uri().authority().is_none() {
        return not_a_server();
    }
    if to.port == Port::HTTPS {
        return ambiguous("plain HTTP to port 443: use https://, through CONNECT");
    }
    conversation.exchange(&to, Wire::Plain, who, request).await
}

/// Answers a request to `policy.local`, which came on its way `to` there.
pub(crate) async fn answer_policy_local(
    shared: &Arc<Shared>,
    who: &Who,
    to: &Authority,
    request: Request<Incoming>,
) -> Response<Body> {
    if same_host(&request, to) {
        return policy_local::answer(shared, who, request).await;
    }
    let why = Denied::malformed("the host header and the request target name different hosts");
    shared.deny(who, &Attempt::nowhere(request.method()), why, shared.active.load(now()).as_deref())
}

/// What is for `policy.local` must be for nothing else.
fn same_host(request: &Request<Incoming>, to: &Authority) -> bool {
    let hosts = request.headers().get_all(HOST).iter().map(|host| host.to_str().ok());
    let target = request.uri().authority().map(|authority| Some(authority.as_str()));
    hosts.chain(target).all(|named| {
        named.and_then(|named| Authority::parse(named, Some(Port::HTTP)).ok()).is_some_and(|named| named == *to)
    })
}

fn not_a_server() -> Response<Body> {
    let message =
        "this is a proxy: send CONNECT or an absolute http:// target; the agent's API is http://policy.local/";
    error(StatusCode::BAD_REQUEST, "not_a_server", message, json!({}))
}
