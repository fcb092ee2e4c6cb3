-- Times are in epoch milliseconds (UTC), money is in fen, and ids are UUIDv7 in hexadecimal.

CREATE TABLE users (
    id         TEXT PRIMARY KEY,
    phone      TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

-- Login codes. Only a keyed hash of a code is stored, never the code itself.
CREATE TABLE codes (
    id         TEXT PRIMARY KEY,
    phone      TEXT NOT NULL,
    address    TEXT NOT NULL,
    digest     BLOB NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
    spent      INTEGER NOT NULL DEFAULT 0 CHECK (spent IN (0, 1)),
    sent_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX codes_by_phone ON codes (phone, sent_at);
CREATE UNIQUE INDEX codes_alive ON codes (phone) WHERE spent = 0;
CREATE INDEX codes_by_address ON codes (address, sent_at);

CREATE TABLE sessions (
    id             TEXT PRIMARY KEY,
    user_id        TEXT NOT NULL REFERENCES users (id),
    refresh_digest BLOB NOT NULL UNIQUE,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL
) STRICT;

-- The balance is the sum of the user's ledger entries; expires_at is the end of the membership, or 0 without one.
CREATE TABLE accounts (
    user_id    TEXT PRIMARY KEY REFERENCES users (id),
    balance    INTEGER NOT NULL CHECK (balance >= 0),
    expires_at INTEGER NOT NULL CHECK (expires_at >= 0)
) STRICT;
CREATE INDEX accounts_to_expire ON accounts (expires_at) WHERE expires_at > 0;

CREATE TABLE ledger (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    kind       TEXT NOT NULL CHECK (kind IN ('charge', 'refund', 'grant', 'expire', 'adjust')),
    amount     INTEGER NOT NULL CHECK (amount <> 0),
    balance    INTEGER NOT NULL CHECK (balance >= 0),
    reference  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (kind, reference)
) STRICT;
CREATE INDEX ledger_by_user ON ledger (user_id, id);

-- Each change of a balance by an operator, with its reason.
CREATE TABLE adjustments (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    reason     TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TRIGGER ledger_is_append_only_1 BEFORE UPDATE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER ledger_is_append_only_2 BEFORE DELETE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

-- The terms of the plan are copied into the order, so that a change of the configuration does not change past orders.
CREATE TABLE orders (
    id             TEXT PRIMARY KEY,
    user_id        TEXT NOT NULL REFERENCES users (id),
    channel        TEXT NOT NULL,
    plan           TEXT NOT NULL,
    amount         INTEGER NOT NULL CHECK (amount > 0),
    quota          INTEGER NOT NULL CHECK (quota > 0),
    days           INTEGER NOT NULL CHECK (days > 0),
    rollover       INTEGER NOT NULL CHECK (rollover IN (0, 1)),
    auto_renew     INTEGER NOT NULL CHECK (auto_renew IN (0, 1)),
    status         TEXT NOT NULL CHECK (status IN ('pending', 'paid', 'closed', 'failed', 'refunded')),
    transaction_id TEXT,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    finished_at    INTEGER,
    CHECK (status <> 'paid' OR transaction_id IS NOT NULL)
) STRICT;
CREATE INDEX orders_by_user ON orders (user_id, id);
CREATE INDEX orders_pending ON orders (id) WHERE status = 'pending';
CREATE UNIQUE INDEX orders_by_transaction ON orders (channel, transaction_id) WHERE transaction_id IS NOT NULL;

-- The table is the queue: `waiting` is 1 while a task can be claimed. The holder of its lease is this process ('here')
-- or an outside worker ('outside'). `attempt` is the fencing token and grows with each lease. `interruptions` counts
-- how often this process stopped or died during the task.
CREATE TABLE tasks (
    id            TEXT PRIMARY KEY,
    user_id       TEXT NOT NULL REFERENCES users (id),
    type          TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('pending', 'processing', 'success', 'failed')),
    input_key     TEXT NOT NULL,
    params        TEXT NOT NULL,
    results       TEXT NOT NULL DEFAULT '[]',
    error         TEXT,
    waiting       INTEGER NOT NULL DEFAULT 1 CHECK (waiting IN (0, 1)),
    holder        TEXT CHECK (holder IN ('here', 'outside')),
    lease_until   INTEGER,
    attempt       INTEGER NOT NULL DEFAULT 0,
    interruptions INTEGER NOT NULL DEFAULT 0,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    completed_at  INTEGER,
    CHECK ((holder IS NULL) = (lease_until IS NULL)),
    CHECK (waiting = 0 OR (status IN ('pending', 'processing') AND holder IS NULL))
) STRICT;
CREATE INDEX tasks_by_user ON tasks (user_id, id);
CREATE INDEX tasks_waiting ON tasks (id) WHERE waiting = 1;
CREATE INDEX tasks_leased ON tasks (lease_until) WHERE lease_until IS NOT NULL;

-- The answers to task creations with an Idempotency-Key: a task with the balance after it, or a refusal.
CREATE TABLE idempotency (
    user_id    TEXT NOT NULL REFERENCES users (id),
    key        TEXT NOT NULL,
    digest     BLOB NOT NULL,
    task_id    TEXT REFERENCES tasks (id),
    refusal    TEXT,
    balance    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, key),
    CHECK ((task_id IS NULL) <> (refusal IS NULL))
) STRICT;

-- The readiness check writes this row to find out whether the database can be written.
CREATE TABLE heartbeat (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    beat_at INTEGER NOT NULL
) STRICT;
