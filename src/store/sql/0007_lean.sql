-- SPDX-License-Identifier: Apache-2.0
--
-- Version 7: less on the disk for a certificate. What is above a leaf is kept once for all that have the same; rows of before
-- keep their whole text, which chain_seq 0 says.

CREATE TABLE chains (
	issuer TEXT NOT NULL,
	seq    BIGINT NOT NULL,
	pem    TEXT NOT NULL,
	PRIMARY KEY (issuer, seq)
);
ALTER TABLE certificates ADD COLUMN chain_seq BIGINT NOT NULL DEFAULT 0;

-- Nothing asks for the certificates of an account; its orders lead to them.
DROP INDEX certificates_account;

-- An account's list leaves invalid orders out (RFC 8555 7.1.2.1): so does its index, or a page would cost as many steps as
-- orders failed in between.
DROP INDEX orders_account;
CREATE INDEX orders_account ON orders (account, id) WHERE status <> 'invalid';

-- A row this long in a table without row ids goes to a page of its own, which it fills by a third.
/*sqlite:
CREATE TABLE verdicts_7 (
	attempt     BYTEA NOT NULL REFERENCES attempts (id),
	perspective TEXT NOT NULL,
	valid       BIGINT NOT NULL,
	jws         TEXT NOT NULL,
	received_at BIGINT NOT NULL,
	caa         TEXT NOT NULL DEFAULT '',
	finished_at BIGINT NOT NULL DEFAULT 0,
	PRIMARY KEY (attempt, perspective)
);
INSERT INTO verdicts_7 (attempt, perspective, valid, jws, received_at, caa, finished_at)
	SELECT attempt, perspective, valid, jws, received_at, caa, finished_at FROM verdicts ORDER BY attempt, perspective;
DROP TABLE verdicts;
ALTER TABLE verdicts_7 RENAME TO verdicts;
*/
