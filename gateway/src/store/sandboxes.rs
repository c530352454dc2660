//! Sandboxes and the versions of their policies.

use sqlx::{FromRow, SqliteConnection};

use super::{Store, StoreError, signed, tokens, unsigned};
use crate::token::Token;

/// A live sandbox.
#[derive(Debug, Clone)]
pub(crate) struct SandboxRow {
    pub(crate) name: String,
    pub(crate) created_at: i64,
    pub(crate) pending: u64,
    pub(crate) active: VersionRow,
}

/// A policy that is or was in force, with its proof.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct VersionRow {
    version: i64,
    pub(crate) policy_yaml: String,
    pub(crate) policy_hash: String,
    pub(crate) ceiling_digest: String,
    pub(crate) schema_digest: String,
    pub(crate) certificate: String,
    pub(crate) proposal: Option<String>,
    pub(crate) approver: String,
    pub(crate) created_at: i64,
    /// Of the proposal.
    pub(crate) intent_summary: Option<String>,
}

impl VersionRow {
    pub(crate) fn version(&self) -> u64 {
        unsigned(self.version)
    }
}

/// A proven, signed policy on its way into force.
#[derive(Debug, Clone)]
pub(crate) struct NewVersion {
    pub(crate) version: u64,
    pub(crate) policy_yaml: String,
    pub(crate) policy_hash: String,
    pub(crate) ceiling_digest: String,
    pub(crate) schema_digest: String,
    /// The envelope as JSON.
    pub(crate) certificate: String,
    pub(crate) approver: String,
    pub(crate) now: i64,
}

const VERSION: &str =
    "SELECT v.version, v.policy_yaml, v.policy_hash, v.ceiling_digest, v.schema_digest, v.certificate, v.proposal,
    v.approver, v.created_at, p.intent_summary FROM versions v LEFT JOIN proposals p ON p.id = v.proposal ";

impl Store {
    /// The version that a name's next policy will have: numbers go on where a deleted sandbox of that name ended.
    pub(crate) async fn next_version(&self, name: &str) -> Result<u64, StoreError> {
        let last: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM versions WHERE name = ?")
            .bind(name)
            .fetch_one(&self.pool)
            .await?;
        Ok(unsigned(last) + 1)
    }

    /// A sandbox, its baseline and its token, all or nothing; `false` where the name is taken.
    pub(crate) async fn create_sandbox(
        &self,
        name: &str,
        baseline: &NewVersion,
        token: &Token,
    ) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if live_id(&mut tx, name).await?.is_some() {
            return Ok(false);
        }
        let id: i64 = sqlx::query_scalar("INSERT INTO sandboxes (name, created_at) VALUES (?, ?) RETURNING id")
            .bind(name)
            .bind(baseline.now)
            .fetch_one(&mut *tx)
            .await?;
        insert_version(&mut tx, id, name, baseline, None).await?;
        tokens::insert_sandbox_token(&mut tx, id, name, token, baseline.now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends a sandbox: its tokens go, what was pending expires, what was held is cancelled, its history stays. `false` where there is none.
    pub(crate) async fn delete_sandbox(&self, name: &str, by: &str, now: i64) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let Some(id) = live_id(&mut tx, name).await? else { return Ok(false) };
        sqlx::query("UPDATE sandboxes SET deleted_at = ? WHERE id = ?").bind(now).bind(id).execute(&mut *tx).await?;
        sqlx::query("DELETE FROM tokens WHERE sandbox = ?").bind(id).execute(&mut *tx).await?;
        sqlx::query(
            "UPDATE proposals SET status = 'expired', decided_at = ?, decided_by = ?, rejection_reason = 'the sandbox was deleted', review_token = NULL
             WHERE sandbox = ? AND status = 'pending'",
        )
        .bind(now)
        .bind(by)
        .bind(id)
        .execute(&mut *tx)
        .await?;
        sqlx::query("UPDATE held SET status = 'cancelled', decided_at = ? WHERE sandbox = ? AND status = 'waiting'")
            .bind(now)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Every live sandbox, by name.
    pub(crate) async fn sandboxes(&self) -> Result<Vec<SandboxRow>, StoreError> {
        let names: Vec<String> =
            sqlx::query_scalar("SELECT name FROM sandboxes WHERE deleted_at IS NULL ORDER BY name")
                .fetch_all(&self.pool)
                .await?;
        let mut sandboxes = Vec::with_capacity(names.len());
        for name in names {
            sandboxes.extend(self.sandbox(&name).await?);
        }
        Ok(sandboxes)
    }

    /// One live sandbox, as of one moment.
    pub(crate) async fn sandbox(&self, name: &str) -> Result<Option<SandboxRow>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let row: Option<(i64, i64, i64)> = sqlx::query_as(
            "SELECT s.id, s.created_at, (SELECT count(*) FROM proposals p WHERE p.sandbox = s.id AND p.status = 'pending')
             FROM sandboxes s WHERE s.name = ? AND s.deleted_at IS NULL",
        )
        .bind(name)
        .fetch_optional(&mut *tx)
        .await?;
        let Some((id, created_at, pending)) = row else { return Ok(None) };
        let active = active_version(&mut tx, id).await?;
        Ok(Some(SandboxRow { name: name.to_owned(), created_at, pending: unsigned(pending), active }))
    }

    /// A live sandbox's versions, oldest first.
    pub(crate) async fn history(&self, name: &str) -> Result<Vec<VersionRow>, StoreError> {
        let sql = format!(
            "{VERSION} JOIN sandboxes s ON s.id = v.sandbox WHERE s.name = ? AND s.deleted_at IS NULL ORDER BY v.version"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(name).fetch_all(&self.pool).await?)
    }

    /// Puts newly proven versions of unchanged policies in force, all or none; `false` where something else came first.
    pub(crate) async fn recertify(&self, versions: &[(String, NewVersion)]) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for (name, version) in versions {
            let Some(id) = live_id(&mut tx, name).await? else { return Ok(false) };
            if active_version(&mut tx, id).await?.version() + 1 != version.version {
                return Ok(false);
            }
            insert_version(&mut tx, id, name, version, None).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}

pub(super) async fn live_id(connection: &mut SqliteConnection, name: &str) -> Result<Option<i64>, StoreError> {
    let id = sqlx::query_scalar("SELECT id FROM sandboxes WHERE name = ? AND deleted_at IS NULL")
        .bind(name)
        .fetch_optional(connection)
        .await?;
    Ok(id)
}

/// INVARIANT: the active version is the highest one; a sandbox never exists without one.
pub(super) async fn active_version(connection: &mut SqliteConnection, sandbox: i64) -> Result<VersionRow, StoreError> {
    let sql = format!("{VERSION} WHERE v.sandbox = ? ORDER BY v.version DESC LIMIT 1");
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(sandbox).fetch_one(connection).await?)
}

pub(super) async fn insert_version(
    connection: &mut SqliteConnection,
    sandbox: i64,
    name: &str,
    version: &NewVersion,
    proposal: Option<&str>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO versions (name, version, sandbox, policy_yaml, policy_hash, ceiling_digest, schema_digest, certificate, proposal, approver, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(name)
    .bind(signed(version.version))
    .bind(sandbox)
    .bind(&version.policy_yaml)
    .bind(&version.policy_hash)
    .bind(&version.ceiling_digest)
    .bind(&version.schema_digest)
    .bind(&version.certificate)
    .bind(proposal)
    .bind(&version.approver)
    .bind(version.now)
    .execute(connection)
    .await?;
    Ok(())
}
