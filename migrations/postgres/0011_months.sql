-- Entries and events lie in partitions, by the month in which their block was sealed, so that an operator can take an old month
-- out of the database without a row being deleted. No statement names a partition and none has to be there: what no month
-- takes lies with the rest. Numbers are given under the lock of a book's head, so that each partition having keys of
-- its own is as good as one key over all of them.

ALTER TABLE entries RENAME TO entries_first;
ALTER TABLE events RENAME TO events_first;
-- What was written before is of no month; it stays where it is.
ALTER TABLE entries_first ADD COLUMN sealed_in INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events_first ADD COLUMN sealed_in INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entries_first RENAME CONSTRAINT entries_pkey TO entries_first_pkey;
ALTER TABLE events_first RENAME CONSTRAINT events_pkey TO events_first_pkey;
ALTER INDEX entries_by_event RENAME TO entries_first_by_event;
ALTER INDEX events_by_revision RENAME TO events_first_by_revision;
ALTER INDEX events_about RENAME TO events_first_about;
ALTER INDEX events_decided RENAME TO events_first_decided;

CREATE TABLE entries (LIKE entries_first INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (sealed_in);
CREATE TABLE events (LIKE events_first INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (sealed_in);
CREATE TABLE entries_rest (LIKE entries_first INCLUDING ALL);
CREATE TABLE events_rest (LIKE events_first INCLUDING ALL);

-- The first partition goes on until the month is over in which this step was taken.
DO $$
DECLARE
  next_month INTEGER := (extract(year FROM now() AT TIME ZONE 'UTC') * 12 + extract(month FROM now() AT TIME ZONE 'UTC'))::INTEGER;
BEGIN
  EXECUTE format('ALTER TABLE entries ATTACH PARTITION entries_first FOR VALUES FROM (MINVALUE) TO (%s)', next_month);
  EXECUTE format('ALTER TABLE events ATTACH PARTITION events_first FOR VALUES FROM (MINVALUE) TO (%s)', next_month);
END $$;
ALTER TABLE entries ATTACH PARTITION entries_rest DEFAULT;
ALTER TABLE events ATTACH PARTITION events_rest DEFAULT;

-- A trigger of a whole statement is asked only by the table that the statement names.
CREATE TRIGGER entries_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER events_stay  BEFORE UPDATE OR DELETE OR TRUNCATE ON events  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER entries_rest_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON entries_rest
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER events_rest_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON events_rest
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Makes the partitions of a month, if they are not there, and says how many it made. It runs with the rights of whoever owns
-- the tables and can do nothing else, so that a service without those rights may still make its months.
CREATE FUNCTION make_month(of_month INTEGER) RETURNS INTEGER LANGUAGE plpgsql SECURITY DEFINER
  SET lock_timeout = '5s' AS $$
DECLARE
  of_table TEXT;
  leaf     TEXT;
  made     INTEGER := 0;
BEGIN
  FOREACH of_table IN ARRAY ARRAY['entries', 'events'] LOOP
    leaf := format('%s_%s_%s', of_table, lpad((of_month / 12)::TEXT, 4, '0'), lpad((of_month % 12 + 1)::TEXT, 2, '0'));
    CONTINUE WHEN to_regclass(leaf) IS NOT NULL;
    BEGIN
      EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', leaf, of_table || '_rest');
      EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', of_table, leaf, of_month, of_month + 1);
      EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', leaf || '_stay', leaf);
      made := made + 1;
    EXCEPTION
      -- The first partition has that month, or rows of it lie with the rest by now: there they stay.
      WHEN invalid_object_definition OR check_violation THEN NULL;
    END;
  END LOOP;
  RETURN made;
END $$;
REVOKE EXECUTE ON FUNCTION make_month(INTEGER) FROM PUBLIC;
-- Whoever calls it has no say in which tables it means.
DO $$ BEGIN EXECUTE format('ALTER FUNCTION make_month(INTEGER) SET search_path = %I, pg_temp', current_schema()); END $$;

-- Whoever had rights on the tables has them on those that take their names, and whoever writes may make months.
DO $$
DECLARE
  had RECORD;
BEGIN
  FOR had IN
    SELECT replace(c.relname, '_first', '') AS of_table, a.privilege_type AS what,
           CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS who
      FROM pg_class c, aclexplode(c.relacl) a
     WHERE c.oid IN (to_regclass('entries_first'), to_regclass('events_first')) AND a.grantee <> c.relowner
  LOOP
    EXECUTE format('GRANT %s ON %I TO %s', had.what, had.of_table, had.who);
    IF had.what = 'INSERT' THEN
      EXECUTE format('GRANT EXECUTE ON FUNCTION make_month(INTEGER) TO %s', had.who);
    END IF;
  END LOOP;
END $$;

-- Entries for people, as before.
CREATE OR REPLACE VIEW readable_entries AS
SELECT e.org, e.sequence,
       CASE e.kind WHEN 1 THEN 'charge' WHEN 2 THEN 'reversal' ELSE 'adjustment' END AS kind,
       e.event, e.turn, e.reverses,
       to_timestamp(e.occurred_at / 1000000.0) AS occurred_at,
       lpad((e.period / 12)::text, 4, '0') || '-' || lpad((e.period % 12 + 1)::text, 2, '0') AS period,
       CAST((CASE WHEN debit.text NOT LIKE 'cost:%' AND (credit.text IS NULL OR credit.text LIKE 'cost:%') THEN -1 ELSE 1 END) * (e.micro::numeric * 0.000001 + e.femto::numeric * 0.000000000000001
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
