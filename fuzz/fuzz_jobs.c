/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_jobs.c: the messages between programs. The first byte, from '0' up, chooses the reader. What a reader accepts, its writer must
 * be willing to write, and what it wrote must be accepted and written the same again.
 */
#include "fuzz.h"
#include "model/model.h"

typedef fallible again_fn(struct arena *mem, struct str text, struct buf *ret, struct err *err);

#define AGAIN(type)                                                                                        \
	static fallible again_##type(struct arena *mem, struct str text, struct buf *ret, struct err *err) \
	{                                                                                                  \
		struct type m;                                                                             \
		TRY(type##_read(mem, text, &m, err));                                                      \
		CHECK(!FAILED(type##_write(&m, ret, NULL)));                                               \
		return OK;                                                                                 \
	}

AGAIN(validate_job)
AGAIN(verdict)
AGAIN(verdict_message)
AGAIN(sign_job)
AGAIN(sign_result)
AGAIN(progress)
AGAIN(grant)
AGAIN(audit_record)

static again_fn *const readers[] = { again_validate_job, again_verdict,  again_verdict_message, again_sign_job,
				     again_sign_result,  again_progress, again_grant,           again_audit_record };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	again_fn *again = readers[(uint8_t)(data[0] - '0') % ARRAY_LEN(readers)];
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf one = BUF_MAX(AUDIT_LINE_MAX);
	AUTO(buf_done) struct buf two = BUF_MAX(AUDIT_LINE_MAX);
	struct err err = { 0 };
	struct rc rc = again(&mem, str_n(data + 1, size - 1), &one, &err);
	check_err(rc, &err);
	if (FAILED(rc))
		return 0;
	rc = again(&mem, buf_str(&one), &two, &err);
	CHECK(!FAILED(rc));
	CHECK(str_eq(buf_str(&one), buf_str(&two)));
	return 0;
}
