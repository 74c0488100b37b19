-- SPDX-License-Identifier: Apache-2.0
--
-- Version 3: the key changes of accounts, as their makers signed them. A record of dns-persist-01 may name any key that
-- an account ever had, and the signer believes that only of what the keys themselves signed. Changes from before are not
-- known: nobody could have made such a record then.

CREATE TABLE account_keys (
	account    BYTEA NOT NULL REFERENCES accounts (id),
	seq        BIGINT NOT NULL,
	was        TEXT NOT NULL,
	became     TEXT NOT NULL,
	jws        TEXT NOT NULL,
	created_at BIGINT NOT NULL,
	PRIMARY KEY (account, seq)
) /*sqlite: WITHOUT ROWID */;
