-- Log groups, streams and events: a database file of its own (logs.db), so that a flood of log lines never makes
-- the catalogue wait and can be thrown away without losing anything else.
-- Times are epoch milliseconds. size_bytes and stored_bytes count UTF-8 bytes plus 26 per event, as CloudWatch does.

CREATE TABLE log_groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    retention_days INTEGER,
    stored_bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account, region, name)
);

CREATE TABLE log_group_tags (
    group_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (group_id, key)
);

CREATE TABLE log_streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    first_event_ms INTEGER,
    last_event_ms INTEGER,
    last_ingestion_ms INTEGER,
    stored_bytes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (group_id, name)
);

-- The id breaks ties between events of one millisecond in the order of ingestion, and is never reused.
CREATE TABLE log_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id INTEGER NOT NULL,
    stream_id INTEGER NOT NULL,
    timestamp_ms INTEGER NOT NULL,
    ingestion_ms INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    message TEXT NOT NULL
);

CREATE INDEX log_events_by_stream ON log_events (stream_id, timestamp_ms, id);
CREATE INDEX log_events_by_group ON log_events (group_id, timestamp_ms, id);
