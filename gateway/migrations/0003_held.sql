-- Requests that wait for a person, what was granted for a session, what is never asked about again, and the events that
-- reviewers follow.

CREATE TABLE held (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    sandbox    INTEGER NOT NULL REFERENCES sandboxes (id),
    session    TEXT    NOT NULL,
    -- The proxy's own name for it: the same one again is the same request.
    key        TEXT    NOT NULL,
    status     TEXT    NOT NULL CHECK (status IN ('waiting', 'once', 'session', 'always', 'denied', 'never', 'timed_out', 'cancelled', 'refused')),
    record     TEXT    NOT NULL CHECK (json_valid(record)),
    process    TEXT    NOT NULL CHECK (json_valid(process)),
    -- What is shown, and so all that can be granted.
    operation  TEXT    NOT NULL CHECK (json_valid(operation)),
    -- The rule's digest: two with the same one ask for the same.
    rule       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    deadline   INTEGER NOT NULL,
    decided_at INTEGER,
    decided_by TEXT,
    reason     TEXT,
    proposal   TEXT REFERENCES proposals (id),
    version    INTEGER,
    -- With 'once': when its grant was first handed out, and when the proxy was done with it.
    granted_at INTEGER,
    spent_at   INTEGER,
    UNIQUE (sandbox, session, key),
    CHECK ((status = 'waiting') = (decided_at IS NULL)),
    CHECK (status NOT IN ('once', 'session', 'always', 'denied', 'never') OR decided_by IS NOT NULL)
) STRICT;

CREATE INDEX held_by_status ON held (status, deadline);
CREATE INDEX held_by_sandbox ON held (sandbox, status);

-- Sessions that ended take no more requests: one that was still on its way when its session ended asks nobody.
CREATE TABLE held_sessions (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    sandbox  INTEGER NOT NULL REFERENCES sandboxes (id),
    session  TEXT    NOT NULL,
    ended_at INTEGER,
    UNIQUE (sandbox, session)
) STRICT;

-- Entries of the policy in force that end with a session.
CREATE TABLE held_grants (
    sandbox INTEGER NOT NULL REFERENCES sandboxes (id),
    session TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    -- As it was put in force: an entry of that name which says something else is another's.
    entry   TEXT    NOT NULL,
    PRIMARY KEY (sandbox, name)
) STRICT;

CREATE TABLE held_never (
    sandbox    INTEGER NOT NULL REFERENCES sandboxes (id),
    rule       TEXT    NOT NULL,
    held       TEXT    NOT NULL REFERENCES held (id),
    decided_by TEXT    NOT NULL,
    reason     TEXT,
    PRIMARY KEY (sandbox, rule)
) STRICT;

CREATE INDEX held_never_by_held ON held_never (held);

-- Every change of state writes its event in its own transaction, whoever makes the change: so none is lost, and their
-- order is the order of the changes.
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT    NOT NULL CHECK (kind IN ('proposal', 'decision', 'activation', 'held', 'held_outcome')),
    data       TEXT    NOT NULL CHECK (json_valid(data))
) STRICT;

CREATE TRIGGER events_are_bounded AFTER INSERT ON events
BEGIN
    DELETE FROM events WHERE seq <= NEW.seq - 10000;
END;

CREATE TRIGGER held_begins AFTER INSERT ON held
BEGIN
    INSERT INTO events (kind, data) SELECT 'held', json_object(
        'held_id', NEW.id, 'sandbox', s.name, 'status', NEW.status,
        'created_at', strftime('%Y-%m-%dT%H:%M:%SZ', NEW.created_at, 'unixepoch'),
        'deadline', strftime('%Y-%m-%dT%H:%M:%SZ', NEW.deadline, 'unixepoch'),
        'layer', json_extract(NEW.record, '$.layer'), 'host', json_extract(NEW.record, '$.host'),
        'port', json_extract(NEW.record, '$.port'), 'method', json_extract(NEW.record, '$.method'),
        'path', json_extract(NEW.record, '$.path'), 'operations', json(coalesce(json_extract(NEW.record, '$.operations'), '[]')),
        'process', json(NEW.process), 'operation', json(NEW.operation))
    FROM sandboxes s WHERE s.id = NEW.sandbox;
