-- The index holds status and type, so that filtering and counting a user's tasks does not read each task.
DROP INDEX tasks_by_user;
CREATE INDEX tasks_by_user ON tasks (user_id, id, status, type);

-- The totals of the operator's overview: 'users', 'tasks.STATUS', 'orders.STATUS', and 'revenue' in fen.
CREATE TABLE totals (
    name   TEXT PRIMARY KEY,
    amount INTEGER NOT NULL  -- no CHECK: a figure of an overview must never stop a refund; `darkroom verify` compares them
) STRICT, WITHOUT ROWID;
INSERT INTO totals (name, amount)
    SELECT 'users', COUNT(*) FROM users
    UNION ALL SELECT 'tasks.' || status, COUNT(*) FROM tasks GROUP BY status
    UNION ALL SELECT 'orders.' || status, COUNT(*) FROM orders GROUP BY status
    UNION ALL SELECT 'revenue', COALESCE(SUM(amount), 0) FROM orders WHERE status = 'paid';

CREATE TRIGGER users_are_counted AFTER INSERT ON users
BEGIN
    UPDATE totals SET amount = amount + 1 WHERE name = 'users';
END;

CREATE TRIGGER tasks_are_counted_1 AFTER INSERT ON tasks
BEGIN
    INSERT INTO totals (name, amount) VALUES ('tasks.' || NEW.status, 1)
        ON CONFLICT (name) DO UPDATE SET amount = amount + 1;
END;
CREATE TRIGGER tasks_are_counted_2 AFTER UPDATE OF status ON tasks WHEN OLD.status <> NEW.status
BEGIN
    UPDATE totals SET amount = amount - 1 WHERE name = 'tasks.' || OLD.status;
    INSERT INTO totals (name, amount) VALUES ('tasks.' || NEW.status, 1)
        ON CONFLICT (name) DO UPDATE SET amount = amount + 1;
END;

CREATE TRIGGER orders_are_counted_1 AFTER INSERT ON orders
BEGIN
    INSERT INTO totals (name, amount) VALUES ('orders.' || NEW.status, 1)
        ON CONFLICT (name) DO UPDATE SET amount = amount + 1;
    UPDATE totals SET amount = amount + NEW.amount WHERE name = 'revenue' AND NEW.status = 'paid';
END;
CREATE TRIGGER orders_are_counted_2 AFTER UPDATE OF status ON orders WHEN OLD.status <> NEW.status
BEGIN
    UPDATE totals SET amount = amount - 1 WHERE name = 'orders.' || OLD.status;
    INSERT INTO totals (name, amount) VALUES ('orders.' || NEW.status, 1)
        ON CONFLICT (name) DO UPDATE SET amount = amount + 1;
    UPDATE totals SET amount = amount + NEW.amount * ((NEW.status = 'paid') - (OLD.status = 'paid'))
        WHERE name = 'revenue';
END;

-- The answers to purchases with an Idempotency-Key: an order or a refusal. Keys of orders are never deleted.
CREATE TABLE order_keys (
    user_id    TEXT NOT NULL REFERENCES users (id),
    key        TEXT NOT NULL,
    digest     BLOB NOT NULL,
    order_id   TEXT REFERENCES orders (id),
    refusal    TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, key),
    CHECK ((order_id IS NULL) <> (refusal IS NULL))
) STRICT;

-- Refusals are deleted after a day. Answers that name a task or an order are kept.
CREATE INDEX order_keys_refused ON order_keys (created_at) WHERE refusal IS NOT NULL;
CREATE INDEX idempotency_refused ON idempotency (created_at) WHERE refusal IS NOT NULL;

-- How an order can be paid, as its gateway answered. A repeated purchase gets the same answer.
ALTER TABLE orders ADD COLUMN pay_params TEXT;
ALTER TABLE orders ADD COLUMN qrcode_url TEXT;

-- The last paid order tells which plan a user has.
CREATE INDEX orders_paid ON orders (user_id, id) WHERE status = 'paid';
