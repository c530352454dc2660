//! The wall clock, read here alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since 1970-01-01T00:00:00Z.
pub(crate) fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

/// How long it is until that second begins; nothing where it has.
pub(crate) fn until(seconds: i64) -> Duration {
    let end = UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    end.duration_since(SystemTime::now()).unwrap_or_default()
}

/// As RFC 3339, for people and other programs.
pub(crate) fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}
