/* SPDX-License-Identifier: Apache-2.0
 *
 * store_pgsql.c: transactions over a few connections to PostgreSQL. Writers go in groups (group.h): one connection writes
 * at a time, and statements whose answers nobody needs go to the server together. A transaction that was in another's way, or
 * whose connection ended, is run again; one whose commit was under way when the connection ended is asked for by its number
 * first, so that nothing is done twice and nothing that was done is called failed.
 */
#include "store/group.h"
#include "store/internal.h"
#include "store/pgsql.h"
#include "store/pgsql_standby.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define CONNECTIONS_MAX 64
#define HABITS_MAX 64 /* more than there are reads in the program */
#define LOOKS_MAX 32  /* what has more has another number each time */
#define AGAIN_MAX 24
#define AGAIN_PATIENCE_MS 24000
#define LOST_PATIENCE_MS 8000
#define OUTCOME_PATIENCE_MS 8000
#define TURN_PATIENCE_S 20
#define BACK_OFF_MOST_MS 200

struct pool {
	struct pgsql_target target;
	pthread_mutex_t lock; /* free, free_count */
	pthread_cond_t freed;
	struct db *all[CONNECTIONS_MAX], *free[CONNECTIONS_MAX];
	size_t count, free_count;
};

struct habit { /* of a read */
	_Atomic(store_fn *) fn;
	_Atomic unsigned looks; /* the most that it had */
};

struct pgsql_store {
	struct store base;
	const struct clock *clock;
	struct pool main, standby; /* standby.count 0: there is none */
	struct group writers;
	struct habit habits[HABITS_MAX];
	struct pgsql_watch watch; /* of the standby */
	_Atomic uint64_t transactions, commits, busy, failures;
};

static struct pgsql_store *self(struct store *base)
{
	return (struct pgsql_store *)base; /* base is the first member */
}

static int64_t now_ms(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* patience with a real server: no test scripts it */
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Random, so that those who met do not meet again. */
static void back_off(unsigned turn)
{
	uint32_t r = 0;
	rng_fill(&rng_system, &r, sizeof r);
	int64_t most_us = turn >= 8 ? BACK_OFF_MOST_MS * 1000 : (int64_t)1000 << turn;
	int64_t us = 200 + r % most_us;
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };
	(void)nanosleep(&t, NULL);
}

/* --- the pool -----------------------------------------------------------------------------------------------------*/
static void pool_init(struct pool *p)
{
	pthread_condattr_t monotonic;
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&p->freed, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
}

static void pool_fill(struct pool *p, size_t count)
{
	for (; p->count < count; p->count++)
		p->all[p->count] = pgsql_new(&p->target);
	while (p->free_count < count) { /* the first one, which is connected, is taken first */
		p->free[p->free_count] = p->all[count - p->free_count - 1];
		p->free_count++;
	}
}

static void pool_done(struct pool *p)
{
	for (size_t i = 0; i < p->count; i++)
		p->all[i]->ops->close(p->all[i]);
	pgsql_target_done(&p->target);
	(void)pthread_cond_destroy(&p->freed);
	(void)pthread_mutex_destroy(&p->lock);
}

static fallible pool_take(struct pool *p, struct db **ret, struct err *err)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += TURN_PATIENCE_S;
	struct db *db = NULL;
	(void)pthread_mutex_lock(&p->lock);
	while (p->free_count == 0 && pthread_cond_timedwait(&p->freed, &p->lock, &until) == 0)
		continue;
	if (p->free_count > 0)
		db = p->free[--p->free_count]; /* the last one used: the others may rest */
	(void)pthread_mutex_unlock(&p->lock);
	if (db == NULL)
		FAIL(err, ERR_UNAVAILABLE, "all connections to the database are busy: try again later");
	*ret = db;
	return OK;
}

static void pool_give(struct pool *p, struct db *db)
{
	(void)pthread_mutex_lock(&p->lock);
	p->free[p->free_count++] = db;
	(void)pthread_cond_signal(&p->freed);
	(void)pthread_mutex_unlock(&p->lock);
}

