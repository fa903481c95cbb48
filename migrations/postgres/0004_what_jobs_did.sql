-- Up to which instant the times of a job's schedule were written down as runs.
CREATE TABLE job_plans (
  org           INTEGER NOT NULL,
  job           TEXT    NOT NULL,
  schedule      TEXT    NOT NULL,
  planned_until BIGINT  NOT NULL,
  PRIMARY KEY (org, job, schedule)
);

-- Every run of a job, known by what the clock on the wall was to show. While somebody runs it `next_at` is the end of the
-- lease; of one that waits or failed it is when it may be tried; of one that is over it is nothing.
CREATE TABLE job_runs (
  org          INTEGER NOT NULL,
  job          TEXT    NOT NULL,
  scheduled    TEXT    COLLATE "C" NOT NULL,
  scheduled_at BIGINT  NOT NULL,
  state        TEXT    NOT NULL,
  attempts     INTEGER NOT NULL,
  next_at      BIGINT,
  started_at   BIGINT,
  finished_at  BIGINT,
  detail       TEXT    NOT NULL,
  PRIMARY KEY (org, job, scheduled)
);

CREATE INDEX job_runs_due ON job_runs (org, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX job_runs_by_time ON job_runs (org, job, scheduled_at);
