-- name: put
INSERT INTO notes (id, body) VALUES (:id, :body);
-- name: reply
INSERT INTO replies (note) VALUES (:note);
-- name: replace_all
UPDATE notes SET body = :body;
-- name: all
SELECT id, body FROM notes ORDER BY id;
-- name: one
SELECT id, body FROM notes WHERE id = :id;
-- name: page_limit
PRAGMA max_page_count = 12;
-- name: no_page_limit
PRAGMA max_page_count = 1000000;