/* --- one transaction ----------------------------------------------------------------------------------------------*/
struct job {
	store_fn *fn; /* a read */
	void *ctx;
	struct group_member *batch; /* or who writes; fn is NULL then */
	bool alone;                 /* of these the first only */
	bool careful;               /* nothing is put off */
	unsigned expected, looks;   /* statements of a read, and how many it had */
	int64_t began_at;
	unsigned turn;          /* how often it was run before */
	unsigned met;           /* in how many of these another transaction was in the way */
	enum pgsql_fault fault; /* of the last one */
};

static void err_forget(struct err *err)
{
	if (err != NULL)
		*err = (struct err){ .kind = ERR_NONE };
}

static fallible look_once(struct pgsql_store *s, struct job *j, struct db *db, struct err *err)
{
	struct store_tx tx = { db, s->clock };
	TRY(pgsql_begin_look(db, j->expected, err));
	struct rc rc = j->fn(&tx, j->ctx, err);
	j->looks = pgsql_looks(db);
	/* fn may have made something else of the fault, or have gone on: the database has not. */
	if (!FAILED(rc) || pgsql_fault(db) != PGSQL_FINE)
		rc = db->ops->commit(db, err);
	return rc;
}

/* That a member fails is its own. What is returned is a fault, whatever the member made of it. */
static fallible write_once(struct pgsql_store *s, const struct job *j, struct db *db, struct err *err)
{
	struct store_tx tx = { db, s->clock };
	bool any = false;
	TRY(pgsql_begin_group(db, !j->careful, err));
	for (struct group_member *m = j->batch; m != NULL; m = j->alone ? NULL : m->next) {
		err_forget(m->err);
		pgsql_member_begin(db, j->alone);
		m->rc = m->fn(&tx, m->ctx, m->err);
		TRY(pgsql_member_end(db, !FAILED(m->rc), err));
		any = any || !FAILED(m->rc);
	}
	if (any)
		return db->ops->commit(db, err);
	db->ops->rollback(db);
	return OK;
}

/* Runs it once. What came of it is the connection's fault; rc and err are a reader's, or the fault's. */
static fallible run_once(struct pgsql_store *s, struct job *j, struct db *db, struct err *err)
{
	return j->fn != NULL ? look_once(s, j, db, err) : write_once(s, j, db, err);
}

/* The connection ended while the server was committing. The answer is the server's; until it has one, or when nobody can
 * tell, the caller is not told that it was done, and may ask again: ids are the caller's own. */
static enum pgsql_outcome outcome_get(struct db *db, const struct pgsql_mark *mark)
{
	int64_t until = now_ms() + OUTCOME_PATIENCE_MS;
	for (unsigned turn = 0; now_ms() < until; turn++) {
		enum pgsql_outcome outcome;
		if (!FAILED(pgsql_outcome(db, mark, &outcome, NULL)) && outcome != PGSQL_IN_PROGRESS)
			return outcome;
		back_off(turn + 4);
	}
	return PGSQL_CANNOT_TELL;
}

static bool has_patience(const struct job *j, enum pgsql_fault fault)
{
	int64_t passed = now_ms() - j->began_at;
	switch (fault) {
	case PGSQL_AGAIN:
		return j->met < AGAIN_MAX && passed < AGAIN_PATIENCE_MS;
	case PGSQL_DOUBLE: /* once more: now the row is seen by who looks before it writes */
		return j->alone && j->met < 2;
	case PGSQL_UNMET:
		return j->alone && !j->careful;
	case PGSQL_SNAPSHOT:
		return j->expected != 0;
	case PGSQL_LOST:
		return passed < LOST_PATIENCE_MS;
	case PGSQL_FINE:
	case PGSQL_REFUSED:
	case PGSQL_BROKEN:
	case PGSQL_UNKNOWN:
		return false;
	}
	return false;
}

