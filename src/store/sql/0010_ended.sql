-- SPDX-License-Identifier: Apache-2.0
--
-- Version 10: on PostgreSQL, failed orders by when they ended and their id, which is how retention goes through them. (On SQLite
-- the index has had the id in it from the start, as the table has no other row id.)

/*pgsql:
DROP INDEX orders_ended;
CREATE INDEX orders_ended ON orders (ended_at, id) WHERE status = 'invalid';
*/
