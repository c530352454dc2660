//! `CONNECT`, the oldest of the ways to ask for a byte stream.

use http::header::{CONNECTION, HOST, HeaderValue};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use narrowgate_core::request::Authority;

use crate::body::{Body, empty};
use crate::respond::{Attempt, Denied, HELD};
use crate::shared::{Who, now};
use crate::stream::Client;

/// Answers a `CONNECT`. Until the answer is 200, no byte of the tunnel was read and nothing was dialled but with a permit.
pub(crate) async fn connect(client: &Client, who: &Who, mut request: Request<Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    let refused = match destination(&request) {
        Err(why) => {
            let enforced = client.shared.active.load(now());
            let attempt = Attempt::nowhere(request.method());
            client.shared.deny(who, &attempt, Denied::malformed(&why), enforced.as_deref())
        }
        Ok(to) => match client.open(who, &to).await {
            Ok(mut opened) => {
                let mut established = Response::new(empty());
                if let Some(held) = opened.held.take() {
                    established.headers_mut().insert(HELD, held);
                }
                client.shared.tasks.spawn(async move {
                    if let Ok(tunnel) = upgrade.await {
                        opened.serve(TokioIo::new(tunnel)).await;
                    }
                });
                return established;
            }
            Err(closed) => closed.response,
        },
    };
    // What a client sends after a CONNECT belongs to the tunnel, so that a connection without one has no use.
    with_close(refused)
}

/// The same response, and the end of its connection.
pub(crate) fn with_close(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
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
