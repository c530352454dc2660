//! `CONNECT`: refused, relayed as opaque bytes, or opened and read.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HOST, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use narrowgate_core::decide::{Permit, Reason, Route};
use narrowgate_core::request::{self, Authority, Operation, Port};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader};

use crate::body::{Body, empty};
use crate::exchange::Conversation;
use crate::forward::Wire;
use crate::grant::Watch;
use crate::held;
use crate::policy_local;
use crate::respond::{Attempt, Denied, bad_gateway, error};
use crate::server;
use crate::shared::{Peer, Shared, Who, now};
use crate::{tls, tunnel};

/// A client that was told to go on and says nothing is not waited for longer.
const FIRST_BYTE: Duration = Duration::from_secs(30);
/// The first byte of a TLS record that holds a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// Answers a `CONNECT`. Until the answer is 200, no byte of the tunnel was read and nothing was dialled but with a permit.
pub(crate) async fn connect(
    shared: &Arc<Shared>,
    peer: &Arc<Peer>,
    who: &Who,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    let mut response = answer(shared, peer, who, &request, upgrade).await;
    if !response.status().is_success() {
        // What a client sends after a CONNECT belongs to the tunnel, so that a connection without one has no use.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn answer(
    shared: &Arc<Shared>,
    peer: &Arc<Peer>,
    who: &Who,
    request: &Request<Incoming>,
    upgrade: OnUpgrade,
) -> Response<Body> {
    let watch = Watch::new(shared);
    let now = now();
    let enforced = shared.active.load(now);
    let deny = |attempt: &Attempt, denied| shared.deny(who, attempt, denied, enforced.as_deref());
    let to = match destination(request) {
        Ok(to) => to,
        Err(why) => return deny(&Attempt::nowhere(request.method()), Denied::malformed(&why)),
    };
    let mut attempt = Attempt::tunnel(&to);
    if to.host.as_str() == policy_local::HOST {
        let message = "policy.local speaks plain HTTP: GET http://policy.local/v1/skill through the proxy";
        return error(StatusCode::BAD_REQUEST, "policy_local_is_plain_http", message, json!({}));
    }
    if let Some(why) = &who.refusal {
        return deny(&attempt, Denied::ambiguous(why));
    }
    if let Some(blocked) = shared.dialer.always_blocked(&to.host, to.port) {
        return deny(&attempt, Denied::blocked(&to.host, blocked));
    }
    let Some(policy) = enforced.as_deref() else {
        return deny(&attempt, Denied::new(Reason::PolicyUnavailable));
    };
    match policy.snapshot.route(&who.process, &to.host, to.port, now) {
        Route::Deny(refusal) => {
            let (denied, client) = (Denied::from(refusal), (shared, peer));
            // A person is asked about a request, which says what is wanted, rather than about a host.
            if held::asks(policy, &denied) && [Port::HTTP, Port::HTTPS].contains(&to.port) {
                let conversation = Arc::new(Conversation::new(shared.clone(), peer.clone()));
                shared.tasks.spawn(inspect(conversation, to, upgrade));
                return Response::new(empty());
            }
            match held::stream(client, who, &to, &mut attempt, denied, enforced).await {
                Ok(held::Passed { permit, watch, .. }) => {
                    let mut response = opaque(shared, peer, who, &attempt, &permit, &watch, upgrade).await;
                    attempt.mark(&mut response);
                    response
                }
                Err(denied) => shared.deny(who, &attempt, denied, shared.active.load(self::now()).as_deref()),
            }
        }
        Route::Opaque(permit) => opaque(shared, peer, who, &attempt, &permit, &watch, upgrade).await,
        Route::Inspect => {
            let conversation = Arc::new(Conversation::new(shared.clone(), peer.clone()));
            shared.tasks.spawn(inspect(conversation, to, upgrade));
            Response::new(empty())
        }
    }
}

/// The one destination that the request names.
fn destination(request: &Request<Incoming>) -> Result<Authority, String> {
    let target = request.uri().authority().map(|authority| authority.as_str()).unwrap_or_default();
    let to = Authority::parse(target, None).map_err(|e| e.to_string())?;
    for host in request.headers().get_all(HOST) {
        let host = host.to_str().map_err(|_| "the host header is not ASCII".to_owned())?;
        let host = Authority::parse(host, Some(to.port)).map_err(|e| e.to_string())?;
        if host != to {
            return Err(format!("CONNECT {to} with the host header {host}"));
        }
    }
    Ok(to)
}

async fn opaque(
    shared: &Arc<Shared>,
    peer: &Arc<Peer>,
    who: &Who,
    attempt: &Attempt,
    permit: &Permit,
    watch: &Watch,
    upgrade: OnUpgrade,
) -> Response<Body> {
    if let Err(unlogged) = shared.allow(who, attempt, permit) {
        return unlogged;
    }
    let upstream = match shared.dialer.connect(permit).await {
        Ok(upstream) => upstream,
        Err(e) => match e.reason() {
            Some(reason) => {
                let denied = Denied::new(reason).because(e.to_string());
                return shared.deny(who, attempt, denied, shared.active.load(now()).as_deref());
            }
            None => {
                tracing::info!("{e}");
                return bad_gateway(&e.to_string());
            }
        },
    };
    let granted = request::Request {
        process: who.process.clone(),
        host: permit.host().clone(),
        port: permit.port(),
        operation: Operation::Connect,
        now: now(),
    };
    let (revoked, stop, peer) = (watch.tunnel_revoked(granted, peer.clone()), shared.stop.clone(), peer.clone());
    shared.tasks.spawn(async move {
        tunnel::relay(upgrade, upstream, revoked, stop).await;
        drop(peer);
    });
    Response::new(empty())
}

/// Opens the tunnel and serves what is in it, each request decided for itself.
async fn inspect(conversation: Arc<Conversation>, to: Authority, upgrade: OnUpgrade) {
    let Ok(client) = upgrade.await else { return };
    let shared = conversation.shared.clone();
    let mut client = BufReader::new(TokioIo::new(client));
    let first = tokio::select! {
        first = tokio::time::timeout(FIRST_BYTE, client.fill_buf()) => first,
        () = shared.stop.cancelled() => return,
    };
    let Ok(Ok(&[first, ..])) = first else { return };
    if first == TLS_HANDSHAKE {
        match tls::accept(client, &to.host, &shared.authority).await {
            Ok(client) => serve(conversation, to, Wire::Tls, client).await,
            Err(reject) if reject.is_ambiguous() => {
                refuse(&conversation, &to, &reject.to_string()).await;
            }
            // A client that does not trust the authority, most often: worth a line, and nobody's attempt at anything.
            Err(reject) => tracing::info!("no TLS with the client for {to}: {reject}"),
        }
    } else if to.port == Port::HTTP {
        serve(conversation, to, Wire::Plain, client).await;
    } else {
        refuse(&conversation, &to, "the tunnel does not begin with TLS, and its endpoint is not an opaque one").await;
    }
}

async fn serve<S>(conversation: Arc<Conversation>, to: Authority, wire: Wire, client: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stop = conversation.shared.stop.clone();
    let to = Arc::new(to);
    server::serve_http(client, &stop, move |request, verdict| {
        let (conversation, to) = (conversation.clone(), to.clone());
        async move {
            let who = conversation.peer.who().await;
            match verdict {
                None => conversation.exchange(&to, wire, &who, request).await,
                Some(why) => {
                    let shared = &conversation.shared;
                    let attempt = Attempt::unread(Some(&to), wire);
                    let enforced = shared.active.load(now());
                    shared.deny(&who, &attempt, Denied::malformed(why), enforced.as_deref())
                }
            }
        }
    })
    .await;
}

/// There is no response to put it in: the log has it, and `policy.local`.
async fn refuse(conversation: &Conversation, to: &Authority, why: &str) {
    let shared = &conversation.shared;
    let enforced = shared.active.load(now());
    shared.deny(&*conversation.peer.who().await, &Attempt::tunnel(to), Denied::malformed(why), enforced.as_deref());
}
