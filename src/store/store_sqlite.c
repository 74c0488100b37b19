/* SPDX-License-Identifier: Apache-2.0
 *
 * store_sqlite.c: many threads on one SQLite database. Writers go in groups (group.h). Readers share a few connections. A
 * thread of its own copies the write-ahead log back into the file.
 */
#include "store/group.h"
#include "store/internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define READERS_MAX 256
/* The log's way back, in frames of 4 KiB. From CHECKPOINT_AT on the checkpointer copies beside the running writer. That
 * alone never catches up with a busy writer, and a log is only reused from its start once all of it is copied: so from
 * CATCH_UP_AT on the writer copies the little that is left itself, between two commits. */
#define CHECKPOINT_AT 4000
#define CATCH_UP_AT 8000
#define CHECKPOINT_IDLE_MS 5000
/* A savepoint costs two statements and a copy of each page that is changed behind it, and nearly nobody is refused. So a batch runs
 * without at first; one in which somebody was refused runs again with a savepoint for each, and so do this many after it:
 * who is refused on purpose costs the others one batch in so many. */
#define GUARDED_BATCHES 64

struct sqlite_store {
	struct store base;
	const struct clock *clock;
	_Atomic bool lost;
	int lock_fd;

	struct db *writer; /* the leader's, as is: */
	unsigned guarded;  /* batches to come that run with savepoints */
	struct group writers;

	pthread_mutex_t reader_lock; /* readers_free, free_count */
	pthread_cond_t reader_freed;
	struct db **readers, **readers_free;
	size_t reader_count, free_count;

	struct db *checkpointer;
	pthread_t checkpoint_thread;
	bool checkpointer_runs;
	pthread_mutex_t checkpoint_lock; /* the flags below */
	pthread_cond_t checkpoint_wanted;
	bool wants_checkpoint, wrote, checkpoint_stops;

	_Atomic uint64_t transactions, commits, failures;
};

static fallible refuse_lost(struct err *err)
{
	FAIL(err, ERR_UNAVAILABLE, "the disk that holds the database failed: the program must start again");
}

static struct sqlite_store *self(struct store *base)
{
	return (struct sqlite_store *)base; /* base is the first member */
}

static bool is_lost(const struct store *base)
{
	return ((const struct sqlite_store *)base)->lost;
}

/* --- writers ------------------------------------------------------------------------------------------------------*/
/* The commit, or the transaction around it, is gone: so is everybody who had succeeded in it, or had not run yet. */
static void fail_batch(struct sqlite_store *s, struct group_member *batch, struct rc rc, const struct err *why)
{
	s->failures++;
	for (struct group_member *w = batch; w != NULL; w = w->next) {
		if (FAILED(w->rc))
			continue;
		w->rc = rc;
		if (w->err != NULL)
			*w->err = *why;
	}
}

/* One member of a batch. Its failure is its own when it is guarded; only what ends the whole transaction is returned. That
 * the disk failed does so, too, even where SQLite would go on: nothing it says may be believed from then on. */
static fallible run_member(struct sqlite_store *s, struct group_member *w, bool guarded, struct err *err)
{
	const struct db_ops *ops = s->writer->ops;
	struct store_tx tx = { s->writer, s->clock };
	if (guarded)
		TRY(ops->savepoint(s->writer, err));
	w->rc = w->fn(&tx, w->ctx, w->err);
	if (s->lost)
		return refuse_lost(err);
	if (!ops->in_tx(s->writer))
		FAIL(err, ERR_UNAVAILABLE, "%s",
		     w->err != NULL && FAILED(w->rc) ? w->err->detail
						     : "the database ended a transaction: try again later");
	if (!guarded)
		return OK;
	return FAILED(w->rc) ? ops->undo(s->writer, err) : ops->release(s->writer, err);
}

struct tally {
	unsigned done, refused;
};

