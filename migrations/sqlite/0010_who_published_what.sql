-- A hash over a catalog version's number, content, author, note and time, so that a changed one is found. Versions that
-- were published before have none.
ALTER TABLE catalog_versions ADD COLUMN seal BLOB;
