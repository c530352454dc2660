//! One HTTP request: read in one way, decided, and forwarded in the form that was decided.

use std::sync::Arc;

use http::header::{EXPECT, HOST, HeaderValue, UPGRADE};
use http::uri::PathAndQuery;
use http::{Request, Response, Uri, Version};
use hyper::body::{Body as _, Incoming};
use narrowgate_core::decide::{Decision, Permit, Reason};
use narrowgate_core::request::{self, Authority, Method, Operation, Target};

use crate::active::Enforced;
use crate::body::{Body, empty, streamed};
use crate::forward::{ForwardError, Upstream, Wire, request_headers, response_head};
use crate::grant::{Revoked, Watch};
use crate::respond::{Attempt, Denied, bad_gateway};
use crate::shared::{Peer, Shared, Who, now};

/// Some servers let these replace the method or the target, which were what the rule was about.
const OVERRIDES: [&str; 5] =
    ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"];
/// Where a body ends. With `_` they pass every reader of framing, until one of the gateways that read `_` as `-`.
const FRAMING: [&str; 2] = ["transfer-encoding", "content-length"];

/// The requests of one client connection, and its way upstream.
pub(crate) struct Conversation {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: Arc<Peer>,
    upstream: Upstream,
}

impl Conversation {
    pub(crate) fn new(shared: Arc<Shared>, peer: Arc<Peer>) -> Conversation {
        Conversation { shared, peer, upstream: Upstream::default() }
    }

    /// Answers `who`'s request to `destination`: with the origin's response, or with why there is none.
    pub(crate) async fn exchange(
        &self,
        destination: &Authority,
        wire: Wire,
        who: &Who,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let mut attempt = Attempt::http(destination, wire, request.method());
        // Before the policy is looked at, so that no change of it goes unnoticed.
        let watch = Watch::new(&self.shared);
        let now = now();
        let enforced = self.shared.active.load(now);
        let deny = |attempt: &Attempt, denied| self.shared.deny(who, attempt, denied, enforced.as_deref());
        if let Some(why) = &who.refusal {
            return deny(&attempt, Denied::ambiguous(why));
        }
        if let Some(blocked) = self.shared.dialer.always_blocked(&destination.host, destination.port) {
            return deny(&attempt, Denied::blocked(&destination.host, blocked));
        }
        let Some(policy) = enforced.as_deref() else {
            return deny(&attempt, Denied::new(Reason::PolicyUnavailable));
        };
        let (method, target) = match read(&request, destination, wire, policy) {
            Ok(read) => read,
            Err(denied) => {
                attempt.set_path(&shown(request.uri().path()));
                let governs = policy.snapshot.governs(&who.process, &destination.host, destination.port);
                return deny(&attempt, denied.under(governs));
            }
        };
        attempt.set_path(target.path.as_str());
        let decided = request::Request {
            process: who.process.clone(),
            host: destination.host.clone(),
            port: destination.port,
            operation: Operation::http(method, target),
            now,
        };
        let permit = match policy.snapshot.decide(&decided) {
            Decision::Deny(refusal) => return deny(&attempt, refusal.into()),
            Decision::Allow(permit) => permit,
        };
        if let Err(unlogged) = self.shared.allow(who, &attempt, &permit) {
            return unlogged;
        }
        match canonical(request, &permit, wire, &decided, &watch) {
            Ok(outgoing) => self.forward(who, &attempt, &permit, wire, outgoing, watch.revoked(decided)).await,
            Err(why) => deny(&attempt, Denied::malformed(&why)),
        }
    }

    /// Sends the request on, for as long as its grant lasts.
    async fn forward(
        &self,
        who: &Who,
        attempt: &Attempt,
        permit: &Permit,
        wire: Wire,
        outgoing: Request<Body>,
        mut revoked: Revoked,
    ) -> Response<Body> {
        let sent = tokio::select! {
            sent = self.upstream.send(&self.shared.dialer, permit, wire, outgoing) => sent,
            gone = &mut revoked => {
                let denied = gone.map_or_else(|| Denied::new(Reason::PolicyUnavailable), Denied::from);
                return self.shared.deny(who, attempt, denied, self.shared.active.load(now()).as_deref());
            }
        };
        match sent {
            Ok(mut response) => {
                response_head(&mut response);
                response.map(|body| streamed(body, revoked))
            }
            Err(ForwardError::Dial(e)) if e.reason().is_some() => {
                let reason = e.reason().unwrap_or(Reason::DestinationBlocked);
                let denied = Denied::new(reason).because(e.to_string());
                self.shared.deny(who, attempt, denied, self.shared.active.load(now()).as_deref())
            }
            Err(e) => {
                tracing::info!("{}:{}: {e}", permit.host(), permit.port());
                bad_gateway(&e.to_string())
            }
        }
    }
}

