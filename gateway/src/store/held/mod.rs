//! Requests that wait for a person. Whatever may happen to one at the same moment (an answer, another one, the deadline,
//! a client that goes away) is decided by one statement: `… WHERE status = 'waiting' AND deadline > now`.

mod ask;
mod settle;

use sqlx::{FromRow, SqliteConnection};

use super::sandboxes::live_id;
use super::{Store, StoreError, unsigned};

pub(crate) use ask::{Asked, NewHeld, Share, Unasked};
pub(crate) use settle::{Answered, Grant};

/// One held request of a live sandbox.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct HeldRow {
    pub(crate) id: String,
    /// The sandbox's name.
    pub(crate) sandbox: String,
    pub(crate) session: String,
    pub(crate) status: String,
    pub(crate) record: String,
    pub(crate) process: String,
    pub(crate) operation: String,
    pub(crate) created_at: i64,
    pub(crate) deadline: i64,
    pub(crate) decided_at: Option<i64>,
    pub(crate) decided_by: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) proposal: Option<String>,
    version: Option<i64>,
    pub(crate) spent_at: Option<i64>,
    /// How many requests wait for the answer, as the proxy said last.
    pub(crate) requests: Option<u32>,
}

impl HeldRow {
    /// Whether an answer would count.
    pub(crate) fn is_waiting(&self, now: i64) -> bool {
        self.status == "waiting" && self.deadline > now
    }

    pub(crate) fn version(&self) -> Option<u64> {
        self.version.map(unsigned)
    }
}

/// How much a listing shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing {
    pub(crate) rows: u32,
    /// Of what is stored of them.
    pub(crate) bytes: u32,
}

const HELD: &str =
    "SELECT h.id, s.name AS sandbox, h.session, h.status, h.record, h.process, h.operation, h.created_at, h.deadline,
    h.decided_at, h.decided_by, h.reason, h.proposal, h.version, h.spent_at, h.requests
    FROM held h JOIN sandboxes s ON s.id = h.sandbox AND s.deleted_at IS NULL ";

impl Store {
    /// One held request of a live sandbox.
    pub(crate) async fn held(&self, id: &str) -> Result<Option<HeldRow>, StoreError> {
        let sql = format!("{HELD} WHERE h.id = ?");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(&self.pool).await?)
    }

    /// The one that this key names already.
    pub(crate) async fn held_by_key(
        &self,
        sandbox: &str,
        session: &str,
        key: &str,
    ) -> Result<Option<HeldRow>, StoreError> {
        let sql = format!("{HELD} WHERE s.name = ? AND h.session = ? AND h.key = ?");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(sandbox).bind(session).bind(key);
        Ok(query.fetch_optional(&self.pool).await?)
    }

    /// What waits and what has ended, oldest first, within these bounds. What waits comes before what has ended, then
    /// the oldest of each sandbox before the next ones: so nothing that has ended, and no other sandbox, hides what is
    /// to be answered next. Of what has ended, the newest.
    pub(crate) async fn held_list(
        &self,
        sandbox: Option<&str>,
        status: Option<&str>,
        most: Listing,
    ) -> Result<Vec<HeldRow>, StoreError> {
        let sql = format!(
            "{HELD} WHERE h.seq IN (SELECT seq FROM (
                SELECT seq, sum(bytes) OVER first AS bytes, row_number() OVER first AS number FROM (
                    SELECT h.seq, h.status = 'waiting' AS waits,
                    octet_length(h.record) + octet_length(h.process) + octet_length(h.operation) AS bytes,
                    CASE h.status WHEN 'waiting' THEN row_number() OVER (PARTITION BY h.sandbox, h.status ORDER BY h.seq) END AS place
                    FROM held h JOIN sandboxes s ON s.id = h.sandbox AND s.deleted_at IS NULL
                    WHERE (?1 IS NULL OR s.name = ?1) AND (?2 IS NULL OR h.status = ?2))
                WINDOW first AS (ORDER BY waits DESC, place, seq DESC ROWS UNBOUNDED PRECEDING))
            WHERE number <= ?3 AND bytes <= ?4) ORDER BY h.seq"
        );
        let query =
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(sandbox).bind(status).bind(most.rows).bind(most.bytes);
        Ok(query.fetch_all(&self.pool).await?)
    }

    /// Who said never about this rule, and in which words.
    pub(crate) async fn held_never(
        &self,
        sandbox: &str,
        rule: &str,
    ) -> Result<Option<(String, Option<String>)>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        match live_id(&mut connection, sandbox).await? {
            Some(id) => never(&mut connection, id, rule).await,
            None => Ok(None),
        }
    }

    /// The next deadline of any that waits.
    pub(crate) async fn next_held_deadline(&self) -> Result<Option<i64>, StoreError> {
        let next = sqlx::query_scalar("SELECT min(deadline) FROM held WHERE status = 'waiting'");
        Ok(next.fetch_one(&self.pool).await?)
    }
}

async fn never(
    connection: &mut SqliteConnection,
    sandbox: i64,
    rule: &str,
) -> Result<Option<(String, Option<String>)>, StoreError> {
    let said = sqlx::query_as("SELECT decided_by, reason FROM held_never WHERE sandbox = ? AND rule = ?");
    Ok(said.bind(sandbox).bind(rule).fetch_optional(connection).await?)
}
