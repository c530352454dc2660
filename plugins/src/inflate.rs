//! Content encodings, undone within limits, so that a plugin sees what the server will see.

use std::io::Read;

use bytes::Bytes;
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

/// Undoes the content encoding of a whole body. `encodings` are the values of all `content-encoding` headers. The result
/// is [`Body::Truncated`] where there is more than `limit` bytes in clear, of which no more than that are made.
///
/// # Errors
/// An encoding other than `gzip` (also `x-gzip`), `deflate` (in its zlib form, as RFC 9110 has it) and `identity`;
/// several; broken data; anything after the end of the data, further gzip members included, which servers read or drop.
pub fn inflate(encodings: &[&str], encoded: Bytes, limit: usize) -> Result<Body, InflateError> {
    let named: Vec<&str> = encodings.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
    let encoding = match named.as_slice() {
        [] => "identity".to_owned(),
        [one] => one.to_ascii_lowercase(),
        more => return Err(InflateError::Encoding(more.join(", "))),
    };
    match encoding.as_str() {
        "identity" if encoded.len() <= limit => Ok(Body::Complete(encoded)),
        "identity" => Ok(Body::Truncated(encoded.slice(..limit))),
        "gzip" | "x-gzip" => {
            let mut decoder = GzDecoder::new(&*encoded);
            let (clear, more) = read("gzip", &mut decoder, limit)?;
            body("gzip", clear, more, decoder.get_ref())
        }
        "deflate" => {
            let mut decoder = ZlibDecoder::new(&*encoded);
            let (clear, more) = read("deflate", &mut decoder, limit)?;
            body("deflate", clear, more, decoder.get_ref())
        }
        _ => Err(InflateError::Encoding(encoding)),
    }
}

/// At most `limit` bytes, and whether there are more.
fn read(encoding: &'static str, decoder: &mut impl Read, limit: usize) -> Result<(Vec<u8>, bool), InflateError> {
    let mut clear = Vec::new();
    let malformed = |error: std::io::Error| InflateError::Malformed(encoding, error.to_string());
    decoder.take(limit as u64 + 1).read_to_end(&mut clear).map_err(malformed)?;
    let more = clear.len() > limit;
    clear.truncate(limit);
    Ok((clear, more))
}

fn body(encoding: &'static str, clear: Vec<u8>, more: bool, rest: &[u8]) -> Result<Body, InflateError> {
    match (more, rest.is_empty()) {
        (true, _) => Ok(Body::Truncated(clear.into())),
        (false, true) => Ok(Body::Complete(clear.into())),
        (false, false) => Err(InflateError::Malformed(encoding, "something follows its end".to_owned())),
    }
}
