//! Proposals: one row per operation.

use sqlx::{FromRow, SqliteConnection};

use super::observed::supersede_drafts;
use super::sandboxes::{active_version, insert_version, live_id};
use super::{NewVersion, Store, StoreError, signed, unsigned};

/// One stored proposal.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ProposalRow {
    pub(crate) id: String,
    /// The sandbox's name.
    pub(crate) sandbox: String,
    pub(crate) status: String,
    pub(crate) source: String,
    pub(crate) binary: String,
    pub(crate) intent_summary: String,
    pub(crate) denial_ids: String,
    pub(crate) evidence: String,
    pub(crate) operation: String,
    /// With `removeRule`: the policy that it was judged on.
    pub(crate) base_policy: Option<String>,
    base_version: i64,
    pub(crate) ceiling_digest: String,
    pub(crate) credentials_digest: String,
    pub(crate) not_automatic: Option<String>,
    pub(crate) verdict: String,
    pub(crate) report: Option<String>,
    pub(crate) review_token: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) decided_at: Option<i64>,
    pub(crate) decided_by: Option<String>,
    pub(crate) rejection_reason: Option<String>,
    pub(crate) hints: String,
    activated_version: Option<i64>,
    hits: Option<i64>,
    minutes: Option<i64>,
    /// With a draft: the first of the denials that it is made of.
    pub(crate) first_seen: Option<i64>,
    /// With a draft: the last of them.
    pub(crate) last_seen: Option<i64>,
}

impl ProposalRow {
    pub(crate) fn base_version(&self) -> u64 {
        unsigned(self.base_version)
    }

    pub(crate) fn activated_version(&self) -> Option<u64> {
        self.activated_version.map(unsigned)
    }

    /// With a draft: how many denials it is made of, and in how many minutes.
    pub(crate) fn hits(&self) -> Option<(u64, u64)> {
        Some((unsigned(self.hits?), unsigned(self.minutes?)))
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.status == "pending"
    }
}

/// A judged operation, to be stored: pending, or rejected with a reason.
#[derive(Debug, Clone)]
pub(crate) struct NewProposal {
    pub(crate) id: String,
    pub(crate) source: &'static str,
    pub(crate) binary: String,
    pub(crate) intent_summary: String,
    pub(crate) denial_ids: String,
    pub(crate) evidence: String,
    pub(crate) operation: String,
    pub(crate) subject: String,
    pub(crate) judged: Refreshed,
    pub(crate) now: i64,
}

/// What a judgement leaves in a row.
#[derive(Debug, Clone)]
pub(crate) struct Refreshed {
    pub(crate) base_version: u64,
    pub(crate) ceiling_digest: String,
    pub(crate) credentials_digest: String,
    /// In mode auto: why a person is asked.
    pub(crate) not_automatic: Option<String>,
    pub(crate) verdict: String,
    pub(crate) report: Option<String>,
    /// With it the proposal is pending, without it rejected.
    pub(crate) review_token: Option<String>,
    pub(crate) rejection_reason: Option<String>,
}

/// A person's no.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) by: String,
    pub(crate) reason: String,
    pub(crate) hints: String,
    pub(crate) now: i64,
}

/// How putting a proposal in force went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    /// It is in force.
    Done,
    /// The active version or the proposal changed meanwhile; nothing was applied.
    Overtaken,
}

/// How many of a sandbox's proposals that no person decided, and nobody waits for, are kept: the newest.
const KEPT_REFUSALS: u32 = 500;

const PROPOSAL: &str = "SELECT p.id, s.name AS sandbox, p.status, p.source, p.binary, p.intent_summary, p.denial_ids, p.evidence, p.operation,
    p.base_version, p.ceiling_digest, p.credentials_digest, p.not_automatic, p.verdict, p.report, p.review_token, p.created_at, p.decided_at, p.decided_by, p.rejection_reason,
    p.hints, p.activated_version, o.hits, o.minutes, o.first_seen, o.last_seen, CASE WHEN json_type(p.operation, '$.removeRule') IS NOT NULL THEN
        (SELECT v.policy_yaml FROM versions v WHERE v.sandbox = p.sandbox AND v.version = p.base_version) END AS base_policy
    FROM proposals p JOIN sandboxes s ON s.id = p.sandbox LEFT JOIN observed o ON o.draft = p.id ";

