-- Of the events that tell of a call which another source's event holds, those on whose word it is booked.
CREATE INDEX events_promoted ON events (org, about) WHERE state = 5;

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
