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
