-- SPDX-License-Identifier: Apache-2.0
--
-- Version 5: grants: what an operator has signed for certain account keys, so that names need no challenge (DESIGN 5).
-- The text is the evidence; the columns are what it is found by. Rows of before mean what they meant: no authorization
-- stands on a grant, and no certificate was issued with one.

CREATE TABLE grants (
	id         BYTEA PRIMARY KEY NOT NULL, /* the one that is under the signature */
	realm      TEXT NOT NULL,
	operator   TEXT NOT NULL,
	jws        TEXT NOT NULL,
	from_s     BIGINT NOT NULL,
	until_s    BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	created_by TEXT NOT NULL,
	revoked_at BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID */;
CREATE INDEX grants_end ON grants (until_s);

CREATE TABLE grant_keys (
	thumbprint TEXT NOT NULL,
	grant_id   BYTEA NOT NULL REFERENCES grants (id),
	PRIMARY KEY (thumbprint, grant_id)
) /*sqlite: WITHOUT ROWID */;
CREATE INDEX grant_keys_grant ON grant_keys (grant_id);

ALTER TABLE authorizations ADD COLUMN grant_id BYTEA REFERENCES grants (id);
CREATE INDEX authorizations_grant ON authorizations (grant_id, id) WHERE grant_id IS NOT NULL;

-- What goes to the signer with the job: chosen once, with the intent.
CREATE TABLE issuance_grants (
	issuance BYTEA NOT NULL REFERENCES issuances (id),
	position BIGINT NOT NULL,
	grant_id BYTEA NOT NULL REFERENCES grants (id),
	PRIMARY KEY (issuance, position)
) /*sqlite: WITHOUT ROWID */;
CREATE INDEX issuance_grants_grant ON issuance_grants (grant_id);
