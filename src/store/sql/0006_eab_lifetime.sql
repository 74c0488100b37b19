-- SPDX-License-Identifier: Apache-2.0
--
-- Version 6: how long certificates may live that accounts of an external key order, in seconds. 0, as of every key from
-- before: as long as realm and profile say.

ALTER TABLE eab_keys ADD COLUMN lifetime_s BIGINT NOT NULL DEFAULT 0;
