//! What reviewers follow. The schema's triggers write it, with every change of state; here it is only read.

use sqlx::FromRow;

use super::{Store, StoreError, signed, unsigned};

/// One event.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct EventRow {
    seq: i64,
    pub(crate) kind: String,
    /// JSON, without any token.
    pub(crate) data: String,
}

impl EventRow {
    /// Grows with every event.
    pub(crate) fn seq(&self) -> u64 {
        unsigned(self.seq)
    }
}

impl Store {
    /// The oldest and the newest event that is kept; zeros where there is none.
    pub(crate) async fn events_kept(&self) -> Result<(u64, u64), StoreError> {
        let (oldest, newest): (i64, i64) =
            sqlx::query_as("SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM events")
                .fetch_one(&self.pool)
                .await?;
        Ok((unsigned(oldest), unsigned(newest)))
    }

    /// The `limit` oldest events after `seq`, oldest first.
    pub(crate) async fn events_after(&self, seq: u64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        let rows = sqlx::query_as("SELECT seq, kind, data FROM events WHERE seq > ? ORDER BY seq LIMIT ?")
            .bind(signed(seq))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }
}
