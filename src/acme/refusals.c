/* SPDX-License-Identifier: Apache-2.0
 *
 * refusals.c: an order is refused for all of its bad identifiers at once, so that a client need not find them one by one
 * (RFC 8555 6.7.1).
 */
#include "acme/order.h"

#define SUBPROBLEMS_MAX (512 * 1024)

/* Of an identifier, and not of the request or of ourselves. */
static bool is_refusal(enum err_kind kind)
{
	return kind == ERR_MALFORMED || kind == ERR_REJECTED_IDENTIFIER || kind == ERR_UNSUPPORTED_IDENTIFIER ||
	       kind == ERR_CAA;
}

void refusals_add(struct arena *mem, struct refusals *r, const struct err *why, struct str type, struct str value)
{
	struct refusal *one = ARENA_NEW(mem, struct refusal);
	*one = (struct refusal){ .why = *why, .type = type, .value = value };
	if (r->last == NULL)
		r->first = one;
	else
		r->last->next = one;
	r->last = one;
	r->count++;
}

fallible refusals_keep(struct call *c, struct refusals *r, struct rc rc, const struct err *why, struct str type,
		       struct str value, struct err *err)
{
	if (!FAILED(rc))
		return OK;
	if (!is_refusal(rc.kind)) {
		*err = *why;
		return rc;
	}
	refusals_add(c->mem, r, why, type, value);
	return OK;
}

static fallible subproblem_add(struct arena *mem, const struct refusal *one, struct buf *b, struct err *err)
{
	AUTO(buf_done) struct buf ident = BUF_MAX(8192);
	struct jw w = jw_begin(&ident, err);
	jw_object(&w);
	jw_kstr(&w, "type", one->type);
	jw_kstr(&w, "value", one->value);
	jw_object_end(&w);
	TRY(jw_end(&w));
	struct str extra = STR_NONE;
	if (one->type.n > 0)
		extra = str_fmt(mem, "\"identifier\":%.*s", (int)ident.n, ident.p);
	return problem_write(&one->why, extra, b, err);
}

fallible refusals_subproblems(struct arena *mem, const struct refusals *r, struct str *ret, struct err *err)
{
	AUTO(buf_done) struct buf b = BUF_MAX(SUBPROBLEMS_MAX);
	TRY(buf_add(&b, STR("\"subproblems\":["), err));
	for (const struct refusal *one = r->first; one != NULL; one = one->next) {
		if (one != r->first)
			TRY(buf_add_char(&b, ',', err));
		TRY(subproblem_add(mem, one, &b, err));
	}
	TRY(buf_add_char(&b, ']', err));
	*ret = str_dup(mem, buf_str(&b));
	return OK;
}

fallible refusals_end(struct call *c, const struct refusals *r, size_t asked, struct err *err)
{
	if (r->count == 0)
		return OK;
	if (r->count == 1) {
		*err = r->first->why;
		return (struct rc){ err->kind };
	}
	TRY(refusals_subproblems(c->mem, r, &c->problem_extra, err));
	FAIL(err, ERR_COMPOUND, "%zu of the %zu identifiers are refused; subproblems says of each why", r->count,
	     asked);
}
