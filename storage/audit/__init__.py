"""The audit of a database (`darkroom verify`): rules for users, tasks, orders and ledger entries, and for the file."""
