//! Denials as git shows them: as the server's own words, with each ref of a push rejected.
//!
//! The formats are those of gitprotocol-http, -pack and -common. What is parsed here decides nothing; it only shapes an
//! answer to the client that wrote it.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use narrowgate_core::denial::Denial;
use narrowgate_core::request::{Method, Target};
use narrowgate_plugins::Body as Content;

use crate::body::{Body, full};

const FLUSH: &[u8] = b"0000";
/// What one packet carries at most here; git's own limit is 65516 bytes, of which a band takes one.
const PACKET: usize = 60_000;

/// What git called.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    /// `GET …/info/refs?service=…`
    Advertise(Service),
    /// `POST …/git-upload-pack`
    Fetch,
    /// `POST …/git-receive-pack`, with what is known of its body.
    Push(Bytes),
}

/// What is to be advertised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Upload,
    Receive,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Upload => "git-upload-pack",
            Service::Receive => "git-receive-pack",
        }
    }
}

impl Call {
    /// The call that a request is, if it is one.
    pub(super) fn of(method: &Method, target: &Target, content: &Content) -> Option<Call> {
        let path = target.path.as_str();
        match method.as_str() {
            "GET" if path.ends_with("/info/refs") => {
                let mut services = target.query.pairs().filter(|(key, _)| *key == "service");
                let (Some((_, named)), None) = (services.next(), services.next()) else { return None };
                let service =
                    [Service::Upload, Service::Receive].into_iter().find(|service| service.name() == named)?;
                Some(Call::Advertise(service))
            }
            "POST" if path.ends_with("/git-upload-pack") => Some(Call::Fetch),
            "POST" if path.ends_with("/git-receive-pack") => match content {
                Content::Complete(body) | Content::Truncated(body) => Some(Call::Push(body.clone())),
                Content::Absent => None,
            },
            _ => None,
        }
    }
}

/// The response that makes git print `denial`; `None` where it would not.
pub(super) fn response(call: &Call, denial: &Denial) -> Option<Response<Body>> {
    let message = message(denial);
    let (media, body) = match call {
        Call::Advertise(service) => {
            let mut body = Vec::new();
            packet(&mut body, format!("# service={}\n", service.name()).as_bytes());
            body.extend_from_slice(FLUSH);
            packet(&mut body, format!("ERR {}", shortened(&message)).as_bytes());
            (format!("application/x-{}-advertisement", service.name()), body)
        }
        Call::Fetch => {
            let mut body = Vec::new();
            packet(&mut body, format!("ERR {}", shortened(&message)).as_bytes());
            ("application/x-git-upload-pack-result".to_owned(), body)
        }
        Call::Push(commands) => {
            let body = Push::read(commands)?.rejected(&message, &denial.denial_id);
            ("application/x-git-receive-pack-result".to_owned(), body)
        }
    };
    let mut response = Response::new(full(body));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(&media).ok()?);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(response)
}

/// What the denial says, for people and agents that only see what git prints: with the proposal, ready to post.
fn message(denial: &Denial) -> String {
    let mut lines = vec![denial.detail.clone(), format!("denial: {}", denial.denial_id)];
    lines.extend(denial.agent_guidance.clone());
    let submit = denial.next_steps.iter().find(|step| step["action"] == "submit_proposal");
    if let Some(body) = submit.and_then(|step| step.get("body")) {
        lines.push(format!("POST http://policy.local/v1/proposals {body}"));
    }
    lines.join("\n")
}

/// What a push wants, as far as an answer needs it.
struct Push<'a> {
    refs: Vec<&'a str>,
    report: bool,
    side_band: bool,
}

impl<'a> Push<'a> {
    /// Reads the commands; `None` where there is none.
    fn read(body: &'a [u8]) -> Option<Push<'a>> {
        let mut push = Push { refs: Vec::new(), report: false, side_band: false };
        let mut rest = body;
        while let Some((line, after)) = next_packet(rest) {
            rest = after;
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let command = match line.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    let (command, capabilities) = line.split_at(end);
                    let capabilities = str::from_utf8(capabilities).unwrap_or_default();
                    for capability in capabilities.trim_start_matches('\0').split(' ') {
                        push.report |= matches!(capability, "report-status" | "report-status-v2");
                        push.side_band |= capability == "side-band-64k";
                    }
                    command
                }
                None => line,
            };
            let name = str::from_utf8(command).ok().and_then(|command| command.splitn(3, ' ').nth(2));
            push.refs.extend(name.filter(|name| !name.is_empty() && !name.contains(char::is_control)));
        }
        (!push.refs.is_empty()).then_some(push)
    }

    fn rejected(&self, message: &str, id: &str) -> Vec<u8> {
        let mut report = Vec::new();
        if self.report {
            packet(&mut report, b"unpack narrowgate: denied\n");
            for name in &self.refs {
                packet(&mut report, format!("ng {name} denied by policy, {id}\n").as_bytes());
            }
            report.extend_from_slice(FLUSH);
        }
        if !self.side_band {
            return report;
        }
        let mut body = Vec::new();
        for line in message.lines() {
            banded(&mut body, 2, format!("{}\n", shortened(line)).as_bytes());
        }
        report.chunks(PACKET).for_each(|part| banded(&mut body, 1, part));
        body.extend_from_slice(FLUSH);
        body
    }
}

/// The first packet of `bytes` and what follows; `None` at a flush, at the end, and where there is no whole packet.
fn next_packet(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, _) = bytes.split_first_chunk::<4>()?;
    let length = usize::from_str_radix(str::from_utf8(length).ok()?, 16).ok()?;
    let (packet, rest) = bytes.split_at_checked(length)?;
    Some((packet.get(4..)?, rest))
}

fn packet(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(format!("{:04x}", payload.len() + 4).as_bytes());
    out.extend_from_slice(payload);
}

fn banded(out: &mut Vec<u8>, band: u8, payload: &[u8]) {
    out.extend_from_slice(format!("{:04x}", payload.len() + 5).as_bytes());
    out.push(band);
    out.extend_from_slice(payload);
}

fn shortened(text: &str) -> &str {
    let end = (0..=PACKET.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
