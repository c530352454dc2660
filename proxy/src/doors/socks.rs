//! SOCKS5 (RFC 1928): `CONNECT` without authentication; everything else is refused in the protocol's words.
//!
//! The reading is strict where the protocol's libraries are lenient: reserved bytes are zero, names are names, and
//! nothing follows a message that was not answered yet: bytes that were sent before anybody knew whether there would be a
//! stream are a stream's only to some.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use narrowgate_core::request::{Authority, Host, Port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::names::{InUse, Names, Target};
use crate::dial::DialError;
use crate::respond::{Attempt, Denied};
use crate::shared::now;
use crate::stream::{Client, Why};

/// The first byte of all that a client says.
pub(crate) const VERSION: u8 = 5;
/// The first byte of the protocol before.
pub(crate) const VERSION_4: u8 = 4;

/// For the client's two messages together.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For a refused client to read why.
const FAREWELL: Duration = Duration::from_secs(1);
/// No message is longer: a request with a name of 255 bytes has 262, a greeting with 255 methods 257.
const LONGEST: usize = 262;
const NO_AUTHENTICATION: u8 = 0;
const NO_ACCEPTABLE_METHOD: u8 = 0xFF;
const CONNECT: u8 = 1;
/// Address types.
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
/// "Request rejected or failed", and six bytes that mean nothing.
const REJECTION_4: [u8; 8] = [0, 0x5B, 0, 0, 0, 0, 0, 0];

/// How a request was answered (RFC 1928, 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    Succeeded = 0,
    Failed = 1,
    NotAllowed = 2,
    NetworkUnreachable = 3,
    HostUnreachable = 4,
    Refused = 5,
    CommandNotSupported = 7,
    AddressNotSupported = 8,
}

impl Reply {
    /// The message; the address in it is nobody's, since what is bound here is not the client's business.
    fn bytes(self) -> [u8; 10] {
        [VERSION, self as u8, 0, 1, 0, 0, 0, 0, 0, 0]
    }

    fn of(why: &Why) -> Reply {
        use std::io::ErrorKind::{ConnectionRefused, NetworkUnreachable};
        match why {
            Why::Unreachable(DialError::Connect { source, .. }) => match source.kind() {
                ConnectionRefused => Reply::Refused,
                NetworkUnreachable => Reply::NetworkUnreachable,
                _ => Reply::HostUnreachable,
            },
            Why::Unreachable(DialError::Dns { .. } | DialError::TimedOut { .. }) => Reply::HostUnreachable,
            Why::Denied | Why::Unreachable(DialError::Blocked { .. }) => Reply::NotAllowed,
            Why::Unreachable(_) | Why::Unavailable => Reply::Failed,
        }
    }
}

/// A whole message, what is wrong with it, or that more is needed.
type Parsed<T> = Result<Option<T>, Problem>;

/// Why a message is refused: with which reply, and for the log.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    reply: Reply,
    why: String,
}

impl Problem {
    fn new(reply: Reply, why: impl Into<String>) -> Problem {
        Problem { reply, why: why.into() }
    }
}

/// Where a client wants to go, as it said it.
#[derive(Debug, PartialEq, Eq)]
enum Destination {
    Address(IpAddr, Port),
    Name(Authority),
}

/// Serves a client whose first byte was [`VERSION`].
pub(crate) async fn serve(client: Client, names: Option<&Names>, mut stream: TcpStream) {
    let handshake = tokio::select! {
        handshake = timeout(HANDSHAKE, handshake(&mut stream)) => handshake,
        () = client.shared.stop.cancelled() => return,
    };
    let destination = match handshake {
        Ok(Ok(destination)) => destination,
        Ok(Err(End::Closed)) => return,
        Ok(Err(End::Greeting(why))) => {
            tracing::info!("a SOCKS client is refused: {why}");
            return farewell(stream, &[VERSION, NO_ACCEPTABLE_METHOD]).await;
        }
        Ok(Err(End::Request(problem))) => return refuse(&client, stream, problem).await,
        Err(_) => return tracing::info!("a SOCKS client did not say in {HANDSHAKE:?} where it wants to go"),
    };
    let (to, _in_use) = match named(destination, names) {
        Ok(to) => to,
        Err(problem) => return refuse(&client, stream, problem).await,
    };
    let who = client.peer.who().await;
    match client.open(&who, &to).await {
        Ok(opened) => {
            if stream.write_all(&Reply::Succeeded.bytes()).await.is_ok() {
                opened.serve(stream).await;
            }
        }
        Err(closed) => farewell(stream, &Reply::of(&closed.why).bytes()).await,
    }
}