/* *ret_again: nothing was changed, and it is worth another turn. */
static fallible run_turn(struct pgsql_store *s, struct job *j, struct db *db, bool *ret_again, struct err *err)
{
	struct rc rc = run_once(s, j, db, err);
	j->fault = pgsql_handle(db) != NULL ? pgsql_fault(db) : PGSQL_LOST;
	*ret_again = false;
	if (j->fault == PGSQL_UNKNOWN) {
		const struct pgsql_mark mark = *pgsql_mark(db);
		db->ops->rollback(db);
		enum pgsql_outcome outcome = outcome_get(db, &mark);
		if (outcome == PGSQL_COMMITTED) {
			err_forget(err);
			return OK;
		}
		*ret_again = outcome == PGSQL_ABORTED && has_patience(j, PGSQL_LOST);
		FAIL(err, ERR_UNAVAILABLE, "the connection to the database was lost: try again later");
	}
	if (FAILED(rc) || j->fault != PGSQL_FINE)
		db->ops->rollback(db);
	*ret_again = has_patience(j, j->fault);
	j->met += j->fault == PGSQL_AGAIN || j->fault == PGSQL_DOUBLE;
	if (j->fault == PGSQL_SNAPSHOT)
		j->expected = 0;
	j->careful = j->careful || j->fault == PGSQL_UNMET || j->fault == PGSQL_DOUBLE;
	return rc;
}

static fallible run_on(struct pgsql_store *s, struct pool *p, struct job *j, struct err *err)
{
	for (;; j->turn++) {
		struct db *db = NULL;
		bool again = false; /* nobody who finds all connections busy asks for more */
		struct rc rc = pool_take(p, &db, err);
		if (!FAILED(rc)) {
			rc = run_turn(s, j, db, &again, err);
			pool_give(p, db);
		}
		if (!FAILED(rc) || !again)
			return rc;
		err_forget(err);
		if (j->fault == PGSQL_UNMET || j->fault == PGSQL_SNAPSHOT)
			continue; /* nobody was in the way */
		s->busy++;
		back_off(j->turn);
	}
}

static void count(struct pgsql_store *s, const struct group_member *m)
{
	s->transactions++;
	s->failures += FAILED(m->rc);
}

/* Its failure is what became of the transaction. */
static void member_fail(struct group_member *m, struct rc rc, const struct err *why)
{
	m->rc = rc;
	if (m->err != NULL)
		*m->err = *why;
}

/* A statement was refused, or changed nothing: a member's own affair, and not the server's. */
static bool is_somebodys(enum pgsql_fault fault)
{
	return fault == PGSQL_REFUSED || fault == PGSQL_DOUBLE || fault == PGSQL_UNMET;
}

static void members_fail(struct group_member *batch, struct rc rc, const struct err *why)
{
	for (struct group_member *m = batch; m != NULL; m = m->next)
		member_fail(m, rc, why);
}

/* Together it did not go. Whose fault it was, each finds out by itself; all of them within the time that the batch has, and
 * once the server fails, none asks it again. */
static void commit_singly(struct pgsql_store *s, struct group_member *batch, int64_t began_at)
{
	for (struct group_member *m = batch; m != NULL; m = m->next) {
		struct job j = { .batch = m, .alone = true, .careful = true, .began_at = began_at };
		struct err err = { 0 };
		struct rc rc = run_on(s, &s->main, &j, &err);
		if (!FAILED(rc)) {
			s->commits++;
			continue;
		}
		member_fail(m, rc, &err);
		if (!is_somebodys(j.fault)) {
			members_fail(m->next, rc, &err);
			return;
		}
	}
}

static void commit_batch(struct store *base, struct group_member *batch, const struct group_member *leader)
{
	struct pgsql_store *s = self(base);
	struct job j = { .batch = batch, .alone = batch->next == NULL, .began_at = now_ms() };
	struct err err = { 0 };
	struct rc rc = run_on(s, &s->main, &j, &err);
	if (!FAILED(rc))
		s->commits++;
	else if (!j.alone && is_somebodys(j.fault))
		commit_singly(s, batch, j.began_at);
	else
		members_fail(batch, rc, &err);
	for (const struct group_member *m = batch; m != NULL; m = m->next)
		count(s, m);
	group_answer(batch, leader);
}

static fallible write_tx(struct store *base, store_fn *fn, void *ctx, struct err *err)
{
	return group_run(&self(base)->writers, fn, ctx, err);
}

/* How many statements a read has is known from those before it, if not always to the last one. */
static struct habit *habit_of(struct pgsql_store *s, store_fn *fn)
{
	for (size_t i = 0; i < HABITS_MAX; i++) {
		store_fn *known = NULL;
		if (atomic_compare_exchange_strong(&s->habits[i].fn, &known, fn) || known == fn)
			return &s->habits[i];
	}
	return NULL;
}

