-- name: s3_buckets_all
SELECT name, account, region, created_ms, versioning, settings FROM s3_buckets;

-- name: s3_bucket_add
-- Nothing changes when the name is taken.
INSERT INTO s3_buckets (name, account, region, created_ms, versioning, settings)
VALUES (:name, :account, :region, :created_ms, :versioning, :settings) ON CONFLICT (name) DO NOTHING;

-- name: s3_bucket_update
UPDATE s3_buckets SET versioning = :versioning, settings = :settings WHERE name = :name;

-- name: s3_bucket_exists
SELECT 1 FROM s3_buckets WHERE name = :name;

-- name: s3_bucket_used
-- A row while anything is in the bucket, uploads too.
SELECT 1 FROM s3_objects WHERE bucket = :name LIMIT 1;

-- name: s3_bucket_uploads
SELECT id FROM s3_uploads WHERE bucket = :name;

-- name: s3_bucket_delete
DELETE FROM s3_buckets WHERE name = :name;

-- name: s3_seq_last
-- The greatest number given: a clock that was set back must not give one again, nor one below a delete marker's.
SELECT max(coalesce((SELECT max(id) FROM s3_contents), 0), coalesce((SELECT max(seq) FROM s3_objects WHERE marker = 1), 0)) AS seq;

-- name: s3_content_add
INSERT INTO s3_contents (id, bytes, segments) VALUES (:id, :bytes, :segments);

-- name: s3_content_get
SELECT bytes, segments FROM s3_contents WHERE id = :id;

-- name: s3_content_segments
SELECT segments FROM s3_contents WHERE id = :id;

-- name: s3_content_delete
DELETE FROM s3_contents WHERE id = :id;

-- name: s3_segments_all
-- Every list of segments that a version is made of.
SELECT segments FROM s3_contents WHERE segments IS NOT NULL;

-- name: s3_object_add
INSERT INTO s3_objects
    (bucket, key, seq, version_id, latest, marker, size, etag, modified_ms, content, tags, document)
VALUES
    (:bucket, :key, :seq, :version_id, :latest, :marker, :size, :etag, :modified_ms, :content, :tags, :document);

-- name: s3_object_latest
SELECT bucket, key, seq, version_id, latest, marker, size, etag, modified_ms, content, tags, document
FROM s3_objects WHERE bucket = :bucket AND key = :key ORDER BY seq DESC LIMIT 1;

-- name: s3_object_version
SELECT bucket, key, seq, version_id, latest, marker, size, etag, modified_ms, content, tags, document
FROM s3_objects WHERE bucket = :bucket AND key = :key AND version_id = :version_id;

-- name: s3_object_old
-- The latest version of a key is not it any more.
UPDATE s3_objects SET latest = 0 WHERE bucket = :bucket AND key = :key AND latest = 1;

-- name: s3_object_promote
-- The newest of the versions that are left becomes the latest.
UPDATE s3_objects SET latest = 1 WHERE bucket = :bucket AND key = :key AND seq = (
    SELECT max(seq) FROM s3_objects WHERE bucket = :bucket AND key = :key
);

-- name: s3_object_tag
UPDATE s3_objects SET tags = :tags WHERE bucket = :bucket AND key = :key AND seq = :seq;

-- name: s3_object_delete
DELETE FROM s3_objects WHERE bucket = :bucket AND key = :key AND seq = :seq;

-- name: s3_objects_page
-- Latest versions that are no delete markers, from a key on.
SELECT key, seq, version_id, size, etag, modified_ms, document FROM s3_objects
WHERE bucket = :bucket AND key >= :start AND latest = 1 AND marker = 0 ORDER BY key LIMIT :limit;

-- name: s3_versions_page
-- All versions, newest of each key first, from a key on; of that key only those below a seq.
SELECT key, seq, version_id, latest, marker, size, etag, modified_ms, document FROM s3_objects
WHERE bucket = :bucket AND key >= :start AND (key > :start OR seq < :below) ORDER BY key, seq DESC LIMIT :limit;

-- name: s3_upload_add
INSERT INTO s3_uploads (bucket, key, id, created_ms, tags, document)
VALUES (:bucket, :key, :id, :created_ms, :tags, :document);

-- name: s3_upload_get
SELECT bucket, key, id, created_ms, tags, document FROM s3_uploads
WHERE bucket = :bucket AND key = :key AND id = :id;

-- name: s3_upload_delete
DELETE FROM s3_uploads WHERE bucket = :bucket AND key = :key AND id = :id;

-- name: s3_uploads_page
SELECT key, id, created_ms, document FROM s3_uploads
WHERE bucket = :bucket AND key >= :start AND (key > :start OR id > :after) ORDER BY key, id LIMIT :limit;

-- name: s3_part_put
INSERT INTO s3_parts (upload, number, size, etag, modified_ms, segment, checksums)
VALUES (:upload, :number, :size, :etag, :modified_ms, :segment, :checksums)
ON CONFLICT (upload, number) DO UPDATE
SET size = excluded.size, etag = excluded.etag, modified_ms = excluded.modified_ms,
    segment = excluded.segment, checksums = excluded.checksums;

-- name: s3_part_get
SELECT segment FROM s3_parts WHERE upload = :upload AND number = :number;

-- name: s3_parts_page
SELECT number, size, etag, modified_ms, segment, checksums FROM s3_parts
WHERE upload = :upload AND number > :after ORDER BY number LIMIT :limit;

-- name: s3_parts_delete
DELETE FROM s3_parts WHERE upload = :upload;

-- name: s3_parts_all
-- Every segment of a part that waits.
SELECT segment FROM s3_parts;

-- name: s3_lifecycle_page
-- All versions as lifecycle rules look at them, in the order of s3_versions_page.
SELECT key, seq, version_id, latest, marker, size, etag, modified_ms, tags FROM s3_objects
WHERE bucket = :bucket AND key >= :start AND (key > :start OR seq < :below) ORDER BY key, seq DESC LIMIT :limit;
