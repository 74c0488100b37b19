-- SPDX-License-Identifier: Apache-2.0
--
-- Version 9: whether a row is in this index is asked at every change of an authorization. SQLite compares with two values
-- where they stand; for three and more it makes a table of them, each time.

DROP INDEX authorizations_ended;
CREATE INDEX authorizations_ended ON authorizations (ended_at, id) WHERE status NOT IN ('pending', 'valid');
