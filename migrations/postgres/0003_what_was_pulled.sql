-- How far somebody else's table was read, by the source that its rows become events of.
CREATE TABLE pulls (
  org       INTEGER NOT NULL,
  source    TEXT NOT NULL,
  at        BIGINT NOT NULL,
  id        TEXT NOT NULL,
  rows_read BIGINT NOT NULL,
  pulled_at BIGINT NOT NULL,
  PRIMARY KEY (org, source)
);
