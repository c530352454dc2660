//! What the demo leaves behind: the audit log for people, and a search for what must be in no file.

use std::path::Path;
use std::time::Duration;

use narrowgate_core::digest::Digest;
use serde_json::Value;

use super::play::{Stopped, missing};
use crate::exit::Failure;

/// A word that occurs nowhere by chance; it need not be hard to guess.
pub(super) fn one_time_word() -> String {
    let seed = format!("{} {}", std::process::id(), jiff::Timestamp::now());
    Digest::of(seed.as_bytes()).hex().chars().take(24).collect()
}

/// How many files there are under `folder`, none of which holds `secret`.
pub(super) fn without(secret: &str, folder: &Path) -> Result<usize, Stopped> {
    let mut searched = 0;
    for entry in std::fs::read_dir(folder).map_err(Failure::undecided)? {
        let path = entry.map_err(Failure::undecided)?.path();
        if path.is_dir() {
            searched += without(secret, &path)?;
            continue;
        }
        let content = std::fs::read(&path).map_err(Failure::undecided)?;
        if content.windows(secret.len()).any(|window| window == secret.as_bytes()) {
            return Err(missing("secret", format!("the agent's credential is in {}", path.display())));
        }
        searched += 1;
    }
    Ok(searched)
}

/// The audit log for people.
pub(super) fn trace(log: &str) -> Result<Vec<String>, Stopped> {
    let events: Vec<Value> = log
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .map_err(|error| missing("audit", format!("the log holds a line that is not JSON: {error}")))?;
    let time = |event: &Value| event.get("time").and_then(Value::as_u64).unwrap_or_default();
    let begun = events.first().map(time).unwrap_or_default();
    let short = |event: &Value| {
        let since = Duration::from_millis(time(event).saturating_sub(begun));
        narrowgate_proxy::audit::short(event, since).ok_or_else(|| missing("audit", "a line has no short form"))
    };
    events.iter().map(short).collect()
}

/// Digests cut to what tells them apart at a glance.
pub(super) fn abbreviated(line: &str) -> String {
    let mut parts = line.split("sha256:");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(part.len());
        let (digest, rest) = part.split_at(digits);
        out.push_str(&format!("sha256:{}…{rest}", digest.get(..8).unwrap_or(digest)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_cut_for_the_eye() {
        assert_eq!(abbreviated("[policy:sha256:0123456789abcdef] x"), "[policy:sha256:01234567…] x");
        assert_eq!(abbreviated("nothing"), "nothing");
    }
}
