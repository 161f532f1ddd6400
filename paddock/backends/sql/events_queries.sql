-- Event source mappings.

-- name: event_source_mappings_all
-- Read once at start.
SELECT document FROM event_source_mappings ORDER BY uuid;

-- name: event_source_mapping_put
INSERT INTO event_source_mappings (uuid, document) VALUES (:uuid, :document)
ON CONFLICT (uuid) DO UPDATE SET document = excluded.document;

-- name: event_source_mapping_delete
DELETE FROM event_source_mappings WHERE uuid = :uuid;
