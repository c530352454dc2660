//! A request's body of which the first bytes may have been read before the request was decided.
//!
//! INVARIANT: what is sent on is every byte that was read, once and in order, and then the rest as it comes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A client that has not sent by then what decides is told so.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// What a client still wants to send is taken from it for so long, so that it gets to read the answer.
const DRAIN: Duration = Duration::from_secs(30);

/// A request's body.
pub(crate) struct Upload {
    /// Read, and not yet sent on.
    ahead: Bytes,
    /// What follows; `None` once its end was read.
    rest: Option<Incoming>,
    framing: Framing,
    begun: bool,
    /// Room for what was read, until all is sent.
    held: Option<OwnedSemaphorePermit>,
}

/// How the client says where the body ends; it is sent on in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// There is no body, or one of zero bytes.
    None,
    Length,
    Chunked,
}

/// What was read ahead.
pub(crate) enum Ahead {
    /// All there is.
    Whole(Bytes),
    /// The first bytes, more than was asked for.
    Part(Bytes),
}

/// Why a body is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("the body broke off")]
    Broken,
    #[error("what decides of the body did not arrive within {} seconds", PATIENCE.as_secs())]
    Slow,
    #[error("too much is being read for other requests; try again")]
    Room,
}

impl Upload {
    pub(crate) fn new(body: Incoming) -> Upload {
        let framing = match (body.is_end_stream(), body.size_hint().exact()) {
            (true, _) => Framing::None,
            (false, Some(_)) => Framing::Length,
            (false, None) => Framing::Chunked,
        };
        Upload { ahead: Bytes::new(), rest: Some(body), framing, begun: false, held: None }
    }

    /// Whether there is none.
    pub(crate) fn is_absent(&self) -> bool {
        self.framing == Framing::None
    }

    /// Whether its length is only known at its end.
    pub(crate) fn is_chunked(&self) -> bool {
        self.framing == Framing::Chunked
    }

    /// Whether it was waited for: its client is in the middle of sending it, or was.
    pub(crate) fn is_begun(&self) -> bool {
        self.begun
    }

    /// How many bytes of it are kept here.
    pub(crate) fn kept(&self) -> usize {
        self.ahead.len()
    }

    /// Reads until there are more than `most` bytes, or until the end. This makes a client that waits for `100 Continue`
    /// send its body.
    pub(crate) async fn read(&mut self, most: usize, room: &Arc<Semaphore>) -> Result<Ahead, UploadError> {
        self.begun = true;
        timeout(PATIENCE, self.read_on(most, room)).await.unwrap_or(Err(UploadError::Slow))
    }

    async fn read_on(&mut self, most: usize, room: &Arc<Semaphore>) -> Result<Ahead, UploadError> {
        let mut blocks: Vec<Bytes> = Vec::new();
        let mut length = 0;
        while let Some(rest) = &mut self.rest {
            match rest.frame().await {
                None => self.rest = None,
                Some(Err(_)) => return Err(UploadError::Broken),
                // Trailers are not sent on.
                Some(Ok(frame)) => {
                    if let Ok(block) = frame.into_data() {
                        length += block.len();
                        self.hold(block.len(), room)?;
                        blocks.push(block);
                    }
                }
            }
            if length > most {
                break;
            }
            // Of a body of known length, the end is known without asking for more.
            if self.rest.as_ref().is_some_and(HttpBody::is_end_stream) {
                self.rest = None;
            }
        }
        self.ahead = joined(blocks);
        Ok(match &self.rest {
            None => Ahead::Whole(self.ahead.clone()),
            Some(_) => Ahead::Part(self.ahead.clone()),
        })
    }

    fn hold(&mut self, bytes: usize, room: &Arc<Semaphore>) -> Result<(), UploadError> {
        let bytes = u32::try_from(bytes).map_err(|_| UploadError::Room)?;
        let more = room.clone().try_acquire_many_owned(bytes).map_err(|_| UploadError::Room)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// Takes from the client what it still sends, and drops it. Some clients read no answer before they have sent all.
    pub(crate) async fn drain(mut self) {
        (self.ahead, self.held) = (Bytes::new(), None);
        let Some(mut rest) = self.rest.take() else { return };
        let all = async { while let Some(Ok(_)) = rest.frame().await {} };
        // Who takes longer finds the connection closed.
        let _ = timeout(DRAIN, all).await;
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.ahead)))));
        }
        this.held = None;
        match &mut this.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        // A body in chunks has an end of its own, which an empty one has too.
        self.ahead.is_empty()
            && match &self.rest {
                Some(rest) => rest.is_end_stream(),
                None => self.framing != Framing::Chunked,
            }
    }

    fn size_hint(&self) -> SizeHint {
        let (ahead, rest) = (self.ahead.len() as u64, self.rest.as_ref().map(HttpBody::size_hint).unwrap_or_default());
        match (&self.rest, rest.exact()) {
            (None, _) => SizeHint::with_exact(ahead),
            (Some(_), Some(rest)) => SizeHint::with_exact(ahead + rest),
            (Some(_), None) => SizeHint::default(),
        }
    }
}

/// Without a copy where it came in one piece.
fn joined(mut blocks: Vec<Bytes>) -> Bytes {
    match blocks.len() {
        0 | 1 => blocks.pop().unwrap_or_default(),
        _ => {
            let mut all = BytesMut::with_capacity(blocks.iter().map(Bytes::len).sum());
            blocks.iter().for_each(|block| all.extend_from_slice(block));
            all.freeze()
        }
    }
}
