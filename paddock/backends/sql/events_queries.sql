-- Event source mappings.

-- name: event_source_mappings_all
-- Read once at start.
SELECT document FROM event_source_mappings ORDER BY uuid;

-- name: event_source_mapping_put
INSERT INTO event_source_mappings (uuid, document) VALUES (:uuid, :document)
ON CONFLICT (uuid) DO UPDATE SET document = excluded.document;

-- name: event_source_mapping_delete
DELETE FROM event_source_mappings WHERE uuid = :uuid;

-- name: event_buses_all
-- Read once at start.
SELECT document FROM event_buses ORDER BY account, region, name;

-- name: event_bus_put
INSERT INTO event_buses (account, region, name, document) VALUES (:account, :region, :name, :document)
ON CONFLICT (account, region, name) DO UPDATE SET document = excluded.document;

-- name: event_bus_delete
DELETE FROM event_buses WHERE account = :account AND region = :region AND name = :name;

-- name: event_rules_all
-- Read once at start.
SELECT document FROM event_rules ORDER BY account, region, bus, name;

-- name: event_rule_put
INSERT INTO event_rules (account, region, bus, name, document) VALUES (:account, :region, :bus, :name, :document)
ON CONFLICT (account, region, bus, name) DO UPDATE SET document = excluded.document;

-- name: event_rule_delete
DELETE FROM event_rules WHERE account = :account AND region = :region AND bus = :bus AND name = :name;

-- name: schedule_groups_page
-- In order of their names, after one.
SELECT name, document FROM schedule_groups
WHERE account = :account AND region = :region AND name > :after AND substr(name, 1, length(:prefix)) = :prefix
ORDER BY name LIMIT :limit;

-- name: schedule_group_get
SELECT document FROM schedule_groups WHERE account = :account AND region = :region AND name = :name;

-- name: schedule_group_put
INSERT INTO schedule_groups (account, region, name, document) VALUES (:account, :region, :name, :document)
ON CONFLICT (account, region, name) DO UPDATE SET document = excluded.document;

-- name: schedule_group_delete
DELETE FROM schedule_groups WHERE account = :account AND region = :region AND name = :name;

-- name: schedules_page
-- In order of group and name, after a pair. group_name '' for any group, enabled -1 for any state.
SELECT group_name, name, document FROM schedules
WHERE account = :account AND region = :region AND (:group_name = '' OR group_name = :group_name)
  AND (group_name, name) > (:after_group, :after_name) AND substr(name, 1, length(:prefix)) = :prefix
  AND (:enabled = -1 OR enabled = :enabled)
ORDER BY group_name, name LIMIT :limit;

-- name: schedules_of_group
SELECT name FROM schedules WHERE account = :account AND region = :region AND group_name = :group_name;

-- name: schedule_get
SELECT document FROM schedules
WHERE account = :account AND region = :region AND group_name = :group_name AND name = :name;

-- name: schedule_put
INSERT INTO schedules (account, region, group_name, name, enabled, document)
VALUES (:account, :region, :group_name, :name, :enabled, :document)
ON CONFLICT (account, region, group_name, name) DO UPDATE
SET enabled = excluded.enabled, document = excluded.document;

-- name: schedule_delete
DELETE FROM schedules
WHERE account = :account AND region = :region AND group_name = :group_name AND name = :name;

-- name: tick_put
INSERT INTO ticks (owner, tick_us, due_us) VALUES (:owner, :tick_us, :due_us)
ON CONFLICT (owner) DO UPDATE SET tick_us = excluded.tick_us, due_us = excluded.due_us;

-- name: tick_delete
DELETE FROM ticks WHERE owner = :owner;

-- name: ticks_due
-- Earliest first.
SELECT owner, tick_us FROM ticks WHERE due_us <= :now_us ORDER BY due_us LIMIT :limit;

-- name: ticks_next
SELECT min(due_us) AS due_us FROM ticks;

-- name: ticks_count
SELECT count(*) AS count FROM ticks WHERE due_us <= :now_us;

-- name: event_archives_all
-- Read once at start.
SELECT document FROM event_archives ORDER BY account, region, name;

-- name: event_archive_put
INSERT INTO event_archives (account, region, name, document) VALUES (:account, :region, :name, :document)
ON CONFLICT (account, region, name) DO UPDATE SET document = excluded.document;

-- name: event_archive_delete
DELETE FROM event_archives WHERE account = :account AND region = :region AND name = :name;

-- name: archived_event_add
INSERT INTO archived_events (account, region, archive, time_us, put_us, event)
VALUES (:account, :region, :archive, :time_us, :put_us, :event);

-- name: archived_events_page
-- Between two moments, after one event, by the order of their time.
SELECT id, time_us, event FROM archived_events
WHERE account = :account AND region = :region AND archive = :archive AND time_us >= :start_us AND time_us <= :end_us
  AND (time_us, id) > (:at_us, :at_id)
ORDER BY time_us, id LIMIT :count;

-- name: archived_events_size
SELECT count(*) AS events, sum(length(event)) AS bytes FROM archived_events
WHERE account = :account AND region = :region AND archive = :archive;

-- name: archived_events_delete
DELETE FROM archived_events WHERE account = :account AND region = :region AND archive = :archive;

-- name: archived_events_expire
-- So many of those that are kept since before a moment.
DELETE FROM archived_events WHERE id IN (
    SELECT id FROM archived_events
    WHERE account = :account AND region = :region AND archive = :archive AND put_us < :before_us LIMIT :count
);

-- name: event_replays_all
SELECT document FROM event_replays ORDER BY account, region, name;

-- name: event_replay_get
SELECT document FROM event_replays WHERE account = :account AND region = :region AND name = :name;

-- name: event_replay_put
INSERT INTO event_replays (account, region, name, document) VALUES (:account, :region, :name, :document)
ON CONFLICT (account, region, name) DO UPDATE SET document = excluded.document;

-- name: event_replay_delete
DELETE FROM event_replays WHERE account = :account AND region = :region AND name = :name;