static fallible read_tx(struct store *base, store_fn *fn, void *ctx, struct err *err)
{
	struct pgsql_store *s = self(base);
	struct habit *h = habit_of(s, fn);
	unsigned most = h == NULL ? 0 : h->looks;
	struct job j = { .fn = fn, .ctx = ctx, .expected = most <= LOOKS_MAX ? most : 0, .began_at = now_ms() };
	struct rc rc = run_on(s, &s->main, &j, err);
	if (h != NULL && j.looks > most)
		h->looks = j.looks;
	return rc;
}

/* One turn. What fn says of what it found stands: *ret_done. What the server did, down to a table that it has not got yet,
 * does not. */
static fallible read_once(struct pgsql_store *s, struct pool *p, store_fn *fn, void *ctx, bool *ret_done,
			  struct err *err)
{
	struct job j = { .fn = fn, .ctx = ctx, .began_at = now_ms(), .fault = PGSQL_LOST };
	struct db *db = NULL;
	bool again = false;
	struct rc rc = pool_take(p, &db, err);
	if (!FAILED(rc)) {
		rc = run_turn(s, &j, db, &again, err);
		pool_give(p, db);
	}
	*ret_done = !FAILED(rc) || j.fault == PGSQL_FINE;
	return rc;
}

/* Once each, and for nobody's patience: without an answer of the main server nothing new is known. */
static void standby_look(struct pgsql_store *s)
{
	int64_t asked_at = now_ms();
	struct pgsql_place main, standby;
	struct err why = { 0 };
	bool done;
	bool main_known = !FAILED(read_once(s, &s->main, pgsql_place_read, &main, &done, NULL));
	bool standby_known = main_known && !FAILED(read_once(s, &s->standby, pgsql_place_read, &standby, &done, &why));
	if (main_known && !standby_known)
		pgsql_watch_away(&s->watch, &why);
	pgsql_watch_end(&s->watch, asked_at, main_known ? &main : NULL, standby_known ? &standby : NULL);
}

/* On the standby when it is fit, else on the main server. */
static fallible read_stale(struct store *base, store_fn *fn, void *ctx, struct err *err)
{
	struct pgsql_store *s = self(base);
	if (s->standby.count > 0 && pgsql_watch_begin(&s->watch))
		standby_look(s);
	if (s->standby.count == 0 || !pgsql_watch_fits(&s->watch))
		return read_tx(base, fn, ctx, err);
	bool done;
	struct err why = { 0 };
	struct rc rc = read_once(s, &s->standby, fn, ctx, &done, &why);
	if (done) {
		if (FAILED(rc) && err != NULL)
			*err = why;
		return rc;
	}
	pgsql_watch_away(&s->watch, &why);
	return read_tx(base, fn, ctx, err);
}

/* --- opening and closing ------------------------------------------------------------------------------------------*/
static void close_store(struct store *base)
{
	struct pgsql_store *s = self(base);
	group_stop(&s->writers);
	group_done(&s->writers);
	pool_done(&s->main);
	pool_done(&s->standby);
	pgsql_watch_done(&s->watch);
	free(s);
}

static void store_auto(struct pgsql_store **s)
{
	if (*s != NULL)
		close_store(&(*s)->base);
}

static struct store_stats stats(const struct store *base)
{
	const struct pgsql_store *s = (const struct pgsql_store *)base;
	return (struct store_stats){
		.transactions = s->transactions,
		.commits = s->commits,
		.busy = s->busy,
		.failures = s->failures,
		.waiting = s->writers.waiting,
	};
}

/* The disk is the server's, which recovers by itself. */
static bool is_lost(const struct store *base)
{
	(void)base;
	return false;
}

static void reach(const struct store *base, struct store_reach *add)
{
	const struct pgsql_store *s = (const struct pgsql_store *)base;
	pgsql_target_reach(&s->main.target, add);
	if (s->standby.count > 0)
		pgsql_target_reach(&s->standby.target, add);
}

static const struct store_ops store_pgsql_ops = {
	.tx = write_tx,
	.read = read_tx,
	.read_stale = read_stale,
	.close = close_store,
	.stats = stats,
	.is_lost = is_lost,
	.reach = reach,
};

