//! Connections that never heard of a proxy: redirected here by the kernel, which remembers where they were to go.
//!
//! Nothing was said yet, so that there is nowhere to put a refusal but in what the client turns out to speak: HTTP, in the
//! clear or in TLS, is told why in its first response. Everything else is reset.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::EXPECT;
use http::{Response, StatusCode};
use narrowgate_core::decide::Reason;
use narrowgate_core::request::{Authority, Host, Port};
use serde_json::json;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::names::{Names, Target};
use crate::body::Body;
use crate::connect::with_close;
use crate::respond::{Attempt, Denied, error};
use crate::server::serve_http;
use crate::shared::{Shared, now};
use crate::stream::{Beginning, Client, begins};
use crate::tls;
use crate::upload::Upload;

/// A client that is to be denied and says nothing is not waited for longer.
const FIRST_BYTE: Duration = Duration::from_secs(1);
/// What a denied client still sends is taken from it for so long.
const DRAIN: Duration = Duration::from_secs(3);
/// For a denied client to say what it wants and to read why not.
const DENIAL: Duration = Duration::from_secs(10);

/// Where the client of `stream` wanted to go, before the kernel redirected it.
///
/// # Errors
/// The kernel does not remember, or the connection was made to this very listener.
pub(crate) fn original_destination(stream: &TcpStream) -> io::Result<SocketAddr> {
    let (socket, own) = (SockRef::from(stream), stream.local_addr()?);
    let original = match own.ip().to_canonical().is_ipv4() {
        true => socket.original_dst_v4()?,
        false => socket.original_dst_v6()?,
    };
    let canonical = |address: SocketAddr| (address.ip().to_canonical(), address.port());
    match original.as_socket() {
        Some(original) if canonical(original) != canonical(own) => Ok(original),
        Some(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "it was made to the proxy's own door")),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "not an address of the internet")),
    }
}

/// Has the client see a reset and not an orderly end, which some take for an empty answer.
pub(crate) fn reset(stream: &TcpStream) {
    if let Err(e) = stream.set_zero_linger() {
        tracing::debug!("no reset: {e}");
    }
}

/// Serves the client of a connection to `original`.
pub(crate) async fn serve(client: Client, names: &Names, original: SocketAddr, stream: TcpStream) {
    let Some(port) = Port::new(original.port()) else { return reset(&stream) };
    let (host, _in_use) = match names.target(original.ip(), Instant::now()) {
        Target::Name(host, in_use) => (host, Some(in_use)),
        Target::Literal(host) => (host, None),
        Target::Nothing => return nothing_there(&client, original, port, stream).await,
    };
    let to = Authority { host, port };
    let who = client.peer.who().await;
    match client.open(&who, &to).await {
        Ok(opened) => opened.serve(stream).await,
        Err(closed) => tell(&client.shared, &to.host, closed.response, stream).await,
    }
}

/// A synthetic address that nobody was told.
async fn nothing_there(client: &Client, original: SocketAddr, port: Port, stream: TcpStream) {
    let Ok(host) = Host::parse(&original.ip().to_canonical().to_string()) else { return reset(&stream) };
    let to = Authority { host, port };
    let why = format!("no name has the address {}; resolve the name again", to.host);
    let (who, enforced) = (client.peer.who().await, client.shared.active.load(now()));
    let denied = Denied::new(Reason::DnsFailed).because(why);
    let response = client.shared.deny(&who, &Attempt::tunnel(&to), denied, enforced.as_deref());
    tell(&client.shared, &to.host, response, stream).await;
}

/// Gives `response` to a client that can read it, once it has asked for something, and resets any other.
async fn tell(shared: &Arc<Shared>, host: &Host, response: Response<Body>, stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    let beginning = begins(shared, &mut stream, FIRST_BYTE).await;
    let told = async {
        match beginning {
            Some(Beginning::Http) => answer_once(shared, stream, response).await,
            Some(Beginning::Tls) => match tls::accept(stream, host, &shared.authority).await {
                Ok(stream) => answer_once(shared, stream, response).await,
                Err(reject) => tracing::info!("no TLS with the denied client for {host}: {reject}"),
            },
            _ => reset(stream.get_ref()),
        }
    };
    if timeout(DENIAL, told).await.is_err() {
        tracing::debug!("a denied client for {host} asked for nothing");
    }
}

/// Answers the first request with `response`, whatever it is, and ends the connection.
async fn answer_once<S>(shared: &Arc<Shared>, stream: S, response: Response<Body>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let response = Arc::new(Mutex::new(Some(with_close(response))));
    serve_http(stream, &shared.stop, move |request, _| {
        let response = response.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            // Some clients read no answer before they have sent all; who waits to be told so need not send any of it.
            if !request.headers().contains_key(EXPECT) {
                let _ = timeout(DRAIN, Upload::new(request.into_body()).drain()).await;
            }
            // No second request is read after a response that closes.
            let message = "this connection was denied";
            response.unwrap_or_else(|| error(StatusCode::FORBIDDEN, "policy_denied", message, json!({})))
        }
    })
    .await;
}
