//! Where messages begin and end in a stream, with no opinion on ambiguity other than refusing it. Pure.

use bytes::BytesMut;
use narrowgate_core::request::is_token_byte;

/// A head is no longer; as long as common servers allow in all.
const LONGEST_HEAD: usize = 64 << 10;
const MOST_HEADERS: usize = 100;

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Bytes must be looked at, with [`Framing::take`].
    Parsing,
    /// So many bytes of a body, which need no look.
    Body(u64),
    /// Everything to come: the bytes after a `CONNECT`.
    Opaque,
    /// Nothing more is read.
    Refused,
}

/// What [`Framing::take`] met.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// Heads that were let through.
    pub(super) passed: u64,
    /// The refusal that ends the stream.
    pub(super) refused: Option<Refused>,
}

#[derive(Debug)]
pub(super) enum Refused {
    /// Of a head, before any of it was let through.
    Head(&'static str),
    /// Of a body, parts of which were let through.
    Body(&'static str),
}

#[derive(Debug)]
pub(super) struct Framing {
    at: At,
    /// The part of a head, or of a chunk's size line, that has arrived.
    pending: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum At {
    Head,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    /// The line break after a chunk's data, or with `last` the empty line that ends the body.
    ChunkEnd {
        last: bool,
    },
    Opaque,
    Refused,
}

impl Default for Framing {
    fn default() -> Framing {
        Framing { at: At::Head, pending: Vec::new() }
    }
}

impl Framing {
    pub(super) fn state(&self) -> State {
        match self.at {
            At::Body(left) | At::ChunkData(left) => State::Body(left),
            At::Opaque => State::Opaque,
            At::Refused => State::Refused,
            At::Head | At::ChunkSize | At::ChunkEnd { .. } => State::Parsing,
        }
    }

    /// `n` bytes of a body went by.
    pub(super) fn skip(&mut self, n: usize) {
        let n = n as u64;
        self.at = match self.at {
            At::Body(left) if left > n => At::Body(left - n),
            At::Body(_) => At::Head,
            At::ChunkData(left) if left > n => At::ChunkData(left - n),
            At::ChunkData(_) => At::ChunkEnd { last: false },
            other => other,
        };
    }

    /// Takes all of `arrived`; what is vetted goes to `out`.
    pub(super) fn take(&mut self, mut arrived: &[u8], out: &mut BytesMut) -> Heads {
        let mut heads = Heads::default();
        while let Some((&byte, rest)) = arrived.split_first() {
            let step = match self.at {
                At::Refused => return heads,
                At::Opaque => {
                    out.extend_from_slice(arrived);
                    return heads;
                }
                At::Body(left) | At::ChunkData(left) => {
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(arrived.len());
                    let (part, rest) = arrived.split_at(n);
                    out.extend_from_slice(part);
                    self.skip(n);
                    arrived = rest;
                    continue;
                }
                At::Head => self.head_byte(byte, out).map(|passed| heads.passed += u64::from(passed)),
                At::ChunkSize => self.chunk_size_byte(byte, out),
                At::ChunkEnd { last } => self.chunk_end_byte(byte, last, out),
            };
            arrived = rest;
            if let Err(refused) = step {
                self.at = At::Refused;
                self.pending = Vec::new();
                heads.refused = Some(refused);
                return heads;
            }
        }
        heads
    }

    /// Whether this byte completed a head.
    fn head_byte(&mut self, byte: u8, out: &mut BytesMut) -> Result<bool, Refused> {
        let before = self.pending.last().copied();
        self.pending.push(byte);
        if byte != b'\n' {
            return match self.pending.len() {
                LONGEST_HEAD.. => Err(Refused::Head("a message head has at most 64 KiB")),
                _ => Ok(false),
            };
        }
        if before != Some(b'\r') {
            return Err(Refused::Head("a line ends with carriage return and line feed, not a bare line feed"));
        }
        if self.pending == b"\r\n" {
            // RFC 9112, 2.2: an empty line before a request line is skipped.
            self.pending.clear();
            return Ok(false);
        }
        if !self.pending.ends_with(b"\r\n\r\n") {
            return Ok(false);
        }
        self.at = vet(&self.pending).map_err(Refused::Head)?;
        out.extend_from_slice(&self.pending);
        self.pending.clear();
        Ok(true)
    }

    fn chunk_size_byte(&mut self, byte: u8, out: &mut BytesMut) -> Result<(), Refused> {
        self.pending.push(byte);
        let digits = match self.pending.as_slice() {
            [digits @ .., b'\r', b'\n'] => digits,
            [digits @ .., b'\r'] | digits => {
                return match digits.len() <= 15 && digits.iter().all(u8::is_ascii_hexdigit) {
                    true => Ok(()),
                    false => Err(Refused::Body("a chunk's size is up to 15 hex digits, without extensions")),
                };
            }
        };
        let size = std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
        self.at = match size {
            Some(0) => At::ChunkEnd { last: true },
            Some(size) => At::ChunkData(size),
            None => return Err(Refused::Body("a chunk's size is up to 15 hex digits, without extensions")),
        };
        out.extend_from_slice(&self.pending);
        self.pending.clear();
        Ok(())
    }

    fn chunk_end_byte(&mut self, byte: u8, last: bool, out: &mut BytesMut) -> Result<(), Refused> {
        self.pending.push(byte);
        match self.pending.as_slice() {
            b"\r" => Ok(()),
            b"\r\n" => {
                self.at = if last { At::Head } else { At::ChunkSize };
                out.extend_from_slice(&self.pending);
                self.pending.clear();
                Ok(())
            }
            _ if last => Err(Refused::Body("trailers are not forwarded")),
            _ => Err(Refused::Body("a chunk's data is followed by a line break")),
        }
    }
}

/// What follows the head, if there is one way to read it.
fn vet(head: &[u8]) -> Result<At, &'static str> {
    // Every line feed follows a carriage return here; one without the other is a control byte, refused below.
    let text = head.strip_suffix(b"\r\n\r\n").unwrap_or(head);
    let mut lines = text.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let request = request_line(lines.next().unwrap_or_default())?;
    let (mut hosts, mut length, mut chunked, mut count) = (0, None, false, 0);
    for line in lines {
        count += 1;
        let (name, value) = header(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let one = length.replace(content_length(value)?).is_none();
            one.then_some(()).ok_or("there is more than one content-length")?;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || request.http_10 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err("the only transfer-encoding is chunked, once, and in HTTP/1.1");
            }
            chunked = true;
        }
    }
    match (count, hosts, length, chunked) {
        (MOST_HEADERS.., ..) if count > MOST_HEADERS => Err("a message head has at most 100 headers"),
        (_, 2.., ..) => Err("there is more than one host header"),
        (_, _, Some(_), true) => Err("a request has content-length or transfer-encoding, not both"),
        (_, _, length, chunked) if request.connect => match chunked || length.is_some_and(|n| n > 0) {
            true => Err("CONNECT has no body"),
            false => Ok(At::Opaque),
        },
        (.., true) => Ok(At::ChunkSize),
        (_, _, None | Some(0), false) => Ok(At::Head),
        (_, _, Some(length), false) => Ok(At::Body(length)),
    }
}

struct RequestLine {
    connect: bool,
    http_10: bool,
}

fn request_line(line: &[u8]) -> Result<RequestLine, &'static str> {
    let parts: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let [method, target, version @ (b"HTTP/1.1" | b"HTTP/1.0")] = parts.as_slice() else {
        return Err("a request line is METHOD TARGET HTTP/1.1, with one space between");
    };
    if method.is_empty() || !method.iter().copied().all(is_token_byte) {
        return Err("a request line starts with a method");
    }
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err("a request target is visible ASCII");
    }
    if target.contains(&b'#') {
        return Err("a request target has no fragment");
    }
    Ok(RequestLine { connect: *method == b"CONNECT", http_10: *version == b"HTTP/1.0" })
}

fn header(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err("a header is one line, not folded over several");
    }
    let colon = line.iter().position(|b| *b == b':').ok_or("a header is a name, a colon and a value")?;
    let (name, value) = line.split_at(colon);
    if name.is_empty() || !name.iter().copied().all(is_token_byte) {
        return Err("a header's name is a token, directly before the colon");
    }
    let value = value.strip_prefix(b":").unwrap_or(value);
    if value.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
        return Err("a header's value has no control bytes");
    }
    Ok((name, value.trim_ascii()))
}

fn content_length(value: &[u8]) -> Result<u64, &'static str> {
    let wrong = "content-length is one decimal number";
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(wrong);
    }
    std::str::from_utf8(value).ok().and_then(|digits| digits.parse().ok()).ok_or(wrong)
}