static struct pgsql_store *store_new(const struct clock *clk)
{
	struct pgsql_store *s = (struct pgsql_store *)mem_alloc(sizeof *s);
	s->base.ops = &store_pgsql_ops;
	s->clock = clk;
	pool_init(&s->main);
	pool_init(&s->standby);
	group_init(&s->writers, commit_batch, &s->base);
	return s;
}

static fallible migrate_in(struct pgsql_store *s, struct db *db, struct err *err)
{
	TRY(pgsql_begin_migration(db, err));
	bool more;
	TRY(store_migrate(db, s->clock, store_migrations, store_migration_count, err));
	TRY(db->ops->compact(db, &more, err)); /* it may have slept over the end of a month */
	return db->ops->commit(db, err);
}

/* All migrations are one transaction: a start that is killed has changed nothing. */
static fallible migrate(struct pgsql_store *s, struct err *err)
{
	struct db *db = s->main.all[0];
	struct err why = { 0 };
	struct rc open = pgsql_ready(db, &why);
	if (FAILED(open)) /* to an operator: with libpq's words, which name the server and the user */
		FAIL(err, open.kind, "%s%s%s", why.detail, why.cause[0] == '\0' ? "" : ": ", why.cause);
	pgsql_target_settle(&s->main.target, pgsql_handle(db));
	struct rc rc = migrate_in(s, db, err);
	if (FAILED(rc))
		db->ops->rollback(db);
	return rc;
}

static fallible fail_with(const struct err *why, struct err *err)
{
	if (err != NULL)
		*err = *why;
	return (struct rc){ why->kind };
}

static void tell_passed_over(const struct pgsql_target *t, const struct store_events *to, const char *help)
{
	if (to == NULL || t->passed_over.kind == ERR_NONE)
		return;
	const struct store_event e = { .level = LOG_WARNING,
				       .what = "database host without address",
				       .why = t->passed_over.detail,
				       .help = help };
	to->fn(to->ctx, &e);
}

/* A standby that is away is no reason not to start. */
static void standby_open(struct pgsql_store *s)
{
	struct db *db = s->standby.all[0];
	struct err why = { 0 };
	if (!FAILED(pgsql_ready(db, &why))) {
		pgsql_target_settle(&s->standby.target, pgsql_handle(db));
		return;
	}
	pgsql_target_settle_away(&s->standby.target);
	pgsql_watch_away(&s->watch, &why);
}

/* One whose name has no address now will have none later: nobody asks for it inside of the sandbox. */
static fallible standby_make(struct pgsql_store *s, const struct store_where *w, struct err *err)
{
	static const char help[] = "lists are read from the server of store.url until cairn is started again";
	struct pgsql_target *t = &s->standby.target;
	struct err why = { 0 };
	struct rc rc = pgsql_target_make(w->standby_url, w->password_file, w->pooler, true, t, &why);
	if (!FAILED(rc))
		pool_fill(&s->standby, w->connections);
	else if (rc.kind != ERR_UNAVAILABLE)
		return fail_with(&why, err);
	else
		t->passed_over = why;
	tell_passed_over(t, w->events, help);
	return OK;
}

fallible store_pgsql_open(const struct store_where *w, const struct clock *clk, struct store **ret, struct err *err)
{
	if (w->connections == 0 || w->connections > CONNECTIONS_MAX)
		FAIL(err, ERR_CONFIG, "%u connections, 1 to %d are possible", w->connections, CONNECTIONS_MAX);
	AUTO(store_auto) struct pgsql_store *s = store_new(clk);
	pgsql_watch_init(&s->watch, w->standby_lag_s, w->events);
	TRY(pgsql_target_make(w->url, w->password_file, w->pooler, false, &s->main.target, err));
	pgsql_servers_tell(s->main.target.servers, w->events);
	tell_passed_over(&s->main.target, w->events,
			 "the others of store.url are used; start cairn again once it has one");
	pool_fill(&s->main, w->connections);
	if (w->standby_url.n > 0)
		TRY(standby_make(s, w, err));
	TRY(migrate(s, err));
	if (s->standby.count > 0)
		standby_open(s);
	*ret = &s->base;
	s = NULL;
	return OK;
}
