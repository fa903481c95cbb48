-- Of the events that tell of a call which another source's event holds, those on whose word it is booked.
CREATE INDEX events_promoted ON events (org, about) WHERE state = 5;

-- Events that look like one that is there already, under another id: a work list for a person.
CREATE TABLE suspects (
  org        INTEGER NOT NULL,
  event      BIGINT NOT NULL,
  about      BIGINT NOT NULL,
  why        TEXT NOT NULL,
  found_at   BIGINT NOT NULL,
  decision   TEXT,
  decided_at BIGINT,
  decided_by TEXT,
  PRIMARY KEY (org, event)
);
