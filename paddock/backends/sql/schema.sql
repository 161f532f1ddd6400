-- The whole schema, as a fresh database gets it. An older database gets there through migrations/NNNN_*.sql,
-- whose highest number is the schema's version (PRAGMA user_version).

-- One row per function. latest, serving and tags are JSON documents (paddock/control/records.py): the catalogue
-- is held in memory whole, so SQL only has to find, replace and forget rows. serving is NULL while the function
-- was never active, and equal to latest once an update is Successful. reserved_concurrency is NULL for none.
CREATE TABLE functions (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    latest TEXT NOT NULL,
    serving TEXT,
    tags TEXT NOT NULL,
    last_version INTEGER NOT NULL DEFAULT 0,
    reserved_concurrency INTEGER,
    code_signing TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;

-- Published versions. document has the members of model.function.FunctionVersion.
CREATE TABLE function_versions (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, name, version)
) WITHOUT ROWID;

-- document has the members of model.alias.Alias.
CREATE TABLE function_aliases (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    alias TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, name, alias)
) WITHOUT ROWID;

-- The highest version number that a function had when it was deleted: one created anew under its name goes on from
-- there. Only functions that ever published leave a row.
CREATE TABLE version_numbers (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    last_version INTEGER NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;

CREATE TABLE function_policies (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    qualifier TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, name, qualifier)
) WITHOUT ROWID;

-- document has the members of model.layer.LayerVersion, save its policy.
CREATE TABLE layer_versions (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    policy TEXT,
    PRIMARY KEY (account, region, name, version)
) WITHOUT ROWID;

-- The highest version number of each layer: none is given out twice.
CREATE TABLE layer_numbers (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    last_version INTEGER NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;

-- document has the members of model.signing.CodeSigningConfig.
CREATE TABLE code_signing_configs (
    arn TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
) WITHOUT ROWID;

-- What belongs to one qualifier of a function and is neither a version nor an alias: event-invoke configurations
-- (kind event_invoke), recursion (kind recursion, qualifier ''), ... A document's members are those of its noun.
CREATE TABLE function_documents (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    qualifier TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, name, kind, qualifier)
) WITHOUT ROWID;
