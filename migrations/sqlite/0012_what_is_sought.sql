-- Generations that a provider billed and nobody here told of: since when and how often each was asked for, on behalf of
-- which statement (0: of a held event), and what came of it. It decides nothing; whoever deletes a row asks once more.
CREATE TABLE sought (
  org        INTEGER NOT NULL,
  generation TEXT    NOT NULL,
  statement  INTEGER NOT NULL,
  asked      INTEGER NOT NULL,
  first_at   INTEGER NOT NULL,
  last_at    INTEGER NOT NULL,
  answer     TEXT    NOT NULL,
  PRIMARY KEY (org, generation)
) STRICT, WITHOUT ROWID;

-- Statements of which all that follows by itself is done: compared, fetched for, trued up, told. One that was received and is
-- not here was interrupted.
CREATE TABLE followed (
  org       INTEGER NOT NULL,
  statement INTEGER NOT NULL,
  at        INTEGER NOT NULL,
  PRIMARY KEY (org, statement)
) STRICT, WITHOUT ROWID;

ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('sought',   'sought',   '1000 1000 1'),
  ('followed', 'followed', '1000 1000 1');
ANALYZE sqlite_schema;
