-- Event buses, rules, schedules, and when each is due.

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
