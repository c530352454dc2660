//! A proxy's sessions, and what of the policy in force ends with them.

use sqlx::FromRow;

use super::sandboxes::{active_version, insert_version, live_id};
use super::{NewVersion, Store, StoreError};

/// An entry that ends with a session.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct SessionGrant {
    pub(crate) name: String,
    /// Its JSON as it was put in force.
    pub(crate) entry: String,
}

/// How many ended sessions of a sandbox are remembered: the newest.
const KEPT_SESSIONS: u32 = 100;

impl Store {
    /// Ends every session but `keep`: what waits there is cancelled, what was granted once is void, and nothing new is
    /// taken. `None` where there is no such sandbox, else whether anything changed.
    pub(crate) async fn end_sessions(
        &self,
        sandbox: &str,
        keep: Option<&str>,
        now: i64,
    ) -> Result<Option<bool>, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let Some(id) = live_id(&mut tx, sandbox).await? else { return Ok(None) };
        if let Some(session) = keep {
            sqlx::query("INSERT OR IGNORE INTO held_sessions (sandbox, session) VALUES (?, ?)")
                .bind(id)
                .bind(session)
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query(
            "UPDATE held_sessions SET ended_at = ? WHERE sandbox = ? AND session IS NOT ? AND ended_at IS NULL",
        )
        .bind(now)
        .bind(id)
        .bind(keep)
        .execute(&mut *tx)
        .await?;
        let cancelled = sqlx::query(
            "UPDATE held SET status = 'cancelled', decided_at = ? WHERE sandbox = ? AND session IS NOT ? AND status = 'waiting'",
        )
        .bind(now)
        .bind(id)
        .bind(keep)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE held SET spent_at = ? WHERE sandbox = ? AND session IS NOT ? AND status = 'once' AND spent_at IS NULL",
        )
        .bind(now)
        .bind(id)
        .bind(keep)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "DELETE FROM held_sessions WHERE sandbox = ?1 AND ended_at IS NOT NULL AND seq <= (SELECT seq FROM held_sessions
             WHERE sandbox = ?1 AND ended_at IS NOT NULL ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        )
        .bind(id)
        .bind(KEPT_SESSIONS)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some(cancelled.rows_affected() > 0))
    }

    /// Whether a session is over.
    pub(crate) async fn is_session_over(&self, sandbox: &str, session: &str) -> Result<bool, StoreError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM held_sessions h JOIN sandboxes s ON s.id = h.sandbox AND s.deleted_at IS NULL
             WHERE s.name = ? AND h.session = ? AND h.ended_at IS NOT NULL",
        )
        .bind(sandbox)
        .bind(session)
        .fetch_one(&self.pool)
        .await?;
        Ok(count > 0)
    }

    /// What was granted for sessions other than `keep`.
    pub(crate) async fn other_sessions_grants(
        &self,
        sandbox: &str,
        keep: Option<&str>,
    ) -> Result<Vec<SessionGrant>, StoreError> {
        let grants = sqlx::query_as(
            "SELECT g.name, g.entry FROM held_grants g JOIN sandboxes s ON s.id = g.sandbox AND s.deleted_at IS NULL
             WHERE s.name = ? AND g.session IS NOT ? ORDER BY g.name",
        )
        .bind(sandbox)
        .bind(keep)
        .fetch_all(&self.pool)
        .await?;
        Ok(grants)
    }

    /// Takes these grants away, with the version that is without them where one is needed; `false` where another version
    /// came first.
    pub(crate) async fn end_grants(
        &self,
        sandbox: &str,
        grants: &[SessionGrant],
        version: Option<&NewVersion>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let Some(id) = live_id(&mut tx, sandbox).await? else { return Ok(true) };
        if let Some(version) = version {
            if active_version(&mut tx, id).await?.version() + 1 != version.version {
                return Ok(false);
            }
            insert_version(&mut tx, id, sandbox, version, None).await?;
        }
        for grant in grants {
            sqlx::query("DELETE FROM held_grants WHERE sandbox = ? AND name = ? AND entry = ?")
                .bind(id)
                .bind(&grant.name)
                .bind(&grant.entry)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}
