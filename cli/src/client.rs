//! Talking to a gateway as a person: address and token from the line or the environment, errors as exit codes.

use std::path::Path;

use narrowgate_proxy::{ClientError, GatewayClient};

use crate::args::Remote;
use crate::exit::Failure;
use crate::files;

impl Remote {
    /// A client for the gateway that the line or the environment names.
    pub(crate) fn client(&self) -> Result<GatewayClient, Failure> {
        let url = self.gateway.as_deref().ok_or_else(|| {
            Failure::invalid(
                "no gateway given: use --gateway URL or set NARROWGATE_GATEWAY (`narrowgate up` prints both)",
            )
        })?;
        let file = self.token_file.as_deref().ok_or_else(|| {
            Failure::invalid("no token given: use --token-file FILE or set NARROWGATE_TOKEN_FILE (`narrowgate up` writes reviewer.token)")
        })?;
        connect(url, file)
    }
}

/// A client for this gateway with the token in this file.
pub(crate) fn connect(url: &str, token_file: &Path) -> Result<GatewayClient, Failure> {
    GatewayClient::new(url, &files::token(token_file)?).map_err(Failure::invalid)
}

/// What a failed call means to whoever typed the command.
pub(crate) fn failure(error: ClientError) -> Failure {
    match &error {
        ClientError::Status { status, .. } => match *status {
            401 => Failure::invalid(format!("the gateway does not know this token: {error}")),
            403 => Failure::invalid(format!("this token's role may not do that: {error}")),
            // What exists, is decided or does not fit: the request was understood, and the answer is no.
            409 | 422 => Failure::refused(error),
            500.. => Failure::undecided(error),
            _ => Failure::invalid(error),
        },
        _ => Failure::invalid(error),
    }
}

/// A name or id as one path segment: it comes from a command line, and must not become another route.
pub(crate) fn segment<'a>(what: &str, text: &'a str) -> Result<&'a str, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.starts_with('.') || !text.chars().all(plain) {
        return Err(Failure::invalid(format!("{what} {text:?}: expected letters, digits, `-`, `_` and `.`")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        for (text, good) in [
            ("demo", true),
            ("p_1a-2.b", true),
            ("", false),
            ("..", false),
            ("a/b", false),
            ("a?b", false),
            ("ä", false),
        ] {
            assert_eq!(segment("sandbox", text).is_ok(), good, "{text}");
        }
    }
}
