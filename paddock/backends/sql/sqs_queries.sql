-- The questions of SQS.

-- name: sqs_queues_all
-- Read once at start.
SELECT arn, document FROM sqs_queues;

-- name: sqs_queue
-- One, as it is stored now.
SELECT document FROM sqs_queues WHERE arn = :arn;

-- name: sqs_queue_put
-- Create or replace one.
INSERT INTO sqs_queues (arn, document) VALUES (:arn, :document)
ON CONFLICT (arn) DO UPDATE SET document = excluded.document;

-- name: sqs_queue_delete
-- Forget one.
DELETE FROM sqs_queues WHERE arn = :arn;

-- name: sqs_purge
-- Forget a queue's messages.
DELETE FROM sqs_messages WHERE queue = :queue;

-- name: sqs_taken_purge
-- Forget what it has taken.
DELETE FROM sqs_taken WHERE queue = :queue;

-- name: sqs_send
-- One more message.
INSERT INTO sqs_messages (queue, visible_ms, sent_ms, grp, document)
VALUES (:queue, :visible_ms, :sent_ms, :grp, :document)
RETURNING id;

-- name: sqs_insert
-- The same, of which nobody asks for the number.
INSERT INTO sqs_messages (queue, visible_ms, sent_ms, grp, document)
VALUES (:queue, :visible_ms, :sent_ms, :grp, :document);

-- name: sqs_expire
-- Forget what is older than the queue keeps.
DELETE FROM sqs_messages WHERE queue = :queue AND sent_ms < :oldest_ms;

-- name: sqs_visible
-- What a receive of a standard queue may have.
SELECT id, sent_ms, first_ms, receives, document FROM sqs_messages
WHERE queue = :queue AND visible_ms <= :now_ms ORDER BY visible_ms, id LIMIT :count;

-- name: sqs_groups_ready
-- Message groups that a receive of a FIFO queue may have something of, the one that waits longest first.
SELECT grp FROM sqs_groups WHERE queue = :queue AND ready_ms <= :now_ms ORDER BY ready_ms, head LIMIT :count;

-- name: sqs_in_group
-- A group's messages in the order sent.
SELECT id, sent_ms, first_ms, receives, document, visible_ms FROM sqs_messages
WHERE queue = :queue AND grp = :grp AND grp <> '' ORDER BY id LIMIT :count;

-- name: sqs_hold
-- Somebody's until visible_ms.
UPDATE sqs_messages
SET visible_ms = :visible_ms, receives = receives + 1, receipt = :receipt, first_ms = coalesce(first_ms, :now_ms)
WHERE id = :id;

-- name: sqs_delete
-- Done. The receipt is the latest.
DELETE FROM sqs_messages WHERE id = :id AND queue = :queue AND receipt = :receipt;

-- name: sqs_held
-- Whether a receipt still holds its message.
SELECT visible_ms FROM sqs_messages WHERE id = :id AND queue = :queue AND receipt = :receipt;

-- name: sqs_change_visibility
-- Held for longer, or not any more.
UPDATE sqs_messages SET visible_ms = :visible_ms WHERE id = :id AND queue = :queue AND receipt = :receipt;

-- name: sqs_move
-- To another queue: a dead letter, or one that is brought back.
UPDATE sqs_messages
SET queue = :to_queue, visible_ms = :now_ms, receives = 0, receipt = '', first_ms = NULL, document = :document
WHERE id = :id;

-- name: sqs_oldest_visible
-- What a move task takes next: nothing that somebody holds.
SELECT id, grp, document FROM sqs_messages
WHERE queue = :queue AND visible_ms <= :now_ms ORDER BY visible_ms, id LIMIT :count;

-- name: sqs_remove
-- It goes on elsewhere, under a new number.
DELETE FROM sqs_messages WHERE id = :id;

-- name: sqs_counts
-- Approximate numbers of a queue.
SELECT
    count(*) AS messages,
    coalesce(sum(visible_ms <= :now_ms), 0) AS visible,
    coalesce(sum(visible_ms > :now_ms AND receipt <> ''), 0) AS held
FROM sqs_messages WHERE queue = :queue;

-- name: sqs_next_visible
-- When the next message can be received, if there is one.
SELECT min(visible_ms) AS visible_ms FROM sqs_messages WHERE queue = :queue;

-- name: sqs_next_ready
-- When the next group of a FIFO queue can be received of, if there is one.
SELECT min(ready_ms) AS visible_ms FROM sqs_groups WHERE queue = :queue;

-- name: sqs_taken
-- Whether a FIFO queue has taken this lately.
SELECT message_id, sequence FROM sqs_taken
WHERE queue = :queue AND deduplication = :deduplication AND until_ms > :now_ms;

-- name: sqs_take
-- It has now.
INSERT INTO sqs_taken (queue, deduplication, until_ms, message_id, sequence)
VALUES (:queue, :deduplication, :until_ms, :message_id, :sequence)
ON CONFLICT (queue, deduplication) DO UPDATE
SET until_ms = excluded.until_ms, message_id = excluded.message_id, sequence = excluded.sequence;

-- name: sqs_taken_expire
-- Forget what was taken long ago.
DELETE FROM sqs_taken WHERE queue = :queue AND until_ms <= :now_ms;
