/* SPDX-License-Identifier: Apache-2.0
 *
 * turns.c: the order of handshakes when there are more than can be done at once.
 */
#include "http/conn.h"

/* When the first has waited this long for its turn there are more than can be served, and the last is taken: those
 * who came first would be at their deadline soon, and then nobody's handshake would ever end. */
#define STALE_MS 1000

void turns_init(struct turns *t)
{
	for (unsigned i = 0; i < TURN_COUNT; i++)
		TAILQ_INIT(&t->lists[i]);
}

void turns_add(struct turns *t, struct conn *c)
{
	enum turn turn = c->begun ? TURN_BEGUN : c->crowded ? TURN_CROWD : TURN_CALM;
	c->shake_list = &t->lists[turn];
	TAILQ_INSERT_TAIL(c->shake_list, c, shake_link);
}

struct conn *turns_next(struct turns *t, int64_t now_ms)
{
	for (unsigned turn = 0; turn < TURN_COUNT; turn++) {
		struct conn *c = TAILQ_FIRST(&t->lists[turn]);
		if (c == NULL)
			continue;
		if (turn != TURN_BEGUN && now_ms - c->shakes_since > STALE_MS)
			c = TAILQ_LAST(&t->lists[turn], conn_list);
		TAILQ_REMOVE(c->shake_list, c, shake_link);
		c->shake_list = NULL;
		return c;
	}
	return NULL;
}
