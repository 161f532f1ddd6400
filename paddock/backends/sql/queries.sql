-- Every question Paddock asks its database. A query starts at its name line and ends at the next one; the comment
-- lines below the name say what it is for. Arguments are written :name and given as keywords.

-- name: functions_all
-- The whole catalogue, read once at start.
SELECT account, region, name, latest, serving, tags FROM functions ORDER BY account, region, name;

-- name: function_put
-- Create or replace one function.
INSERT INTO functions (account, region, name, latest, serving, tags)
VALUES (:account, :region, :name, :latest, :serving, :tags)
ON CONFLICT (account, region, name) DO UPDATE
SET latest = excluded.latest, serving = excluded.serving, tags = excluded.tags;

-- name: function_delete
-- Forget one function.
DELETE FROM functions WHERE account = :account AND region = :region AND name = :name;
