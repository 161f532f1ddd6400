-- SQS. document has the members of services.sqs.nouns.Queue.
CREATE TABLE sqs_queues (
    arn TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
) WITHOUT ROWID;

-- Messages. visible_ms: when it may be received next. receipt: of the receive that holds it, '' while nobody does.
-- grp: its message group. document: what receivers are shown (services.sqs.nouns.Message). Times in milliseconds.
CREATE TABLE sqs_messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    visible_ms INTEGER NOT NULL,
    sent_ms INTEGER NOT NULL,
    first_ms INTEGER,
    receives INTEGER NOT NULL DEFAULT 0,
    receipt TEXT NOT NULL DEFAULT '',
    grp TEXT NOT NULL DEFAULT '',
    document BLOB NOT NULL
);
CREATE INDEX sqs_messages_visible ON sqs_messages (queue, visible_ms, id);
CREATE INDEX sqs_messages_groups ON sqs_messages (queue, grp, visible_ms) WHERE grp <> '';
CREATE INDEX sqs_messages_sent ON sqs_messages (queue, sent_ms);

-- What FIFO queues have taken in the last five minutes, by deduplication id.
CREATE TABLE sqs_taken (
    queue TEXT NOT NULL,
    deduplication TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (queue, deduplication)
) WITHOUT ROWID;
