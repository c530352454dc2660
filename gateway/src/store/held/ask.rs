//! What becomes a question: everything that speaks against one is looked at in the transaction that stores it.

use sqlx::SqliteConnection;

use super::super::proposals::{insert, put_in_force};
use super::super::sandboxes::{active_version, live_id};
use super::super::{NewProposal, NewVersion, Store, StoreError};
use super::{HELD, HeldRow, never};

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
    /// It asked so much that the next one can be asked in so many seconds only.
    TooMany { seconds: i64 },
    /// The sandbox is gone.
    NoSandbox,
}

/// What became of a grant that nobody was asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unasked {
    /// It is in force.
    Done,
    /// Another version came first, or the sandbox is gone.
    Overtaken,
    /// As [`Asked::TooMany`].
    TooMany { seconds: i64 },
}

/// How much of people's time one sandbox may ask for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    /// So many requests may wait.
    pub(crate) waiting: u32,
    /// So many questions may be asked at once, where none were asked for long;
    pub(crate) at_once: i64,
    /// and one in so many seconds from then on.
    pub(crate) seconds_each: i64,
}

/// As many ended ones of a sandbox are kept, those that ended last;
const KEPT_ENDED: u32 = 1000;
/// and what ended within so many seconds: its proxy, and whoever answered, may be about to look. How many those can be
/// is bounded by how many can be asked.
const KEPT_SECONDS: i64 = 300;

impl Store {
    /// Stores a request that waits, unless something speaks against it.
    pub(crate) async fn hold(&self, sandbox: &str, new: &NewHeld, share: Share) -> Result<Asked, StoreError> {
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
        if waiting >= i64::from(share.waiting) {
            return Ok(Asked::Full);
        }
        if let Some(seconds) = pay(&mut tx, id, share, new.now).await? {
            return Ok(Asked::TooMany { seconds });
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
        prune(&mut tx, id, new.now).await?;
        let row = find().fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(Asked::Held(Box::new(row)))
    }

    /// What nobody was asked about, put in force as a proposal of its own. It counts as a question: each is a version
    /// that is kept for good.
    pub(crate) async fn grant_unasked(
        &self,
        sandbox: &str,
        proposal: &NewProposal,
        version: &NewVersion,
        share: Share,
    ) -> Result<Unasked, StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let Some(id) = live_id(&mut tx, sandbox).await? else { return Ok(Unasked::Overtaken) };
        if active_version(&mut tx, id).await?.version() + 1 != version.version {
            return Ok(Unasked::Overtaken);
        }
        if let Some(seconds) = pay(&mut tx, id, share, proposal.now).await? {
            return Ok(Unasked::TooMany { seconds });
        }
        insert(&mut tx, id, proposal).await?;
        put_in_force(&mut tx, id, sandbox, &proposal.id, version).await?;
        tx.commit().await?;
        Ok(Unasked::Done)
    }
}

/// Takes a question's time out of the sandbox's share; where that is used up, how many seconds are missing. It is in the
/// database, so that neither a new session nor a restart is a new share.
async fn pay(
    connection: &mut SqliteConnection,
    sandbox: i64,
    share: Share,
    now: i64,
) -> Result<Option<i64>, StoreError> {
    let until: i64 = sqlx::query_scalar("SELECT questions_until FROM sandboxes WHERE id = ?")
        .bind(sandbox)
        .fetch_one(&mut *connection)
        .await?;
    let whole = share.at_once.saturating_mul(share.seconds_each);
    let last = now.saturating_add(whole).saturating_sub(share.seconds_each);
    // Further ahead than it is ever put: the clock was set back, which is nothing that the sandbox did.
    let until = if until > now.saturating_add(whole) { last } else { until.max(now) };
    if until > last {
        return Ok(Some(until - last));
    }
    sqlx::query("UPDATE sandboxes SET questions_until = ? WHERE id = ?")
        .bind(until.saturating_add(share.seconds_each))
        .bind(sandbox)
        .execute(connection)
        .await?;
    Ok(None)
}

