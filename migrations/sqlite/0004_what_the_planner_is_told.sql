-- SQLite's planner knows nothing of a table's size until somebody runs ANALYZE, and then only the size of that day. Where
-- it knows nothing it takes an org to have about ten rows, and so reads a whole book rather than look up eleven events by
-- their index. What is written here holds for every book that is large enough to matter: an org has many rows, and each of
-- the longer keys finds about one.
ANALYZE sqlite_schema;
DELETE FROM sqlite_stat1;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('blocks',     'blocks',              '100000 100000 1'),
  ('blocks',     'blocks_by_entry',     '100000 100000 1 1'),
  ('names',      'names',               '100000 100000 1'),
  ('names',      'names_by_text',       '100000 100000 10000 1 1'),
  ('owners',     'owners',              '100000 100000 1'),
  ('owners',     'owners_by_names',     '100000 100000 10 10 10 5 5 5 1 1'),
  ('products',   'products',            '10000 10000 1'),
  ('products',   'products_by_names',   '10000 10000 1000 10 10 5 5 5 1 1'),
  ('events',     'events',              '1000000 1000000 1'),
  ('events',     'events_by_revision',  '100000 100000 2 1 1'),
  ('events',     'events_about',        '100000 100000 1 1'),
  ('entries',    'entries',             '1000000 1000000 1'),
  ('entries',    'entries_by_event',    '1000000 1000000 2 1 1 1 1 1'),
  ('held',       'held',                '10000 10000 1'),
  ('suspects',   'suspects',            '10000 10000 1'),
  ('conflicts',  'conflicts',           '10000 10000 1'),
  ('conflicts',  'conflicts_by_event',  '10000 10000 1 1'),
  ('rejected',   'rejected',            '10000 10000 1');
ANALYZE sqlite_schema;
