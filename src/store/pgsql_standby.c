/* SPDX-License-Identifier: Apache-2.0
 *
 * pgsql_standby.c: whether the standby may be read. What it has replayed is held against where the main server was: once
 * it has all of what was there at a time, it is not behind that time. Both are asked at most once a second, by a read that
 * comes along; between two reads that are far apart nothing is known, and the main server is read.
 */
#include "store/pgsql_standby.h"

#include "store/internal.h"

#include <stdio.h>

#define LOOK_EACH_MS 1000
/* After a standby could not be reached, how long it is not tried. */
#define REST_MS 5000
/* One that comes and goes is told of so often at most. */
#define SAY_EACH_MS 10000
#define LAG_DEFAULT_S 30
#define NEVER INT64_MIN

static int64_t now_ms(void)
{
	return clock_mono_ms(&clock_system); /* patience with a real server: no test scripts it */
}

void pgsql_watch_init(struct pgsql_watch *w, int64_t lag_s, const struct store_events *to)
{
	(void)pthread_mutex_init(&w->lock, NULL);
	w->to = to;
	w->lag_ms = (lag_s == 0 ? LAG_DEFAULT_S : lag_s) * 1000;
	w->look_at = w->mark_at = w->proven_at = w->said_out_at = NEVER;
}

void pgsql_watch_done(struct pgsql_watch *w)
{
	(void)pthread_mutex_destroy(&w->lock);
}

/* --- looking ------------------------------------------------------------------------------------------------------*/
static const char place_sql[] =
	"SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0'"
	" ELSE pg_current_wal_lsn() - '0/0' END::bigint,"
	" CASE WHEN pg_is_in_recovery() THEN greatest((SELECT timeline_id FROM pg_control_checkpoint()),"
	" (SELECT min_recovery_end_timeline FROM pg_control_recovery()))::bigint"
	" ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint END,"
	" system_identifier, pg_is_in_recovery()::int::bigint FROM pg_control_system()";

fallible pgsql_place_read(struct store_tx *tx, void *ctx, struct err *err)
{
	struct pgsql_place *p = (struct pgsql_place *)ctx;
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "position", place_sql, NULL, 0, err));
	*p = (struct pgsql_place){ .lsn = rows_i64(&r, 0),
				   .timeline = rows_i64(&r, 1),
				   .system = rows_i64(&r, 2),
				   .follows = rows_i64(&r, 3) != 0 };
	return OK;
}

/* --- judging ------------------------------------------------------------------------------------------------------*/
static void say(const struct pgsql_watch *w, const struct store_event *e)
{
	if (w->to != NULL)
		w->to->fn(w->to->ctx, e);
}

static void out(struct pgsql_watch *w, int64_t now, const char *why, const char *help)
{
	w->proven_at = NEVER;
	if (w->said == PGSQL_SAID_OUT || (w->said_out_at != NEVER && now - w->said_out_at < SAY_EACH_MS))
		return;
	w->said = PGSQL_SAID_OUT;
	w->said_out_at = now;
	say(w, &(struct store_event){ .level = LOG_WARNING, .what = "standby left out", .why = why, .help = help });
}

static bool is_fit(const struct pgsql_watch *w, int64_t now)
{
	return w->proven_at != NEVER && now - w->proven_at <= w->lag_ms;
}

static const char *unfit_text(const struct pgsql_place *main, const struct pgsql_place *standby)
{
	if (main->system != standby->system)
		return "it is a server of another database (pg_control_system() differs)";
	if (standby->timeline == main->timeline)
		return NULL;
	return standby->follows
		       ? "it follows another server, or has not come to the last failover yet (its timeline differs)"
		       : "it has ceased to follow: it was promoted, or was the primary before";
}

static void judge(struct pgsql_watch *w, int64_t asked_at, const struct pgsql_place *main,
		  const struct pgsql_place *standby)
{
	int64_t now = now_ms();
	if (standby->lsn >= main->lsn)
		w->proven_at = asked_at;
	else if (w->mark_at != NEVER && standby->lsn >= w->mark && w->mark_at > w->proven_at)
		w->proven_at = w->mark_at;
	if (w->mark_at == NEVER || standby->lsn >= w->mark) {
		w->mark = main->lsn;
		w->mark_at = asked_at;
	}
	if (is_fit(w, now) && w->said != PGSQL_SAID_IN) {
		w->said = PGSQL_SAID_IN;
		say(w, &(struct store_event){ .level = LOG_NOTICE, .what = "standby in use" });
	}
	if (is_fit(w, now) || now - w->mark_at <= w->lag_ms)
		return;
	char why[120];
	(void)snprintf(why, sizeof why, "it is behind by more than %" PRId64 " s, and by %" PRId64 " bytes",
		       w->lag_ms / 1000, main->lsn - standby->lsn);
	out(w, now, why, "see pg_stat_replication on the primary and pg_stat_wal_receiver on the standby");
}

bool pgsql_watch_begin(struct pgsql_watch *w)
{
	int64_t now = now_ms();
	(void)pthread_mutex_lock(&w->lock);
	bool due = !w->looking && (w->look_at == NEVER || now >= w->look_at);
	w->looking = w->looking || due;
	(void)pthread_mutex_unlock(&w->lock);
	return due;
}

void pgsql_watch_end(struct pgsql_watch *w, int64_t asked_at, const struct pgsql_place *main,
		     const struct pgsql_place *standby)
{
	(void)pthread_mutex_lock(&w->lock);
	w->looking = false;
	if (w->look_at <= asked_at) /* else it was found away meanwhile, and rests */
		w->look_at = now_ms() + LOOK_EACH_MS;
	if (main != NULL && standby != NULL) {
		const char *unfit = unfit_text(main, standby);
		if (unfit != NULL)
			out(w, now_ms(), unfit,
			    "make it a standby of the server of store.url, or change store.standby");
		else
			judge(w, asked_at, main, standby);
	}
	(void)pthread_mutex_unlock(&w->lock);
}

void pgsql_watch_away(struct pgsql_watch *w, const struct err *why)
{
	char text[sizeof why->detail + sizeof why->cause + 8];
	(void)snprintf(text, sizeof text, "%s%s%s", why->detail, why->cause[0] == '\0' ? "" : ": ", why->cause);
	(void)pthread_mutex_lock(&w->lock);
	w->look_at = now_ms() + REST_MS;
	out(w, now_ms(), text, "start it, or see its own log; until then lists are read from the server of store.url");
	(void)pthread_mutex_unlock(&w->lock);
}

bool pgsql_watch_fits(struct pgsql_watch *w)
{
	(void)pthread_mutex_lock(&w->lock);
	bool fits = is_fit(w, now_ms());
	(void)pthread_mutex_unlock(&w->lock);
	return fits;
}
