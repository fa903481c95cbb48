-- What a provider claimed, as it was received; what it says of itself is a record of the book under the same number.
CREATE TABLE statements (
  org       INTEGER NOT NULL,
  statement INTEGER NOT NULL,
  body      BLOB    NOT NULL,
  PRIMARY KEY (org, statement)
) STRICT;

-- Comparisons of the book with a statement: of the same statement, block and tolerances there is one, and it can be made again.
CREATE TABLE reconciliations (
  org       INTEGER NOT NULL,
  run       TEXT    NOT NULL,
  statement INTEGER NOT NULL,
  block     INTEGER NOT NULL,
  asked     TEXT    NOT NULL,
  summary   TEXT    NOT NULL,
  made_at   INTEGER NOT NULL,
  PRIMARY KEY (org, run)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER statements_are_not_changed BEFORE UPDATE ON statements BEGIN SELECT RAISE(ABORT, 'statements are never changed'); END;
CREATE TRIGGER statements_are_not_deleted BEFORE DELETE ON statements BEGIN SELECT RAISE(ABORT, 'statements are never deleted'); END;

ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('statements',      'sqlite_autoindex_statements_1', '1000 1000 1'),
  ('reconciliations', 'reconciliations',               '1000 1000 1');
ANALYZE sqlite_schema;
