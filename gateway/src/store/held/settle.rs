//! How a held request ends, and what is granted by that: of all that happens at the same moment, one thing wins.

use sqlx::SqliteConnection;

use super::super::proposals::{insert, put_in_force};
use super::super::sandboxes::{active_version, live_id};
use super::super::{NewProposal, NewVersion, Store, StoreError, signed};
use super::HeldRow;

/// An answer that puts nothing in force.
#[derive(Debug, Clone)]
pub(crate) struct Answered<'a> {
    pub(crate) status: &'static str,
    pub(crate) by: &'a str,
    pub(crate) reason: Option<&'a str>,
    /// With `session` and `always`, where the version in force has the rule already.
    pub(crate) version: Option<u64>,
    /// The proposal that it became, where it put the rule in force.
    pub(crate) proposal: Option<&'a str>,
    pub(crate) now: i64,
}

/// An answer that puts the rule in force.
#[derive(Debug, Clone)]
pub(crate) struct Grant<'a> {
    pub(crate) answered: Answered<'a>,
    pub(crate) proposal: &'a NewProposal,
    pub(crate) version: &'a NewVersion,
    /// The entry's key and its JSON.
    pub(crate) entry: (&'a str, String),
}

impl Store {
    /// A person's answer that puts nothing in force; `false` where it does not wait any more. A `never` also settles
    /// what else waits for the same, and keeps from asking again.
    pub(crate) async fn settle_held(&self, id: &str, answered: &Answered<'_>) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if !settle(&mut tx, id, answered).await? {
            return Ok(false);
        }
        match answered.status {
            "never" => {
                sqlx::query(
                    "INSERT INTO held_never (sandbox, rule, held, decided_by, reason) SELECT sandbox, rule, id, ?, ? FROM held WHERE id = ?
                     ON CONFLICT (sandbox, rule) DO UPDATE SET held = excluded.held, decided_by = excluded.decided_by, reason = excluded.reason",
                )
                .bind(answered.by)
                .bind(answered.reason)
                .bind(id)
                .execute(&mut *tx)
                .await?;
                // One never is listed, the one to take back.
                settle_alike(&mut tx, id, &Answered { status: "denied", ..answered.clone() }).await?;
            }
            "session" | "always" => settle_alike(&mut tx, id, answered).await?,
            _ => {}
        }
        tx.commit().await?;
        Ok(true)
    }

    /// A person's answer that puts the rule in force: the version, the proposal that it is from, and what waits for the
    /// same, all or nothing. `false` where another version came first or it does not wait any more.
    pub(crate) async fn grant_held(&self, row: &HeldRow, grant: &Grant<'_>) -> Result<bool, StoreError> {
        let Grant { answered, proposal, version, entry: (name, entry) } = grant;
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let Some(sandbox) = live_id(&mut tx, &row.sandbox).await? else { return Ok(false) };
        if active_version(&mut tx, sandbox).await?.version() + 1 != version.version {
            return Ok(false);
        }
        insert(&mut tx, sandbox, proposal).await?;
        put_in_force(&mut tx, sandbox, &row.sandbox, &proposal.id, version).await?;
        // Last, since it names the proposal; where it is too late, none of this happened.
        if !settle(&mut tx, &row.id, answered).await? {
            return Ok(false);
        }
        settle_alike(&mut tx, &row.id, answered).await?;
        // What is granted for good does not end with the session that had it before.
        sqlx::query("DELETE FROM held_grants WHERE sandbox = ? AND name = ?")
            .bind(sandbox)
            .bind(name)
            .execute(&mut *tx)
            .await?;
        if answered.status == "session" {
            sqlx::query("INSERT INTO held_grants (sandbox, session, name, entry) VALUES (?, ?, ?, ?)")
                .bind(sandbox)
                .bind(&row.session)
                .bind(name)
                .bind(entry)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// So many requests wait for the answer by now. What was said of one that ended stays.
    pub(crate) async fn count_held(&self, id: &str, requests: u32, now: i64) -> Result<(), StoreError> {
        sqlx::query("UPDATE held SET requests = ? WHERE id = ? AND status = 'waiting' AND deadline > ?")
            .bind(requests)
            .bind(id)
            .bind(now)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Whoever asked went away, or is done with what was granted once, to so many `requests`; `true` where anything changed.
    pub(crate) async fn leave_held(&self, id: &str, requests: Option<u32>, now: i64) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE held SET decided_at = coalesce(decided_at, ?1), spent_at = CASE status WHEN 'once' THEN ?1 END,
             requests = CASE status WHEN 'once' THEN coalesce(?3, requests) ELSE requests END,
             status = CASE status WHEN 'waiting' THEN 'cancelled' ELSE status END
             WHERE id = ?2 AND ((status = 'waiting' AND deadline > ?1) OR (status = 'once' AND spent_at IS NULL))",
        )
        .bind(now)
        .bind(id)
        .bind(requests)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends what nobody answered in time; how many.
    pub(crate) async fn time_out_held(&self, now: i64) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "UPDATE held SET status = 'timed_out', decided_at = deadline WHERE status = 'waiting' AND deadline <= ?",
        )
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// The grant of an answer `once` was handed out; `false` where it is spent, or its time is over.
    pub(crate) async fn hand_out_held(&self, id: &str, now: i64, within: i64) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE held SET granted_at = coalesce(granted_at, ?1)
             WHERE id = ?2 AND status = 'once' AND spent_at IS NULL AND decided_at + ?3 >= ?1",
        )
        .bind(now)
        .bind(id)
        .bind(within)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// An answer `once` that came to nothing before anything was granted.
    pub(crate) async fn refuse_held(&self, id: &str, reason: &str) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE held SET status = 'refused', reason = ?, requests = NULL WHERE id = ? AND status = 'once' AND granted_at IS NULL",
        )
        .bind(reason)
        .bind(id)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes a `never` back; `false` where there is none.
    pub(crate) async fn forget_never(&self, id: &str) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let done = sqlx::query("DELETE FROM held_never WHERE held = ?").bind(id).execute(&mut *tx).await?;
        sqlx::query("UPDATE held SET status = 'denied' WHERE id = ? AND status = 'never'")
            .bind(id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}

/// INVARIANT: whoever changes one row here has won every race about it.
async fn settle(connection: &mut SqliteConnection, id: &str, answered: &Answered<'_>) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE held SET status = ?, decided_at = ?, decided_by = ?, reason = ?, version = ?, proposal = ?
         WHERE id = ? AND status = 'waiting' AND deadline > ?",
    )
    .bind(answered.status)
    .bind(answered.now)
    .bind(answered.by)
    .bind(answered.reason)
    .bind(answered.version.map(signed))
    .bind(answered.proposal)
    .bind(id)
    .bind(answered.now)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The same answer for what waits for the same rule: nobody is asked about what is decided. A session's grant is its own.
async fn settle_alike(connection: &mut SqliteConnection, id: &str, answered: &Answered<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE held SET status = ?1, decided_at = ?2, decided_by = ?3, reason = ?4, version = ?5, proposal = ?7
         WHERE status = 'waiting' AND deadline > ?2 AND (sandbox, rule) = (SELECT sandbox, rule FROM held WHERE id = ?6)
         AND (?1 <> 'session' OR session = (SELECT session FROM held WHERE id = ?6))",
    )
    .bind(answered.status)
    .bind(answered.now)
    .bind(answered.by)
    .bind(answered.reason)
    .bind(answered.version.map(signed))
    .bind(id)
    .bind(answered.proposal)
    .execute(connection)
    .await?;
    Ok(())
}
