//! The one reading of a request, which is the form in which it is decided and sent; or the denial of one that has
//! several.

use http::header::{EXPECT, HOST, HeaderValue, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Request, Uri, Version};
use hyper::body::Incoming;
use narrowgate_core::request::{Authority, Method, PathOptions, Target};

use crate::forward::{Wire, request_headers};
use crate::respond::Denied;
use crate::upload::Upload;

/// Some servers let these replace the method or the target, which were what the rule was about.
const OVERRIDES: [&str; 5] =
    ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"];
/// Where a body ends. With `_` they pass every reader of framing, until one of the gateways that read `_` as `-`.
const FRAMING: [&str; 2] = ["transfer-encoding", "content-length"];

/// A request in the one form in which it is decided and sent.
pub(crate) struct Canonical {
    pub(crate) method: Method,
    pub(crate) target: Target,
    /// As it goes upstream: nothing is in it any more that concerns this hop.
    pub(crate) head: Parts,
    pub(crate) upload: Upload,
}

impl Canonical {
    /// Reads `request`, which came on a connection to `destination`.
    pub(crate) fn read(
        request: Request<Incoming>,
        destination: &Authority,
        wire: Wire,
        options: &PathOptions,
    ) -> Result<Canonical, Denied> {
        let (method, target) = read(&request, destination, wire, options)?;
        let unsendable = |what: &str| Denied::malformed(&format!("the {what} cannot be sent"));
        let (mut head, body) = request.into_parts();
        let upload = Upload::new(body);
        let path = PathAndQuery::try_from(target.to_uri_string()).map_err(|_| unsendable("request target"))?;
        head.uri = Uri::from(path);
        head.version = Version::HTTP_11;
        head.extensions.clear();
        let authority = destination.to_string();
        let suffix = format!(":{}", wire.default_port());
        let host = authority.strip_suffix(&suffix).unwrap_or(&authority);
        let host = HeaderValue::from_str(host).map_err(|_| unsendable("host"))?;
        request_headers(&mut head.headers, host, upload.is_chunked());
        Ok(Canonical { method, target, head, upload })
    }
}

/// Its method and target.
fn read(
    request: &Request<Incoming>,
    destination: &Authority,
    wire: Wire,
    options: &PathOptions,
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
    let raw = match request.uri().query() {
        Some(query) => format!("{}?{query}", request.uri().path()),
        None => request.uri().path().to_owned(),
    };
    let target = Target::parse(&raw, options).map_err(|e| Denied::ambiguous(&e.to_string()))?;
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
pub(crate) fn shown(raw: &str) -> String {
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
