-- Published versions, aliases, reserved concurrency, and version numbers that outlive the functions they were given to.

ALTER TABLE functions ADD COLUMN last_version INTEGER NOT NULL DEFAULT 0;
ALTER TABLE functions ADD COLUMN reserved_concurrency INTEGER;

CREATE TABLE function_versions (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, name, version)
) WITHOUT ROWID;

CREATE TABLE function_aliases (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    alias TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, name, alias)
) WITHOUT ROWID;

CREATE TABLE version_numbers (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    last_version INTEGER NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;
