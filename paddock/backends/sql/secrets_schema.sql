-- Keys, parameters and secrets. Every value in a document that is to be kept secret is sealed.

-- document has the members of control.keys.Key.
CREATE TABLE kms_keys (
    id TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
) WITHOUT ROWID;

-- document has the members of control.keys.Alias.
CREATE TABLE kms_aliases (
    arn TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
) WITHOUT ROWID;

-- document has the members of services.ssm.desk.Parameter.
CREATE TABLE ssm_parameters (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, name, version)
) WITHOUT ROWID;

-- document has the members of services.secretsmanager.desk.Secret.
CREATE TABLE secrets (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    arn TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;