END;

-- Taking a 'never' back is about the next request, and no outcome of this one.
CREATE TRIGGER held_ends AFTER UPDATE OF status ON held
WHEN OLD.status <> NEW.status AND OLD.status <> 'never'
BEGIN
    INSERT INTO events (kind, data) SELECT 'held_outcome', json_object(
        'held_id', NEW.id, 'sandbox', s.name, 'status', NEW.status,
        'created_at', strftime('%Y-%m-%dT%H:%M:%SZ', NEW.created_at, 'unixepoch'),
        'deadline', strftime('%Y-%m-%dT%H:%M:%SZ', NEW.deadline, 'unixepoch'),
        'layer', json_extract(NEW.record, '$.layer'), 'host', json_extract(NEW.record, '$.host'),
        'port', json_extract(NEW.record, '$.port'), 'method', json_extract(NEW.record, '$.method'),
        'path', json_extract(NEW.record, '$.path'), 'operations', json(coalesce(json_extract(NEW.record, '$.operations'), '[]')),
        'process', json(NEW.process), 'operation', json(NEW.operation),
        'decided_at', strftime('%Y-%m-%dT%H:%M:%SZ', NEW.decided_at, 'unixepoch'),
        'decided_by', NEW.decided_by, 'reason', NEW.reason, 'chunk_id', NEW.proposal)
    FROM sandboxes s WHERE s.id = NEW.sandbox;
END;

-- What a reviewer said of a held request becomes a proposal that nobody is asked about any more.
CREATE TRIGGER proposals_begin AFTER INSERT ON proposals
WHEN NEW.source <> 'held'
BEGIN
    INSERT INTO events (kind, data) SELECT CASE NEW.status WHEN 'pending' THEN 'proposal' ELSE 'decision' END, json_object(
        'chunk_id', NEW.id, 'sandbox', s.name, 'status', NEW.status, 'source', NEW.source, 'binary', NEW.binary,
        'intent_summary', NEW.intent_summary, 'operation', json(NEW.operation), 'validation_result', NEW.verdict,
        'created_at', strftime('%Y-%m-%dT%H:%M:%SZ', NEW.created_at, 'unixepoch'),
        'decided_at', strftime('%Y-%m-%dT%H:%M:%SZ', NEW.decided_at, 'unixepoch'),
        'decided_by', NEW.decided_by, 'rejection_reason', NEW.rejection_reason, 'activated_version', NEW.activated_version)
    FROM sandboxes s WHERE s.id = NEW.sandbox;
END;

CREATE TRIGGER proposals_end AFTER UPDATE OF status ON proposals
WHEN OLD.status <> NEW.status
BEGIN
    INSERT INTO events (kind, data) SELECT 'decision', json_object(
        'chunk_id', NEW.id, 'sandbox', s.name, 'status', NEW.status, 'source', NEW.source, 'binary', NEW.binary,
        'intent_summary', NEW.intent_summary, 'operation', json(NEW.operation), 'validation_result', NEW.verdict,
        'created_at', strftime('%Y-%m-%dT%H:%M:%SZ', NEW.created_at, 'unixepoch'),
        'decided_at', strftime('%Y-%m-%dT%H:%M:%SZ', NEW.decided_at, 'unixepoch'),
        'decided_by', NEW.decided_by, 'rejection_reason', NEW.rejection_reason, 'activated_version', NEW.activated_version)
    FROM sandboxes s WHERE s.id = NEW.sandbox;
END;

CREATE TRIGGER versions_begin AFTER INSERT ON versions
BEGIN
    INSERT INTO events (kind, data) VALUES ('activation', json_object(
        'sandbox', NEW.name, 'version', NEW.version, 'policy_hash', NEW.policy_hash, 'approver', NEW.approver,
        'chunk_id', NEW.proposal, 'created_at', strftime('%Y-%m-%dT%H:%M:%SZ', NEW.created_at, 'unixepoch')));
END;
