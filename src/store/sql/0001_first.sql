-- SPDX-License-Identifier: Apache-2.0
--
-- The schema of version 1, in the dialect that SQLite and PostgreSQL share. Text in /*sqlite: ... */ is for SQLite only
-- and text in /*pgsql: ... */ for PostgreSQL only: each driver opens its own comments before it applies a migration.
-- BYTEA, BIGINT and TEXT are PostgreSQL's names; SQLite takes any and stores what is bound.
-- Ids are UUIDv7 (time-ordered). Times are unix milliseconds, or seconds where the name ends in _s; 0 is "not".
-- A partial index covers only rows that wait for something, so that a sweep's cost does not grow with history.

CREATE TABLE accounts (
	id            BYTEA PRIMARY KEY NOT NULL,
	realm         TEXT NOT NULL,
	thumbprint    TEXT NOT NULL,
	jwk           TEXT NOT NULL,
	status        TEXT NOT NULL,
	contact       TEXT NOT NULL,
	tos_agreed_at BIGINT NOT NULL,
	eab_kid       TEXT NOT NULL,
	created_at    BIGINT NOT NULL,
	created_ip    TEXT NOT NULL,
	UNIQUE (realm, thumbprint)
) /*sqlite: WITHOUT ROWID */;
CREATE INDEX accounts_eab ON accounts (eab_kid, id) WHERE eab_kid <> '';

CREATE TABLE orders (
	id           BYTEA PRIMARY KEY NOT NULL,
	account      BYTEA NOT NULL REFERENCES accounts (id),
	realm        TEXT NOT NULL,
	profile      TEXT NOT NULL,
	status       TEXT NOT NULL,
	identifiers  TEXT NOT NULL,
	not_before_s BIGINT NOT NULL,
	not_after_s  BIGINT NOT NULL,
	created_at   BIGINT NOT NULL,
	expires_at   BIGINT NOT NULL,
	ended_at     BIGINT NOT NULL,
	error        TEXT NOT NULL,
	certificate  BYTEA,
	csr_hash     BYTEA
) /*sqlite: WITHOUT ROWID */;
CREATE INDEX orders_account ON orders (account, id);
CREATE INDEX orders_open ON orders (expires_at) WHERE status IN ('pending', 'ready');
CREATE INDEX orders_ended ON orders (ended_at) WHERE status = 'invalid';

CREATE TABLE authorizations (
	id          BYTEA PRIMARY KEY NOT NULL,
	account     BYTEA NOT NULL REFERENCES accounts (id),
	realm       TEXT NOT NULL,
	thumbprint  TEXT NOT NULL,
	ident_type  TEXT NOT NULL,
	ident_value TEXT NOT NULL,
	wildcard    BIGINT NOT NULL,
	status      TEXT NOT NULL,
	created_at  BIGINT NOT NULL,
	expires_at  BIGINT NOT NULL,
	ended_at    BIGINT NOT NULL,
	attempt     BYTEA
) /*sqlite: WITHOUT ROWID */;
CREATE INDEX authorizations_reuse ON authorizations (account, ident_value, wildcard, id)
	WHERE status IN ('pending', 'valid');
CREATE INDEX authorizations_open ON authorizations (expires_at) WHERE status IN ('pending', 'valid');
CREATE INDEX authorizations_ended ON authorizations (ended_at, id)
	WHERE status IN ('invalid', 'deactivated', 'expired', 'revoked');

CREATE TABLE order_authz (
	order_id BYTEA NOT NULL REFERENCES orders (id),
	position BIGINT NOT NULL,
	authz    BYTEA NOT NULL REFERENCES authorizations (id),
	PRIMARY KEY (order_id, position)
) /*sqlite: WITHOUT ROWID */;
CREATE INDEX order_authz_authz ON order_authz (authz, order_id);

CREATE TABLE challenges (
	id           BYTEA PRIMARY KEY NOT NULL,
	authz        BYTEA NOT NULL REFERENCES authorizations (id),
	type         TEXT NOT NULL,
	status       TEXT NOT NULL,
	token        TEXT NOT NULL,
	validated_at BIGINT NOT NULL,
	error        TEXT NOT NULL,
	attempt      BYTEA
) /*sqlite: WITHOUT ROWID */;
CREATE INDEX challenges_authz ON challenges (authz, id);

