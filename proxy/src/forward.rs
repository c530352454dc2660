//! Upstream: one connection per client connection, dialled with a permit, reused while the destination stays the same.

use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use narrowgate_core::decide::Permit;
use narrowgate_core::request::{Host, Port};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;

use crate::body::Body;
use crate::dial::{DialError, Dialer};
use crate::respond::{DECISION, HELD};

/// What the bytes between here and the origin are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// HTTP in TLS.
    Tls,
    /// HTTP in the clear.
    Plain,
}

impl Wire {
    /// As in a URL.
    pub(crate) fn scheme(self) -> &'static str {
        match self {
            Wire::Tls => "https",
            Wire::Plain => "http",
        }
    }

    /// The port that a URL of this scheme need not name.
    pub(crate) fn default_port(self) -> Port {
        match self {
            Wire::Tls => Port::HTTPS,
            Wire::Plain => Port::HTTP,
        }
    }
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// No connection; may be a refusal of the address.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection broke, or the answer is not HTTP/1.
    #[error("upstream connection: {0}")]
    Http(#[from] hyper::Error),
    /// The origin switched protocols, which nobody asked for.
    #[error("upstream switched protocols without being asked")]
    Switched,
}

/// A client connection's way upstream.
#[derive(Default)]
pub(crate) struct Upstream(Mutex<Option<Open>>);

struct Open {
    host: Host,
    port: Port,
    wire: Wire,
    sender: SendRequest<Body>,
}

impl Upstream {
    /// Sends `request`, for which `permit` was given, and answers with the response's head; its body streams.
    pub(crate) async fn send(
        &self,
        dialer: &Dialer,
        permit: &Permit,
        wire: Wire,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, ForwardError> {
        let mut held = self.0.lock().await;
        if let Some(mut open) = held.take().filter(|open| open.serves(permit, wire))
            && open.is_ready().await
        {
            match open.sender.try_send_request(request).await {
                Ok(response) => {
                    *held = Some(open);
                    return checked(response);
                }
                // Nothing of it was written, so that sending it again is sending it once.
                Err(mut unsent) => match unsent.take_message() {
                    Some(message) => request = message,
                    None => return Err(unsent.into_error().into()),
                },
            }
        }
        let sender = match wire {
            Wire::Tls => handshake(dialer.connect_tls(permit).await?).await?,
            Wire::Plain => handshake(dialer.connect(permit).await?).await?,
        };
        let mut open = Open { host: permit.host().clone(), port: permit.port(), wire, sender };
        let response = open.sender.send_request(request).await?;
        *held = Some(open);
        checked(response)
    }
}

impl Open {
    fn serves(&self, permit: &Permit, wire: Wire) -> bool {
        (&self.host, self.port, self.wire) == (permit.host(), permit.port(), wire)
    }

    /// A connection that is still busy with an upload that its origin has already answered is not worth a wait.
    async fn is_ready(&mut self) -> bool {
        matches!(tokio::time::timeout(Duration::from_secs(1), self.sender.ready()).await, Ok(Ok(())))
    }
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Body>, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new().max_headers(200).handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(e) = connection.await {
            tracing::debug!("upstream connection: {e}");
        }
    });
    Ok(sender)
}

fn checked(response: Response<Incoming>) -> Result<Response<Incoming>, ForwardError> {
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => Err(ForwardError::Switched),
        _ => Ok(response),
    }
}

/// Makes `headers` those of the request that was decided: this hop's own are gone, the framing is stated.
pub(crate) fn request_headers(headers: &mut HeaderMap, host: HeaderValue, chunked: bool) {
    strip(headers);
    // What a client says about the way to it, or about where it would rather be, nobody decided on.
    let way: Vec<HeaderName> = headers.keys().filter(|name| is_forwarding(name.as_str())).cloned().collect();
    for name in way {
        headers.remove(name);
    }
    // Answered here, when the body is first read.
    headers.remove(EXPECT);
    headers.insert(http::header::HOST, host);
    if chunked {
        headers.remove(CONTENT_LENGTH);
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Some servers read `_` as `-`.
fn is_forwarding(name: &str) -> bool {
    let name = name.replace('_', "-");
    name == "forwarded" || name.starts_with("x-forwarded-")
}

/// Makes `response` one that this proxy may pass on.
pub(crate) fn response_head(response: &mut Response<Incoming>) {
    strip(response.headers_mut());
    // Only the proxy itself may say that the proxy decided.
    response.headers_mut().remove(DECISION);
    response.headers_mut().remove(HELD);
    *response.version_mut() = Version::HTTP_11;
}

/// RFC 9110, 7.6.1: what concerns one connection only is not passed on; nor is anything for or from a proxy.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let own = [CONNECTION, HeaderName::from_static("keep-alive"), TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    let proxy: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with("proxy-")).cloned().collect();
    for name in named.into_iter().chain(own).chain(proxy) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn what_concerns_one_hop_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Mine"),
            ("connection", "x-other"),
            ("x-mine", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic c2VjcmV0"),
            ("proxy-connection", "keep-alive"),
            ("proxy-anything", "1"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("authorization", "Bearer kept"),
            ("accept", "*/*"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["authorization", "accept"]);
    }
}