/// Answers a client of the protocol before, which cannot say names without being asked to resolve them itself.
pub(crate) async fn reject_version_4(client: &Client, stream: TcpStream) {
    let who = client.peer.who().await;
    tracing::info!("a SOCKS4 client ({}) is refused: only SOCKS5 is spoken here", who.process.path);
    farewell(stream, &REJECTION_4).await;
}

/// What ended a handshake.
enum End {
    Closed,
    Greeting(String),
    Request(Problem),
}

async fn handshake(stream: &mut TcpStream) -> Result<Destination, End> {
    match message(stream, greeting).await {
        Ok(Some(())) => {}
        Ok(None) => return Err(End::Closed),
        Err(problem) => return Err(End::Greeting(problem.why)),
    }
    if stream.write_all(&[VERSION, NO_AUTHENTICATION]).await.is_err() {
        return Err(End::Closed);
    }
    match message(stream, request).await {
        Ok(Some(destination)) => Ok(destination),
        Ok(None) => Err(End::Closed),
        Err(problem) => Err(End::Request(problem)),
    }
}

/// Reads until `parse` has a message; `None` if the client closes before.
async fn message<T>(stream: &mut TcpStream, parse: fn(&[u8]) -> Parsed<T>) -> Parsed<T> {
    let mut arrived = Vec::with_capacity(LONGEST + 1);
    loop {
        if let Some(message) = parse(&arrived)? {
            return Ok(Some(message));
        }
        // INVARIANT: every parser has an answer at this length, so that there is always room for more.
        let room = (LONGEST + 1).saturating_sub(arrived.len());
        match (&mut *stream).take(room as u64).read_buf(&mut arrived).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) => {}
        }
    }
}

/// `VER NMETHODS METHODS`: offers to go without authentication.
fn greeting(bytes: &[u8]) -> Parsed<()> {
    let bad = |why: &str| Err(Problem::new(Reply::Failed, why));
    let [version, rest @ ..] = bytes else { return Ok(None) };
    if *version != VERSION {
        return bad("the greeting's version is not 5");
    }
    let [count, methods @ ..] = rest else { return Ok(None) };
    let count = usize::from(*count);
    if count == 0 {
        return bad("the greeting offers no way to authenticate");
    }
    if methods.len() > count {
        return bad("more follows the greeting than it says, before it was answered");
    }
    if methods.len() < count {
        return Ok(None);
    }
    match methods.contains(&NO_AUTHENTICATION) {
        true => Ok(Some(())),
        false => bad("the client insists on authentication; nobody has a password here"),
    }
}

