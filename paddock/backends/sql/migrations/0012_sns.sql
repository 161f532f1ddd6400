-- SNS: topics, their subscriptions, and what a FIFO topic has seen lately. attributes, tags: JSON documents.
CREATE TABLE sns_topics (
    arn TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    attributes TEXT NOT NULL,
    tags TEXT NOT NULL
) WITHOUT ROWID;

-- token: what confirms it, '' once it is confirmed.
CREATE TABLE sns_subscriptions (
    arn TEXT PRIMARY KEY,
    topic TEXT NOT NULL,
    account TEXT NOT NULL,
    protocol TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    token TEXT NOT NULL,
    attributes TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE sns_seen (
    topic TEXT NOT NULL,
    id TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    sequence TEXT NOT NULL,
    PRIMARY KEY (topic, id)
) WITHOUT ROWID;
