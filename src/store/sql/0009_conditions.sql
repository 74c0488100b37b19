-- SPDX-License-Identifier: Apache-2.0
--
-- Version 9: less to write and to ask at every change of an order or an authorization.

-- SQLite compares with two values where they stand; for three and more it makes a table of them, each time.
DROP INDEX authorizations_ended;
CREATE INDEX authorizations_ended ON authorizations (ended_at, id) WHERE status NOT IN ('pending', 'valid');

-- An order is invalid when it has an error. That column changes once if at all; with the status in its condition the index was
-- written whenever an order became ready, processing or valid, to stay as it was.
DROP INDEX orders_account;
CREATE INDEX orders_account ON orders (account, id) WHERE error = '';

-- The oldest rows of the audit are those with the lowest numbers.
DROP INDEX audit_at;
