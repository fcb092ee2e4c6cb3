-- Ledger entries are numbered in the order in which they were appended, whatever the clock did meanwhile.
DROP TRIGGER ledger_is_append_only_1;
DROP TRIGGER ledger_is_append_only_2;
ALTER TABLE ledger RENAME TO former_ledger;
DROP INDEX ledger_by_user;

CREATE TABLE ledger (
    id         INTEGER PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    kind       TEXT NOT NULL CHECK (kind IN ('charge', 'refund', 'grant', 'expire', 'adjust')),
    amount     INTEGER NOT NULL CHECK (amount <> 0),
    balance    INTEGER NOT NULL CHECK (balance >= 0),
    reference  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (kind, reference)
) STRICT;
INSERT INTO ledger (user_id, kind, amount, balance, reference, created_at)
    SELECT user_id, kind, amount, balance, reference, created_at FROM former_ledger ORDER BY rowid;
DROP TABLE former_ledger;
CREATE INDEX ledger_by_user ON ledger (user_id, id);

CREATE TRIGGER ledger_is_append_only_1 BEFORE UPDATE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER ledger_is_append_only_2 BEFORE DELETE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
