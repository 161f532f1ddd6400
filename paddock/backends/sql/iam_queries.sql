-- The questions asked about roles and policies. Pages go on after a key and are ordered by it.

-- name: iam_role_add
-- No row changes when a role of that name is there.
INSERT INTO iam_roles
    (account, name_key, name, path, role_id, trust_document, description, max_session_s, created_ms, tags)
VALUES
    (:account, :name_key, :name, :path, :role_id, :trust_document, :description, :max_session_s, :created_ms, :tags)
ON CONFLICT (account, name_key) DO NOTHING;

-- name: iam_role_get
SELECT name_key, name, path, role_id, trust_document, description, max_session_s, created_ms, tags
FROM iam_roles WHERE account = :account AND name_key = :name_key;

-- name: iam_roles_page
SELECT name_key, name, path, role_id, trust_document, description, max_session_s, created_ms, tags
FROM iam_roles
WHERE account = :account AND name_key > :after AND substr(path, 1, length(:path_prefix)) = :path_prefix
ORDER BY name_key LIMIT :limit;

-- name: iam_role_update
UPDATE iam_roles
SET trust_document = :trust_document, description = :description, max_session_s = :max_session_s, tags = :tags
WHERE account = :account AND name_key = :name_key;

-- name: iam_role_delete
DELETE FROM iam_roles WHERE account = :account AND name_key = :name_key;

-- name: iam_role_policy_put
INSERT INTO iam_role_policies (account, role_key, name_key, name, document)
VALUES (:account, :role_key, :name_key, :name, :document)
ON CONFLICT (account, role_key, name_key) DO UPDATE SET document = excluded.document;

-- name: iam_role_policy_get
SELECT name, document FROM iam_role_policies
WHERE account = :account AND role_key = :role_key AND name_key = :name_key;

-- name: iam_role_policies_all
-- The inline policies of one role: their total size is bounded, so there are few.
SELECT name_key, name, document FROM iam_role_policies
WHERE account = :account AND role_key = :role_key ORDER BY name_key;

-- name: iam_role_policy_delete
DELETE FROM iam_role_policies WHERE account = :account AND role_key = :role_key AND name_key = :name_key;

-- name: iam_attach
INSERT INTO iam_attachments (account, role_key, policy_arn) VALUES (:account, :role_key, :policy_arn)
ON CONFLICT (account, role_key, policy_arn) DO NOTHING;

-- name: iam_detach
DELETE FROM iam_attachments WHERE account = :account AND role_key = :role_key AND policy_arn = :policy_arn;

-- name: iam_attachments_of_role
-- At most the quota of managed policies per role.
SELECT policy_arn FROM iam_attachments WHERE account = :account AND role_key = :role_key ORDER BY policy_arn;

-- name: iam_attachment_count
SELECT count(*) AS attachments FROM iam_attachments WHERE account = :account AND policy_arn = :policy_arn;

-- name: iam_roles_of_policy
SELECT r.name_key, r.name, r.role_id
FROM iam_attachments a JOIN iam_roles r ON r.account = a.account AND r.name_key = a.role_key
WHERE a.account = :account AND a.policy_arn = :policy_arn AND a.role_key > :after
  AND substr(r.path, 1, length(:path_prefix)) = :path_prefix
ORDER BY a.role_key LIMIT :limit;

-- name: iam_policy_add
-- No row changes when a policy of that name is there.
INSERT INTO iam_policies
    (account, name_key, name, arn, path, policy_id, description, default_version, next_version, created_ms,
     updated_ms, tags)
VALUES
    (:account, :name_key, :name, :arn, :path, :policy_id, :description, 1, 2, :created_ms, :created_ms, :tags)
ON CONFLICT (account, name_key) DO NOTHING;

-- name: iam_policy_get
SELECT p.name_key, p.name, p.arn, p.path, p.policy_id, p.description, p.default_version, p.next_version, p.created_ms,
       p.updated_ms, p.tags,
       (SELECT count(*) FROM iam_attachments a WHERE a.account = p.account AND a.policy_arn = p.arn) AS attachments
FROM iam_policies p WHERE p.account = :account AND p.arn = :arn;

-- name: iam_policies_page
SELECT p.name_key, p.name, p.arn, p.path, p.policy_id, p.description, p.default_version, p.next_version, p.created_ms,
       p.updated_ms, p.tags,
       (SELECT count(*) FROM iam_attachments a WHERE a.account = p.account AND a.policy_arn = p.arn) AS attachments
FROM iam_policies p
WHERE p.account = :account AND p.name_key > :after AND substr(p.path, 1, length(:path_prefix)) = :path_prefix
ORDER BY p.name_key LIMIT :limit;

-- name: iam_policy_set_versions
UPDATE iam_policies
SET default_version = :default_version, next_version = :next_version, updated_ms = :updated_ms
WHERE account = :account AND arn = :arn;

-- name: iam_policy_set_tags
UPDATE iam_policies SET tags = :tags WHERE account = :account AND arn = :arn;

-- name: iam_policy_delete
DELETE FROM iam_policies WHERE account = :account AND arn = :arn;

-- name: iam_policy_version_add
INSERT INTO iam_policy_versions (account, policy_arn, version, document, created_ms)
VALUES (:account, :policy_arn, :version, :document, :created_ms);

-- name: iam_policy_versions_all
-- At most the quota of versions per policy, latest first.
SELECT version, document, created_ms FROM iam_policy_versions
WHERE account = :account AND policy_arn = :policy_arn ORDER BY version DESC;

-- name: iam_policy_version_delete
DELETE FROM iam_policy_versions WHERE account = :account AND policy_arn = :policy_arn AND version = :version;

-- name: iam_policy_versions_delete
DELETE FROM iam_policy_versions WHERE account = :account AND policy_arn = :policy_arn;
