//! One strict reading of HTTP/1 framing, before the HTTP library's lenient one.
//!
//! A library resolves what two servers could read in two ways (both `Content-Length` and `Transfer-Encoding`, a header
//! line that is folded, a bare line feed) by a rule of its own and then hides that it did. [`Strict`] follows the
//! stream's framing and lets a message head through only whole and only if there is one way to read it. What the library
//! then parses is a subset of what it accepts, and both agree on where each message ends.
//!
//! A head that is refused is replaced by a harmless one, so that the service is still called and can answer in words;
//! [`Verdicts`] tells it which of the connection's requests that is. Nothing after it gets through. A refusal within a body
//! breaks the connection.

mod framing;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use framing::{Framing, State};

/// Stands in for a head that was refused; never forwarded.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused.invalid\r\nconnection: close\r\n\r\n";

/// A client's stream, read strictly. Writing is passed through.
#[derive(Debug)]
pub(crate) struct Strict<S> {
    stream: S,
    framing: Framing,
    /// Vetted, and not yet read by the library.
    vetted: BytesMut,
    verdicts: Verdicts,
    heads: u64,
}

/// Which request of a connection was refused, and why. The connection's service holds a clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdicts(Arc<Mutex<Option<(u64, &'static str)>>>);

impl Verdicts {
    /// Why the connection's `nth` request, counted from 0, was refused.
    pub(crate) fn of(&self, nth: u64) -> Option<&'static str> {
        let refused = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refused.filter(|(at, _)| *at == nth).map(|(_, problem)| problem)
    }

    fn refuse(&self, nth: u64, problem: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((nth, problem));
    }
}

impl<S> Strict<S> {
    pub(crate) fn new(stream: S) -> (Strict<S>, Verdicts) {
        let verdicts = Verdicts::default();
        let strict = Strict {
            stream,
            framing: Framing::default(),
            vetted: BytesMut::new(),
            verdicts: verdicts.clone(),
            heads: 0,
        };
        (strict, verdicts)
    }

