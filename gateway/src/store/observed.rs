//! Counted denials, and which drafts were made of them.

use sqlx::{FromRow, SqliteConnection};

use super::proposals::{insert, prune};
use super::sandboxes::live_id;
use super::{NewProposal, Store, StoreError, signed, unsigned};

/// As many different denials of a sandbox are kept, those last seen.
const KEPT: u32 = 2000;
/// As long, in seconds: nobody looks for what was denied last month.
const KEPT_SECONDS: i64 = 30 * 24 * 3600;
/// As many names of reports are kept. A proxy repeats its last one only.
const KEPT_REPORTS: u32 = 1000;
/// What a person rejected is not drafted again for so long, in seconds.
const REJECTED_FOR: i64 = 7 * 24 * 3600;

/// One kind of denial in one sandbox.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ObservedRow {
    pub(crate) seq: i64,
    pub(crate) layer: String,
    pub(crate) host: String,
    port: i64,
    pub(crate) binary: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) operations: String,
    pub(crate) reason: String,
    hits: i64,
    pub(crate) first_seen: i64,
    pub(crate) last_seen: i64,
    pub(crate) denial_id: String,
    pub(crate) draft: Option<String>,
    pub(crate) not_drafted: Option<String>,
}

impl ObservedRow {
    /// The schema's CHECK holds that it is one.
    pub(crate) fn port(&self) -> u16 {
        u16::try_from(self.port).unwrap_or(0)
    }

    pub(crate) fn hits(&self) -> u64 {
        unsigned(self.hits)
    }
}

/// One counted denial on its way in.
#[derive(Debug, Clone)]
pub(crate) struct NewObserved {
    pub(crate) layer: &'static str,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) binary: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) operations: String,
    pub(crate) reason: String,
    pub(crate) count: u64,
    pub(crate) first_seen: i64,
    pub(crate) last_seen: i64,
    pub(crate) denial_id: String,
}

/// What became of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Drafted {
    /// It is stored: pending, or refused by the gateway.
    Stored,
    /// Somebody proposed something about the same; a draft never takes its place.
    Proposed,
    /// The sandbox is gone, or another report came first.
    Overtaken,
}

const OBSERVED: &str =
    "SELECT o.seq, o.layer, o.host, o.port, o.binary, o.method, o.path, o.operations, o.reason, o.hits, o.first_seen,
    o.last_seen, o.denial_id, o.draft, o.not_drafted FROM observed o ";

impl Store {
    /// Counts a report, once; the seqs of its denials, in their order, each with whether it has no draft that stands in
    /// the way of one. `None` where it was counted before, or the sandbox is gone. `ceiling` is the digest of the one in
    /// force: a draft that another ceiling refused may be made again.
    pub(crate) async fn observe(
        &self,
        sandbox: &str,
        report: &str,
        denials: &[NewObserved],
        dropped: u64,
        ceiling: &str,
        now: i64,
    ) -> Result<Option<Vec<(i64, bool)>>, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let Some(id) = live_id(&mut tx, sandbox).await? else { return Ok(None) };
        let new = sqlx::query(
            "INSERT INTO reports (sandbox, report, received, dropped) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(report)
        .bind(now)
        .bind(signed(dropped))
        .execute(&mut *tx)
        .await?;
        if new.rows_affected() == 0 {
            return Ok(None);
        }
        let mut counted = Vec::with_capacity(denials.len());
        for denial in denials {
            close(&mut tx, id, denial, ceiling, now).await?;
            counted.push(count(&mut tx, id, denial).await?);
        }
        forget(&mut tx, id, now).await?;
        tx.commit().await?;
        Ok(Some(counted))
    }

