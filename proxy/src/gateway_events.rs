//! Reading a gateway's server-sent events.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::gateway_client::ClientError;

/// The gateway sends a heartbeat every fifteen seconds: after three that are missing, nobody is there.
const SILENCE: Duration = Duration::from_secs(45);
/// No event is larger; what has no end is no event.
const LARGEST_EVENT: usize = 1 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayEvent {
    /// To go on from; none for what is not part of the order.
    pub id: Option<u64>,
    /// Such as `held`.
    pub kind: String,
    /// JSON.
    pub data: String,
}

/// Events as they come.
pub struct EventStream {
    body: Incoming,
    url: String,
    lines: Lines,
}

impl EventStream {
    pub(crate) fn new(body: Incoming, url: String) -> EventStream {
        EventStream { body, url, lines: Lines::default() }
    }

    /// The next event; `None` once the gateway ended the stream.
    ///
    /// # Errors
    /// A connection that broke or fell silent, and what is no event.
    pub async fn next(&mut self) -> Result<Option<GatewayEvent>, ClientError> {
        let broken = |problem: String| ClientError::Unreachable { url: self.url.clone(), problem };
        loop {
            if let Some(event) = self.lines.event() {
                return Ok(Some(event));
            }
            if self.lines.held() > LARGEST_EVENT {
                let problem = format!("an event is larger than {LARGEST_EVENT} bytes");
                return Err(ClientError::Answer { url: self.url.clone(), problem });
            }
            let frame = timeout(SILENCE, self.body.frame()).await;
            match frame.map_err(|_| broken(format!("nothing for {SILENCE:?}")))? {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(format!("the events broke off: {error}"))),
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.lines.push(bytes);
                    }
                }
            }
        }
    }
}

/// The lines of a stream, and the event that they make so far.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    event: Parts,
}

#[derive(Default)]
struct Parts {
    id: Option<u64>,
    kind: String,
    data: String,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn held(&self) -> usize {
        self.bytes.len() + self.event.data.len()
    }

    /// The next whole event. A line is ended by CR LF or LF, as the gateway's are; an empty one ends the event.
    fn event(&mut self) -> Option<GatewayEvent> {
        while let Some(end) = self.bytes.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if !line.is_empty() {
                self.field(line);
                continue;
            }
            let Parts { id, kind, data } = std::mem::take(&mut self.event);
            // What has no data is a heartbeat.
            if !data.is_empty() {
                return Some(GatewayEvent { id, kind, data });
            }
        }
        None
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.event.id = value.parse().ok(),
            "event" => value.clone_into(&mut self.event.kind),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_arrive() {
        let text = ": hello\n\nid: 7\nevent: held\ndata: {\"a\":\"ä\"}\n\n:\n\nevent: gap\r\ndata:1\r\ndata: 2\r\n\r\nid: 8\ndata: cut";
        let event = |id, kind: &str, data: &str| GatewayEvent { id, kind: kind.to_owned(), data: data.to_owned() };
        let expected = [event(Some(7), "held", "{\"a\":\"ä\"}"), event(None, "gap", "1\n2")];
        for size in [1, 2, 7, text.len()] {
            let mut lines = Lines::default();
            let mut read = Vec::new();
            for part in text.as_bytes().chunks(size) {
                lines.push(part);
                read.extend(std::iter::from_fn(|| lines.event()));
            }
            assert_eq!(read, expected, "in parts of {size}");
            assert!(lines.held() > 0, "what is not whole is kept");
        }
    }
}
