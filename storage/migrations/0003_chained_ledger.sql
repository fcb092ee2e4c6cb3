-- The ids of ledger entries grow in the order in which they were appended, even when the clock was set back. Each entry
-- names the user's previous entry, and the account names the last one. An index on user_id would instead write another
-- page for each charge. There are no foreign keys on these columns, because each new entry would look up a page of the
-- old ledger. `darkroom verify` checks the columns.
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
