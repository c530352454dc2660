//! A proxy's sessions, and what of the policy in force ends with them.

use sqlx::{FromRow, SqliteConnection};

use super::sandboxes::{active_version, insert_version, live_id};
use super::{NewVersion, Store, StoreError};

/// An entry that ends with a session.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct SessionGrant {
    pub(crate) name: String,
    /// Its JSON as it was put in force.
    pub(crate) entry: String,
}

/// Which sessions end.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending<'a> {
    /// All but the one that runs from now on, if one does.
    AllBut(Option<&'a str>),
    /// This one.
    Only(&'a str),
}

impl<'a> Ending<'a> {
    /// The one that is named.
    fn named(self) -> Option<&'a str> {
        match self {
            Ending::AllBut(named) => named,
            Ending::Only(named) => Some(named),
        }
    }

    /// Whether the one that is named is the one that ends.
    fn is_only(self) -> bool {
        matches!(self, Ending::Only(_))
    }
}

/// How many ended sessions of a sandbox are remembered, those that ended last;
const KEPT_SESSIONS: u32 = 100;
/// and those that ended within so many seconds: what is granted for a session lasts no longer.
const KEPT_SECONDS: i64 = 12 * 60 * 60;
/// Of a sandbox's sessions `?1`, named `?2`: those that end. `?3` is [`Ending::is_only`].
const ENDING: &str = "sandbox = ?1 AND (session IS ?2) = ?3";

impl Store {
    /// Ends sessions: what waits there is cancelled, what was granted once is void, and nothing new is taken. `None`
    /// where there is no such sandbox, else whether anything that waited was cancelled.
    pub(crate) async fn end_sessions(
        &self,
        sandbox: &str,
        ending: Ending<'_>,
        now: i64,
    ) -> Result<Option<bool>, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let Some(id) = live_id(&mut tx, sandbox).await? else { return Ok(None) };
        if let Some(session) = ending.named() {
            sqlx::query("INSERT OR IGNORE INTO held_sessions (sandbox, session) VALUES (?, ?)")
                .bind(id)
                .bind(session)
                .execute(&mut *tx)
                .await?;
        }
        let end = async |tx: &mut SqliteConnection, update: &str| -> Result<u64, StoreError> {
            let sql = format!("{update} AND {ENDING}");
            let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id).bind(ending.named()).bind(ending.is_only());
            Ok(query.bind(now).execute(tx).await?.rows_affected())
        };
        end(&mut tx, "UPDATE held_sessions SET ended_at = ?4 WHERE ended_at IS NULL").await?;
        let cancelled =
            end(&mut tx, "UPDATE held SET status = 'cancelled', decided_at = ?4 WHERE status = 'waiting'").await?;
        end(&mut tx, "UPDATE held SET spent_at = ?4 WHERE status = 'once' AND spent_at IS NULL").await?;
        sqlx::query(
            "DELETE FROM held_sessions WHERE sandbox = ?1 AND ended_at < ?3 AND seq IN (SELECT seq FROM held_sessions
             WHERE sandbox = ?1 AND ended_at IS NOT NULL ORDER BY ended_at DESC, seq DESC LIMIT -1 OFFSET ?2)",
        )
        .bind(id)
        .bind(KEPT_SESSIONS)
        .bind(now.saturating_sub(KEPT_SECONDS))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some(cancelled > 0))
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

    /// What was granted for the sessions that end.
    pub(crate) async fn ending_grants(
        &self,
        sandbox: &str,
        ending: Ending<'_>,
    ) -> Result<Vec<SessionGrant>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let Some(id) = live_id(&mut connection, sandbox).await? else { return Ok(Vec::new()) };
        let sql = format!("SELECT name, entry FROM held_grants WHERE {ENDING} ORDER BY name");
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).bind(ending.named()).bind(ending.is_only());
        Ok(query.fetch_all(&mut *connection).await?)
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
