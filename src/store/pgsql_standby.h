/* SPDX-License-Identifier: Apache-2.0
 *
 * pgsql_standby.h: whether the standby of a PostgreSQL server may be read now. Private to store.
 */
#ifndef CAIRN_STORE_PGSQL_STANDBY_H
#define CAIRN_STORE_PGSQL_STANDBY_H

#include "store/store.h"

#include <pthread.h>

struct pgsql_place { /* where a server is: what it has written, or replayed */
	/* Of one that follows, the timeline is what it has on its disk, so right after a failover it can be the one before:
	 * positions on two timelines must not be compared. */
	int64_t lsn, timeline, system;
	bool follows;
};
fallible pgsql_place_read(struct store_tx *tx, void *ctx, struct err *err); /* a store_fn; ctx: a pgsql_place */

struct pgsql_watch {
	pthread_mutex_t lock;
	const struct store_events *to;
	int64_t lag_ms;
	bool looking;
	int64_t look_at;       /* not before */
	int64_t mark, mark_at; /* where the main server was, and when: what the standby is held against */
	int64_t proven_at;     /* the standby has all that was there then */
	enum { PGSQL_SAID_NOTHING, PGSQL_SAID_IN, PGSQL_SAID_OUT } said;
	int64_t said_out_at;
};
void pgsql_watch_init(struct pgsql_watch *w, int64_t lag_s, const struct store_events *to);
void pgsql_watch_done(struct pgsql_watch *w);
/* True: the caller is to ask both servers where they are, the main one first, and to end it. */
bool pgsql_watch_begin(struct pgsql_watch *w);
/* asked_at: before both were. NULL: that one gave no answer. */
void pgsql_watch_end(struct pgsql_watch *w, int64_t asked_at, const struct pgsql_place *main,
		     const struct pgsql_place *standby);
void pgsql_watch_away(struct pgsql_watch *w, const struct err *why);
bool pgsql_watch_fits(struct pgsql_watch *w);

#endif
