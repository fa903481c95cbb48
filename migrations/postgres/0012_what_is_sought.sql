-- Generations that a provider billed and nobody here told of: since when and how often each was asked for, on behalf of
-- which statement (0: of a held event), and what came of it. It decides nothing; whoever deletes a row asks once more.
CREATE TABLE sought (
  org        BIGINT NOT NULL,
  generation TEXT   NOT NULL,
  statement  BIGINT NOT NULL,
  asked      BIGINT NOT NULL,
  first_at   BIGINT NOT NULL,
  last_at    BIGINT NOT NULL,
  answer     TEXT   NOT NULL,
  PRIMARY KEY (org, generation)
);

-- Statements of which all that follows by itself is done: compared, fetched for, trued up, told. One that was received and is
-- not here was interrupted.
CREATE TABLE followed (
  org       BIGINT NOT NULL,
  statement BIGINT NOT NULL,
  at        BIGINT NOT NULL,
  PRIMARY KEY (org, statement)
);
