-- name: sns_topics_all
SELECT arn, account, region, name, attributes, tags FROM sns_topics;

-- name: sns_topic_put
INSERT INTO sns_topics (arn, account, region, name, attributes, tags)
VALUES (:arn, :account, :region, :name, :attributes, :tags)
ON CONFLICT (arn) DO UPDATE SET attributes = excluded.attributes, tags = excluded.tags;

-- name: sns_topic_delete
DELETE FROM sns_topics WHERE arn = :arn;

-- name: sns_subscriptions_all
SELECT arn, topic, account, protocol, endpoint, token, attributes FROM sns_subscriptions;

-- name: sns_subscription_put
INSERT INTO sns_subscriptions (arn, topic, account, protocol, endpoint, token, attributes)
VALUES (:arn, :topic, :account, :protocol, :endpoint, :token, :attributes)
ON CONFLICT (arn) DO UPDATE SET token = excluded.token, attributes = excluded.attributes;

-- name: sns_subscription_delete
DELETE FROM sns_subscriptions WHERE arn = :arn;

-- name: sns_subscriptions_delete
DELETE FROM sns_subscriptions WHERE topic = :topic;

-- name: sns_seen_get
SELECT message_id, sequence FROM sns_seen WHERE topic = :topic AND id = :id AND until_ms > :now_ms;

-- name: sns_seen_put
INSERT INTO sns_seen (topic, id, until_ms, message_id, sequence)
VALUES (:topic, :id, :until_ms, :message_id, :sequence)
ON CONFLICT (topic, id) DO UPDATE
SET until_ms = excluded.until_ms, message_id = excluded.message_id, sequence = excluded.sequence;

-- name: sns_seen_clear
DELETE FROM sns_seen WHERE until_ms <= :now_ms;
