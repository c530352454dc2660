-- Sandboxes, the versions of their policies, proposals and tokens.
--
-- A sandbox's active policy is by definition its highest version. A version row holds policy and certificate
-- together and is never changed, so whatever moment a process dies at, what is in force is what was proven.

CREATE TABLE sandboxes (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    -- A deleted sandbox keeps its history; its name may be used again, with version numbers that go on.
    deleted_at INTEGER
) STRICT;

CREATE UNIQUE INDEX sandboxes_live_name ON sandboxes (name) WHERE deleted_at IS NULL;

CREATE TABLE proposals (
    seq               INTEGER PRIMARY KEY AUTOINCREMENT,
    id                TEXT    NOT NULL UNIQUE,
    sandbox           INTEGER NOT NULL REFERENCES sandboxes (id),
    status            TEXT    NOT NULL CHECK (status IN ('pending', 'approved', 'rejected', 'superseded', 'expired')),
    source            TEXT    NOT NULL,
    binary            TEXT    NOT NULL,
    intent_summary    TEXT    NOT NULL,
    denial_ids        TEXT    NOT NULL,
    evidence          TEXT    NOT NULL,
    operation         TEXT    NOT NULL,
    -- Which endpoints and binaries it is about: a newer proposal about the same ones supersedes it.
    subject           TEXT    NOT NULL,
    -- What it was last judged against, and how that ended.
    base_version      INTEGER NOT NULL,
    ceiling_digest    TEXT    NOT NULL,
    verdict           TEXT    NOT NULL,
    report            TEXT,
    review_token      TEXT,
    created_at        INTEGER NOT NULL,
    decided_at        INTEGER,
    decided_by        TEXT,
    rejection_reason  TEXT,
    hints             TEXT    NOT NULL DEFAULT '[]',
    activated_name    TEXT,
    activated_version INTEGER,
    FOREIGN KEY (activated_name, activated_version) REFERENCES versions (name, version),
    CHECK ((status = 'pending') = (decided_at IS NULL)),
    CHECK (status <> 'pending' OR (verdict = 'within' AND review_token IS NOT NULL)),
    CHECK ((status = 'approved') = (activated_version IS NOT NULL)),
    CHECK ((activated_name IS NULL) = (activated_version IS NULL))
) STRICT;

CREATE INDEX proposals_by_sandbox ON proposals (sandbox, status);

CREATE TABLE versions (
    name           TEXT    NOT NULL,
    version        INTEGER NOT NULL CHECK (version > 0),
    sandbox        INTEGER NOT NULL REFERENCES sandboxes (id),
    policy_yaml    TEXT    NOT NULL,
    policy_hash    TEXT    NOT NULL,
    ceiling_digest TEXT    NOT NULL,
    schema_digest  TEXT    NOT NULL,
    certificate    TEXT    NOT NULL CHECK (json_valid(certificate)),
    proposal       TEXT REFERENCES proposals (id),
    approver       TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;

CREATE INDEX versions_by_sandbox ON versions (sandbox, version);
CREATE UNIQUE INDEX versions_once_per_proposal ON versions (proposal) WHERE proposal IS NOT NULL;

CREATE TRIGGER versions_follow_each_other BEFORE INSERT ON versions
WHEN NEW.version <> (SELECT coalesce(max(version), 0) + 1 FROM versions WHERE name = NEW.name)
BEGIN
    SELECT raise(ABORT, 'a version must follow the one in force');
END;

CREATE TRIGGER versions_never_change BEFORE UPDATE ON versions
BEGIN
    SELECT raise(ABORT, 'a version never changes');
END;

CREATE TRIGGER versions_never_go BEFORE DELETE ON versions
BEGIN
    SELECT raise(ABORT, 'a version is never deleted');
END;

CREATE TABLE tokens (
    -- SHA-256 of a token with 256 random bits. The token itself is nowhere.
    hash       BLOB    PRIMARY KEY CHECK (length(hash) = 32),
    role       TEXT    NOT NULL CHECK (role IN ('sandbox', 'reviewer', 'admin')),
    sandbox    INTEGER REFERENCES sandboxes (id),
    name       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    CHECK ((role = 'sandbox') = (sandbox IS NOT NULL))
) STRICT;

CREATE INDEX tokens_by_sandbox ON tokens (sandbox);
