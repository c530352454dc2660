//! Requests that wait for a person. Whatever may happen to one at the same moment (an answer, another one, the deadline,
//! a client that goes away) is decided by one statement: `… WHERE status = 'waiting' AND deadline > now`.

use sqlx::{FromRow, SqliteConnection};

use super::proposals::{insert, put_in_force};
use super::sandboxes::{active_version, live_id};
use super::{NewProposal, NewVersion, Store, StoreError, signed, unsigned};

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

/// A request that somebody is to be asked about.
#[derive(Debug, Clone)]
pub(crate) struct NewHeld {
    pub(crate) id: String,
    pub(crate) session: String,
    pub(crate) key: String,
    pub(crate) record: String,
    pub(crate) process: String,
    pub(crate) operation: String,
    /// The rule's digest.
    pub(crate) rule: String,
    pub(crate) deadline: i64,
    pub(crate) now: i64,
}

/// What became of a [`NewHeld`].
#[derive(Debug)]
pub(crate) enum Asked {
    /// It waits, or is the one that this key had before.
    Held(Box<HeldRow>),
    /// A reviewer said never: in these words.
    Never { by: String, reason: Option<String> },
    /// Its session is over.
    SessionEnded,
    /// So many wait already.
    Full,
    /// The sandbox is gone.
    NoSandbox,
}

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

/// How many ended ones of a sandbox are kept: the newest.
const KEPT_ENDED: u32 = 1000;

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

    /// The newest `limit`, oldest first. A `never` is listed for as long as it holds.
    pub(crate) async fn held_list(
        &self,
        sandbox: Option<&str>,
        status: Option<&str>,
        limit: u32,
    ) -> Result<Vec<HeldRow>, StoreError> {
        let sql = format!(
            "{HELD} WHERE (?1 IS NULL OR s.name = ?1) AND (?2 IS NULL OR h.status = ?2) ORDER BY h.seq DESC LIMIT ?3"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(sandbox).bind(status).bind(limit);
        let mut rows: Vec<HeldRow> = query.fetch_all(&self.pool).await?;
        rows.reverse();
        Ok(rows)
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

    /// Stores a request that waits, unless something speaks against it; `most` is how many may wait.
    pub(crate) async fn hold(&self, sandbox: &str, new: &NewHeld, most: u32) -> Result<Asked, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let Some(id) = live_id(&mut tx, sandbox).await? else { return Ok(Asked::NoSandbox) };
        let by_key = format!("{HELD} WHERE h.sandbox = ? AND h.session = ? AND h.key = ?");
        let find = || sqlx::query_as(sqlx::AssertSqlSafe(by_key.clone())).bind(id).bind(&new.session).bind(&new.key);
        if let Some(row) = find().fetch_optional(&mut *tx).await? {
            return Ok(Asked::Held(Box::new(row)));
        }
        if let Some((by, reason)) = never(&mut tx, id, &new.rule).await? {
            return Ok(Asked::Never { by, reason });
        }
        sqlx::query("INSERT OR IGNORE INTO held_sessions (sandbox, session) VALUES (?, ?)")
            .bind(id)
            .bind(&new.session)
            .execute(&mut *tx)
            .await?;
        let ended: Option<i64> =
            sqlx::query_scalar("SELECT ended_at FROM held_sessions WHERE sandbox = ? AND session = ?")
                .bind(id)
                .bind(&new.session)
                .fetch_one(&mut *tx)
                .await?;
        if ended.is_some() {
            return Ok(Asked::SessionEnded);
        }
        let waiting: i64 =
            sqlx::query_scalar("SELECT count(*) FROM held WHERE sandbox = ? AND status = 'waiting' AND deadline > ?")
                .bind(id)
                .bind(new.now)
                .fetch_one(&mut *tx)
                .await?;
        if waiting >= i64::from(most) {
            return Ok(Asked::Full);
        }
        sqlx::query(
            "INSERT INTO held (id, sandbox, session, key, status, record, process, operation, rule, created_at, deadline)
             VALUES (?, ?, ?, ?, 'waiting', ?, ?, ?, ?, ?, ?)",
        )
        .bind(&new.id)
        .bind(id)
        .bind(&new.session)
        .bind(&new.key)
        .bind(&new.record)
        .bind(&new.process)
        .bind(&new.operation)
        .bind(&new.rule)
        .bind(new.now)
        .bind(new.deadline)
        .execute(&mut *tx)
        .await?;
        // What is never asked about again is not history: it is listed, and can be taken back.
        sqlx::query(
            "DELETE FROM held WHERE sandbox = ?1 AND status NOT IN ('waiting', 'never') AND seq <=
             (SELECT seq FROM held WHERE sandbox = ?1 AND status NOT IN ('waiting', 'never') ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        )
        .bind(id)
        .bind(KEPT_ENDED)
        .execute(&mut *tx)
        .await?;
        let row = find().fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(Asked::Held(Box::new(row)))
    }

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

    /// What nobody was asked about, put in force as a proposal of its own; `false` where another version came first.
    pub(crate) async fn grant_unasked(
        &self,
        sandbox: &str,
        proposal: &NewProposal,
        version: &NewVersion,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let Some(id) = live_id(&mut tx, sandbox).await? else { return Ok(false) };
        if active_version(&mut tx, id).await?.version() + 1 != version.version {
            return Ok(false);
        }
        insert(&mut tx, id, proposal).await?;
        put_in_force(&mut tx, id, sandbox, &proposal.id, version).await?;
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

    /// The next deadline of any that waits.
    pub(crate) async fn next_held_deadline(&self) -> Result<Option<i64>, StoreError> {
        let next = sqlx::query_scalar("SELECT min(deadline) FROM held WHERE status = 'waiting'");
        Ok(next.fetch_one(&self.pool).await?)
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
            "UPDATE held SET status = 'refused', reason = ? WHERE id = ? AND status = 'once' AND granted_at IS NULL",
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

async fn never(
    connection: &mut SqliteConnection,
    sandbox: i64,
    rule: &str,
) -> Result<Option<(String, Option<String>)>, StoreError> {
    let said = sqlx::query_as("SELECT decided_by, reason FROM held_never WHERE sandbox = ? AND rule = ?");
    Ok(said.bind(sandbox).bind(rule).fetch_optional(connection).await?)
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
