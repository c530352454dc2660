//! Requests as they are typed into `.http` files.

use bytes::Bytes;
use narrowgate_core::request::{Authority, Method, Port, is_token_byte};

use crate::facts::Scheme;

/// A request as an author typed it. Its target is read when it is asked, and may be refused then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseRequest {
    /// Its method.
    pub method: Method,
    /// How it goes.
    pub scheme: Scheme,
    /// Where it goes.
    pub authority: Authority,
    /// Path and query, as typed.
    pub target: String,
    /// Its headers: names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// Its body as it is on the wire; `None` where nothing follows the empty line and no `content-length` says that it
    /// is there and empty.
    pub body: Option<Bytes>,
}

impl CaseRequest {
    /// Reads a file. Lines of the head end in LF or CRLF; the body is what follows the first empty line, as it is.
    ///
    /// # Errors
    /// The line, counted from 1, and what is wrong with it.
    pub fn parse(file: &[u8]) -> Result<CaseRequest, (usize, String)> {
        let (head, body) = split(file);
        let head = str::from_utf8(head).map_err(|_| (1, "the head is not UTF-8".to_owned()))?;
        let mut lines = head.lines().enumerate().map(|(at, line)| (at + 1, line));
        let (_, first) = lines.next().ok_or((1, expected("")))?;
        let (method, scheme, authority, target) = request_line(first).map_err(|problem| (1, problem))?;
        let mut headers = Vec::new();
        for (at, line) in lines {
            headers.push(header(line).ok_or_else(|| (at, format!("{line:?} is not NAME: VALUE")))?);
        }
        let is_empty_body = headers.iter().any(|(name, value)| name == "content-length" && value == "0");
        let body = (!body.is_empty() || is_empty_body).then(|| Bytes::copy_from_slice(body));
        Ok(CaseRequest { method, scheme, authority, target, headers, body })
    }
}

fn request_line(line: &str) -> Result<(Method, Scheme, Authority, String), String> {
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, url, version] = parts.as_slice() else { return Err(expected(line)) };
    if !version.starts_with("HTTP/") {
        return Err(expected(line));
    }
    let (scheme, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (Scheme::Https, rest),
        (_, Some(rest)) => (Scheme::Http, rest),
        _ => return Err(expected(line)),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(end).ok_or_else(|| expected(line))?;
    let port = if scheme == Scheme::Https { Port::HTTPS } else { Port::HTTP };
    let authority = Authority::parse(authority, Some(port)).map_err(|error| error.to_string())?;
    let method = Method::parse(method).map_err(|error| error.to_string())?;
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Ok((method, scheme, authority, target))
}

fn expected(line: &str) -> String {
    format!("{line:?} is not of the form `PUT https://HOST/PATH HTTP/1.1`")
}

fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let is_name = !name.is_empty() && name.bytes().all(is_token_byte);
    is_name.then(|| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
}

/// What stands before and after the first empty line.
fn split(file: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        let end = at + line.len();
        if matches!(line, b"\n" | b"\r\n") {
            return (file.get(..at).unwrap_or_default(), file.get(end..).unwrap_or_default());
        }
        at = end;
    }
    (file, &[])
}
