-- The questions of interfaces.Queue. `sender` is the Protocol's group, a word that SQL keeps for itself.

-- name: queue_put
-- One more message.
INSERT INTO queue_messages (topic, sender, due_ms, put_ms, body)
VALUES (:topic, :sender, :due_ms, :put_ms, :body);

-- name: queue_add
-- The same with a number of its own, and taken at once if attempts is 1.
INSERT INTO queue_messages (id, topic, sender, due_ms, put_ms, attempts, lease, body)
VALUES (:id, :topic, :sender, :due_ms, :put_ms, :attempts, :lease, :body);

-- name: queue_last_id
-- The highest number that a message has ever had.
SELECT seq FROM sqlite_sequence WHERE name = 'queue_messages';

-- name: queue_senders_due
-- The groups after :after that have something due, in order of their names. Each step jumps to the next group in the
-- index, so the length of a group's backlog does not matter.
WITH RECURSIVE senders (sender) AS (
    SELECT min(sender) FROM queue_messages WHERE topic = :topic AND sender > :after
    UNION ALL
    SELECT (SELECT min(sender) FROM queue_messages WHERE topic = :topic AND sender > senders.sender)
    FROM senders WHERE senders.sender IS NOT NULL
)
SELECT sender FROM senders
WHERE sender IS NOT NULL AND EXISTS (
    SELECT 1 FROM queue_messages
    WHERE topic = :topic AND queue_messages.sender = senders.sender AND due_ms <= :now_ms
)
LIMIT :count;

-- name: queue_due
-- What of one group is due, oldest first.
SELECT id, topic, sender, put_ms, attempts, body FROM queue_messages
WHERE topic = :topic AND sender = :sender AND due_ms <= :now_ms
ORDER BY due_ms, id LIMIT :count;

-- name: queue_lease
-- Somebody's for a while.
UPDATE queue_messages SET due_ms = :due_ms, attempts = attempts + 1, lease = :lease WHERE id = :id;

-- name: queue_ack
-- Done, if it is still the holder's.
DELETE FROM queue_messages WHERE id = :id AND lease = :lease;

-- name: queue_retry
-- Due again later, if it is still the holder's.
UPDATE queue_messages SET due_ms = :due_ms, lease = '' WHERE id = :id AND lease = :lease;

-- name: queue_retry_changed
-- The same with another body.
UPDATE queue_messages SET due_ms = :due_ms, lease = '', body = :body WHERE id = :id AND lease = :lease;

-- name: queue_next_due
-- When the next message of each group is due.
WITH RECURSIVE senders (sender) AS (
    SELECT min(sender) FROM queue_messages WHERE topic = :topic
    UNION ALL
    SELECT (SELECT min(sender) FROM queue_messages WHERE topic = :topic AND sender > senders.sender)
    FROM senders WHERE senders.sender IS NOT NULL
)
SELECT sender, (
    SELECT min(due_ms) FROM queue_messages WHERE topic = :topic AND queue_messages.sender = senders.sender
) AS due_ms FROM senders WHERE sender IS NOT NULL;

-- name: queue_release
-- What a process held that is no more: due at once.
UPDATE queue_messages SET due_ms = :now_ms, lease = '' WHERE lease <> '';

-- name: queue_depth
-- How many messages a topic holds, and when the oldest was put. Both without reading bodies.
SELECT
    (SELECT count(*) FROM queue_messages WHERE topic = :topic) AS messages,
    (SELECT put_ms FROM queue_messages NOT INDEXED WHERE topic = :topic ORDER BY id LIMIT 1) AS put_ms;

-- name: queue_groups
-- What each group of a topic holds.
SELECT sender, count(*) AS messages, sum(length(body)) AS bytes
FROM queue_messages WHERE topic = :topic GROUP BY sender;