/* Without guards the first failure ends it: what the others did cannot be told from what this one did. */
static fallible run_members(struct sqlite_store *s, struct group_member *batch, bool guarded, struct tally *ret,
			    struct err *err)
{
	struct tally t = { 0, 0 };
	for (struct group_member *w = batch; w != NULL && (guarded || t.refused == 0); w = w->next) {
		TRY(run_member(s, w, guarded, err));
		if (FAILED(w->rc))
			t.refused++;
		else
			t.done++;
	}
	*ret = t;
	return OK;
}

/* Everybody's is taken back, and begins anew, guarded. */
static fallible run_again(struct sqlite_store *s, struct group_member *batch, struct tally *ret, struct err *err)
{
	s->writer->ops->rollback(s->writer);
	s->guarded = GUARDED_BATCHES;
	for (struct group_member *w = batch; w != NULL; w = w->next) {
		w->rc = OK;
		if (w->err != NULL)
			*w->err = (struct err){ 0 };
	}
	if (s->lost)
		return refuse_lost(err);
	TRY(s->writer->ops->begin_write(s->writer, err));
	return run_members(s, batch, true, ret, err);
}

static fallible run_batch(struct sqlite_store *s, struct group_member *batch, struct err *err)
{
	const struct db_ops *ops = s->writer->ops;
	bool alone = batch->next == NULL, guarded = !alone && s->guarded > 0;
	struct tally t;
	if (s->lost)
		return refuse_lost(err);
	for (const struct group_member *w = batch; w != NULL; w = w->next)
		s->transactions++;
	TRY(ops->begin_write(s->writer, err));
	TRY(run_members(s, batch, guarded, &t, err));
	if (guarded)
		s->guarded--;
	else if (!alone && t.refused > 0)
		TRY(run_again(s, batch, &t, err));
	s->failures += t.refused;
	if (t.done == 0) {
		ops->rollback(s->writer);
		return OK;
	}
	if (s->lost) /* a reader or the checkpointer met it */
		return refuse_lost(err);
	TRY(ops->commit(s->writer, err));
	s->commits++;
	return OK;
}

static void want_checkpoint(struct sqlite_store *s, bool now)
{
	(void)pthread_mutex_lock(&s->checkpoint_lock);
	s->wrote = true;
	if (now && !s->wants_checkpoint) {
		s->wants_checkpoint = true;
		(void)pthread_cond_signal(&s->checkpoint_wanted);
	}
	(void)pthread_mutex_unlock(&s->checkpoint_lock);
}

static void commit_batch(struct store *base, struct group_member *batch, const struct group_member *leader)
{
	struct sqlite_store *s = self(base);
	struct err err = { 0 };
	struct rc rc = run_batch(s, batch, &err);
	if (FAILED(rc)) {
		s->writer->ops->rollback(s->writer);
		if (rc.kind !=
		    ERR_UNAVAILABLE) { /* nobody asked for a savepoint or a commit: their failure is no refusal */
			err_prefix(&err, "the database failed: ");
			rc.kind = err.kind = ERR_UNAVAILABLE;
		}
		fail_batch(s, batch, rc, &err);
	}
	group_answer(batch, leader);

	if (!sqlite_has_written(s->writer)) /* rolled back, or nothing to write: the log is as it was */
		return;
	unsigned frames = sqlite_wal_frames(s->writer);
	want_checkpoint(s, frames >= CHECKPOINT_AT);
	if (frames >= CATCH_UP_AT && !s->lost)
		(void)FAILED(sqlite_checkpoint(s->writer, false, NULL)); /* tried again after the next commit */
}

static fallible write_tx(struct store *base, store_fn *fn, void *ctx, struct err *err)
{
	struct sqlite_store *s = self(base);
	return s->lost ? refuse_lost(err) : group_run(&s->writers, fn, ctx, err);
}

/* --- readers ------------------------------------------------------------------------------------------------------*/
static struct db *reader_take(struct sqlite_store *s)
{
	(void)pthread_mutex_lock(&s->reader_lock);
	while (s->free_count == 0)
		(void)pthread_cond_wait(&s->reader_freed, &s->reader_lock);
	struct db *db = s->readers_free[--s->free_count]; /* the last one used has the warmest cache */
	(void)pthread_mutex_unlock(&s->reader_lock);
	return db;
}

