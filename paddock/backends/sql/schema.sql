-- The whole schema, as a fresh database gets it. An older database gets there through migrations/NNNN_*.sql,
-- whose highest number is the schema's version (PRAGMA user_version). Until a first release changes nothing
-- here needs a migration.

-- One row per function. latest, serving and tags are JSON documents (paddock/control/records.py): the catalogue
-- is held in memory whole, so SQL only has to find, replace and forget rows. serving is NULL while the function
-- was never active, and equal to latest once an update is Successful.
CREATE TABLE functions (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    latest TEXT NOT NULL,
    serving TEXT,
    tags TEXT NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;
