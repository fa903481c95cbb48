-- How far somebody else's table was read, by the source that its rows become events of.
CREATE TABLE pulls (
  org       INTEGER NOT NULL,
  source    TEXT NOT NULL,
  at        INTEGER NOT NULL,
  id        TEXT NOT NULL,
  rows_read INTEGER NOT NULL,
  pulled_at INTEGER NOT NULL,
  PRIMARY KEY (org, source)
) STRICT, WITHOUT ROWID;
