//! Content encodings, undone within limits, so that a plugin sees what the server will see.

use std::io::{ErrorKind, Read};

use flate2::bufread::{GzDecoder, ZlibDecoder};

use crate::facts::Body;

/// Why a body cannot be shown to a plugin. All of these are denials: what a plugin was not shown was not decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// An encoding that is not read here, or several.
    #[error("the content-encoding {0:?} is not read; gzip, deflate and identity are")]
    Encoding(String),
    /// The bytes are not what the encoding says.
    #[error("the body is not {0}: {1}")]
    Malformed(&'static str, String),
}

/// Undoes the content encoding of a body. `encodings` are the values of all `content-encoding` headers. The result is
/// [`Body::Truncated`] where there is more than `limit` bytes in clear, of which no more than that are made, and where
/// not all of the encoded body is there.
///
/// # Errors
/// An encoding other than `gzip` (also `x-gzip`), `deflate` (in its zlib form, as RFC 9110 has it) and `identity`;
/// several; broken data; anything after the end of the data, further gzip members included, which servers read or drop.
pub fn inflate(encodings: &[&str], encoded: Body, limit: usize) -> Result<Body, InflateError> {
    let named: Vec<&str> = encodings.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
    let encoding = match named.as_slice() {
        [] => "identity".to_owned(),
        [one] => one.to_ascii_lowercase(),
        more => return Err(InflateError::Encoding(more.join(", "))),
    };
    let (bytes, is_whole) = match &encoded {
        Body::Absent => return Ok(Body::Absent),
        Body::Complete(bytes) => (bytes.clone(), true),
        Body::Truncated(bytes) => (bytes.clone(), false),
    };
    match encoding.as_str() {
        "identity" => Ok(encoded.up_to(limit)),
        "gzip" | "x-gzip" => clear("gzip", GzDecoder::new(&*bytes), |decoder| decoder.get_ref(), is_whole, limit),
        "deflate" => clear("deflate", ZlibDecoder::new(&*bytes), |decoder| decoder.get_ref(), is_whole, limit),
        _ => Err(InflateError::Encoding(encoding)),
    }
}

/// What a decoder makes of its input, of which `rest` is what it has not read.
fn clear<D: Read>(
    encoding: &'static str,
    mut decoder: D,
    rest: impl Fn(&D) -> &&[u8],
    is_whole: bool,
    limit: usize,
) -> Result<Body, InflateError> {
    let mut clear = Vec::new();
    let is_cut = match decoder.by_ref().take(limit as u64 + 1).read_to_end(&mut clear) {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::UnexpectedEof && !is_whole => true,
        Err(error) => return Err(InflateError::Malformed(encoding, error.to_string())),
    };
    if clear.len() > limit {
        clear.truncate(limit);
        return Ok(Body::Truncated(clear.into()));
    }
    match (is_cut || !is_whole, rest(&decoder).is_empty()) {
        (true, true) => Ok(Body::Truncated(clear.into())),
        (false, true) => Ok(Body::Complete(clear.into())),
        (_, false) => Err(InflateError::Malformed(encoding, "something follows its end".to_owned())),
    }
}
