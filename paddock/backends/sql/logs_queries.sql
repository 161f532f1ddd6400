-- The questions asked of logs.db: log groups, streams and events. Positions are (timestamp_ms, id).

-- name: log_group_create
-- A new log group; no row changes when one of that name is there.
INSERT INTO log_groups (account, region, name, created_ms)
VALUES (:account, :region, :name, :created_ms)
ON CONFLICT (account, region, name) DO NOTHING;

-- name: log_group_get
SELECT id, name, created_ms, retention_days, stored_bytes
FROM log_groups
WHERE account = :account AND region = :region AND name = :name;

-- name: log_groups_page
-- Groups by name, after a name. `prefix_end` is the first name that no longer has the prefix; NULL means no end.
SELECT id, name, created_ms, retention_days, stored_bytes
FROM log_groups
WHERE account = :account AND region = :region AND name > :after AND name >= :prefix
  AND (:prefix_end IS NULL OR name < :prefix_end)
  AND (:part = '' OR instr(name, :part) > 0)
ORDER BY name
LIMIT :limit;

-- name: log_groups_with_retention
SELECT id, retention_days FROM log_groups WHERE retention_days IS NOT NULL;

-- name: log_group_set_retention
UPDATE log_groups SET retention_days = :retention_days WHERE id = :group_id;

-- name: log_group_add_bytes
UPDATE log_groups SET stored_bytes = max(0, stored_bytes + :size_bytes) WHERE id = :group_id;

-- name: log_group_delete
DELETE FROM log_groups WHERE id = :group_id;

-- name: log_group_delete_streams
DELETE FROM log_streams WHERE group_id = :group_id;

-- name: log_group_delete_events
DELETE FROM log_events WHERE group_id = :group_id;

-- name: log_group_delete_tags
DELETE FROM log_group_tags WHERE group_id = :group_id;

-- name: log_group_tags
SELECT key, value FROM log_group_tags WHERE group_id = :group_id ORDER BY key;

-- name: log_group_tag
INSERT INTO log_group_tags (group_id, key, value) VALUES (:group_id, :key, :value)
ON CONFLICT (group_id, key) DO UPDATE SET value = excluded.value;

-- name: log_group_untag
DELETE FROM log_group_tags WHERE group_id = :group_id AND key = :key;

-- name: log_stream_create
-- A new stream; no row changes when one of that name is there.
INSERT INTO log_streams (group_id, name, created_ms)
VALUES (:group_id, :name, :created_ms)
ON CONFLICT (group_id, name) DO NOTHING;

-- name: log_stream_get
SELECT id, name, created_ms, first_event_ms, last_event_ms, last_ingestion_ms, stored_bytes
FROM log_streams
WHERE group_id = :group_id AND name = :name;

-- name: log_streams_by_name
SELECT id, name, created_ms, first_event_ms, last_event_ms, last_ingestion_ms, stored_bytes
FROM log_streams
WHERE group_id = :group_id AND name > :after AND name >= :prefix
  AND (:prefix_end IS NULL OR name < :prefix_end)
ORDER BY name
LIMIT :limit;

-- name: log_streams_by_name_descending
SELECT id, name, created_ms, first_event_ms, last_event_ms, last_ingestion_ms, stored_bytes
FROM log_streams
WHERE group_id = :group_id AND (:before IS NULL OR name < :before) AND name >= :prefix
  AND (:prefix_end IS NULL OR name < :prefix_end)
ORDER BY name DESC
LIMIT :limit;

-- name: log_streams_by_time
-- A stream that never had an event counts as older than every other.
SELECT id, name, created_ms, first_event_ms, last_event_ms, last_ingestion_ms, stored_bytes
FROM log_streams
WHERE group_id = :group_id
  AND (coalesce(last_event_ms, -1) > :after_ms OR (coalesce(last_event_ms, -1) = :after_ms AND id > :after_id))
ORDER BY coalesce(last_event_ms, -1), id
LIMIT :limit;

-- name: log_streams_by_time_descending
SELECT id, name, created_ms, first_event_ms, last_event_ms, last_ingestion_ms, stored_bytes
FROM log_streams
WHERE group_id = :group_id
  AND (coalesce(last_event_ms, -1) < :before_ms OR (coalesce(last_event_ms, -1) = :before_ms AND id < :before_id))
