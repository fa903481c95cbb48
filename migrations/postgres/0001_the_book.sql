-- The whole schema of a book. Every key begins with the org. Instants are microseconds since 1970 in UTC, months are
-- counted from year zero, amounts are three integers: whole micro-units and two remainders of nine digits.

-- Facts about this database: the secret under which keys are hashed.
CREATE TABLE facts (
  name  TEXT     NOT NULL PRIMARY KEY,
  value BYTEA    NOT NULL
);

CREATE TABLE orgs (
  org        INTEGER  NOT NULL PRIMARY KEY,
  name       TEXT     NOT NULL UNIQUE,
  created_at BIGINT   NOT NULL
);

-- One head per book: what the next commit continues from.
CREATE TABLE books (
  org               INTEGER  NOT NULL PRIMARY KEY REFERENCES orgs,
  block             BIGINT   NOT NULL,
  hash              BYTEA    NOT NULL,
  sealed_at         BIGINT   NOT NULL,
  next_record       BIGINT   NOT NULL,
  next_sequence     BIGINT   NOT NULL,
  next_name         BIGINT   NOT NULL,
  next_owner        BIGINT   NOT NULL,
  next_product      BIGINT   NOT NULL,
  catalog_version   BIGINT   NOT NULL,
  first_open_period INTEGER  NOT NULL
);

-- The rows of one commit, sealed. `from` is included, `until` is not; the ranges of a book's blocks leave no gap.
CREATE TABLE blocks (
  org             INTEGER  NOT NULL,
  block           BIGINT   NOT NULL,
  format          SMALLINT NOT NULL,
  hash            BYTEA    NOT NULL,
  sealed_at       BIGINT   NOT NULL,
  catalog_version BIGINT   NOT NULL,
  rater           SMALLINT NOT NULL,
  record_from     BIGINT   NOT NULL,
  record_until    BIGINT   NOT NULL,
  sequence_from   BIGINT   NOT NULL,
  sequence_until  BIGINT   NOT NULL,
  name_until      BIGINT   NOT NULL,
  owner_until     BIGINT   NOT NULL,
  product_until   BIGINT   NOT NULL,
  -- The earliest and latest occurrence among its entries, so that a range of time reads only the blocks it needs.
  occurred_first  BIGINT,
  occurred_last   BIGINT,
  -- Four bytes of each record's own hash.
  marks           BYTEA    NOT NULL,
  PRIMARY KEY (org, block)
);
CREATE INDEX blocks_by_entry ON blocks (org, sequence_until);

-- Interned texts. A text may be erased; its salted hash stays and keeps the chain whole.
CREATE TABLE names (
  org  INTEGER  NOT NULL,
  name BIGINT   NOT NULL,
  kind SMALLINT NOT NULL,
  text TEXT,
  salt BYTEA    NOT NULL,
  hash BYTEA    NOT NULL,
  PRIMARY KEY (org, name)
);
CREATE UNIQUE INDEX names_by_text ON names (org, kind, text);

-- Who bears: numbers of names, 0 where there is none.
CREATE TABLE owners (
  org           INTEGER  NOT NULL,
  owner         BIGINT   NOT NULL,
  user_name     BIGINT   NOT NULL,
  team          BIGINT   NOT NULL,
  project       BIGINT   NOT NULL,
  key_name      BIGINT   NOT NULL,
  app           BIGINT   NOT NULL,
  agent         BIGINT   NOT NULL,
  environment   BIGINT   NOT NULL,
  PRIMARY KEY (org, owner)
);
CREATE UNIQUE INDEX owners_by_names ON owners (org, user_name, team, project, key_name, app, agent, environment);

-- What was bought.
CREATE TABLE products (
  org             INTEGER  NOT NULL,
  product         BIGINT   NOT NULL,
  provider        BIGINT   NOT NULL,
  model           BIGINT   NOT NULL,
  requested_model BIGINT   NOT NULL,
  served_by       BIGINT   NOT NULL,
  variant         BIGINT   NOT NULL,
  service_tier    BIGINT   NOT NULL,
  region          BIGINT   NOT NULL,
  PRIMARY KEY (org, product)
);
CREATE UNIQUE INDEX products_by_names
  ON products (org, provider, model, requested_model, served_by, variant, service_tier, region);

