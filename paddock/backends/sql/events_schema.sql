-- Where events come from. document has the members of model.event_source.EventSourceMapping.
CREATE TABLE event_source_mappings (
    uuid TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
) WITHOUT ROWID;
