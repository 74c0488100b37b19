-- SPDX-License-Identifier: Apache-2.0
--
-- Version 2: what the rest of RFC 8555 and its extensions keep. Rows of before mean what they meant: their terms are not
-- known, nothing was replaced, no authorization holds below its name, the key of a finalize is the account's.

ALTER TABLE accounts ADD COLUMN tos_url TEXT NOT NULL DEFAULT '';

ALTER TABLE orders ADD COLUMN replaces TEXT NOT NULL DEFAULT '';
CREATE INDEX orders_replaces ON orders (replaces, status) WHERE replaces <> '';
-- A certificate is replaced once (RFC 9773 5), whoever finalizes at the same time.
CREATE UNIQUE INDEX orders_replaced ON orders (replaces) WHERE replaces <> '' AND status IN ('processing', 'valid');

ALTER TABLE authorizations ADD COLUMN subdomains BIGINT NOT NULL DEFAULT 0;

ALTER TABLE issuances ADD COLUMN account_jwk TEXT NOT NULL DEFAULT '';

ALTER TABLE eab_keys ADD COLUMN profiles TEXT NOT NULL DEFAULT '';
