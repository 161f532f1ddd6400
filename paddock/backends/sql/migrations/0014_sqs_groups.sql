-- Receives of FIFO queues find a message group by index instead of scanning what is held.
DROP INDEX sqs_messages_groups;
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

INSERT INTO sqs_groups (queue, grp, ready_ms, head)
SELECT queue, grp, max(visible_ms, coalesce((
    SELECT max(visible_ms) FROM sqs_messages AS held
    WHERE held.queue = first.queue AND held.grp = first.grp AND held.grp <> '' AND held.receipt <> ''
), 0)), id
FROM sqs_messages AS first
WHERE grp <> '' AND id = (
    SELECT min(id) FROM sqs_messages AS one
    WHERE one.queue = first.queue AND one.grp = first.grp AND one.grp <> ''
);
