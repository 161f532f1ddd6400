-- Code signing configurations, and each function's.

ALTER TABLE functions ADD COLUMN code_signing TEXT NOT NULL DEFAULT '';

-- document has the members of model.signing.CodeSigningConfig.
CREATE TABLE code_signing_configs (
    arn TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
) WITHOUT ROWID;
