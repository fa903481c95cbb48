-- The whole schema of a book. Every key begins with the org. Instants are microseconds since 1970 in UTC, months are
-- counted from year zero, amounts are three integers: whole micro-units and two remainders of nine digits.

-- Facts about this database: the secret under which keys are hashed.
CREATE TABLE facts (
  name  TEXT NOT NULL PRIMARY KEY,
  value BLOB NOT NULL
) STRICT;

CREATE TABLE orgs (
  org        INTEGER NOT NULL PRIMARY KEY,
  name       TEXT    NOT NULL UNIQUE,
  created_at INTEGER NOT NULL
) STRICT;

-- One head per book: what the next commit continues from.
CREATE TABLE books (
  org               INTEGER NOT NULL PRIMARY KEY REFERENCES orgs,
  block             INTEGER NOT NULL,
  hash              BLOB    NOT NULL,
  sealed_at         INTEGER NOT NULL,
  next_record       INTEGER NOT NULL,
  next_sequence     INTEGER NOT NULL,
  next_name         INTEGER NOT NULL,
  next_owner        INTEGER NOT NULL,
  next_product      INTEGER NOT NULL,
  catalog_version   INTEGER NOT NULL,
  first_open_period INTEGER NOT NULL
) STRICT;

-- The rows of one commit, sealed. `from` is included, `until` is not; the ranges of a book's blocks leave no gap.
CREATE TABLE blocks (
  org             INTEGER NOT NULL,
  block           INTEGER NOT NULL,
  format          INTEGER NOT NULL,
  hash            BLOB    NOT NULL,
  sealed_at       INTEGER NOT NULL,
  catalog_version INTEGER NOT NULL,
  rater           INTEGER NOT NULL,
  record_from     INTEGER NOT NULL,
  record_until    INTEGER NOT NULL,
  sequence_from   INTEGER NOT NULL,
  sequence_until  INTEGER NOT NULL,
  name_until      INTEGER NOT NULL,
  owner_until     INTEGER NOT NULL,
  product_until   INTEGER NOT NULL,
  -- The earliest and latest occurrence among its entries, so that a range of time reads only the blocks it needs.
  occurred_first  INTEGER,
  occurred_last   INTEGER,
  -- Four bytes of each record's own hash.
  marks           BLOB    NOT NULL,
  PRIMARY KEY (org, block)
) STRICT, WITHOUT ROWID;
CREATE INDEX blocks_by_entry ON blocks (org, sequence_until);

