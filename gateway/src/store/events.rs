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

/// What a reader is behind by, as of one moment.
#[derive(Debug)]
pub(crate) struct Behind {
    /// The newest event that is not kept any more; 0 where all are. Each sandbox's go by themselves, so that some of
    /// those before it may still be there.
    pub(crate) gone: u64,
    /// The oldest of those that the reader does not have, in their order.
    pub(crate) events: Vec<EventRow>,
}

impl Store {
    /// The newest event; 0 where there is none.
    pub(crate) async fn newest_event(&self) -> Result<u64, StoreError> {
        let newest: i64 = sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM events").fetch_one(&self.pool).await?;
        Ok(unsigned(newest))
    }

    /// At most `limit` events after `seq`.
    pub(crate) async fn events_after(&self, seq: u64, limit: u32) -> Result<Behind, StoreError> {
        // Together: what goes in between would be missed without a word.
        let mut tx = self.pool.begin().await?;
        let gone: i64 = sqlx::query_scalar("SELECT seq FROM events_gone").fetch_one(&mut *tx).await?;
        let events = sqlx::query_as("SELECT seq, kind, data FROM events WHERE seq > ? ORDER BY seq LIMIT ?")
            .bind(signed(seq))
            .bind(limit)
            .fetch_all(&mut *tx)
            .await?;
        Ok(Behind { gone: unsigned(gone), events })
    }
}
