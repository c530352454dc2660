//! Bodies: made here, or streamed for as long as their grant lasts.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use crate::grant::Revoked;
use crate::upload::Upload;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body of every message this proxy sends, in either direction.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn empty() -> Body {
    full(Bytes::new())
}

/// Passes `inner` on frame by frame, never collected, and breaks off when `revoked` completes.
pub(crate) fn streamed(inner: Incoming, revoked: Revoked) -> Body {
    if inner.is_end_stream() {
        return inner.map_err(BoxError::from).boxed_unsync();
    }
    Streamed { inner, revoked }.boxed_unsync()
}

/// The same for a request's body: what was read of it, and then the rest.
pub(crate) fn uploaded(upload: Upload, revoked: Revoked) -> Body {
    if upload.is_absent() {
        return empty();
    }
    Streamed { inner: upload, revoked }.boxed_unsync()
}

struct Streamed<B> {
    inner: B,
    revoked: Revoked,
}

impl<B> HttpBody for Streamed<B>
where
    B: HttpBody<Data = Bytes, Error = hyper::Error> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.revoked.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err("the policy no longer allows this request".into())));
        }
        Pin::new(&mut this.inner).poll_frame(cx).map(|frame| match frame? {
            // Trailers could be read as headers further on; nothing decided on them.
            Ok(frame) => frame.into_data().ok().map(|data| Ok(Frame::data(data))),
            Err(e) => Some(Err(e.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