static void reader_give(struct sqlite_store *s, struct db *db)
{
	(void)pthread_mutex_lock(&s->reader_lock);
	s->readers_free[s->free_count++] = db;
	(void)pthread_cond_signal(&s->reader_freed);
	(void)pthread_mutex_unlock(&s->reader_lock);
}

/* The snapshot is taken at the first statement, which comes after every commit that was acknowledged by now. */
static fallible read_on(struct sqlite_store *s, struct db *db, store_fn *fn, void *ctx, struct err *err)
{
	struct store_tx tx = { db, s->clock };
	TRY(db->ops->begin_read(db, err));
	struct rc rc = fn(&tx, ctx, err);
	if (!FAILED(rc))
		rc = db->ops->commit(db, err);
	if (FAILED(rc))
		db->ops->rollback(db);
	return rc;
}

static fallible read_tx(struct store *base, store_fn *fn, void *ctx, struct err *err)
{
	struct sqlite_store *s = self(base);
	if (s->lost)
		return refuse_lost(err);
	struct db *db = reader_take(s);
	struct rc rc = read_on(s, db, fn, ctx, err);
	reader_give(s, db);
	return rc;
}

/* --- the checkpointer ---------------------------------------------------------------------------------------------*/
enum checkpoint { CHECKPOINT_STOP, CHECKPOINT_COPY, CHECKPOINT_TRUNCATE, CHECKPOINT_NOTHING };

/* Waits until there is something to copy; says TRUNCATE after a while without commits. */
static enum checkpoint checkpoint_wait(struct sqlite_store *s, bool *log_is_empty)
{
	enum checkpoint what = CHECKPOINT_NOTHING;
	struct timespec until = mono_after_ms(CHECKPOINT_IDLE_MS);
	(void)pthread_mutex_lock(&s->checkpoint_lock);
	int waited = 0;
	while (!s->wants_checkpoint && !s->checkpoint_stops && waited == 0)
		waited = pthread_cond_timedwait(&s->checkpoint_wanted, &s->checkpoint_lock, &until);
	if (s->checkpoint_stops)
		what = CHECKPOINT_STOP;
	else if (s->wants_checkpoint)
		what = CHECKPOINT_COPY;
	else if (!s->wrote && !*log_is_empty)
		what = CHECKPOINT_TRUNCATE;
	if (s->wrote)
		*log_is_empty = false;
	s->wants_checkpoint = false;
	s->wrote = false;
	(void)pthread_mutex_unlock(&s->checkpoint_lock);
	return what;
}

static void *checkpoint_main(void *arg)
{
	struct sqlite_store *s = (struct sqlite_store *)arg;
	bool log_is_empty = false;
	for (;;) {
		enum checkpoint what = checkpoint_wait(s, &log_is_empty);
		if (what == CHECKPOINT_STOP)
			return NULL;
		if (what == CHECKPOINT_NOTHING || s->lost)
			continue;
		/* A failure that matters has marked the store lost; any other is tried again. */
		if (!FAILED(sqlite_checkpoint(s->checkpointer, what == CHECKPOINT_TRUNCATE, NULL)))
			log_is_empty = what == CHECKPOINT_TRUNCATE;
	}
}

/* --- opening and closing ------------------------------------------------------------------------------------------*/
static void stop_writing(struct sqlite_store *s)
{
	group_stop(&s->writers);
	(void)pthread_mutex_lock(&s->checkpoint_lock);
	s->checkpoint_stops = true;
	(void)pthread_cond_signal(&s->checkpoint_wanted);
	(void)pthread_mutex_unlock(&s->checkpoint_lock);
	if (s->checkpointer_runs)
		(void)pthread_join(s->checkpoint_thread, NULL);
}

static void close_db(struct db *db)
{
	if (db != NULL)
		db->ops->close(db);
}

