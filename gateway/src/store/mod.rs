//! What must survive: sandboxes, versions, proposals, held requests, tokens. SQLite in WAL mode with `synchronous=FULL`, so that what
//! was answered is on the disk. This folder knows SQL and rows; it never judges, signs or decides.

mod events;
mod held;
mod observed;
mod proposals;
mod sandboxes;
mod sessions;
mod tokens;

use std::path::Path;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

pub(crate) use events::{Behind, EventRow};
pub(crate) use held::{Answered, Asked, Grant, HeldRow, Listing, NewHeld, Share, Unasked};
pub(crate) use observed::{Drafted, NewObserved, ObservedRow};
pub(crate) use proposals::{Activation, Decision, NewProposal, ProposalRow, Refreshed};
pub(crate) use sandboxes::{NewVersion, SandboxRow, VersionRow};
pub(crate) use sessions::{Ending, SessionGrant};
pub(crate) use tokens::Caller;

/// The database failed, or holds what this program did not write.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// From SQLite.
    #[error("the database: {0}")]
    Sql(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the database's schema: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A row that does not read back.
    #[error("the database holds a {what} that does not read back: {detail}")]
    Corrupt {
        /// Which kind of value.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens the database and brings its schema up to date.
    pub(crate) async fn open(path: &Path) -> Result<Store, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // What is deleted (a token's hash) is gone from the file, not only from the index.
            .pragma("secure_delete", "ON")
            .busy_timeout(Duration::from_secs(15));
        let pool = SqlitePoolOptions::new().max_connections(8).connect_with(options).await?;
        sqlx::migrate!().run(&pool).await?;
        Ok(Store { pool })
    }

    /// Whether it answers.
    pub(crate) async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Closes every connection; the log is folded into the database.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Versions and counts are never negative: the schema's CHECKs hold that.
fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
