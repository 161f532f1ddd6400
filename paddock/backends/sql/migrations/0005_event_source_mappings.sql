-- Event source mappings.

CREATE TABLE event_source_mappings (
    uuid TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
) WITHOUT ROWID;
