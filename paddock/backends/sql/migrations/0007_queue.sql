-- Work for later (interfaces.Queue). due_ms is when a message may be taken next: at first after its delay, then after
-- the lease of whoever took it. lease is empty while nobody holds it. Times are milliseconds since the epoch.
CREATE TABLE queue_messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    sender TEXT NOT NULL,
    due_ms INTEGER NOT NULL,
    put_ms INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    lease TEXT NOT NULL DEFAULT '',
    body BLOB NOT NULL
);

-- Finds the groups of a topic, and what is due in each, without reading a backlog.
CREATE INDEX queue_messages_due ON queue_messages (topic, sender, due_ms, id);

-- What belongs to one qualifier of a function and is neither a version nor an alias: event-invoke configurations
-- (kind event_invoke), recursion (kind recursion, qualifier ''), ... A document's members are those of its noun.
CREATE TABLE function_documents (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    qualifier TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, name, kind, qualifier)
) WITHOUT ROWID;