/// The one reading of `request`, or the denial of one that has several.
fn read(
    request: &Request<Incoming>,
    destination: &Authority,
    wire: Wire,
    policy: &Enforced,
) -> Result<(Method, Target), Denied> {
    same_authority(request, destination, wire).map_err(|why| Denied::malformed(&why))?;
    let method = Method::parse(request.method().as_str()).map_err(|e| Denied::ambiguous(&e.to_string()))?;
    let headers = request.headers();
    if headers.contains_key(UPGRADE) {
        let why = "no rule can allow a protocol upgrade; send the request without the upgrade header";
        return Err(Denied::ambiguous(why));
    }
    for name in headers.keys().map(|name| name.as_str()) {
        let read = name.replace('_', "-");
        if OVERRIDES.contains(&read.as_str()) {
            let why =
                format!("header {name:?}: send the method and the path themselves, which are what rules are about");
            return Err(Denied::ambiguous(&why));
        }
        if read != name && FRAMING.contains(&read.as_str()) {
            return Err(Denied::ambiguous(&format!("header {name:?}: some servers read it as {read:?}")));
        }
    }
    if headers.get_all(EXPECT).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Denied::malformed("the only expectation is 100-continue"));
    }
    let options = policy.snapshot.path_options(&destination.host, destination.port);
    let raw = match request.uri().query() {
        Some(query) => format!("{}?{query}", request.uri().path()),
        None => request.uri().path().to_owned(),
    };
    let target = Target::parse(&raw, &options).map_err(|e| Denied::ambiguous(&e.to_string()))?;
    if target.query.keys().any(is_method_key) {
        let why = "a query key \"_method\": send the method itself, which is what rules are about";
        return Err(Denied::ambiguous(why));
    }
    Ok((method, target))
}

/// Whether a server may take the method from this key of the query. PHP reads `.`, a space and a lone `[` as `_`.
fn is_method_key(key: &str) -> bool {
    key.trim_start_matches(' ').replace(['.', ' ', '['], "_").eq_ignore_ascii_case("_method")
}

/// A path that has no canonical form, as far as a person needs to see it.
fn shown(raw: &str) -> String {
    raw.chars().take(1024).collect()
}

/// Host header and request target must name the destination that was connected to.
fn same_authority(request: &Request<Incoming>, destination: &Authority, wire: Wire) -> Result<(), String> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(format!("a request to {destination} has exactly one host header"));
    };
    let host = host.to_str().map_err(|_| "the host header is not ASCII".to_owned())?;
    let uri = request.uri();
    let absolute = uri.authority().map(|authority| authority.as_str());
    for named in [Some(host), absolute].into_iter().flatten() {
        let named = Authority::parse(named, Some(wire.default_port())).map_err(|e| e.to_string())?;
        if named != *destination {
            return Err(format!("the request names {named} on a connection to {destination}"));
        }
    }
    match uri.scheme_str() {
        None => Ok(()),
        Some(scheme) if scheme == wire.scheme() => Ok(()),
        Some(scheme) => Err(format!("the request says {scheme}, the connection is {}", wire.scheme())),
    }
}

/// The request as it goes upstream: what was decided, without what concerns this hop.
fn canonical(
    request: Request<Incoming>,
    permit: &Permit,
    wire: Wire,
    decided: &request::Request,
    watch: &Watch,
) -> Result<Request<Body>, String> {
    let (mut head, body) = request.into_parts();
    if let Operation::Http { target, .. } = &decided.operation {
        let path = PathAndQuery::try_from(target.to_uri_string());
        head.uri = Uri::from(path.map_err(|_| "the request target cannot be sent".to_owned())?);
    }
    head.version = Version::HTTP_11;
    head.extensions.clear();
    let authority = Authority { host: permit.host().clone(), port: permit.port() }.to_string();
    let suffix = format!(":{}", wire.default_port());
    let host = authority.strip_suffix(&suffix).unwrap_or(&authority);
    let host = HeaderValue::from_str(host).map_err(|_| "the host cannot be sent".to_owned())?;
    request_headers(&mut head.headers, host, &body);
    let body = if body.is_end_stream() { empty() } else { streamed(body, watch.revoked(decided.clone())) };
    Ok(Request::from_parts(head, body))
}
