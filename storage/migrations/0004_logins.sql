-- The times at which login codes were sent, by scope: 'phone:…', 'prefix:…', 'address:…', 'all'. A scope numbers its
-- sends without gaps, so one index lookup tells whether a window of any length is full.
CREATE TABLE sends (
    scope   TEXT NOT NULL,
    number  INTEGER NOT NULL CHECK (number > 0),
    sent_at INTEGER NOT NULL,
    PRIMARY KEY (scope, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX sends_by_time ON sends (sent_at);
INSERT INTO sends (scope, number, sent_at)
    SELECT scope, ROW_NUMBER() OVER (PARTITION BY scope ORDER BY sent_at), sent_at FROM (
        WITH recent AS (SELECT * FROM codes WHERE sent_at > (SELECT MAX(sent_at) - 86400000 FROM codes))
        SELECT 'phone:' || phone AS scope, sent_at FROM recent
        UNION ALL SELECT 'prefix:' || substr(phone, 1, 7), sent_at FROM recent
        UNION ALL SELECT 'address:' || address, sent_at FROM recent
        UNION ALL SELECT 'all', sent_at FROM recent
    );

-- The login code of each phone. Only a keyed hash of a code is stored, never the code itself.
DROP INDEX codes_by_phone;
DROP INDEX codes_alive;
DROP INDEX codes_by_address;
ALTER TABLE codes RENAME TO former_codes;
CREATE TABLE codes (
    phone      TEXT PRIMARY KEY,
    digest     BLOB NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX codes_by_end ON codes (expires_at);
INSERT INTO codes (phone, digest, tries, expires_at)
    SELECT phone, digest, tries, expires_at FROM former_codes WHERE spent = 0;
DROP TABLE former_codes;

-- Wrong codes for a phone since the last right one.
CREATE TABLE login_failures (
    phone    TEXT PRIMARY KEY,
    failures INTEGER NOT NULL CHECK (failures > 0),
    last_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX login_failures_by_time ON login_failures (last_at);

-- A refresh token can be used once. Used tokens are kept, because using one twice ends the session.
ALTER TABLE sessions RENAME TO former_sessions;
CREATE TABLE sessions (
    id           TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL REFERENCES users (id),
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    ended_at     INTEGER,
    refreshes    INTEGER NOT NULL DEFAULT 0,  -- since counted_from
    counted_from INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE refresh_tokens (
    digest     BLOB PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id),
    spent_at   INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
INSERT INTO sessions (id, user_id, created_at, expires_at)
    SELECT id, user_id, created_at, expires_at FROM former_sessions;
INSERT INTO refresh_tokens (digest, session_id) SELECT refresh_digest, id FROM former_sessions;
DROP TABLE former_sessions;
CREATE INDEX sessions_alive ON sessions (user_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_ended ON sessions (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- The keys of access tokens are derived from these salts and from a secret that is not in the database.
CREATE TABLE signing_keys (
    id         TEXT PRIMARY KEY,
    salt       BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE users ADD COLUMN role TEXT NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin'));
ALTER TABLE users ADD COLUMN banned_at INTEGER;
CREATE INDEX users_admins ON users (phone) WHERE role = 'admin';

-- The gift for a new user. It is created together with the user, and one ledger entry grants it later.
CREATE TABLE signup_gifts (
    user_id    TEXT PRIMARY KEY REFERENCES users (id),
    amount     INTEGER NOT NULL CHECK (amount > 0),
    created_at INTEGER NOT NULL,
    granted_at INTEGER
) STRICT;
CREATE INDEX signup_gifts_due ON signup_gifts (user_id) WHERE granted_at IS NULL;

-- The same ledger as before, with the new kind 'gift'.
DROP TRIGGER ledger_is_append_only_1;
DROP TRIGGER ledger_is_append_only_2;
ALTER TABLE ledger RENAME TO former_ledger;
CREATE TABLE ledger (
    id         INTEGER PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    kind       TEXT NOT NULL CHECK (kind IN ('charge', 'refund', 'grant', 'expire', 'adjust', 'gift')),
    amount     INTEGER NOT NULL CHECK (amount <> 0),
    balance    INTEGER NOT NULL CHECK (balance >= 0),
    reference  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    previous   INTEGER CHECK (previous < id),
    UNIQUE (kind, reference)
) STRICT;
INSERT INTO ledger (id, user_id, kind, amount, balance, reference, created_at, previous)
    SELECT id, user_id, kind, amount, balance, reference, created_at, previous FROM former_ledger ORDER BY id;
DROP TABLE former_ledger;

CREATE TRIGGER ledger_is_append_only_1 BEFORE UPDATE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER ledger_is_append_only_2 BEFORE DELETE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
