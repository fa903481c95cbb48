-- What other sources say of a call that an event holds.
CREATE INDEX events_about ON events (org, about) WHERE about IS NOT NULL;

-- Events that look like one that is there already, under another id: a work list for a person.
CREATE TABLE suspects (
  org        INTEGER NOT NULL,
  event      INTEGER NOT NULL,
  about      INTEGER NOT NULL,
  why        TEXT NOT NULL,
  found_at   INTEGER NOT NULL,
  decision   TEXT,
  decided_at INTEGER,
  decided_by TEXT,
  PRIMARY KEY (org, event)
) STRICT, WITHOUT ROWID;
