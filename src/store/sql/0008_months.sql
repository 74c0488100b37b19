-- SPDX-License-Identifier: Apache-2.0
--
-- Version 8: on PostgreSQL, the largest tables in a part for each month of their ids (docs/decisions/0030-postgresql.md).
-- SQLite has nothing of the kind and needs nothing: its free pages are given back.

/*pgsql:
-- A part has unique indexes of its own only, so what is unique in all of them stands here: one certificate an order,
-- and one a serial (promise 2). The trigger makes "ON CONFLICT DO NOTHING" mean that, too.
CREATE TABLE certificate_orders (
	order_id    BYTEA PRIMARY KEY NOT NULL,
	serial      TEXT NOT NULL UNIQUE,
	certificate BYTEA NOT NULL UNIQUE
);
INSERT INTO certificate_orders SELECT order_id, serial, id FROM certificates;

ALTER TABLE certificate_names DROP CONSTRAINT certificate_names_certificate_fkey;
ALTER TABLE certificates RENAME TO certificates_whole;
ALTER TABLE certificate_names RENAME TO certificate_names_whole;
ALTER TABLE verdicts RENAME TO verdicts_whole;
ALTER TABLE order_authz RENAME TO order_authz_whole;
CREATE TABLE certificates (LIKE certificates_whole INCLUDING DEFAULTS) PARTITION BY RANGE (id);
CREATE TABLE certificate_names (LIKE certificate_names_whole INCLUDING DEFAULTS) PARTITION BY RANGE (certificate);
CREATE TABLE verdicts (LIKE verdicts_whole INCLUDING DEFAULTS) PARTITION BY RANGE (attempt);
CREATE TABLE order_authz (LIKE order_authz_whole INCLUDING DEFAULTS) PARTITION BY RANGE (order_id);

-- What is older than the first month, or from a clock that is far off.
CREATE TABLE certificates_other PARTITION OF certificates DEFAULT;
CREATE TABLE certificate_names_other PARTITION OF certificate_names DEFAULT;
CREATE TABLE verdicts_other PARTITION OF verdicts DEFAULT;
CREATE TABLE order_authz_other PARTITION OF order_authz DEFAULT;
INSERT INTO certificates SELECT * FROM certificates_whole;
INSERT INTO certificate_names SELECT * FROM certificate_names_whole;
INSERT INTO verdicts SELECT * FROM verdicts_whole;
INSERT INTO order_authz SELECT * FROM order_authz_whole;
DROP TABLE certificates_whole, certificate_names_whole, verdicts_whole, order_authz_whole;

ALTER TABLE certificates ADD PRIMARY KEY (id), ADD FOREIGN KEY (order_id) REFERENCES orders (id);
ALTER TABLE certificate_names ADD PRIMARY KEY (name, certificate);
ALTER TABLE verdicts ADD PRIMARY KEY (attempt, perspective), ADD FOREIGN KEY (attempt) REFERENCES attempts (id);
ALTER TABLE order_authz ADD PRIMARY KEY (order_id, position), ADD FOREIGN KEY (order_id) REFERENCES orders (id),
	ADD FOREIGN KEY (authz) REFERENCES authorizations (id);
CREATE INDEX certificates_order ON certificates (order_id);
CREATE INDEX certificates_serial ON certificates (serial);
CREATE INDEX certificates_end ON certificates (not_after_s);
CREATE INDEX certificates_key ON certificates (spki_hash);
CREATE INDEX certificates_revoked ON certificates (issuer, revoked_at) WHERE revoked_at > 0;
CREATE INDEX certificate_names_certificate ON certificate_names (certificate);
CREATE INDEX order_authz_authz ON order_authz (authz, order_id);

CREATE FUNCTION certificate_comes() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO certificate_orders VALUES (NEW.order_id, NEW.serial, NEW.id) ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	RETURN NEW;
END $$;
CREATE FUNCTION certificate_goes() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM certificate_orders WHERE order_id = OLD.order_id;
	RETURN NULL;
END $$;
CREATE TRIGGER certificate_comes BEFORE INSERT ON certificates FOR EACH ROW EXECUTE FUNCTION certificate_comes();
CREATE TRIGGER certificate_goes AFTER DELETE ON certificates FOR EACH ROW EXECUTE FUNCTION certificate_goes();

-- Makes the parts of this month and the next two, and takes away those of the past in which nothing is left. The bounds
-- are the first six bytes of a UUIDv7: its milliseconds. Both need a moment in which nobody reads the table: while a
-- pg_dump or a report does, all would queue up behind us, so we hardly wait, and the next call is soon enough.
CREATE FUNCTION months_keep() RETURNS BIGINT LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
DECLARE
	tables CONSTANT TEXT[] := ARRAY['certificates', 'certificate_names', 'verdicts', 'order_authz'];
	keys CONSTANT TEXT[] := ARRAY['id', 'certificate', 'attempt', 'order_id'];
	whole TEXT;
	part TEXT;
	from_at TIMESTAMP;
	first BYTEA;
	beyond BYTEA;
	is_found BOOLEAN;
	changed BIGINT := 0;
BEGIN
	IF NOT pg_try_advisory_xact_lock(x'6d6f6e746873'::bigint) THEN
		RETURN 0;
	END IF;
	FOR t IN 1..array_length(tables, 1) LOOP
		whole := tables[t];
		FOR n IN 0..2 LOOP
			from_at := date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => n);
			part := whole || to_char(from_at, '_YYYYMM');
			CONTINUE WHEN to_regclass(part) IS NOT NULL;
			first := substring(int8send((extract(epoch FROM from_at) * 1000)::bigint) FROM 3);
			beyond := substring(int8send((extract(epoch FROM from_at + interval '1 month') * 1000)::bigint)
				FROM 3);
			-- Rows of that month that are in the other part stay there. By its index, and before there is a lock.
			EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I WHERE %I >= $1 AND %I < $2)', whole || '_other',
				keys[t], keys[t]) INTO is_found USING first, beyond;
			CONTINUE WHEN is_found;
			BEGIN
				EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', part, whole,
					first, beyond);
				changed := changed + 1;
			EXCEPTION
				WHEN check_violation THEN
					NULL; -- one came meanwhile
				WHEN lock_not_available OR deadlock_detected THEN
					RETURN changed;
			END;
		END LOOP;
		FOR part IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
				WHERE i.inhparent = whole::regclass AND c.relname ~ '_[0-9]{6}$'
				AND right(c.relname, 6) < to_char(now() AT TIME ZONE 'UTC' - interval '1 month', 'YYYYMM') LOOP
			EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I)', part) INTO is_found;
			CONTINUE WHEN is_found;
			BEGIN
				EXECUTE format('DROP TABLE %I', part);
				changed := changed + 1;
			EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
				RETURN changed;
			END;
		END LOOP;
	END LOOP;
	RETURN changed;
END $$;
SELECT months_keep();
*/