ORDER BY coalesce(last_event_ms, -1) DESC, id DESC
LIMIT :limit;

-- name: log_stream_ids_by_prefix
SELECT id, name FROM log_streams
WHERE group_id = :group_id AND name >= :prefix AND (:prefix_end IS NULL OR name < :prefix_end);

-- name: log_stream_note_events
-- After events were added: bytes, and the earliest and latest time.
UPDATE log_streams
SET stored_bytes = stored_bytes + :size_bytes,
    first_event_ms = min(coalesce(first_event_ms, :first_ms), :first_ms),
    last_event_ms = max(coalesce(last_event_ms, :last_ms), :last_ms),
    last_ingestion_ms = :ingestion_ms
WHERE id = :stream_id;

-- name: log_stream_note_expired
-- After the oldest events went: bytes, and the earliest time that is left.
UPDATE log_streams
SET stored_bytes = max(0, stored_bytes - :size_bytes),
    first_event_ms = (SELECT min(timestamp_ms) FROM log_events WHERE stream_id = :stream_id)
WHERE id = :stream_id;

-- name: log_stream_delete
DELETE FROM log_streams WHERE id = :stream_id;

-- name: log_stream_delete_events
DELETE FROM log_events WHERE stream_id = :stream_id;

-- name: log_event_add
INSERT INTO log_events (group_id, stream_id, timestamp_ms, ingestion_ms, size_bytes, message)
VALUES (:group_id, :stream_id, :timestamp_ms, :ingestion_ms, :size_bytes, :message);

-- name: log_events_add
-- Many at once, as a JSON array of texts: fifteen digits of time, then the message. One step of one statement, so that
-- the writing thread asks for Python's lock once, not once for each row.
INSERT INTO log_events (group_id, stream_id, timestamp_ms, ingestion_ms, size_bytes, message)
SELECT :group_id, :stream_id, CAST(substr(value, 1, 15) AS INTEGER), :ingestion_ms,
       length(CAST(value AS BLOB)) - 15 + :overhead_bytes, substr(value, 16)
FROM json_each(:events);

-- name: log_events_of_stream
-- Strictly between two positions (time, id), earliest first.
SELECT id, stream_id, timestamp_ms, ingestion_ms, size_bytes, message
FROM log_events
WHERE stream_id = :stream_id
  AND (timestamp_ms, id) > (:after_ms, :after_id) AND (timestamp_ms, id) < (:before_ms, :before_id)
ORDER BY timestamp_ms, id
LIMIT :limit;

-- name: log_events_of_stream_descending
-- Strictly between two positions (time, id), latest first.
SELECT id, stream_id, timestamp_ms, ingestion_ms, size_bytes, message
FROM log_events
WHERE stream_id = :stream_id
  AND (timestamp_ms, id) > (:after_ms, :after_id) AND (timestamp_ms, id) < (:before_ms, :before_id)
ORDER BY timestamp_ms DESC, id DESC
LIMIT :limit;

-- name: log_events_of_group
SELECT id, stream_id, timestamp_ms, ingestion_ms, size_bytes, message
FROM log_events
WHERE group_id = :group_id
  AND (timestamp_ms, id) > (:after_ms, :after_id) AND (timestamp_ms, id) < (:before_ms, :before_id)
ORDER BY timestamp_ms, id
LIMIT :limit;

-- name: log_events_of_group_descending
SELECT id, stream_id, timestamp_ms, ingestion_ms, size_bytes, message
FROM log_events
WHERE group_id = :group_id
  AND (timestamp_ms, id) > (:after_ms, :after_id) AND (timestamp_ms, id) < (:before_ms, :before_id)
ORDER BY timestamp_ms DESC, id DESC
LIMIT :limit;

-- name: log_events_expired
-- The oldest events before a time, a bounded number of them, without their text.
SELECT id, stream_id, timestamp_ms, size_bytes
FROM log_events
WHERE group_id = :group_id AND timestamp_ms < :before_ms
ORDER BY timestamp_ms, id
LIMIT :limit;

-- name: log_events_delete_through
-- All events of a group up to and including a position.
DELETE FROM log_events
WHERE group_id = :group_id AND (timestamp_ms, id) <= (:through_ms, :through_id);

-- name: log_stream_name
SELECT name FROM log_streams WHERE id = :stream_id;