/// Forgets what ended long ago, by its end: how long one waited does not make it older. What is never asked about again
/// is not history: it is listed, and can be taken back.
async fn prune(connection: &mut SqliteConnection, sandbox: i64, now: i64) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM held WHERE sandbox = ?1 AND status NOT IN ('waiting', 'never') AND decided_at < ?2 AND seq IN
         (SELECT seq FROM held WHERE sandbox = ?1 AND status NOT IN ('waiting', 'never')
          ORDER BY decided_at DESC, seq DESC LIMIT -1 OFFSET ?3)",
    )
    .bind(sandbox)
    .bind(now.saturating_sub(KEPT_SECONDS))
    .bind(KEPT_ENDED)
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use std::path::Path;

    use super::*;

    const SHARE: Share = Share { waiting: 2000, at_once: 1000, seconds_each: 10 };

    fn new(number: i64, now: i64) -> NewHeld {
        let [id, key] = ["h", "k"].map(|kind| format!("{kind}{number}"));
        let json = || "{}".to_owned();
        NewHeld {
            id,
            key,
            session: "s".to_owned(),
            record: json(),
            process: json(),
            operation: json(),
            rule: format!("r{number}"),
            deadline: now + 60,
            now,
        }
    }

    /// The database there, if need be a new one.
    async fn store(path: &Path) -> Store {
        std::fs::File::options().create(true).append(true).open(path).unwrap();
        Store::open(path).await.unwrap()
    }

    /// A burst, and then what time pays for: whatever is asked, and across a restart.
    #[tokio::test]
    async fn a_burst_is_followed_by_a_rate() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("narrowgate.db");
        let store = self::store(&path).await;
        for name in ["one", "two"] {
            let insert = sqlx::query("INSERT INTO sandboxes (name, created_at) VALUES (?, 0)").bind(name);
            insert.execute(&store.pool).await.unwrap();
        }
        let mut number = 0;
        let mut asked = async |store: &Store, sandbox: &str, times: i64, now: i64| {
            let mut held = 0;
            for _ in 0..times {
                number += 1;
                match store.hold(sandbox, &new(number, now), SHARE).await.unwrap() {
                    Asked::Held(_) => held += 1,
                    Asked::TooMany { seconds } => return (held, seconds),
                    other => panic!("{other:?}"),
                }
            }
            (held, 0)
        };
        let now = 1_000_000;
        assert_eq!(asked(&store, "one", 1001, now).await, (1000, 10));
        assert_eq!(asked(&store, "two", 1, now).await, (1, 0), "each has its own");
        assert_eq!(asked(&store, "one", 1, now + 9).await, (0, 1));
        assert_eq!(asked(&store, "one", 2, now + 10).await, (1, 10));
        store.close().await;
        let store = self::store(&path).await;
        assert_eq!(asked(&store, "one", 9, now + 55).await, (4, 5), "what is in the database counts");
        assert_eq!(asked(&store, "one", 1, now - 500).await, (1, 0), "the clock was set back");
        assert_eq!(asked(&store, "one", 1, now - 500).await, (0, 10));
        assert_eq!(asked(&store, "one", 1001, now + 20_000).await, (1000, 10), "after a while it is as at first");
    }

    /// What ended last is kept longest, and what ended just now in any case.
    #[tokio::test]
    async fn what_ended_is_forgotten_by_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let store = self::store(&dir.path().join("narrowgate.db")).await;
        sqlx::query("INSERT INTO sandboxes (name, created_at) VALUES ('one', 0)").execute(&store.pool).await.unwrap();
        let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
            INSERT INTO held (id, sandbox, session, key, status, record, process, operation, rule, created_at, deadline, decided_at)
            SELECT 'e' || i, 1, 's', 'e' || i, 'cancelled', '{}', '{}', '{}', 'r', 0, 0, 10000 - i FROM n";
        sqlx::query(insert).execute(&store.pool).await.unwrap();
        let kept = async |now: i64, number: i64| -> (i64, i64) {
            assert!(matches!(store.hold("one", &new(number, now), SHARE).await.unwrap(), Asked::Held(_)));
            let sql = "SELECT count(*), min(decided_at) FROM held WHERE status = 'cancelled'";
            sqlx::query_as(sql).fetch_one(&store.pool).await.unwrap()
        };
        assert_eq!(kept(8_800, 1).await, (1500, 8_500), "all ended within five minutes of then");
        assert_eq!(kept(8_900, 2).await, (1400, 8_600));
        assert_eq!(kept(20_000, 3).await, (1000, 9_000));
    }
}
