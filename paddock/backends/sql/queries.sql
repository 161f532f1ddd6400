-- Every question Paddock asks its database. A query starts at its name line and ends at the next one; the comment
-- lines below the name say what it is for. Arguments are written :name and given as keywords.

-- name: functions_all
-- The whole catalogue, read once at start.
SELECT account, region, name, latest, serving, tags, last_version, reserved_concurrency, code_signing
FROM functions ORDER BY account, region, name;

-- name: function_put
-- Create or replace one function.
INSERT INTO functions (account, region, name, latest, serving, tags, last_version, reserved_concurrency, code_signing)
VALUES (:account, :region, :name, :latest, :serving, :tags, :last_version, :reserved_concurrency, :code_signing)
ON CONFLICT (account, region, name) DO UPDATE
SET latest = excluded.latest, serving = excluded.serving, tags = excluded.tags,
    last_version = excluded.last_version, reserved_concurrency = excluded.reserved_concurrency,
    code_signing = excluded.code_signing;

-- name: function_delete
-- Forget one function.
DELETE FROM functions WHERE account = :account AND region = :region AND name = :name;

-- name: function_versions_all
-- Published versions of every function, read once at start. Ascending, as the catalogue keeps them.
SELECT account, region, name, version, document FROM function_versions ORDER BY account, region, name, version;

-- name: function_version_put
INSERT INTO function_versions (account, region, name, version, document)
VALUES (:account, :region, :name, :version, :document)
ON CONFLICT (account, region, name, version) DO UPDATE SET document = excluded.document;

-- name: function_version_delete
DELETE FROM function_versions
WHERE account = :account AND region = :region AND name = :name AND version = :version;

-- name: function_versions_delete
-- All of a function that is deleted.
DELETE FROM function_versions WHERE account = :account AND region = :region AND name = :name;

-- name: function_aliases_all
-- Aliases of every function, read once at start.
SELECT account, region, name, alias, document FROM function_aliases ORDER BY account, region, name, alias;

-- name: function_alias_put
INSERT INTO function_aliases (account, region, name, alias, document)
VALUES (:account, :region, :name, :alias, :document)
ON CONFLICT (account, region, name, alias) DO UPDATE SET document = excluded.document;

-- name: function_alias_delete
DELETE FROM function_aliases WHERE account = :account AND region = :region AND name = :name AND alias = :alias;

-- name: function_aliases_delete
-- All of a function that is deleted.
DELETE FROM function_aliases WHERE account = :account AND region = :region AND name = :name;

-- name: version_number_get
-- Where the numbers of a deleted function ended.
SELECT last_version FROM version_numbers WHERE account = :account AND region = :region AND name = :name;

-- name: version_number_put
INSERT INTO version_numbers (account, region, name, last_version)
VALUES (:account, :region, :name, :last_version)
ON CONFLICT (account, region, name) DO UPDATE SET last_version = excluded.last_version;

-- name: function_policies_all
-- Resource policies of every function, read once at start.
SELECT account, region, name, qualifier, document FROM function_policies;

-- name: function_policy_put
INSERT INTO function_policies (account, region, name, qualifier, document)
VALUES (:account, :region, :name, :qualifier, :document)
ON CONFLICT (account, region, name, qualifier) DO UPDATE SET document = excluded.document;

-- name: function_policy_delete
DELETE FROM function_policies
WHERE account = :account AND region = :region AND name = :name AND qualifier = :qualifier;

-- name: function_policies_delete
-- All of a function that is deleted.
DELETE FROM function_policies WHERE account = :account AND region = :region AND name = :name;

-- name: layer_versions_all
-- Every layer version, read once at start.
SELECT document, policy FROM layer_versions;

-- name: layer_version_put
INSERT INTO layer_versions (account, region, name, version, document, policy)
VALUES (:account, :region, :name, :version, :document, :policy)
ON CONFLICT (account, region, name, version) DO UPDATE
SET document = excluded.document, policy = excluded.policy;

-- name: layer_version_delete
DELETE FROM layer_versions
WHERE account = :account AND region = :region AND name = :name AND version = :version;

-- name: layer_numbers_all
-- How far the numbers of each layer went, read once at start.
SELECT account, region, name, last_version FROM layer_numbers;

-- name: layer_number_put
INSERT INTO layer_numbers (account, region, name, last_version)
VALUES (:account, :region, :name, :last_version)
ON CONFLICT (account, region, name) DO UPDATE SET last_version = excluded.last_version;

-- name: code_signing_configs_all
-- Read once at start.
SELECT document FROM code_signing_configs;

-- name: code_signing_config_put
INSERT INTO code_signing_configs (arn, document) VALUES (:arn, :document)
ON CONFLICT (arn) DO UPDATE SET document = excluded.document;

-- name: code_signing_config_delete
DELETE FROM code_signing_configs WHERE arn = :arn;

-- name: function_documents_all
-- Of every function, read once at start.
SELECT account, region, name, kind, qualifier, document FROM function_documents;

-- name: function_document_put
-- Create or replace one.
INSERT INTO function_documents (account, region, name, kind, qualifier, document)
VALUES (:account, :region, :name, :kind, :qualifier, :document)
ON CONFLICT (account, region, name, kind, qualifier) DO UPDATE SET document = excluded.document;

-- name: function_document_delete
-- Forget one.
DELETE FROM function_documents
WHERE account = :account AND region = :region AND name = :name AND kind = :kind AND qualifier = :qualifier;

-- name: function_documents_delete
-- Forget all of a function.
DELETE FROM function_documents WHERE account = :account AND region = :region AND name = :name;

-- name: functions_with_open_environments
-- One row if there is any that was written before environments were sealed.
SELECT 1 FROM functions
WHERE json_type(latest, '$.environment') = 'object' OR json_type(serving, '$.environment') = 'object'
UNION ALL
SELECT 1 FROM function_versions WHERE json_type(document, '$.environment') = 'object'
LIMIT 1;
