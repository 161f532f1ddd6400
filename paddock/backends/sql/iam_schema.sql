-- IAM: roles and customer managed policies of an account. Policies are stored validated; nothing enforces them yet.
-- Times are epoch milliseconds. Names are unique without regard to case, as in AWS: name_key is the name in lower case.
-- Documents are kept as they were sent.

CREATE TABLE iam_roles (
    account TEXT NOT NULL,
    name_key TEXT NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    role_id TEXT NOT NULL,
    trust_document TEXT NOT NULL,
    description TEXT,
    max_session_s INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    tags TEXT NOT NULL,
    PRIMARY KEY (account, name_key)
) WITHOUT ROWID;

CREATE TABLE iam_role_policies (
    account TEXT NOT NULL,
    role_key TEXT NOT NULL,
    name_key TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, role_key, name_key)
) WITHOUT ROWID;

-- policy_arn is of this account or of AWS's own policies (arn:aws:iam::aws:policy/...).
CREATE TABLE iam_attachments (
    account TEXT NOT NULL,
    role_key TEXT NOT NULL,
    policy_arn TEXT NOT NULL,
    PRIMARY KEY (account, role_key, policy_arn)
) WITHOUT ROWID;

CREATE INDEX iam_attachments_by_policy ON iam_attachments (account, policy_arn, role_key);

CREATE TABLE iam_policies (
    account TEXT NOT NULL,
    name_key TEXT NOT NULL,
    name TEXT NOT NULL,
    arn TEXT NOT NULL,
    path TEXT NOT NULL,
    policy_id TEXT NOT NULL,
    description TEXT,
    default_version INTEGER NOT NULL,
    next_version INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    tags TEXT NOT NULL,
    PRIMARY KEY (account, name_key)
) WITHOUT ROWID;

CREATE UNIQUE INDEX iam_policies_by_arn ON iam_policies (account, arn);

CREATE TABLE iam_policy_versions (
    account TEXT NOT NULL,
    policy_arn TEXT NOT NULL,
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (account, policy_arn, version)
) WITHOUT ROWID;