    /// One kind of denial.
    pub(crate) async fn observation(&self, seq: i64) -> Result<Option<ObservedRow>, StoreError> {
        let sql = format!("{OBSERVED} WHERE o.seq = ?");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(seq).fetch_optional(&self.pool).await?)
    }

    /// What was denied in a live sandbox and is not a draft, last seen first; and how many denials were not kept.
    pub(crate) async fn observed(&self, sandbox: &str) -> Result<(Vec<ObservedRow>, u64), StoreError> {
        let sql = format!(
            "{OBSERVED} JOIN sandboxes s ON s.id = o.sandbox WHERE s.name = ? AND s.deleted_at IS NULL AND o.closed = 0
             AND o.draft IS NULL ORDER BY o.last_seen DESC, o.seq DESC"
        );
        let rows = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(sandbox).fetch_all(&self.pool).await?;
        let dropped: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(r.dropped), 0) FROM reports r JOIN sandboxes s ON s.id = r.sandbox
             WHERE s.name = ? AND s.deleted_at IS NULL",
        )
        .bind(sandbox)
        .fetch_one(&self.pool)
        .await?;
        Ok((rows, unsigned(dropped)))
    }

    /// What people and agents cited in a sandbox's proposals, as JSON lists of records.
    pub(crate) async fn cited(&self, sandbox: &str) -> Result<Vec<String>, StoreError> {
        let lists = sqlx::query_scalar(
            "SELECT p.evidence FROM proposals p JOIN sandboxes s ON s.id = p.sandbox
             WHERE s.name = ? AND s.deleted_at IS NULL AND p.source <> 'l4_draft' AND p.evidence <> '[]'",
        )
        .bind(sandbox)
        .fetch_all(&self.pool)
        .await?;
        Ok(lists)
    }

    /// How many drafts of a sandbox wait.
    pub(crate) async fn pending_drafts(&self, sandbox: &str) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM proposals p JOIN sandboxes s ON s.id = p.sandbox
             WHERE s.name = ? AND s.deleted_at IS NULL AND p.status = 'pending' AND p.source = 'l4_draft'",
        )
        .bind(sandbox)
        .fetch_one(&self.pool)
        .await?;
        Ok(unsigned(count))
    }

    /// Stores a judged draft of a kind of denial, unless somebody asks for something there already. `alike` are the
    /// subjects that count as the same.
    pub(crate) async fn draft(
        &self,
        sandbox: &str,
        seq: i64,
        draft: &NewProposal,
        alike: &[String],
    ) -> Result<Drafted, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let Some(id) = live_id(&mut tx, sandbox).await? else { return Ok(Drafted::Overtaken) };
        let asked: Option<i64> = sqlx::query_scalar(
            "SELECT p.seq FROM proposals p, json_each(?1) a WHERE p.sandbox = ?2 AND p.status = 'pending'
             AND instr(char(10) || p.subject || char(10), char(10) || a.value || char(10)) > 0 LIMIT 1",
        )
        .bind(json(alike))
        .bind(id)
        .fetch_optional(&mut *tx)
        .await?;
        if asked.is_some() {
            return Ok(Drafted::Proposed);
        }
        let taken = sqlx::query(
            "UPDATE observed SET draft = ?, not_drafted = NULL WHERE seq = ? AND sandbox = ? AND closed = 0 AND draft IS NULL",
        )
        .bind(&draft.id)
        .bind(seq)
        .bind(id)
        .execute(&mut *tx)
        .await?;
        if taken.rows_affected() == 0 {
            return Ok(Drafted::Overtaken);
        }
        insert(&mut tx, id, draft).await?;
        prune(&mut tx, id).await?;
        tx.commit().await?;
        Ok(Drafted::Stored)
    }

    /// Takes back what is no denial any more.
    pub(crate) async fn forget_observation(&self, seq: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM observed WHERE seq = ? AND draft IS NULL").bind(seq).execute(&self.pool).await?;
        Ok(())
    }

    /// Says why there is no draft.
    pub(crate) async fn not_drafted(&self, seq: i64, why: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE observed SET not_drafted = ? WHERE seq = ? AND draft IS NULL")
            .bind(why)
            .bind(seq)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Takes pending drafts out of the way of newer proposals about the same.
pub(super) async fn supersede_drafts(
    connection: &mut SqliteConnection,
    sandbox: i64,
    by: &NewProposal,
) -> Result<(), StoreError> {
    // The subject's lines, and the same for whoever the newer one lets in besides.
    sqlx::query(
        "UPDATE proposals SET status = 'superseded', decided_at = ?1, decided_by = 'gateway', review_token = NULL,
         rejection_reason = 'superseded by ' || ?2 WHERE sandbox = ?3 AND status = 'pending' AND source = 'l4_draft'
         AND (instr(char(10) || ?4 || char(10), char(10) || subject || char(10)) > 0
           OR instr(char(10) || ?4 || char(10), char(10) || substr(subject, 1, instr(subject, ' ')) || '*' || char(10)) > 0)",
    )
    .bind(by.now)
    .bind(&by.id)
    .bind(sandbox)
    .bind(&by.subject)
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends the count of a kind of denial whose draft was decided, where what is denied from now on is worth another draft:
/// it was in force once, or its reason to be refused may be gone.
async fn close(
    connection: &mut SqliteConnection,
    sandbox: i64,
    denial: &NewObserved,
    ceiling: &str,
    now: i64,
) -> Result<(), StoreError> {
    if denial.layer != "l4" {
        return Ok(());
    }
    sqlx::query(
        "UPDATE observed SET closed = 1 WHERE sandbox = ?1 AND layer = 'l4' AND host = ?2 AND port = ?3 AND binary = ?4 AND closed = 0
         AND draft IS NOT NULL AND NOT EXISTS (SELECT 1 FROM proposals p WHERE p.id = observed.draft AND (
           p.status = 'pending'
           OR (p.status = 'rejected' AND p.decided_by <> 'gateway' AND p.decided_at > ?5)
           OR (p.status = 'rejected' AND p.decided_by = 'gateway' AND p.verdict NOT IN ('redundant', 'invalid') AND p.ceiling_digest = ?6)))",
    )
    .bind(sandbox)
    .bind(&denial.host)
    .bind(i64::from(denial.port))
    .bind(&denial.binary)
    .bind(now - REJECTED_FOR)
    .bind(ceiling)
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds to the open row of this kind, or opens one.
async fn count(
    connection: &mut SqliteConnection,
    sandbox: i64,
    denial: &NewObserved,
) -> Result<(i64, bool), StoreError> {
    let (seq, draft): (i64, Option<String>) = sqlx::query_as(
        "INSERT INTO observed (sandbox, layer, host, port, binary, method, path, operations, reason, hits, minutes, first_seen, last_seen, denial_id)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)
         ON CONFLICT (sandbox, layer, host, port, binary, method, path, operations) WHERE closed = 0 DO UPDATE SET
           hits = min(hits + excluded.hits, 9007199254740991), reason = excluded.reason, denial_id = excluded.denial_id,
           minutes = minutes + (excluded.last_seen / 60 > last_seen / 60),
           first_seen = min(first_seen, excluded.first_seen), last_seen = max(last_seen, excluded.last_seen)
         RETURNING seq, draft",
    )
    .bind(sandbox)
    .bind(denial.layer)
    .bind(&denial.host)
    .bind(i64::from(denial.port))
    .bind(&denial.binary)
    .bind(&denial.method)
    .bind(&denial.path)
    .bind(&denial.operations)
    .bind(&denial.reason)
    .bind(signed(denial.count))
    .bind(denial.first_seen)
    .bind(denial.last_seen)
    .bind(&denial.denial_id)
    .fetch_one(connection)
    .await?;
    Ok((seq, draft.is_none()))
}

/// A sandbox that is denied ever new things must not fill the disk. What a pending draft counts stays, and so does what
/// a person rejected, for as long as that holds: there are as many of those as people decide on, and not as many as an
/// agent may want, to have a no forgotten.
async fn forget(connection: &mut SqliteConnection, sandbox: i64, now: i64) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM observed WHERE sandbox = ?1 AND (last_seen < ?2 OR seq IN
           (SELECT seq FROM observed WHERE sandbox = ?1 ORDER BY last_seen DESC, seq DESC LIMIT -1 OFFSET ?3))
         AND NOT EXISTS (SELECT 1 FROM proposals p WHERE p.id = observed.draft AND (p.status = 'pending'
           OR (p.status = 'rejected' AND p.decided_by <> 'gateway' AND p.decided_at > ?4)))",
    )
    .bind(sandbox)
    .bind(now - KEPT_SECONDS)
    .bind(KEPT)
    .bind(now - REJECTED_FOR)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "DELETE FROM reports WHERE sandbox = ?1 AND rowid IN
           (SELECT rowid FROM reports WHERE sandbox = ?1 ORDER BY received DESC, rowid DESC LIMIT -1 OFFSET ?2)",
    )
    .bind(sandbox)
    .bind(KEPT_REPORTS)
    .execute(connection)
    .await?;
    Ok(())
}

fn json(texts: &[String]) -> String {
    serde_json::to_string(texts).unwrap_or_else(|_| "[]".to_owned())
}