impl Store {
    /// Stores the operations of one submission, and supersedes the pending ones about the same subjects. `false`
    /// where the sandbox is gone.
    pub(crate) async fn submit(&self, sandbox: &str, proposals: &[NewProposal]) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let Some(id) = live_id(&mut tx, sandbox).await? else { return Ok(false) };
        // Before the inserts, so that the operations of one submission do not supersede each other.
        for new in proposals.iter().filter(|new| new.judged.review_token.is_some()) {
            sqlx::query(
                "UPDATE proposals SET status = 'superseded', decided_at = ?, decided_by = 'gateway', review_token = NULL,
                 rejection_reason = 'superseded by ' || ? WHERE sandbox = ? AND status = 'pending' AND subject = ? AND source = ?",
            )
            .bind(new.now)
            .bind(&new.id)
            .bind(id)
            .bind(&new.subject)
            .bind(new.source)
            .execute(&mut *tx)
            .await?;
            supersede_drafts(&mut tx, id, new).await?;
        }
        for new in proposals {
            insert(&mut tx, id, new).await?;
        }
        prune(&mut tx, id).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// One proposal of a live sandbox.
    pub(crate) async fn proposal(&self, id: &str) -> Result<Option<ProposalRow>, StoreError> {
        let sql = format!("{PROPOSAL} WHERE p.id = ? AND s.deleted_at IS NULL");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).fetch_optional(&self.pool).await?)
    }

    /// How many of a sandbox's proposals wait.
    pub(crate) async fn pending(&self, sandbox: &str) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM proposals p JOIN sandboxes s ON s.id = p.sandbox WHERE s.name = ? AND s.deleted_at IS NULL AND p.status = 'pending'",
        )
        .bind(sandbox)
        .fetch_one(&self.pool)
        .await?;
        Ok(unsigned(count))
    }

    /// At most `limit` proposals of live sandboxes, oldest first. What waits comes before what was decided, then the
    /// oldest of each sandbox before the next ones, so that nothing hides what a person is to decide; of what was
    /// decided, the newest.
    pub(crate) async fn proposals(
        &self,
        sandbox: Option<&str>,
        status: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ProposalRow>, StoreError> {
        let sql = format!(
            "{PROPOSAL} WHERE p.seq IN (SELECT seq FROM (
                SELECT p.seq, p.status = 'pending' AS waits,
                CASE p.status WHEN 'pending' THEN row_number() OVER (PARTITION BY p.sandbox, p.status ORDER BY p.seq) END AS place
                FROM proposals p JOIN sandboxes s ON s.id = p.sandbox AND s.deleted_at IS NULL
                WHERE (?1 IS NULL OR s.name = ?1) AND (?2 IS NULL OR p.status = ?2))
            ORDER BY waits DESC, place, seq DESC LIMIT ?3) ORDER BY p.seq"
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(sandbox).bind(status).bind(limit);
        Ok(query.fetch_all(&self.pool).await?)
    }

    /// Stores a new judgement of a pending proposal; without a review token it is thereby rejected.
    pub(crate) async fn refresh(&self, id: &str, judged: &Refreshed, now: i64) -> Result<(), StoreError> {
        let rejected = judged.review_token.is_none();
        // Judgements of an older base than the stored one came late and say nothing any more.
        sqlx::query(
            "UPDATE proposals SET base_version = ?, ceiling_digest = ?, credentials_digest = ?, not_automatic = ?, verdict = ?, report = ?, review_token = ?, rejection_reason = ?,
             status = ?, decided_at = ?, decided_by = ? WHERE id = ? AND status = 'pending' AND base_version <= ?",
        )
        .bind(signed(judged.base_version))
        .bind(&judged.ceiling_digest)
        .bind(&judged.credentials_digest)
        .bind(&judged.not_automatic)
        .bind(&judged.verdict)
        .bind(&judged.report)
        .bind(&judged.review_token)
        .bind(&judged.rejection_reason)
        .bind(if rejected { "rejected" } else { "pending" })
        .bind(rejected.then_some(now))
        .bind(rejected.then_some("gateway"))
        .bind(id)
        .bind(signed(judged.base_version))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// A person's no; `false` where it is not pending any more.
    pub(crate) async fn reject(&self, id: &str, decision: &Decision) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE proposals SET status = 'rejected', decided_at = ?, decided_by = ?, rejection_reason = ?, hints = ?, review_token = NULL
             WHERE id = ? AND status = 'pending'",
        )
        .bind(decision.now)
        .bind(&decision.by)
        .bind(&decision.reason)
        .bind(&decision.hints)
        .bind(id)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Puts a proven version in force and marks its proposal approved, in one transaction that takes the write lock
    /// first: whatever happened since the proof is seen, and nothing can happen until the commit.
    pub(crate) async fn activate(
        &self,
        proposal: &ProposalRow,
        version: &NewVersion,
    ) -> Result<Activation, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let Some(id) = live_id(&mut tx, &proposal.sandbox).await? else { return Ok(Activation::Overtaken) };
        if active_version(&mut tx, id).await?.version() + 1 != version.version {
            return Ok(Activation::Overtaken);
        }
        let pending: Option<i64> =
            sqlx::query_scalar("SELECT seq FROM proposals WHERE id = ? AND sandbox = ? AND status = 'pending'")
                .bind(&proposal.id)
                .bind(id)
                .fetch_optional(&mut *tx)
                .await?;
        if pending.is_none() {
            return Ok(Activation::Overtaken);
        }
        put_in_force(&mut tx, id, &proposal.sandbox, &proposal.id, version).await?;
        tx.commit().await?;
        Ok(Activation::Done)
    }
}

