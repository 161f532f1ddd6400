-- Where events come from. document has the members of model.event_source.EventSourceMapping.
CREATE TABLE event_source_mappings (
    uuid TEXT NOT NULL PRIMARY KEY,
    document TEXT NOT NULL
) WITHOUT ROWID;

-- Event buses and rules; document has the members of model.event_bus.EventBus and Rule. Held in memory whole.
CREATE TABLE event_buses (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;

CREATE TABLE event_rules (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    bus TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, bus, name)
) WITHOUT ROWID;

-- EventBridge Scheduler; document has the members of model.scheduler.ScheduleGroup and Schedule. Never held in memory.
CREATE TABLE schedule_groups (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, name)
) WITHOUT ROWID;

CREATE TABLE schedules (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    group_name TEXT NOT NULL,
    name TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, group_name, name)
) WITHOUT ROWID;

-- When a rule or a schedule is due next. Times are epoch microseconds.
CREATE TABLE ticks (
    owner TEXT NOT NULL PRIMARY KEY,
    tick_us INTEGER NOT NULL,
    due_us INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX ticks_by_due ON ticks (due_us);

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
