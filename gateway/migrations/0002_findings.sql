-- What a proposal's findings were computed with, and, in mode auto, why a person was asked. Rows from before have no
-- findings: the empty digest is nobody's, so the pending ones are judged again when they are next looked at.

ALTER TABLE proposals ADD COLUMN credentials_digest TEXT NOT NULL DEFAULT '';
ALTER TABLE proposals ADD COLUMN not_automatic TEXT;
