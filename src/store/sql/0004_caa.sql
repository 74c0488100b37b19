-- SPDX-License-Identifier: Apache-2.0
--
-- Version 4: what a challenge met while it is still being tried (RFC 8555 8.2), and what is known of CAA (RFC 8659).
-- Rows of before mean what they meant: attempts are about control, and no verdict says anything of CAA.

ALTER TABLE challenges ADD COLUMN retry_at BIGINT NOT NULL DEFAULT 0;

-- 'control': a challenge was answered. 'caa': CAA is looked up once more for `name`, which order_id is about to get.
ALTER TABLE attempts ADD COLUMN kind TEXT NOT NULL DEFAULT 'control';
ALTER TABLE attempts ADD COLUMN name TEXT NOT NULL DEFAULT '';
CREATE INDEX attempts_caa ON attempts (order_id, id) WHERE kind = 'caa';

ALTER TABLE verdicts ADD COLUMN caa TEXT NOT NULL DEFAULT '';
ALTER TABLE verdicts ADD COLUMN finished_at BIGINT NOT NULL DEFAULT 0;

-- 1: nothing is at the signer, CAA is being looked up again first.
ALTER TABLE issuances ADD COLUMN held BIGINT NOT NULL DEFAULT 0;
