/* SPDX-License-Identifier: Apache-2.0
 *
 * progress.c: what an attempt met before it tries again, shown in the challenge's error while it is still processing
 * (RFC 8555 8.2). Nobody signed it, so that is all it can do: a text for the client, and when to look again. Verdicts
 * decide, and wipe it away.
 */
#include "acme/app.h"

struct telling {
	const struct view *view;
	struct arena *mem;
	struct progress said;
	struct attempt_row attempt;
	bool kept;
};

static fallible telling_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct telling *t = ctx;
	struct err why = { 0 };
	struct str problem;
	t->kept = false;
	TRY(attempt_by_id(tx, t->mem, t->said.attempt, &t->attempt, err));
	TRY(perspective_of_zone(t->view, t->attempt.zone, t->said.perspective, err));
	if (t->attempt.status != ATTEMPT_OPEN)
		return OK;
	err_set(&why, t->said.problem, "%.*s", STR_FMT(t->said.problem_detail));
	TRY(problem_text(t->mem, &why, STR_NONE, &problem, err));
	int64_t end = t->attempt.deadline_at;
	return challenge_tell(tx, t->attempt.challenge, t->attempt.id, problem,
			      t->said.next_ms < end ? t->said.next_ms : end, &t->kept, err);
}

fallible acme_apply_progress(struct acme *a, struct str body, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(view_auto) struct view *view = view_get(a);
	struct telling t = { .view = view, .mem = &mem };
	struct rc rc = progress_read(&mem, body, &t.said, err);
	if (!FAILED(rc))
		rc = store_tx(a->d.store, telling_tx, &t, err);
	if (rc.kind == ERR_NOT_FOUND || apply_is_put_off(rc))
		LOG(a->d.log, LOG_DEBUG, "progress dropped", KV_ID("attempt", t.said.attempt), KV_ERR(err));
	else if (FAILED(rc))
		LOG(a->d.log, LOG_ERROR, "alarm: progress refused", KV_ID("attempt", t.said.attempt), KV_ERR(err));
	else
		LOG(a->d.log, LOG_INFO, "attempt failed", KV_ID("order", t.attempt.order),
		    KV_ID("authz", t.attempt.authz), KV_ID("attempt", t.attempt.id),
		    KV_STR("perspective", t.said.perspective), KV_BOOL("too_late", !t.kept),
		    KV_STR("detail", t.said.problem_detail));
	if (!FAILED(rc)) /* it takes longer: the client has no reason to wait at our door */
		waitroom_call(a->room, t.attempt.challenge);
	return OK;
}