/// The version and its proposal's approval. Whoever calls has seen that the version follows the one in force.
pub(super) async fn put_in_force(
    connection: &mut SqliteConnection,
    sandbox: i64,
    name: &str,
    proposal: &str,
    version: &NewVersion,
) -> Result<(), StoreError> {
    insert_version(connection, sandbox, name, version, Some(proposal)).await?;
    sqlx::query(
        "UPDATE proposals SET status = 'approved', decided_at = ?, decided_by = ?, review_token = NULL, activated_name = ?,
         activated_version = ? WHERE id = ?",
    )
    .bind(version.now)
    .bind(&version.approver)
    .bind(name)
    .bind(signed(version.version))
    .bind(proposal)
    .execute(connection)
    .await?;
    Ok(())
}

/// An agent that keeps asking for what it cannot have must not fill the disk.
pub(super) async fn prune(connection: &mut SqliteConnection, sandbox: i64) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM proposals WHERE sandbox = ?1 AND status IN ('rejected', 'superseded') AND decided_by = 'gateway'
         AND seq <= (SELECT seq FROM proposals WHERE sandbox = ?1 AND status IN ('rejected', 'superseded')
         AND decided_by = 'gateway' ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
    )
    .bind(sandbox)
    .bind(KEPT_REFUSALS)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn insert(
    connection: &mut SqliteConnection,
    sandbox: i64,
    new: &NewProposal,
) -> Result<(), StoreError> {
    let rejected = new.judged.review_token.is_none();
    sqlx::query(
        "INSERT INTO proposals (id, sandbox, status, source, binary, intent_summary, denial_ids, evidence, operation, subject, base_version,
         ceiling_digest, credentials_digest, not_automatic, verdict, report, review_token, created_at, decided_at, decided_by, rejection_reason)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&new.id)
    .bind(sandbox)
    .bind(if rejected { "rejected" } else { "pending" })
    .bind(new.source)
    .bind(&new.binary)
    .bind(&new.intent_summary)
    .bind(&new.denial_ids)
    .bind(&new.evidence)
    .bind(&new.operation)
    .bind(&new.subject)
    .bind(signed(new.judged.base_version))
    .bind(&new.judged.ceiling_digest)
    .bind(&new.judged.credentials_digest)
    .bind(&new.judged.not_automatic)
    .bind(&new.judged.verdict)
    .bind(&new.judged.report)
    .bind(&new.judged.review_token)
    .bind(new.now)
    .bind(rejected.then_some(new.now))
    .bind(rejected.then_some("gateway"))
    .bind(&new.judged.rejection_reason)
    .execute(connection)
    .await?;
    Ok(())
}
