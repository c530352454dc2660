//! Asking a plugin what a request means: it is told what will be sent, and nothing is sent that it was not told of.
//!
//! What can go wrong here is a denial. The plugin decides nothing; that the operations it names are permitted is for the
//! policy to say.

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderMap};
use narrowgate_core::request::Authority;
use narrowgate_core::vocabulary::{Meaning, Vocabulary};
use narrowgate_plugins::{Body as Content, InflateError, Plugin, RequestFacts, Scheme, inflate};

use crate::forward::Wire;
use crate::reading::Canonical;
use crate::respond::{Denied, Form};
use crate::shared::Shared;
use crate::upload::{Ahead, UploadError};

/// What an encoding may add to a body that it does not make shorter: headers, a name, and a few bytes for each block.
const ENCODED: usize = 64 * 1024;

/// What a request means, or why that is not known.
pub(crate) struct Answer {
    /// How a denial of this request is put, whatever for.
    pub(crate) form: Form,
    pub(crate) meanings: Result<Vec<Meaning>, Denied>,
}

/// Reads as much of the body as the plugin wants to see, and asks.
pub(crate) async fn classify(
    shared: &Shared,
    plugin: &Plugin,
    destination: &Authority,
    wire: Wire,
    request: &mut Canonical,
) -> Answer {
    let vocabulary = plugin.vocabulary();
    let content = match read_alike(vocabulary, &request.head.headers) {
        Ok(()) => content(shared, vocabulary, request).await,
        Err(denied) => Err(denied),
    };
    let content = match content {
        Ok(content) => content,
        Err(denied) => return Answer { form: Form::Problem, meanings: Err(denied) },
    };
    let form = Form::of(vocabulary.manifest().denials, &request.method, &request.target, &content);
    let headers = request.head.headers.iter();
    let asked = plugin.classify_async(&RequestFacts {
        method: &request.method,
        scheme: match wire {
            Wire::Tls => Scheme::Https,
            Wire::Plain => Scheme::Http,
        },
        host: &destination.host,
        port: destination.port,
        target: &request.target,
        headers: headers.map(|(name, value)| (name.as_str(), value.as_bytes())).collect(),
        body: content,
    });
    let meanings = asked.await.map_err(|failure| match failure.is_ambiguous() {
        true => Denied::two_readings(&failure.to_string()),
        false => Denied::unasked(&failure.to_string()),
    });
    Answer { form, meanings }
}

/// Some servers read `_` in a header's name as `-`: to them, a header that the plugin was not told of would be one that
/// decides.
fn read_alike(vocabulary: &Vocabulary, headers: &HeaderMap) -> Result<(), Denied> {
    for name in headers.keys().map(|name| name.as_str()) {
        let read = name.replace('_', "-");
        let decides = read == CONTENT_ENCODING.as_str() || vocabulary.manifest().headers.contains(&read);
        if read != name && decides {
            return Err(Denied::ambiguous(&format!("header {name:?}: some servers read it as {read:?}")));
        }
    }
    Ok(())
}

/// The body as far as the vocabulary wants it, without content encoding. What is not wanted is not read, and a client that
/// waits for `100 Continue` does not send it before the request is allowed.
async fn content(shared: &Shared, vocabulary: &Vocabulary, request: &mut Canonical) -> Result<Content, Denied> {
    if request.upload.is_absent() {
        return Ok(Content::Absent);
    }
    let Some(limit) = vocabulary.body_limit(&request.method) else { return Ok(Content::Truncated(Bytes::new())) };
    let encodings =
        request.head.headers.get_all(CONTENT_ENCODING).iter().map(|value| value.to_str().map(str::to_owned));
    let encodings: Vec<String> =
        encodings.collect::<Result<_, _>>().map_err(|_| Denied::ambiguous("the content-encoding is not ASCII"))?;
    let most = if encodings.is_empty() { limit } else { limit + ENCODED };
    let ahead = request.upload.read(most, &shared.room).await.map_err(|why| match &why {
        UploadError::Broken => Denied::malformed(&why.to_string()),
        UploadError::Slow => Denied::slow(&why.to_string()),
        UploadError::Room => Denied::unasked(&why.to_string()),
    })?;
    // In whatever blocks it came: the same request is told of in the same way.
    let content = match ahead {
        Ahead::Whole(bytes) if bytes.len() <= most => Content::Complete(bytes),
        Ahead::Whole(bytes) | Ahead::Part(bytes) => Content::Truncated(bytes.slice(..bytes.len().min(most))),
    };
    if encodings.is_empty() {
        return Ok(content);
    }
    // Milliseconds for the largest, which this thread has better uses for.
    match tokio::task::spawn_blocking(move || clear(&encodings, content, limit)).await {
        Ok(clear) => clear,
        Err(_) => Err(Denied::unasked("the body could not be decoded")),
    }
}

fn clear(encodings: &[String], encoded: Content, limit: usize) -> Result<Content, Denied> {
    let encodings: Vec<&str> = encodings.iter().map(String::as_str).collect();
    inflate(&encodings, encoded, limit).map_err(|why| match &why {
        InflateError::Encoding(_) => Denied::unasked(&why.to_string()),
        InflateError::Malformed(..) => Denied::two_readings(&why.to_string()),
    })
}
