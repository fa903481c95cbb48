-- Which months get partitions: those from the last one on, ten years ahead and no further, because whoever serves may call this and
-- a partition costs every look-up. A month that a partition has, or of which rows lie with the rest, is left alone: to try
-- would lock the rest for everybody, each time anew, and fail.
CREATE OR REPLACE FUNCTION make_month(of_month INTEGER) RETURNS INTEGER LANGUAGE plpgsql SECURITY DEFINER
  SET lock_timeout = '5s' AS $$
DECLARE
  this_month INTEGER := (extract(year FROM now() AT TIME ZONE 'UTC') * 12 + extract(month FROM now() AT TIME ZONE 'UTC') - 1)::INTEGER;
  of_table   TEXT;
  leaf       TEXT;
  is_placed  BOOLEAN;
  made       INTEGER := 0;
BEGIN
  IF of_month IS NULL OR of_month < this_month - 1 OR of_month > this_month + 120 THEN
    RAISE EXCEPTION 'month % gets no partition: only this one and the 120 to come do', of_month
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- In the order in which a commit reads them, so that nobody waits for each other.
  FOREACH of_table IN ARRAY ARRAY['events', 'entries'] LOOP
    leaf := format('%s_%s_%s', of_table, lpad((of_month / 12)::TEXT, 4, '0'), lpad((of_month % 12 + 1)::TEXT, 2, '0'));
    CONTINUE WHEN to_regclass(leaf) IS NOT NULL;
    SELECT bool_or(of_month >= COALESCE(substring(bounds FROM 'FROM \((\d+)\)')::INTEGER, 0)
                   AND of_month < substring(bounds FROM 'TO \((\d+)\)')::INTEGER)
      INTO is_placed
      FROM (SELECT pg_get_expr(c.relpartbound, c.oid) AS bounds
              FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(of_table)) partitions;
    CONTINUE WHEN is_placed;
    EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE sealed_in = $1)', of_table || '_rest') INTO is_placed USING of_month;
    CONTINUE WHEN is_placed;
    BEGIN
      EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', leaf, of_table || '_rest');
      EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', of_table, leaf, of_month, of_month + 1);
      EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', leaf || '_stay', leaf);
      made := made + 1;
    EXCEPTION
      -- Rows of that month came to lie with the rest meanwhile: there they stay.
      WHEN invalid_object_definition OR check_violation THEN NULL;
    END;
  END LOOP;
  RETURN made;
END $$;
-- Whoever calls it has no say in which tables it means.
DO $$ BEGIN EXECUTE format('ALTER FUNCTION make_month(INTEGER) SET search_path = %I, pg_temp', current_schema()); END $$;