-- Interned texts. A text may be erased; its salted hash stays and keeps the chain whole.
CREATE TABLE names (
  org  INTEGER NOT NULL,
  name INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  text TEXT,
  salt BLOB    NOT NULL,
  hash BLOB    NOT NULL,
  PRIMARY KEY (org, name)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX names_by_text ON names (org, kind, text);

-- Who bears: numbers of names, 0 where there is none.
CREATE TABLE owners (
  org           INTEGER NOT NULL,
  owner         INTEGER NOT NULL,
  user_name     INTEGER NOT NULL,
  team          INTEGER NOT NULL,
  project       INTEGER NOT NULL,
  key_name      INTEGER NOT NULL,
  app           INTEGER NOT NULL,
  agent         INTEGER NOT NULL,
  environment   INTEGER NOT NULL,
  PRIMARY KEY (org, owner)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX owners_by_names ON owners (org, user_name, team, project, key_name, app, agent, environment);

-- What was bought.
CREATE TABLE products (
  org             INTEGER NOT NULL,
  product         INTEGER NOT NULL,
  provider        INTEGER NOT NULL,
  model           INTEGER NOT NULL,
  requested_model INTEGER NOT NULL,
  served_by       INTEGER NOT NULL,
  variant         INTEGER NOT NULL,
  service_tier    INTEGER NOT NULL,
  region          INTEGER NOT NULL,
  PRIMARY KEY (org, product)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX products_by_names
  ON products (org, provider, model, requested_model, served_by, variant, service_tier, region);

-- Every usage event that was accepted, as it was normalised. `event` is the record that first used its id; new content
-- for the same event is a record of its own with a higher revision.
CREATE TABLE events (
  org      INTEGER NOT NULL,
  record   INTEGER NOT NULL,
  event    INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  state    INTEGER NOT NULL,
  about    INTEGER,
  source   INTEGER NOT NULL,
  id       TEXT    NOT NULL,
  content  BLOB    NOT NULL,
  body     BLOB    NOT NULL,
  PRIMARY KEY (org, record)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX events_by_revision ON events (org, event, revision) WHERE revision > 0;

CREATE TABLE entries (
  org            INTEGER NOT NULL,
  sequence       INTEGER NOT NULL,
  kind           INTEGER NOT NULL,
  event          INTEGER,
  turn           INTEGER NOT NULL,
  reverses       INTEGER,
  occurred_at    INTEGER NOT NULL,
  period         INTEGER NOT NULL,
  source         INTEGER NOT NULL,
  owner          INTEGER NOT NULL,
  product        INTEGER NOT NULL,
  debit          INTEGER NOT NULL,
  credit         INTEGER NOT NULL,
  currency       TEXT    NOT NULL,
  micro          INTEGER NOT NULL,
  femto          INTEGER NOT NULL,
  yocto          INTEGER NOT NULL,
  rated_micro    INTEGER,
  rated_femto    INTEGER,
  rated_yocto    INTEGER,
  reported_micro INTEGER,
  reported_femto INTEGER,
  reported_yocto INTEGER,
  list_micro     INTEGER,
  list_femto     INTEGER,
  list_yocto     INTEGER,
  outcome        INTEGER NOT NULL,
  calls          INTEGER NOT NULL,
  estimated      INTEGER NOT NULL,
  layer          INTEGER NOT NULL,
  card           INTEGER,
  above          INTEGER,
  reason         INTEGER,
  items          BLOB    NOT NULL,
  PRIMARY KEY (org, sequence),
  CHECK (micro >= 0 AND debit <> credit)
) STRICT, WITHOUT ROWID;
-- An event's charges are posted once per turn, whatever is retried.
CREATE UNIQUE INDEX entries_by_event ON entries (org, event, turn, kind, debit, credit);

-- The uniqueness of everything that must happen once, kept out of a tree of random keys: a log row per commit with its
-- new keys (16 bytes of hash, 8 bytes of value), and runs of sorted keys in pages, each run with a filter.
CREATE TABLE once_log (
  log  INTEGER NOT NULL PRIMARY KEY,
  keys BLOB    NOT NULL
) STRICT;
CREATE TABLE once_run (
  run       INTEGER NOT NULL PRIMARY KEY,
  log_until INTEGER NOT NULL,
  keys      INTEGER NOT NULL,
  sealed    INTEGER NOT NULL,
  filter    BLOB
) STRICT;
CREATE TABLE once_page (
  page INTEGER NOT NULL PRIMARY KEY,
  data BLOB    NOT NULL
) STRICT;

-- What waits for a rate, for usage or for a decision: work lists over events, derived from them.
CREATE TABLE held (
  org     INTEGER NOT NULL,
  event   INTEGER NOT NULL,
  record  INTEGER NOT NULL,
  reason  INTEGER NOT NULL,
  detail  TEXT    NOT NULL,
  held_at INTEGER NOT NULL,
  PRIMARY KEY (org, event)
) STRICT, WITHOUT ROWID;

CREATE TABLE conflicts (
  org         INTEGER NOT NULL,
  conflict    INTEGER NOT NULL,
  event       INTEGER NOT NULL,
  fields      TEXT    NOT NULL,
  found_at    INTEGER NOT NULL,
  decision    TEXT,
  decided_at  INTEGER,
  decided_by  TEXT,
  PRIMARY KEY (org, conflict)
) STRICT, WITHOUT ROWID;
CREATE INDEX conflicts_by_event ON conflicts (org, event);

-- What was sent and is no event, without its content.
CREATE TABLE rejected (
  org         INTEGER NOT NULL,
  rejected    TEXT    NOT NULL,
  dialect     TEXT    NOT NULL,
  source      TEXT,
  event_id    TEXT,
  field       TEXT    NOT NULL,
  detail      TEXT    NOT NULL,
  body        TEXT,
  size        INTEGER NOT NULL,
  times       INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  PRIMARY KEY (org, rejected)
) STRICT, WITHOUT ROWID;

-- Catalog parts by the hash of their text; public lists are shared by all orgs. A version names its parts.
CREATE TABLE catalog_parts (
  hash BLOB NOT NULL PRIMARY KEY,
  text TEXT NOT NULL
) STRICT;
CREATE TABLE catalog_versions (
  org          INTEGER NOT NULL,
  version      INTEGER NOT NULL,
  hash         BLOB    NOT NULL,
  author       TEXT    NOT NULL,
  note         TEXT    NOT NULL,
  published_at INTEGER NOT NULL,
  PRIMARY KEY (org, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE catalog_contents (
  org     INTEGER NOT NULL,
  version INTEGER NOT NULL,
  part    TEXT    NOT NULL,
  hash    BLOB    NOT NULL,
  PRIMARY KEY (org, version, part)
) STRICT, WITHOUT ROWID;

-- What was fetched of a public list, one row for as long as it stayed the same; the body as it came, once.
CREATE TABLE catalog_fetches (
  org      INTEGER NOT NULL,
  number   INTEGER NOT NULL,
  source   TEXT    NOT NULL,
  url      TEXT    NOT NULL,
  etag     TEXT,
  hash     BLOB,
  size     INTEGER NOT NULL,
  -- The first and the last look that saw it.
  first_at INTEGER NOT NULL,
  last_at  INTEGER NOT NULL,
  looks    INTEGER NOT NULL,
  outcome  TEXT    NOT NULL,
  detail   TEXT    NOT NULL,
  PRIMARY KEY (org, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE catalog_bodies (
  hash BLOB  NOT NULL PRIMARY KEY,
  body BLOB  NOT NULL
) STRICT;

-- What a person should know, until it was told.
CREATE TABLE notices (
  org          INTEGER NOT NULL,
  notice       INTEGER NOT NULL,
  kind         TEXT    NOT NULL,
  body         TEXT    NOT NULL,
  created_at   INTEGER NOT NULL,
  delivered_at INTEGER,
  attempts     INTEGER NOT NULL,
  next_at      INTEGER NOT NULL,
  last_error   TEXT,
  PRIMARY KEY (org, notice)
) STRICT, WITHOUT ROWID;

-- Which process runs a job, and until when nobody else does.
CREATE TABLE leases (
  lease  TEXT    NOT NULL PRIMARY KEY,
  holder TEXT    NOT NULL,
  until  INTEGER NOT NULL
) STRICT;

-- Bearer keys: only a hash of the secret is kept.
CREATE TABLE access_keys (
  org        INTEGER NOT NULL,
  key        TEXT    NOT NULL,
  hash       BLOB    NOT NULL,
  scopes     TEXT    NOT NULL,
  source     TEXT,
  team       TEXT,
  note       TEXT,
  created_at INTEGER NOT NULL,
  revoked_at INTEGER,
  PRIMARY KEY (org, key)
) STRICT, WITHOUT ROWID;

-- What is in a book stays as it is.
CREATE TRIGGER entries_are_not_changed BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are never changed'); END;
CREATE TRIGGER entries_are_not_deleted BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are never deleted'); END;
CREATE TRIGGER events_are_not_changed  BEFORE UPDATE ON events  BEGIN SELECT RAISE(ABORT, 'events are never changed');  END;
CREATE TRIGGER events_are_not_deleted  BEFORE DELETE ON events  BEGIN SELECT RAISE(ABORT, 'events are never deleted');  END;
CREATE TRIGGER blocks_are_not_changed  BEFORE UPDATE ON blocks  BEGIN SELECT RAISE(ABORT, 'blocks are never changed');  END;
CREATE TRIGGER blocks_are_not_deleted  BEFORE DELETE ON blocks  BEGIN SELECT RAISE(ABORT, 'blocks are never deleted');  END;

-- Entries for people. `amount` is text because SQLite has no exact decimal: a SUM over it goes through floating point and
-- is not exact; sum the limbs, or ask `farthing report`.
CREATE VIEW readable_entries AS
SELECT e.org, e.sequence,
       CASE e.kind WHEN 1 THEN 'charge' WHEN 2 THEN 'reversal' ELSE 'adjustment' END AS kind,
       e.event, e.turn, e.reverses,
       strftime('%Y-%m-%dT%H:%M:%fZ', e.occurred_at / 1000000.0, 'unixepoch') AS occurred_at,
       printf('%04d-%02d', e.period / 12, e.period % 12 + 1)                  AS period,
       printf('%s%d.%06d%09d%09d', iif(e.kind = 2, '-', ''), e.micro / 1000000, e.micro % 1000000, e.femto, e.yocto) AS amount,
       e.currency, debit.text AS debit, credit.text AS credit, source.text AS source,
       provider.text AS provider, model.text AS model,
       user_name.text AS "user", team.text AS team, project.text AS project, key_name.text AS "key",
       app.text AS app, agent.text AS agent, environment.text AS environment, e.calls
  FROM entries e
  JOIN owners o         ON o.org = e.org AND o.owner = e.owner
  JOIN products p       ON p.org = e.org AND p.product = e.product
  JOIN names debit      ON debit.org = e.org AND debit.name = e.debit
  JOIN names credit     ON credit.org = e.org AND credit.name = e.credit
  JOIN names source     ON source.org = e.org AND source.name = e.source
  LEFT JOIN names provider    ON provider.org = e.org AND provider.name = p.provider
  LEFT JOIN names model       ON model.org = e.org AND model.name = p.model
  LEFT JOIN names user_name   ON user_name.org = e.org AND user_name.name = o.user_name
  LEFT JOIN names team        ON team.org = e.org AND team.name = o.team
  LEFT JOIN names project     ON project.org = e.org AND project.name = o.project
  LEFT JOIN names key_name    ON key_name.org = e.org AND key_name.name = o.key_name
  LEFT JOIN names app         ON app.org = e.org AND app.name = o.app
  LEFT JOIN names agent       ON agent.org = e.org AND agent.name = o.agent
  LEFT JOIN names environment ON environment.org = e.org AND environment.name = o.environment;
