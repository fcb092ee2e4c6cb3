-- Ledger entries are numbered in the order in which they were appended, whatever the clock did meanwhile, and each names
-- the entry of its person before it: the account names the last one. An index on people would be a page of its own
-- for each charge to write. No foreign keys: to look up the former entry with each new one is to read the whole ledger
-- again and again; `darkroom verify` compares them.
DROP TRIGGER ledger_is_append_only_1;
DROP TRIGGER ledger_is_append_only_2;
ALTER TABLE ledger RENAME TO former_ledger;

CREATE TABLE ledger (
    id         INTEGER PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    kind       TEXT NOT NULL CHECK (kind IN ('charge', 'refund', 'grant', 'expire', 'adjust')),
    amount     INTEGER NOT NULL CHECK (amount <> 0),
    balance    INTEGER NOT NULL CHECK (balance >= 0),
    reference  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    previous   INTEGER CHECK (previous < id),
    UNIQUE (kind, reference)
) STRICT;
INSERT INTO ledger (id, user_id, kind, amount, balance, reference, created_at, previous)
    SELECT id, user_id, kind, amount, balance, reference, created_at, LAG(id) OVER (PARTITION BY user_id ORDER BY id)
    FROM (
        -- As storage/quota/ledger.py numbers: by the moment, or by one more than the last.
        SELECT rowid + MAX(created_at * 1000 - rowid) OVER (ORDER BY rowid) AS id,
            user_id, kind, amount, balance, reference, created_at
        FROM former_ledger
    )
    ORDER BY id;
ALTER TABLE accounts ADD COLUMN last_entry INTEGER;
UPDATE accounts SET last_entry = last.id
    FROM (SELECT user_id, MAX(id) AS id FROM ledger GROUP BY user_id) AS last WHERE last.user_id = accounts.user_id;
DROP TABLE former_ledger;

CREATE TRIGGER ledger_is_append_only_1 BEFORE UPDATE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER ledger_is_append_only_2 BEFORE DELETE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;
