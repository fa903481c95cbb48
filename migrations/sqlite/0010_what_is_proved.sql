-- A hash over a catalog version's number, content, author, note and time, so that a changed one is found. Versions that
-- were published before have none.
ALTER TABLE catalog_versions ADD COLUMN seal BLOB;

-- How many names were erased. Whoever has the numbers of names in memory sees by it that some may mean nothing any more.
ALTER TABLE books ADD COLUMN erased_names INTEGER NOT NULL DEFAULT 0;