-- Every usage event that was accepted, as it was normalised. `event` is the record that first used its id; new content
-- for the same event is a record of its own with a higher revision.
CREATE TABLE events (
  org      INTEGER  NOT NULL,
  record   BIGINT   NOT NULL,
  event    BIGINT   NOT NULL,
  revision INTEGER  NOT NULL,
  state    SMALLINT NOT NULL,
  about    BIGINT,
  source   BIGINT   NOT NULL,
  id       TEXT     NOT NULL,
  content  BYTEA    NOT NULL,
  body     BYTEA    NOT NULL,
  PRIMARY KEY (org, record)
);
CREATE UNIQUE INDEX events_by_revision ON events (org, event, revision) WHERE revision > 0;

CREATE TABLE entries (
  org            INTEGER  NOT NULL,
  sequence       BIGINT   NOT NULL,
  kind           SMALLINT NOT NULL,
  event          BIGINT,
  turn           INTEGER  NOT NULL,
  reverses       BIGINT,
  occurred_at    BIGINT   NOT NULL,
  period         INTEGER  NOT NULL,
  source         BIGINT   NOT NULL,
  owner          BIGINT   NOT NULL,
  product        BIGINT   NOT NULL,
  debit          BIGINT   NOT NULL,
  credit         BIGINT   NOT NULL,
  currency       TEXT     NOT NULL,
  micro          BIGINT   NOT NULL,
  femto          INTEGER  NOT NULL,
  yocto          INTEGER  NOT NULL,
  rated_micro    BIGINT,
  rated_femto    INTEGER,
  rated_yocto    INTEGER,
  reported_micro BIGINT,
  reported_femto INTEGER,
  reported_yocto INTEGER,
  list_micro     BIGINT,
  list_femto     INTEGER,
  list_yocto     INTEGER,
  outcome        SMALLINT NOT NULL,
  calls          BIGINT   NOT NULL,
  estimated      SMALLINT NOT NULL,
  layer          SMALLINT NOT NULL,
  card           BIGINT,
  above          BIGINT,
  reason         BIGINT,
  items          BYTEA    NOT NULL,
  PRIMARY KEY (org, sequence),
  CHECK (micro >= 0 AND debit <> credit)
);
-- An event's charges are posted once per turn, whatever is retried.
CREATE UNIQUE INDEX entries_by_event ON entries (org, event, turn, kind, debit, credit);

-- The uniqueness of everything that must happen once: 16 bytes of a keyed hash of kind, source and id.
CREATE TABLE once (
  org   INTEGER  NOT NULL,
  key   BYTEA    NOT NULL,
  value BIGINT   NOT NULL,
  PRIMARY KEY (org, key)
);

-- What waits for a rate, for usage or for a decision: work lists over events, derived from them.
CREATE TABLE held (
  org     INTEGER  NOT NULL,
  event   BIGINT   NOT NULL,
  record  BIGINT   NOT NULL,
  reason  SMALLINT NOT NULL,
  detail  TEXT     NOT NULL,
  held_at BIGINT   NOT NULL,
  PRIMARY KEY (org, event)
);

CREATE TABLE conflicts (
  org         INTEGER  NOT NULL,
  conflict    BIGINT   NOT NULL,
  event       BIGINT   NOT NULL,
  fields      TEXT     NOT NULL,
  found_at    BIGINT   NOT NULL,
  decision    TEXT,
  decided_at  BIGINT,
  decided_by  TEXT,
  PRIMARY KEY (org, conflict)
);
CREATE INDEX conflicts_by_event ON conflicts (org, event);

-- What was sent and is no event, without its content.
CREATE TABLE rejected (
  org         INTEGER  NOT NULL,
  rejected    TEXT     NOT NULL,
  dialect     TEXT     NOT NULL,
  source      TEXT,
  event_id    TEXT,
  field       TEXT     NOT NULL,
  detail      TEXT     NOT NULL,
  body        TEXT,
  size        BIGINT   NOT NULL,
  times       BIGINT   NOT NULL,
  received_at BIGINT   NOT NULL,
  PRIMARY KEY (org, rejected)
);

