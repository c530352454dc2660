//! The listener: a task per connection, and where each of its requests goes.

use std::convert::Infallible;
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
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::body::Body;
use crate::connect::connect;
use crate::exchange::Conversation;
use crate::forward::Wire;
use crate::policy_local;
use crate::respond::{Attempt, Denied, error};
use crate::shared::{Peer, Shared, now};
use crate::strict::Strict;

/// More wait in the system's queue.
const MOST_CONNECTIONS: usize = 4096;
/// For a whole message head, and for the next one on a connection that is kept alive.
const HEAD: Duration = Duration::from_secs(60);
/// For what is in flight when the proxy stops.
const GRACE: Duration = Duration::from_secs(2);

/// Accepts until the proxy stops.
pub(crate) async fn listen(shared: Arc<Shared>, listener: TcpListener) {
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
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
                let shared = shared.clone();
                shared.tasks.clone().spawn(async move {
                    let Ok(proxy) = stream.local_addr() else { return };
                    let peer = Peer::identify(client, proxy, &shared.sandbox, None, slot).await;
                    serve(shared, peer, stream).await;
                });
            }
            Err(e) => {
                // Out of file descriptors, most often; what holds them must get a chance to let go.
                tracing::warn!("accept: {e}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(shared: Arc<Shared>, peer: Arc<Peer>, stream: TcpStream) {
    if let Err(e) = stream.set_nodelay(true) {
        tracing::debug!("no TCP_NODELAY: {e}");
    }
    let stop = shared.stop.clone();
    let conversation = Arc::new(Conversation::new(shared, peer));
    serve_http(stream, &stop, move |request, verdict| {
        let conversation = conversation.clone();
        async move { dispatch(&conversation, request, verdict).await }
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
    conversation: &Conversation,
    request: Request<Incoming>,
    verdict: Option<&'static str>,
) -> Response<Body> {
    let (shared, peer) = (&conversation.shared, &conversation.peer);
    let who = &*peer.who().await;
    let refuse = |attempt: Attempt, why: &str| {
        let enforced = shared.active.load(now());
        shared.deny(who, &attempt, Denied::malformed(why), enforced.as_deref())
    };
    if let Some(why) = verdict {
        return refuse(Attempt::unread(None, Wire::Plain), why);
    }
    let ambiguous = |why: &str| refuse(Attempt::nowhere(request.method()), why);
    if request.method() == Method::CONNECT {
        return connect(shared, peer, who, request).await;
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
        return match same_host(&request, &to) {
            true => policy_local::answer(shared, who, request).await,
            false => ambiguous("the host header and the request target name different hosts"),
        };
    }
    if request.uri().authority().is_none() {
        return not_a_server();
    }
    if to.port == Port::HTTPS {
        return ambiguous("plain HTTP to port 443: use https://, through CONNECT");
    }
    conversation.exchange(&to, Wire::Plain, who, request).await
}

/// What is for `policy.local` must be for nothing else.
fn same_host(request: &Request<Incoming>, to: &Authority) -> bool {
    request.headers().get_all(HOST).iter().all(|host| {
        host.to_str()
            .ok()
            .and_then(|host| Authority::parse(host, Some(Port::HTTP)).ok())
            .is_some_and(|host| host == *to)
    })
}

fn not_a_server() -> Response<Body> {
    let message =
        "this is a proxy: send CONNECT or an absolute http:// target; the agent's API is http://policy.local/";
    error(StatusCode::BAD_REQUEST, "not_a_server", message, json!({}))
}