static void close_store(struct store *base)
{
	if (base == NULL)
		return;
	struct sqlite_store *s = self(base);
	stop_writing(s);
	for (size_t i = 0; i < s->reader_count; i++)
		close_db(s->readers[i]);
	close_db(s->checkpointer);
	if (s->writer != NULL && !s->lost)
		(void)FAILED(sqlite_checkpoint(s->writer, true, NULL)); /* the next opener does what is left */
	close_db(s->writer);
	fd_close(&s->lock_fd);
	group_done(&s->writers);
	(void)pthread_mutex_destroy(&s->reader_lock);
	(void)pthread_cond_destroy(&s->reader_freed);
	(void)pthread_mutex_destroy(&s->checkpoint_lock);
	(void)pthread_cond_destroy(&s->checkpoint_wanted);
	free(s->readers);
	free(s->readers_free);
	free(s);
}

static void store_auto(struct sqlite_store **s)
{
	close_store(*s == NULL ? NULL : &(*s)->base);
}

static struct sqlite_store *store_new(unsigned readers, const struct clock *clk)
{
	struct sqlite_store *s = (struct sqlite_store *)mem_alloc(sizeof *s);
	s->clock = clk;
	s->lock_fd = -1;
	s->readers = (struct db **)mem_alloc_n(sizeof(struct db *), readers);
	s->readers_free = (struct db **)mem_alloc_n(sizeof(struct db *), readers);
	group_init(&s->writers, commit_batch, &s->base);
	(void)pthread_mutex_init(&s->reader_lock, NULL);
	(void)pthread_cond_init(&s->reader_freed, NULL);
	(void)pthread_mutex_init(&s->checkpoint_lock, NULL);
	pthread_condattr_t monotonic;
	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&s->checkpoint_wanted, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
	return s;
}

static fallible open_connections(struct sqlite_store *s, const char *path, unsigned readers, struct err *err)
{
	TRY(sqlite_lock_take(path, &s->lock_fd, err));
	TRY(sqlite_file_make(path, err));
	TRY(sqlite_open(path, SQLITE_WRITER, &s->lost, &s->writer, err));
	TRY(store_migrate(s->writer, s->clock, store_migrations, store_migration_count, err));
	TRY(sqlite_open(path, SQLITE_CHECKPOINTER, &s->lost, &s->checkpointer, err));
	for (; s->reader_count < readers; s->reader_count++) {
		TRY(sqlite_open(path, SQLITE_READER, &s->lost, &s->readers[s->reader_count], err));
		s->readers_free[s->free_count++] = s->readers[s->reader_count];
	}
	return OK;
}

static fallible start_thread(struct sqlite_store *s, struct err *err)
{
	int e = pthread_create(&s->checkpoint_thread, NULL, checkpoint_main, s);
	s->checkpointer_runs = e == 0;
	if (e != 0)
		FAIL(err, ERR_IO, "starting the store's thread: %s", strerror(e));
	return OK;
}

static struct store_stats stats(const struct store *base)
{
	const struct sqlite_store *s = (const struct sqlite_store *)base;
	return (struct store_stats){
		.transactions = s->transactions,
		.commits = s->commits,
		.busy = s->writer->busy,
		.failures = s->failures,
		.waiting = s->writers.waiting,
	};
}

static const struct store_ops store_sqlite_ops = {
	.tx = write_tx, .read = read_tx, .read_stale = read_tx, .close = close_store, .stats = stats, .is_lost = is_lost
};

fallible store_sqlite_open(struct str path, unsigned readers, const struct clock *clk, struct store **ret,
			   struct err *err)
{
	if (readers == 0 || readers > READERS_MAX)
		FAIL(err, ERR_CONFIG, "%u reading connections, 1 to %d are possible", readers, READERS_MAX);
	AUTO(arena_done) struct arena mem = { 0 };
	char *path_z;
	TRY(str_dupz(&mem, path, &path_z, err));
	AUTO(store_auto) struct sqlite_store *s = store_new(readers, clk);
	s->base.ops = &store_sqlite_ops;
	TRY(open_connections(s, path_z, readers, err));
	TRY(start_thread(s, err));
	*ret = &s->base;
	s = NULL;
	return OK;
}
