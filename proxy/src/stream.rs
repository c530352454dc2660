//! A client wants a byte stream to a host and port: refused, relayed as opaque bytes, or opened and read.
//!
//! `CONNECT`, SOCKS and captured connections are three fronts of this one path: they differ in how the destination is
//! said and in how a refusal is put, and in nothing that decides.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Response, StatusCode};
use narrowgate_core::decide::{Permit, Reason, Route};
use narrowgate_core::request::{self, Authority, Operation, Port};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpStream;

use crate::active::Enforced;
use crate::body::Body;
use crate::dial::DialError;
use crate::exchange::Conversation;
use crate::forward::Wire;
use crate::grant::{Revoked, Watch};
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

/// One client connection, on its way to somewhere.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: Arc<Peer>,
}

/// A stream that may be: whoever asked is told so, and then gives the client's side to [`serve`](Opened::serve).
pub(crate) struct Opened {
    client: Client,
    to: Authority,
    way: Way,
    /// What a client is told in a header, where its stream waited for a person.
    pub(crate) held: Option<HeaderValue>,
}

enum Way {
    Relay { upstream: TcpStream, revoked: Revoked },
    Inspect,
    PolicyLocal,
}

/// A stream that may not be: denied, or allowed and impossible.
pub(crate) struct Closed {
    /// What an HTTP client is told. A denial is logged and remembered by now.
    pub(crate) response: Response<Body>,
    pub(crate) why: Why,
}

/// Why a stream may not be, as far as a client without HTTP can be told.
pub(crate) enum Why {
    /// The policy, or what stands above it.
    Denied,
    /// The upstream cannot be reached.
    Unreachable(DialError),
    /// The log, which is the operator's to repair, or nothing there listens.
    Unavailable,
}

/// What was asked for, while it is decided.
struct Asked<'a> {
    who: &'a Who,
    to: &'a Authority,
    attempt: Attempt,
    watch: Watch,
}

impl Client {
    /// Decides about a stream to `to` and, where its bytes are opaque, dials. Nothing of the stream was read before.
    pub(crate) async fn open(&self, who: &Who, to: &Authority) -> Result<Opened, Closed> {
        // The watch comes before the policy is looked at, so that no change of it goes unnoticed.
        let asked = Asked { who, to, attempt: Attempt::tunnel(to), watch: Watch::new(&self.shared) };
        let now = now();
        let enforced = self.shared.active.load(now);
        let deny = |denied| self.deny(&asked, denied, enforced.as_deref());
        if to.host.as_str() == policy_local::HOST {
            return match to.port == Port::HTTP {
                true => Ok(self.opened(to, Way::PolicyLocal)),
                false => Err(Closed::no_such_port()),
            };
        }
        if let Some(why) = &who.refusal {
            return Err(deny(Denied::ambiguous(why)));
        }
        if let Some(blocked) = self.shared.dialer.always_blocked(&to.host, to.port) {
            return Err(deny(Denied::blocked(&to.host, blocked)));
        }
        let Some(policy) = enforced.as_deref() else {
            return Err(deny(Denied::new(Reason::PolicyUnavailable)));
        };
        match policy.snapshot.route(&who.process, &to.host, to.port, now) {
            Route::Opaque(permit) => self.relay(asked, &permit).await,
            Route::Inspect => Ok(self.opened(to, Way::Inspect)),
            Route::Deny(refusal) => self.missed(asked, refusal.into(), enforced).await,
        }
    }

    /// The one place where a stream is refused that the policy has no rule for.
    async fn missed(
        &self,
        mut asked: Asked<'_>,
        denied: Denied,
        enforced: Option<Arc<Enforced>>,
    ) -> Result<Opened, Closed> {
        let asks = enforced.as_deref().is_some_and(|policy| held::asks(policy, &denied));
        // A person is asked about a request, which says what is wanted, rather than about a host.
        if asks && [Port::HTTP, Port::HTTPS].contains(&asked.to.port) {
            return Ok(self.opened(asked.to, Way::Inspect));
        }
        let client = (&self.shared, &self.peer);
        match held::stream(client, asked.who, asked.to, &mut asked.attempt, denied, enforced).await {
            Ok(held::Passed { permit, watch, .. }) => {
                asked.watch = watch;
                self.relay(asked, &permit).await
            }
            Err(denied) => Err(self.deny(&asked, denied, self.shared.active.load(now()).as_deref())),
        }
    }

    async fn relay(&self, asked: Asked<'_>, permit: &Permit) -> Result<Opened, Closed> {
        if let Err(response) = self.shared.allow(asked.who, &asked.attempt, permit) {
            return Err(Closed { response, why: Why::Unavailable });
        }
        let upstream = match self.shared.dialer.connect(permit).await {
            Ok(upstream) => upstream,
            Err(e) => {
                let response = match e.reason() {
                    Some(reason) => {
                        let denied = Denied::new(reason).because(e.to_string());
                        self.deny(&asked, denied, self.shared.active.load(now()).as_deref()).response
                    }
                    None => {
                        tracing::info!("{e}");
                        bad_gateway(&e.to_string())
                    }
                };
                return Err(Closed { response, why: Why::Unreachable(e) });
            }
        };
        let granted = request::Request {
            process: asked.who.process.clone(),
            host: permit.host().clone(),
            port: permit.port(),
            operation: Operation::Connect,
            now: now(),
        };
        let revoked = asked.watch.tunnel_revoked(granted, self.peer.clone());
        let held = asked.attempt.review().and_then(|review| review.header());
        let report = held::Report::new(&self.shared, asked.who, asked.attempt);
        let revoked = report.late(revoked);
        Ok(Opened { held, ..self.opened(asked.to, Way::Relay { upstream, revoked }) })
    }

