-- A task that is not finished is waiting (`waiting` = 1), postponed until `resume_at`, or leased to a holder.
-- `turn` is its place in the queue of its type. `waiting_from` is when it began to wait: at its creation, and again
-- after each interruption, but not when it was only postponed. `progress` is in per cent and never decreases.
-- `transitions` is the number of its rows in task_transitions. A deleted task stays as a row, because the ledger refers to it.
-- `retry_of` is the failed task that the operator retried with this one.
ALTER TABLE tasks ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN waiting_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN resume_at INTEGER CHECK (resume_at IS NULL OR (waiting = 0 AND holder IS NULL));
ALTER TABLE tasks ADD COLUMN progress INTEGER NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100);
ALTER TABLE tasks ADD COLUMN transitions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN pictures_until INTEGER;
ALTER TABLE tasks ADD COLUMN deleted_at INTEGER CHECK (deleted_at IS NULL OR completed_at IS NOT NULL);
ALTER TABLE tasks ADD COLUMN retry_of TEXT REFERENCES tasks (id);
UPDATE tasks SET waiting_from = created_at WHERE status IN ('pending', 'processing');
UPDATE tasks SET progress = 50 WHERE status = 'processing';  -- what the former version reported

DROP INDEX tasks_by_user;
CREATE INDEX tasks_by_user ON tasks (user_id, id, status, type) WHERE deleted_at IS NULL;
DROP INDEX tasks_waiting;
CREATE INDEX tasks_waiting ON tasks (type, turn, id) WHERE waiting = 1;
CREATE INDEX tasks_unclaimed ON tasks (type, waiting_from) WHERE completed_at IS NULL AND holder IS NULL;
CREATE INDEX tasks_postponed ON tasks (resume_at) WHERE resume_at IS NOT NULL;
CREATE INDEX tasks_failed ON tasks (id) WHERE status = 'failed';
CREATE INDEX tasks_retries ON tasks (retry_of) WHERE retry_of IS NOT NULL;

-- The history of each task: every transition after its creation. `attempt` is that of the lease that began or ended.
CREATE TABLE task_transitions (
    task_id TEXT NOT NULL REFERENCES tasks (id),
    number  INTEGER NOT NULL CHECK (number > 0),
    kind    TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    reason  TEXT,
    at      INTEGER NOT NULL,
    PRIMARY KEY (task_id, number)
) STRICT, WITHOUT ROWID;

-- The pictures in the object store. A row is written before its object and deleted after it. `bytes` is the size.
-- `uses` counts the finished tasks that have not been deleted. A picture is kept until `keep_until`, and longer while
-- an unfinished task needs it.
CREATE TABLE pictures (
    key        TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    bytes      INTEGER NOT NULL CHECK (bytes >= 0),
    uses       INTEGER NOT NULL DEFAULT 0 CHECK (uses >= 0),
    keep_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pictures_by_end ON pictures (keep_until);

-- The bytes of each user's pictures.
CREATE TABLE disk_use (
    user_id TEXT PRIMARY KEY REFERENCES users (id),
    bytes   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER pictures_are_counted_1 AFTER INSERT ON pictures
BEGIN
    INSERT INTO disk_use (user_id, bytes) VALUES (NEW.user_id, NEW.bytes)
        ON CONFLICT (user_id) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER pictures_are_counted_2 AFTER UPDATE OF bytes ON pictures WHEN OLD.bytes <> NEW.bytes
BEGIN
    UPDATE disk_use SET bytes = bytes + NEW.bytes - OLD.bytes WHERE user_id = NEW.user_id;
END;
CREATE TRIGGER pictures_are_counted_3 AFTER DELETE ON pictures
BEGIN
    UPDATE disk_use SET bytes = bytes - OLD.bytes WHERE user_id = OLD.user_id;
END;

-- A row means that the pictures of a former version, which wrote no rows, still have to be recorded.
CREATE TABLE unrecorded_pictures (
    id INTEGER PRIMARY KEY CHECK (id = 1)
) STRICT;
INSERT INTO unrecorded_pictures (id) SELECT 1 WHERE EXISTS (SELECT 1 FROM users);