-- Catalog parts by the hash of their text; public lists are shared by all orgs. A version names its parts.
CREATE TABLE catalog_parts (
  hash BYTEA    NOT NULL PRIMARY KEY,
  text TEXT     NOT NULL
);
CREATE TABLE catalog_versions (
  org          INTEGER  NOT NULL,
  version      BIGINT   NOT NULL,
  hash         BYTEA    NOT NULL,
  author       TEXT     NOT NULL,
  note         TEXT     NOT NULL,
  published_at BIGINT   NOT NULL,
  PRIMARY KEY (org, version)
);
CREATE TABLE catalog_contents (
  org     INTEGER  NOT NULL,
  version BIGINT   NOT NULL,
  part    TEXT     NOT NULL,
  hash    BYTEA    NOT NULL,
  PRIMARY KEY (org, version, part)
);

-- What was fetched of a public list, one row for as long as it stayed the same; the body as it came, once.
CREATE TABLE catalog_fetches (
  org      BIGINT  NOT NULL,
  number   BIGINT  NOT NULL,
  source   TEXT    NOT NULL,
  url      TEXT    NOT NULL,
  etag     TEXT,
  hash     BYTEA,
  size     BIGINT  NOT NULL,
  -- The first and the last look that saw it.
  first_at BIGINT  NOT NULL,
  last_at  BIGINT  NOT NULL,
  looks    BIGINT  NOT NULL,
  outcome  TEXT    NOT NULL,
  detail   TEXT    NOT NULL,
  PRIMARY KEY (org, number)
);
CREATE TABLE catalog_bodies (
  hash BYTEA NOT NULL PRIMARY KEY,
  body BYTEA NOT NULL
);

-- What a person should know, until it was told.
CREATE TABLE notices (
  org          BIGINT  NOT NULL,
  notice       BIGINT  NOT NULL,
  kind         TEXT    NOT NULL,
  body         TEXT    NOT NULL,
  created_at   BIGINT  NOT NULL,
  delivered_at BIGINT,
  attempts     BIGINT  NOT NULL,
  next_at      BIGINT  NOT NULL,
  last_error   TEXT,
  PRIMARY KEY (org, notice)
);

-- Which process runs a job, and until when nobody else does.
CREATE TABLE leases (
  lease  TEXT    NOT NULL PRIMARY KEY,
  holder TEXT    NOT NULL,
  until  BIGINT  NOT NULL
);

-- Bearer keys: only a hash of the secret is kept.
CREATE TABLE access_keys (
  org        INTEGER  NOT NULL,
  key        TEXT     NOT NULL,
  hash       BYTEA    NOT NULL,
  scopes     TEXT     NOT NULL,
  source     TEXT,
  team       TEXT,
  note       TEXT,
  created_at BIGINT   NOT NULL,
  revoked_at BIGINT,
  PRIMARY KEY (org, key)
);

-- What is in a book stays as it is.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% are never changed or deleted', TG_TABLE_NAME;
END $$;
CREATE TRIGGER entries_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER events_stay  BEFORE UPDATE OR DELETE OR TRUNCATE ON events  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER blocks_stay  BEFORE UPDATE OR DELETE OR TRUNCATE ON blocks  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Entries for people; `amount` is exact, and so is a SUM over it.
CREATE VIEW readable_entries AS
SELECT e.org, e.sequence,
       CASE e.kind WHEN 1 THEN 'charge' WHEN 2 THEN 'reversal' ELSE 'adjustment' END AS kind,
       e.event, e.turn, e.reverses,
       to_timestamp(e.occurred_at / 1000000.0) AS occurred_at,
       lpad((e.period / 12)::text, 4, '0') || '-' || lpad((e.period % 12 + 1)::text, 2, '0') AS period,
       CAST((CASE e.kind WHEN 2 THEN -1 ELSE 1 END) * (e.micro::numeric * 0.000001 + e.femto::numeric * 0.000000000000001
            + e.yocto::numeric * 0.000000000000000000000001) AS NUMERIC(38, 24)) AS amount,
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
