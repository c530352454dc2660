//! Tokens, by hash.

use sqlx::SqliteConnection;

use super::{Store, StoreError};
use crate::token::{Role, Token};

/// Who presented a token.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) role: Role,
    /// What certificates and decisions call them.
    pub(crate) name: String,
    /// A sandbox token's sandbox.
    pub(crate) sandbox: Option<String>,
}

impl Store {
    /// The holder of a token; nobody for one of a deleted sandbox.
    pub(crate) async fn caller(&self, token: &Token) -> Result<Option<Caller>, StoreError> {
        let row: Option<(String, String, Option<String>)> = sqlx::query_as(
            "SELECT t.role, t.name, s.name FROM tokens t LEFT JOIN sandboxes s ON s.id = t.sandbox AND s.deleted_at IS NULL
             WHERE t.hash = ? AND (t.sandbox IS NULL OR s.id IS NOT NULL)",
        )
        .bind(token.hash())
        .fetch_optional(&self.pool)
        .await?;
        let Some((role, name, sandbox)) = row else { return Ok(None) };
        let role = Role::parse(&role).ok_or(StoreError::Corrupt { what: "token", detail: format!("role {role:?}") })?;
        Ok(Some(Caller { role, name, sandbox }))
    }

    /// Whether a person's role has a token at all.
    pub(crate) async fn has_token(&self, role: Role) -> Result<bool, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM tokens WHERE role = ?")
            .bind(role.as_str())
            .fetch_one(&self.pool)
            .await?;
        Ok(count > 0)
    }

    /// Makes this the one token of a person's role.
    pub(crate) async fn set_token(&self, role: Role, token: &Token, now: i64) -> Result<(), StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM tokens WHERE role = ? AND hash <> ?")
            .bind(role.as_str())
            .bind(token.hash())
            .execute(&mut *tx)
            .await?;
        sqlx::query("INSERT OR IGNORE INTO tokens (hash, role, sandbox, name, created_at) VALUES (?, ?, NULL, ?, ?)")
            .bind(token.hash())
            .bind(role.as_str())
            .bind(role.as_str())
            .bind(now)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Makes this the one token of a sandbox; `false` where there is no such sandbox.
    pub(crate) async fn set_sandbox_token(&self, sandbox: &str, token: &Token, now: i64) -> Result<bool, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let id: Option<i64> = sqlx::query_scalar("SELECT id FROM sandboxes WHERE name = ? AND deleted_at IS NULL")
            .bind(sandbox)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(id) = id else { return Ok(false) };
        sqlx::query("DELETE FROM tokens WHERE sandbox = ?").bind(id).execute(&mut *tx).await?;
        insert_sandbox_token(&mut tx, id, sandbox, token, now).await?;
        tx.commit().await?;
        Ok(true)
    }
}

pub(super) async fn insert_sandbox_token(
    connection: &mut SqliteConnection,
    id: i64,
    name: &str,
    token: &Token,
    now: i64,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO tokens (hash, role, sandbox, name, created_at) VALUES (?, ?, ?, ?, ?)")
        .bind(token.hash())
        .bind(Role::Sandbox.as_str())
        .bind(id)
        .bind(name)
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}
