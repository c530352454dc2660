//! Packets ("pkt-lines"): four hexadecimal digits of length, which count themselves, then that many bytes less four.

use narrowgate_plugin::{Body, Refusal, Result};

/// The longest packet that git writes or accepts, its length's digits included.
const LONGEST: usize = 65520;

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// `0000`: the end of a section.
    Flush,
    /// `0001`: what follows are arguments (protocol version 2).
    Delimiter,
    /// A line, without the newline that may end it.
    Line(&'a [u8]),
}

/// A body read packet by packet.
pub(crate) struct Packets<'a> {
    rest: &'a [u8],
    truncated: bool,
}

impl<'a> Packets<'a> {
    /// Refuses a body that is absent.
    pub(crate) fn of(body: &'a Body) -> Result<Self> {
        match body {
            Body::Absent => Err(Refusal::needs_body("a request to a git service is in its body")),
            Body::Complete(bytes) => Ok(Self { rest: bytes, truncated: false }),
            Body::Truncated(bytes) => Ok(Self { rest: bytes, truncated: true }),
        }
    }

    /// The next packet. An end of the body here is `needs-body` where there is more of it, and malformed otherwise:
    /// every section of a request ends with a flush.
    pub(crate) fn next_packet(&mut self) -> Result<Packet<'a>> {
        let Some((digits, after)) = self.rest.split_at_checked(4) else { return Err(self.cut()) };
        let length = length(digits)?;
        let payload = match length {
            0 | 1 => {
                self.rest = after;
                return Ok(if length == 0 { Packet::Flush } else { Packet::Delimiter });
            }
            5..=LONGEST => length - 4,
            _ => return Err(Refusal::malformed("a packet's length is 0000, 0001 or 0005 to fff0")),
        };
        let Some((line, after)) = after.split_at_checked(payload) else { return Err(self.cut()) };
        self.rest = after;
        Ok(Packet::Line(line.strip_suffix(b"\n").unwrap_or(line)))
    }

    /// What follows the packets read so far, and whether the body goes on after it.
    pub(crate) fn rest(&self) -> (&'a [u8], bool) {
        (self.rest, self.truncated)
    }

    /// Refuses a body that goes on after what was read.
    pub(crate) fn end(&self) -> Result<()> {
        match self.rest() {
            ([], false) => Ok(()),
            _ => Err(Refusal::malformed("there is more after the request's last flush")),
        }
    }

    fn cut(&self) -> Refusal {
        if self.truncated {
            Refusal::needs_body("the request's packets go on after what was read of its body")
        } else {
            Refusal::malformed("the body ends before the flush that would end its packets")
        }
    }
}

/// Hexadecimal digits alone: Rust's parsers, like C's, would take a sign too.
fn length(digits: &[u8]) -> Result<usize> {
    digits
        .iter()
        .try_fold(0, |length, &digit| Some(length * 16 + (digit as char).to_digit(16)? as usize))
        .ok_or_else(|| Refusal::malformed("a packet starts with four hexadecimal digits"))
}
