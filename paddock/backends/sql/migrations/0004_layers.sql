-- Layers.

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
