-- Archives of event buses and replays of what they keep; document has the members of model.archive.Archive and Replay.
CREATE TABLE event_archives (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;

CREATE TABLE event_replays (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;

-- time_us: when the event says that it happened. put_us: since when it is kept. Epoch microseconds.
CREATE TABLE archived_events (
    id INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    archive TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    put_us INTEGER NOT NULL,
    event TEXT NOT NULL
);

CREATE INDEX archived_events_by_time ON archived_events (account, region, archive, time_us, id);
CREATE INDEX archived_events_by_age ON archived_events (account, region, archive, put_us);
