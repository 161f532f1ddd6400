-- S3: buckets, every version of every object, and uploads that are not complete.

-- versioning: '' (never), Enabled or Suspended. settings: a JSON document of the bucket's configurations by name.
CREATE TABLE s3_buckets (
    name TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    versioning TEXT NOT NULL,
    settings TEXT NOT NULL
) WITHOUT ROWID;

-- The bytes of a version: small ones here, large ones as a JSON list of [segment, size].
CREATE TABLE s3_contents (
    id INTEGER PRIMARY KEY,
    bytes BLOB,
    segments TEXT
);

-- seq orders the versions of a key and names the content (NULL for a delete marker). latest: what the bare key means.
CREATE TABLE s3_objects (
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    version_id TEXT NOT NULL,
    latest INTEGER NOT NULL,
    marker INTEGER NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified_ms INTEGER NOT NULL,
    content INTEGER,
    tags TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (bucket, key, seq DESC)
) WITHOUT ROWID;

CREATE TABLE s3_uploads (
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    id TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    tags TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (bucket, key, id)
) WITHOUT ROWID;

-- checksums: a JSON document, algorithm -> base64.
CREATE TABLE s3_parts (
    upload TEXT NOT NULL,
    number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    etag TEXT NOT NULL,
    modified_ms INTEGER NOT NULL,
    segment TEXT NOT NULL,
    checksums TEXT NOT NULL,
    PRIMARY KEY (upload, number)
) WITHOUT ROWID;
