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

-- Message groups of FIFO queues. ready_ms: when something of the group can be received next: not while one of its
-- messages is held, and not before its oldest one, head. So a receive finds a group by index, and reads no backlog.
CREATE TABLE sqs_groups (
    queue TEXT NOT NULL,
    grp TEXT NOT NULL,
    ready_ms INTEGER NOT NULL,
    head INTEGER NOT NULL,
    PRIMARY KEY (queue, grp)
) WITHOUT ROWID;
CREATE INDEX sqs_groups_ready ON sqs_groups (queue, ready_ms, head);
CREATE INDEX sqs_messages_in_group ON sqs_messages (queue, grp, id) WHERE grp <> '';
CREATE INDEX sqs_messages_held ON sqs_messages (queue, grp, visible_ms) WHERE grp <> '' AND receipt <> '';

CREATE TRIGGER sqs_group_grows AFTER INSERT ON sqs_messages WHEN new.grp <> '' BEGIN
    INSERT OR IGNORE INTO sqs_groups (queue, grp, ready_ms, head) VALUES (new.queue, new.grp, new.visible_ms, new.id);
END;

CREATE TRIGGER sqs_group_changes AFTER UPDATE ON sqs_messages WHEN new.grp <> '' BEGIN
    DELETE FROM sqs_groups WHERE queue = old.queue AND grp = old.grp AND old.queue <> new.queue;
    INSERT OR REPLACE INTO sqs_groups (queue, grp, ready_ms, head)
    SELECT queue, grp, max(visible_ms, coalesce((
        SELECT max(visible_ms) FROM sqs_messages
        WHERE queue = old.queue AND grp = old.grp AND grp <> '' AND receipt <> ''
    ), 0)), id
    FROM sqs_messages WHERE queue = old.queue AND grp = old.grp AND grp <> '' ORDER BY id LIMIT 1;
    INSERT OR REPLACE INTO sqs_groups (queue, grp, ready_ms, head)
    SELECT queue, grp, max(visible_ms, coalesce((
        SELECT max(visible_ms) FROM sqs_messages
        WHERE queue = new.queue AND grp = new.grp AND grp <> '' AND receipt <> ''
    ), 0)), id
    FROM sqs_messages WHERE queue = new.queue AND grp = new.grp AND grp <> '' ORDER BY id LIMIT 1;
END;

CREATE TRIGGER sqs_group_shrinks AFTER DELETE ON sqs_messages WHEN old.grp <> '' BEGIN
    DELETE FROM sqs_groups WHERE queue = old.queue AND grp = old.grp;
    INSERT OR REPLACE INTO sqs_groups (queue, grp, ready_ms, head)
    SELECT queue, grp, max(visible_ms, coalesce((
        SELECT max(visible_ms) FROM sqs_messages
        WHERE queue = old.queue AND grp = old.grp AND grp <> '' AND receipt <> ''
    ), 0)), id
    FROM sqs_messages WHERE queue = old.queue AND grp = old.grp AND grp <> '' ORDER BY id LIMIT 1;
END;
