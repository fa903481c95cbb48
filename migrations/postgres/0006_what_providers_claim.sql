-- What a provider claimed, as it was received; what it says of itself is a record of the book under the same number.
CREATE TABLE statements (
  org       BIGINT NOT NULL,
  statement BIGINT NOT NULL,
  body      BYTEA  NOT NULL,
  PRIMARY KEY (org, statement)
);

-- Comparisons of the book with a statement: of the same statement, block and tolerances there is one, and it can be made again.
CREATE TABLE reconciliations (
  org       BIGINT NOT NULL,
  run       TEXT   NOT NULL,
  statement BIGINT NOT NULL,
  block     BIGINT NOT NULL,
  asked     TEXT   NOT NULL,
  summary   TEXT   NOT NULL,
  made_at   BIGINT NOT NULL,
  PRIMARY KEY (org, run)
);
CREATE TRIGGER statements_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON statements FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
