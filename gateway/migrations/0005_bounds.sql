-- What one sandbox can use up is its own: its events take the place of its own only, and its questions have a rate.

-- Whose an event is. By name, as versions are: those of a deleted sandbox and of the next one of that name are one row
-- of events.
ALTER TABLE events ADD COLUMN sandbox TEXT GENERATED ALWAYS AS (json_extract(data, '$.sandbox')) VIRTUAL;

CREATE INDEX events_by_sandbox ON events (sandbox, seq);

-- The newest of the events that are not kept any more: a reader whose place is before it misses something, and no other
-- does.
CREATE TABLE events_gone (
    id  INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL
) STRICT;

INSERT INTO events_gone (id, seq) SELECT 1, coalesce(min(seq), 1) - 1 FROM events;

CREATE TRIGGER events_go AFTER DELETE ON events
BEGIN
    UPDATE events_gone SET seq = OLD.seq WHERE seq < OLD.seq;
END;

DROP TRIGGER events_are_bounded;

-- Two for each of the 1,000 questions that a sandbox may ask at once: whoever looks after such a burst has missed none.
CREATE TRIGGER events_are_bounded AFTER INSERT ON events
BEGIN
    DELETE FROM events WHERE sandbox IS NEW.sandbox AND seq <=
        (SELECT seq FROM events WHERE sandbox IS NEW.sandbox ORDER BY seq DESC LIMIT 1 OFFSET 2000);
END;

-- Where sandboxes come and go, each with a name of its own, those that are gone share one such place.
CREATE TRIGGER events_of_the_deleted_are_bounded AFTER UPDATE OF deleted_at ON sandboxes
WHEN NEW.deleted_at IS NOT NULL
BEGIN
    DELETE FROM events WHERE sandbox NOT IN (SELECT name FROM sandboxes WHERE deleted_at IS NULL) AND seq <=
        (SELECT seq FROM events WHERE sandbox NOT IN (SELECT name FROM sandboxes WHERE deleted_at IS NULL)
         ORDER BY seq DESC LIMIT 1 OFFSET 2000);
END;

-- Until when, in seconds, what a sandbox asked people so far takes up its share of their time (`store::held::ask`).
ALTER TABLE sandboxes ADD COLUMN questions_until INTEGER NOT NULL DEFAULT 0;

CREATE INDEX held_by_end ON held (sandbox, decided_at);
