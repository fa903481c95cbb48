-- Up to which instant the times of a job's schedule were written down as runs.
CREATE TABLE job_plans (
  org           INTEGER NOT NULL,
  job           TEXT    NOT NULL,
  schedule      TEXT    NOT NULL,
  planned_until INTEGER NOT NULL,
  PRIMARY KEY (org, job, schedule)
) STRICT, WITHOUT ROWID;

-- Every run of a job, known by what the clock on the wall was to show. While somebody runs it `next_at` is the end of the
-- lease; of one that waits or failed it is when it may be tried; of one that is over it is nothing.
CREATE TABLE job_runs (
  org          INTEGER NOT NULL,
  job          TEXT    NOT NULL,
  scheduled    TEXT    NOT NULL,
  scheduled_at INTEGER NOT NULL,
  state        TEXT    NOT NULL,
  attempts     INTEGER NOT NULL,
  next_at      INTEGER,
  started_at   INTEGER,
  finished_at  INTEGER,
  detail       TEXT    NOT NULL,
  PRIMARY KEY (org, job, scheduled)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_runs_due ON job_runs (org, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX job_runs_by_time ON job_runs (org, job, scheduled_at);

ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('job_plans', 'job_plans',        '100 100 1 1'),
  ('job_runs',  'job_runs',         '10000 10000 1000 1'),
  ('job_runs',  'job_runs_due',     '10 10 1 1 1'),
  ('job_runs',  'job_runs_by_time', '10000 10000 1000 1 1');
ANALYZE sqlite_schema;