-- due_at is the earlier of send_at and deadline_at, so that one index answers "what is due".
CREATE TABLE attempts (
	id          BYTEA PRIMARY KEY NOT NULL,
	challenge   BYTEA NOT NULL REFERENCES challenges (id),
	authz       BYTEA NOT NULL,
	account     BYTEA NOT NULL,
	order_id    BYTEA,
	realm       TEXT NOT NULL,
	zone        TEXT NOT NULL,
	status      TEXT NOT NULL,
	created_at  BIGINT NOT NULL,
	deadline_at BIGINT NOT NULL,
	send_at     BIGINT NOT NULL,
	due_at      BIGINT NOT NULL,
	sends       BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID */;
CREATE INDEX attempts_challenge ON attempts (challenge);
CREATE INDEX attempts_due ON attempts (due_at) WHERE status = 'open';

CREATE TABLE verdicts (
	attempt     BYTEA NOT NULL REFERENCES attempts (id),
	perspective TEXT NOT NULL,
	valid       BIGINT NOT NULL,
	jws         TEXT NOT NULL,
	received_at BIGINT NOT NULL,
	PRIMARY KEY (attempt, perspective)
) /*sqlite: WITHOUT ROWID */;

-- The intent: written before anything is signed, kept for as long as what may have been signed could be used.
CREATE TABLE issuances (
	id                 BYTEA PRIMARY KEY NOT NULL,
	order_id           BYTEA NOT NULL UNIQUE REFERENCES orders (id),
	account            BYTEA NOT NULL,
	realm              TEXT NOT NULL,
	profile            TEXT NOT NULL,
	issuer             TEXT NOT NULL,
	serial             TEXT NOT NULL UNIQUE,
	not_before_s       BIGINT NOT NULL,
	not_after_s        BIGINT NOT NULL,
	finalize_protected TEXT NOT NULL,
	finalize_payload   TEXT NOT NULL,
	finalize_signature TEXT NOT NULL,
	finalize_url       TEXT NOT NULL,
	status             TEXT NOT NULL,
	created_at         BIGINT NOT NULL,
	send_at            BIGINT NOT NULL,
	sends              BIGINT NOT NULL
);
CREATE INDEX issuances_due ON issuances (send_at) WHERE status = 'intended';

CREATE TABLE certificates (
	id                BYTEA PRIMARY KEY NOT NULL,
	order_id          BYTEA NOT NULL UNIQUE REFERENCES orders (id),
	account           BYTEA NOT NULL,
	realm             TEXT NOT NULL,
	profile           TEXT NOT NULL,
	issuer            TEXT NOT NULL,
	serial            TEXT NOT NULL UNIQUE,
	der               BYTEA NOT NULL,
	chain_pem         TEXT NOT NULL,
	spki_hash         BYTEA NOT NULL,
	not_before_s      BIGINT NOT NULL,
	not_after_s       BIGINT NOT NULL,
	created_at        BIGINT NOT NULL,
	revoked_at        BIGINT NOT NULL,
	revocation_reason BIGINT NOT NULL,
	revoked_by        TEXT NOT NULL
);
CREATE INDEX certificates_account ON certificates (account, id);
CREATE INDEX certificates_end ON certificates (not_after_s);
CREATE INDEX certificates_key ON certificates (spki_hash);
CREATE INDEX certificates_revoked ON certificates (issuer, revoked_at) WHERE revoked_at > 0;

-- Names with their labels reversed ("example.a.www"), so that everything below a domain is one range.
CREATE TABLE certificate_names (
	name        TEXT NOT NULL,
	certificate BYTEA NOT NULL REFERENCES certificates (id),
	PRIMARY KEY (name, certificate)
) /*sqlite: WITHOUT ROWID */;
CREATE INDEX certificate_names_certificate ON certificate_names (certificate);

-- GCRA: the theoretical arrival time in microseconds. A bucket whose time has passed is as good as none.
CREATE TABLE limits (
	bucket TEXT PRIMARY KEY NOT NULL,
	tat_us BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID */;
CREATE INDEX limits_tat ON limits (tat_us);

CREATE TABLE eab_keys (
	kid         TEXT PRIMARY KEY NOT NULL,
	realm       TEXT NOT NULL,
	secret      BYTEA NOT NULL, /* encrypted */
	label       TEXT NOT NULL,
	uses        BIGINT NOT NULL,
	uses_max    BIGINT NOT NULL, /* 0: no limit */
	names       TEXT NOT NULL, /* JSON array of patterns; empty: the realm's */
	created_at  BIGINT NOT NULL,
	expires_at  BIGINT NOT NULL,
	disabled_at BIGINT NOT NULL
) /*sqlite: WITHOUT ROWID */;
CREATE INDEX eab_keys_realm ON eab_keys (realm, kid);

CREATE TABLE blocked_keys (
	spki_hash  BYTEA PRIMARY KEY NOT NULL,
	reason     TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	created_by TEXT NOT NULL
) /*sqlite: WITHOUT ROWID */;

CREATE TABLE audit (
	seq    INTEGER /*pgsql: GENERATED BY DEFAULT AS IDENTITY */ PRIMARY KEY,
	at     BIGINT NOT NULL,
	actor  TEXT NOT NULL,
	event  TEXT NOT NULL,
	object TEXT NOT NULL,
	detail TEXT NOT NULL
);
/*pgsql: ALTER TABLE audit ALTER COLUMN seq TYPE BIGINT; */
CREATE INDEX audit_object ON audit (object, seq);
CREATE INDEX audit_at ON audit (at);

-- How far a sweep has come: what lies before the mark was looked at once and need not be looked at again.
CREATE TABLE sweep_marks (
	name TEXT PRIMARY KEY NOT NULL,
	at   BIGINT NOT NULL,
	id   BYTEA NOT NULL
) /*sqlite: WITHOUT ROWID */;
