/* SPDX-License-Identifier: Apache-2.0
 *
 * evidence.c: what a certificate was issued upon, for `cairn audit export`: the job as the signer was sent it. It is made
 * again from the rows that it was made from, which stay as they were once the certificate is there, and as long as it is.
 */
#include "acme/app.h"

struct evidence {
	struct arena *mem;
	struct id id;
	struct certificate_row row;
};

static fallible certificate_get(struct store_tx *tx, void *ctx, struct err *err)
{
	struct evidence *e = ctx;
	return certificate_by_id(tx, e->mem, e->id, &e->row, err);
}

/* Of a certificate that was recovered from the journal no evidence is left: its job is empty, and audit says so. */
static fallible job_text(struct acme *a, struct id id, struct buf *job, struct err *err)
{
	struct err why = { 0 };
	struct rc rc = jobs_signing_text(a, id, job, &why);
	if (!FAILED(rc))
		return OK;
	if (rc.kind == ERR_UNAVAILABLE) {
		*err = why;
		return rc;
	}
	LOG(a->d.log, LOG_WARNING, "certificate without evidence", KV_ID("certificate", id), KV_ERR(&why));
	buf_reset(job);
	return buf_add(job, STR("{}"), err);
}

fallible acme_evidence(struct acme *a, struct id certificate, struct buf *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf job = BUF_MAX(JOB_MAX);
	struct evidence e = { .mem = &mem, .id = certificate };
	TRY(store_read(a->d.store, certificate_get, &e, err));
	TRY(job_text(a, certificate, &job, err)); /* an issuance and its certificate have one id */
	const struct audit_record record = { .issued_ms = e.row.created_at, .der = e.row.der, .job = buf_str(&job) };
	return audit_record_write(&record, ret, err);
}
