/* SPDX-License-Identifier: Apache-2.0
 *
 * parking.c: who ends a wait. A worker that leaves a request, the outcome, the deadline, a peer that is gone and a server
 * that drains may all come at once; one atomic state lets exactly one of them bring the request back, and tells it to the
 * others.
 *
 *   RUNS -> PARKED -> CALLED or ENDED      RUNS -> CALLED or ENDED, when that came before the worker left
 */
#include "http/http.h"

#include <assert.h>

enum { PARKING_RUNS, PARKING_PARKED, PARKING_CALLED, PARKING_ENDED };

void http_parking_begin(struct http_parking *p, const struct http_parking_ops *ops)
{
	*p = (struct http_parking){ .ops = ops };
	atomic_init(&p->state, PARKING_RUNS);
}

bool http_park(const struct http_request *rq, int64_t wait_ms, http_go_on_fn *go_on, void *arg)
{
	struct http_parking *p = rq->parking;
	if (p == NULL || wait_ms <= 0 || p->go_on != NULL || !p->ops->admit(p))
		return false;
	p->wait_ms = wait_ms;
	p->go_on = go_on;
	p->arg = arg;
	return true;
}

static bool wake(struct http_parking *p, int why)
{
	int was = atomic_load(&p->state);
	while (was == PARKING_RUNS || was == PARKING_PARKED) {
		if (!atomic_compare_exchange_weak(&p->state, &was, why))
			continue;
		if (was == PARKING_PARKED)
			p->ops->resume(p); /* from here on p is a worker's, and may be gone */
		return true;
	}
	return false;
}

bool http_parking_call(struct http_parking *p)
{
	return wake(p, PARKING_CALLED);
}

void http_parking_end(struct http_parking *p)
{
	(void)wake(p, PARKING_ENDED);
}

bool http_parking_leave(struct http_parking *p)
{
	int was = PARKING_RUNS;
	assert(p->go_on != NULL);
	return atomic_compare_exchange_strong(&p->state, &was, PARKING_PARKED);
}

void http_parking_go_on(struct http_parking *p, struct http_reply *re)
{
	p->go_on(p->arg, atomic_load(&p->state) == PARKING_CALLED, re);
}
