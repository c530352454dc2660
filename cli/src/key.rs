//! `narrowgate key`: the keys that a gateway certifies policies with.

use std::time::Duration;

use clap::{Args, Subcommand};
use narrowgate_core::wire::{KeyView, Keys, RotateKey};

use crate::args::Remote;
use crate::client::failure;
use crate::exit::{Ended, Exit, Failure};
use crate::output::{self, Format, plain};
use crate::runtime::block_on;

/// List a gateway's signing keys, or replace the current one
#[derive(Debug, Args)]
pub(crate) struct Key {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The keys that its certificates verify with
    List {
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Sign with a new key from now on; policies in force are certified anew, and proxies follow by themselves (admin)
    Rotate {
        /// For how long the old key stays trusted: what is away for longer must be enrolled anew. 0s for a key that may
        /// have been stolen
        #[arg(long, value_name = "TIME", default_value = "7d", value_parser = overlap)]
        overlap: Duration,
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

impl Key {
    pub(crate) fn run(self, remote: &Remote) -> Ended {
        let client = remote.client()?;
        block_on(async move {
            let (keys, format): (Keys, Format) = match self.verb {
                Verb::List { format } => (client.get("/v1/keys").await.map_err(failure)?, format),
                Verb::Rotate { overlap, format } => {
                    let body = RotateKey { overlap_seconds: Some(overlap.as_secs()) };
                    (client.post("/v1/keys/rotate", &body).await.map_err(failure)?, format)
                }
            };
            match format {
                Format::Json => output::json(&keys)?,
                Format::Text => keys.keys.iter().try_for_each(|key| output::line(text(key)))?,
            }
            Ok::<_, Failure>(Exit::Done)
        })
    }
}

fn text(key: &KeyView) -> String {
    let state = match key.not_after {
        None => "current".to_owned(),
        Some(until) => format!("replaced, trusted until {}", time(until)),
    };
    format!("{}  {}  {}  {state}", plain(&key.keyid), plain(&key.algorithm), plain(&key.public_key))
}

/// Seconds since the Unix epoch, as RFC 3339.
pub(crate) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// `7d`, `12h`, `30m`, `0s`.
fn overlap(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 =
        number.parse().map_err(|_| format!("{text:?}: expected a number and a unit, such as 7d or 12h"))?;
    let scale = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(format!("{text:?}: expected a unit (s, m, h or d) after the number, such as 7d")),
    };
    number.checked_mul(scale).map(Duration::from_secs).ok_or_else(|| format!("{text:?}: too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_have_a_unit() {
        for (text, expected) in [
            ("7d", Some(604_800)),
            ("12h", Some(43_200)),
            ("30m", Some(1800)),
            ("0s", Some(0)),
            ("7", None),
            ("d", None),
            ("-1d", None),
            ("1w", None),
            ("99999999999999999999d", None),
            ("999999999999999999d", None),
        ] {
            assert_eq!(overlap(text).ok(), expected.map(Duration::from_secs), "{text}");
        }
    }
}