/// `VER CMD RSV ATYP ADDR PORT`.
fn request(bytes: &[u8]) -> Parsed<Destination> {
    let bad = |why: &str| Err(Problem::new(Reply::Failed, why));
    let [version, command, reserved, kind, rest @ ..] = bytes else {
        // What is wrong from the start need not be waited for.
        return match bytes.first() {
            Some(version) if *version != VERSION => bad("the request's version is not 5"),
            _ => Ok(None),
        };
    };
    if *version != VERSION {
        return bad("the request's version is not 5");
    }
    if *reserved != 0 {
        return bad("the request's reserved byte is not 0");
    }
    let length = match (*kind, rest.first()) {
        (IPV4, _) => 4,
        (IPV6, _) => 16,
        (NAME, None) => return Ok(None),
        (NAME, Some(0)) => return bad("the name has no characters"),
        (NAME, Some(length)) => 1 + usize::from(*length),
        _ => return Err(Problem::new(Reply::AddressNotSupported, format!("there is no address type {kind}"))),
    };
    let Some((address, rest)) = rest.split_at_checked(length) else { return Ok(None) };
    let port = match rest {
        [] | [_] => return Ok(None),
        [high, low] => u16::from_be_bytes([*high, *low]),
        _ => return bad("more follows the request, before it was answered"),
    };
    match *command {
        CONNECT => {}
        2 => return Err(Problem::new(Reply::CommandNotSupported, "BIND: nobody can connect to a sandbox")),
        3 => return Err(Problem::new(Reply::CommandNotSupported, "UDP ASSOCIATE: no datagram leaves a sandbox")),
        other => return Err(Problem::new(Reply::CommandNotSupported, format!("there is no command {other}"))),
    }
    let Some(port) = Port::new(port) else { return bad("port 0 is no destination") };
    destination(*kind, address, port).map(Some)
}

/// The address is of the length that its type says.
fn destination(kind: u8, address: &[u8], port: Port) -> Result<Destination, Problem> {
    let bad = |why: String| Problem::new(Reply::Failed, why);
    if kind == NAME {
        let name = address.get(1..).and_then(|name| std::str::from_utf8(name).ok()).filter(|name| name.is_ascii());
        let Some(name) = name else { return Err(bad("the name is not ASCII".into())) };
        if name.contains([':', '[']) {
            return Err(bad(format!("{name:?} is an address and not a name; send it as one")));
        }
        let host = Host::parse(name).map_err(|e| bad(e.to_string()))?;
        return Ok(Destination::Name(Authority { host, port }));
    }
    let v4 = <[u8; 4]>::try_from(address).map(IpAddr::from);
    let address = v4.or_else(|_| <[u8; 16]>::try_from(address).map(IpAddr::from));
    address.map(|address| Destination::Address(address, port)).map_err(|_| bad("the address is none".into()))
}

/// The one form of where the client wants to go. Addresses that the resolver gave are the names that they were given to.
fn named(destination: Destination, names: Option<&Names>) -> Result<(Authority, Option<InUse>), Problem> {
    let (address, port) = match destination {
        Destination::Name(to) => return Ok((to, None)),
        Destination::Address(address, port) => (address, port),
    };
    let Some(names) = names else {
        let host = Host::parse(&address.to_string()).map_err(|e| Problem::new(Reply::Failed, e.to_string()))?;
        return Ok((Authority { host, port }, None));
    };
    match names.target(address, Instant::now()) {
        Target::Name(host, in_use) => Ok((Authority { host, port }, Some(in_use))),
        Target::Literal(host) => Ok((Authority { host, port }, None)),
        Target::Nothing => {
            Err(Problem::new(Reply::HostUnreachable, format!("no name has the address {address}; resolve it again")))
        }
    }
}

/// Logs and remembers a request that has no one reading, and answers it.
async fn refuse(client: &Client, stream: TcpStream, problem: Problem) {
    let who = client.peer.who().await;
    let enforced = client.shared.active.load(now());
    let attempt = Attempt::nowhere(&http::Method::CONNECT);
    let denied = Denied::malformed(&format!("SOCKS5: {}", problem.why));
    client.shared.deny(&who, &attempt, denied, enforced.as_deref());
    farewell(stream, &problem.reply.bytes()).await;
}

/// Writes the last message and reads what the client still sends, since a reset would take the message with it.
async fn farewell(mut stream: TcpStream, message: &[u8]) {
    let goodbye = async {
        stream.write_all(message).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(64 << 10), &mut tokio::io::sink()).await
    };
    // The client was told, or went away: there is nothing more to do for it.
    let _ = timeout(FAREWELL, goodbye).await;
}

#[cfg(test)]
mod tests;