    /// Logs and remembers the denial.
    fn deny(&self, asked: &Asked<'_>, denied: Denied, enforced: Option<&Enforced>) -> Closed {
        let response = self.shared.deny(asked.who, &asked.attempt, denied, enforced);
        Closed { response, why: Why::Denied }
    }

    fn opened(&self, to: &Authority, way: Way) -> Opened {
        Opened { client: self.clone(), to: to.clone(), way, held: None }
    }
}

impl Closed {
    fn no_such_port() -> Closed {
        let message = "policy.local speaks plain HTTP on port 80: GET http://policy.local/v1/skill";
        let response = error(StatusCode::BAD_REQUEST, "policy_local_is_plain_http", message, json!({}));
        Closed { response, why: Why::Unavailable }
    }
}

impl Opened {
    /// Serves the client until either side ends it, the grant goes or the proxy stops.
    pub(crate) async fn serve<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Opened { client, to, way, held: _ } = self;
        match way {
            Way::Relay { upstream, revoked } => tunnel::relay(stream, upstream, revoked, &client.shared.stop).await,
            Way::Inspect => inspect(client, to, stream).await,
            Way::PolicyLocal => serve_policy_local(client, to, stream).await,
        }
    }
}

/// Looks at how the stream begins, and serves what is in it, each request decided for itself.
async fn inspect<S>(client: Client, to: Authority, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stream = BufReader::new(stream);
    let beginning = match begins(&client.shared, &mut stream, FIRST_BYTE).await {
        Some(beginning) => beginning,
        None => return,
    };
    let conversation = Arc::new(Conversation::new(client.shared.clone(), client.peer.clone()));
    match beginning {
        Beginning::Tls => match tls::accept(stream, &to.host, &client.shared.authority).await {
            Ok(stream) => serve(conversation, to, Wire::Tls, stream).await,
            Err(reject) if reject.is_ambiguous() => refuse(&client, &to, &reject.to_string()).await,
            // A client that does not trust the authority, most often: worth a line, and nobody's attempt at anything.
            Err(reject) => tracing::info!("no TLS with the client for {to}: {reject}"),
        },
        Beginning::Http if to.port != Port::HTTPS => serve(conversation, to, Wire::Plain, stream).await,
        // What is not HTTP gets an answer there that says so.
        Beginning::Other if to.port == Port::HTTP => serve(conversation, to, Wire::Plain, stream).await,
        Beginning::Http => refuse(&client, &to, "plain HTTP to port 443: use https://").await,
        Beginning::Other => {
            let why = "the stream begins with neither TLS nor an HTTP request, and its endpoint is not an opaque one";
            refuse(&client, &to, why).await;
        }
    }
}

/// How a stream begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// With a TLS handshake.
    Tls,
    /// With what may be the method of an HTTP/1 request.
    Http,
    /// With something else.
    Other,
}

impl Beginning {
    /// Of what has arrived, at least one byte.
    fn of(arrived: &[u8]) -> Beginning {
        let method = arrived.iter().position(|b| !(b.is_ascii_uppercase() || *b == b'-')).unwrap_or(arrived.len());
        match (arrived.first(), arrived.get(method)) {
            (Some(&TLS_HANDSHAKE), _) => Beginning::Tls,
            // "SSH-2.0-" ends in no space.
            (Some(b'A'..=b'Z'), None | Some(b' ')) => Beginning::Http,
            _ => Beginning::Other,
        }
    }
}

/// What `stream` begins with; nothing is taken from it. `None` where nothing comes in time.
pub(crate) async fn begins<S: AsyncRead + Unpin>(
    shared: &Shared,
    stream: &mut BufReader<S>,
    patience: Duration,
) -> Option<Beginning> {
    let arrived = tokio::select! {
        arrived = tokio::time::timeout(patience, stream.fill_buf()) => arrived,
        () = shared.stop.cancelled() => return None,
    };
    match arrived {
        Ok(Ok(arrived)) if !arrived.is_empty() => Some(Beginning::of(arrived)),
        _ => None,
    }
}

async fn serve<S>(conversation: Arc<Conversation>, to: Authority, wire: Wire, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stop = conversation.shared.stop.clone();
    let to = Arc::new(to);
    server::serve_http(stream, &stop, move |request, verdict| {
        let (conversation, to) = (conversation.clone(), to.clone());
        async move {
            let who = conversation.peer.who().await;
            match verdict {
                None => conversation.exchange(&to, wire, &who, request).await,
                Some(why) => unread(&conversation.shared, &who, &to, wire, why),
            }
        }
    })
    .await;
}

async fn serve_policy_local<S>(client: Client, to: Authority, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stop = client.shared.stop.clone();
    let (client, to) = (Arc::new(client), Arc::new(to));
    server::serve_http(stream, &stop, move |request, verdict| {
        let (client, to) = (client.clone(), to.clone());
        async move {
            let (shared, who) = (&client.shared, client.peer.who().await);
            match verdict {
                None => server::answer_policy_local(shared, &who, &to, request).await,
                Some(why) => unread(shared, &who, &to, Wire::Plain, why),
            }
        }
    })
    .await;
}

/// The answer to a request whose head has two readings.
fn unread(shared: &Shared, who: &Who, to: &Authority, wire: Wire, why: &str) -> Response<Body> {
    let enforced = shared.active.load(now());
    shared.deny(who, &Attempt::unread(Some(to), wire), Denied::malformed(why), enforced.as_deref())
}

/// There is no response to put it in: the log has it, and `policy.local`.
async fn refuse(client: &Client, to: &Authority, why: &str) {
    let shared = &client.shared;
    let enforced = shared.active.load(now());
    shared.deny(&*client.peer.who().await, &Attempt::tunnel(to), Denied::malformed(why), enforced.as_deref());
}