    /// Takes what arrived; what is vetted of it goes to `vetted`.
    fn take(&mut self, arrived: &[u8]) -> io::Result<()> {
        let heads = self.framing.take(arrived, &mut self.vetted);
        self.heads += heads.passed;
        match heads.refused {
            None => Ok(()),
            Some(framing::Refused::Head(problem)) => {
                self.verdicts.refuse(self.heads, problem);
                self.vetted.extend_from_slice(STAND_IN);
                Ok(())
            }
            Some(framing::Refused::Body(problem)) => Err(io::Error::new(io::ErrorKind::InvalidData, problem)),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.vetted.is_empty() {
                let n = this.vetted.len().min(buf.remaining());
                buf.put_slice(this.vetted.get(..n).unwrap_or_default());
                this.vetted.advance(n);
                return Poll::Ready(Ok(()));
            }
            match this.framing.state() {
                // Read and forgotten, so that the answer is not lost to a connection reset; an end of file here would
                // tell the library that the client has gone.
                State::Refused => loop {
                    let mut block = [0; 8192];
                    let mut arrived = ReadBuf::new(&mut block);
                    ready!(Pin::new(&mut this.stream).poll_read(cx, &mut arrived))?;
                    if arrived.filled().is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                },
                State::Opaque => return Pin::new(&mut this.stream).poll_read(cx, buf),
                // The bulk of a body goes straight to the reader.
                State::Body(left) => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX).min(buf.remaining());
                    let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
                    ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
                    let n = part.filled().len();
                    buf.advance(n);
                    this.framing.skip(n);
                    return Poll::Ready(Ok(()));
                }
                State::Parsing => {}
            }
            let mut block = [0; 8192];
            let mut arrived = ReadBuf::new(&mut block);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut arrived))?;
            if arrived.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.take(arrived.filled())?;
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use tokio::io::AsyncReadExt;

    /// Reads `input` in pieces of `step` bytes; what came through, and the verdict on each of `n` requests.
    async fn read(input: &[u8], step: usize) -> (io::Result<Vec<u8>>, Verdicts) {
        let mut mock = tokio::io::join(Pieces { rest: input.to_vec(), step }, tokio::io::sink());
        let (mut strict, verdicts) = Strict::new(&mut mock);
        let mut out = Vec::new();
        let result = strict.read_to_end(&mut out).await.map(|_| out);
        (result, verdicts)
    }

    struct Pieces {
        rest: Vec<u8>,
        step: usize,
    }

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let n = self.step.min(self.rest.len()).min(buf.remaining());
            buf.put_slice(&self.rest[..n]);
            self.rest.drain(..n);
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_has_one_reading_passes_unchanged() {
        for input in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /?q=%00 HTTP/1.0\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nhost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nanything \n\0 at all",
            "GET / HTTP/1.1\r\nhost: a\r\nx-utf8: \u{e9}\r\nempty:\r\n\r\n",
        ] {
            for step in [1, 2, 3, 7, 8192] {
                let (out, verdicts) = read(input.as_bytes(), step).await;
                assert_eq!(String::from_utf8_lossy(&out.unwrap()), input, "in steps of {step}");
                assert!((0..3).all(|n| verdicts.of(n).is_none()), "{input:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_head_with_two_readings_is_replaced_and_ends_the_stream() {
        for (head, problem) in [
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", "both"),
            ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n", "both"),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\n", "content-length"),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +3\r\n\r\n", "content-length"),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3, 3\r\n\r\n", "content-length"),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n", "content-length"),
            ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n", "transfer-encoding"),
            ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\n\r\n", "transfer-encoding"),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
                "transfer",
            ),
            ("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", "transfer-encoding"),
            ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "host"),
            ("GET / HTTP/1.1\r\nhost: a\r\n folded\r\n\r\n", "fold"),
            ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", "name"),
            ("GET / HTTP/1.1\r\n: a\r\n\r\n", "name"),
            ("GET / HTTP/1.1\r\nno colon\r\n\r\n", "name"),
            ("GET / HTTP/1.1\nhost: a\n\n", "line feed"),
            ("GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n", "control"),
            ("GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n", "control"),
            ("GET  / HTTP/1.1\r\nhost: a\r\n\r\n", "request line"),
            ("GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", "request line"),
            ("GET / HTTP/2.0\r\nhost: a\r\n\r\n", "request line"),
            ("PRI * HTTP/2.0\r\n\r\n", "request line"),
            ("GET /#f HTTP/1.1\r\nhost: a\r\n\r\n", "fragment"),
            ("GET /\u{e9} HTTP/1.1\r\nhost: a\r\n\r\n", "ASCII"),
            ("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\ncontent-length: 3\r\n\r\n", "CONNECT"),
        ] {
            for step in [1, 5, 8192] {
                let good = "GET /ok HTTP/1.1\r\nhost: a\r\n\r\n";
                let (out, verdicts) =
                    read(format!("{good}{head}GET /smuggled HTTP/1.1\r\n\r\n").as_bytes(), step).await;
                let expect = format!("{good}{}", String::from_utf8_lossy(STAND_IN));
                assert_eq!(String::from_utf8_lossy(&out.unwrap()), expect, "{head:?} in steps of {step}");
                assert_eq!(verdicts.of(0), None);
                let verdict = verdicts.of(1).unwrap();
                assert!(verdict.contains(problem), "{head:?}: {verdict}");
            }
        }
    }

    #[tokio::test]
    async fn an_endless_head_is_refused_within_bounds() {
        let (out, verdicts) = read(format!("GET / HTTP/1.1\r\nx: {}", "a".repeat(1 << 20)).as_bytes(), 8192).await;
        assert_eq!(out.unwrap(), STAND_IN);
        assert!(verdicts.of(0).unwrap().contains("64 KiB"));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: a\r\n".repeat(101));
        assert!(read(many.as_bytes(), 8192).await.1.of(0).unwrap().contains("100"));
    }

    #[tokio::test]
    async fn a_chunked_body_with_two_readings_breaks_the_connection() {
        for body in [
            "3;ext=1\r\nabc\r\n0\r\n\r\n",
            "3 \r\nabc\r\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "3\nabc\r\n0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "\r\nabc\r\n0\r\n\r\n",
            "ffffffffffffffffff\r\nabc",
            "0\r\nx-trailer: a\r\n\r\n",
        ] {
            for step in [1, 4, 8192] {
                let input = format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}");
                let error = read(input.as_bytes(), step).await.0.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{body:?}");
            }
        }
    }
}
