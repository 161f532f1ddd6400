-- Keys, parameters and secrets.

-- name: kms_keys_all
-- Read once at start.
SELECT document FROM kms_keys;

-- name: kms_key_put
INSERT INTO kms_keys (id, document) VALUES (:id, :document)
ON CONFLICT (id) DO UPDATE SET document = excluded.document;

-- name: kms_aliases_all
-- Read once at start.
SELECT document FROM kms_aliases;

-- name: kms_alias_put
INSERT INTO kms_aliases (arn, document) VALUES (:arn, :document)
ON CONFLICT (arn) DO UPDATE SET document = excluded.document;

-- name: kms_alias_delete
DELETE FROM kms_aliases WHERE arn = :arn;

-- name: ssm_parameter_get
-- One version; 0 for the newest.
SELECT document FROM ssm_parameters
WHERE account = :account AND region = :region AND name = :name AND :version IN (0, version)
ORDER BY version DESC LIMIT 1;

-- name: ssm_parameters_newest
-- The newest version of each, by name.
SELECT document, MAX(version) FROM ssm_parameters
WHERE account = :account AND region = :region GROUP BY name ORDER BY name;

-- name: ssm_parameter_put
INSERT INTO ssm_parameters (account, region, name, version, document)
VALUES (:account, :region, :name, :version, :document);

-- name: ssm_parameter_trim
-- Forget a version and all before it.
DELETE FROM ssm_parameters
WHERE account = :account AND region = :region AND name = :name AND version <= :version;

-- name: ssm_parameter_delete
DELETE FROM ssm_parameters WHERE account = :account AND region = :region AND name = :name;

-- name: secret_get
-- By name or ARN.
SELECT document FROM secrets WHERE account = :account AND region = :region AND :id IN (name, arn);

-- name: secrets_all
SELECT document FROM secrets WHERE account = :account AND region = :region ORDER BY name;

-- name: secret_put
INSERT INTO secrets (account, region, name, arn, document) VALUES (:account, :region, :name, :arn, :document)
ON CONFLICT (account, region, name) DO UPDATE SET arn = excluded.arn, document = excluded.document;
