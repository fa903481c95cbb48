-- What people decided: adjustments, closings and reopenings are records among the events, in states of their own.
CREATE INDEX events_decided ON events (org, state, record) WHERE state >= 6;

-- Several owners may share a charge; each has one of its own in every turn.
DROP INDEX entries_by_event;
CREATE UNIQUE INDEX entries_by_event ON entries (org, event, turn, kind, owner, debit, credit);

ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES 
  ('events', 'events_decided', '1000 1000 300 1'),
  ('entries', 'entries_by_event', '1000000 1000000 2 1 1 1 1 1 1');
ANALYZE sqlite_schema;

-- An entry takes away from a cost when it moves something from an owner's account to another.
DROP VIEW readable_entries;
-- Entries for people. `amount` is text because SQLite has no exact decimal: a SUM over it goes through floating point and
-- is not exact; sum the limbs, or ask `farthing report`.
CREATE VIEW readable_entries AS
SELECT e.org, e.sequence,
       CASE e.kind WHEN 1 THEN 'charge' WHEN 2 THEN 'reversal' ELSE 'adjustment' END AS kind,
       e.event, e.turn, e.reverses,
       strftime('%Y-%m-%dT%H:%M:%fZ', e.occurred_at / 1000000.0, 'unixepoch') AS occurred_at,
       printf('%04d-%02d', e.period / 12, e.period % 12 + 1)                  AS period,
       printf('%s%d.%06d%09d%09d', iif(debit.text NOT LIKE 'cost:%' AND (credit.text IS NULL OR credit.text LIKE 'cost:%'), '-', ''), e.micro / 1000000, e.micro % 1000000, e.femto, e.yocto) AS amount,
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
