-- Denials that proxies told about, counted, and the drafts that were made of denied connections.

CREATE TABLE observed (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    sandbox     INTEGER NOT NULL REFERENCES sandboxes (id),
    layer       TEXT    NOT NULL CHECK (layer IN ('l4', 'l7')),
    host        TEXT    NOT NULL,
    port        INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    binary      TEXT    NOT NULL,
    -- Empty at L4.
    method      TEXT    NOT NULL,
    path        TEXT    NOT NULL,
    operations  TEXT    NOT NULL CHECK (json_valid(operations)),
    reason      TEXT    NOT NULL,
    hits        INTEGER NOT NULL CHECK (hits > 0),
    -- In how many minutes a report saw it: how its denials are spread over time.
    minutes     INTEGER NOT NULL CHECK (minutes > 0),
    first_seen  INTEGER NOT NULL,
    last_seen   INTEGER NOT NULL,
    denial_id   TEXT    NOT NULL,
    -- The proposal that was made of it, if one was. Not a foreign key: refused proposals are pruned.
    draft       TEXT,
    -- Why none was made.
    not_drafted TEXT,
    -- A draft that was decided keeps its counts. What is denied after that is counted in another row.
    closed      INTEGER NOT NULL DEFAULT 0 CHECK (closed IN (0, 1))
) STRICT;

CREATE UNIQUE INDEX observed_once ON observed (sandbox, layer, host, port, binary, method, path, operations)
WHERE closed = 0;
CREATE UNIQUE INDEX observed_by_draft ON observed (draft) WHERE draft IS NOT NULL;
CREATE INDEX observed_by_age ON observed (sandbox, last_seen);

-- Reports that were counted: who repeats one after a lost answer counts nothing twice.
CREATE TABLE reports (
    sandbox  INTEGER NOT NULL REFERENCES sandboxes (id),
    report   TEXT    NOT NULL,
    received INTEGER NOT NULL,
    -- Denials that were not kept, by the proxy or here.
    dropped  INTEGER NOT NULL CHECK (dropped >= 0),
    PRIMARY KEY (sandbox, report)
) STRICT;
