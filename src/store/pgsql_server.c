/* SPDX-License-Identifier: Apache-2.0
 *
 * pgsql_server.c: connections to PostgreSQL, and which of the URL's servers they go to. A server that has been in use is
 * taken again while it lives. One that was started since, or another, is taken after all were looked at: of those that
 * take changes, the one with the latest timeline. So a primary that comes back after a standby has taken over is not used
 * again, wherever it stands in the URL. Files that libpq wants are read for it, since a sandbox may forbid it to.
 */
#include "store/internal.h"
#include "store/pgsql.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1024 * 1024)
#define TEXT_MAX 1024

/* What a server says of itself. */
struct hello {
	char life[PGSQL_LIFE_MAX];
	char started[48];
	char system[24];   /* the same for a server and all that follow it */
	uint64_t timeline; /* 0: it follows another one */
};

struct pgsql_servers {
	pthread_mutex_t lock; /* one search at a time: who waited for one has its outcome */
	const struct store_events *to;
	bool met, away;
	size_t at;                 /* of which `known` is; looked at first */
	struct hello known;        /* the last one in use */
	_Atomic uint64_t timeline; /* the same as known's, and without the lock; 0: of standbys nobody asks for one */
	int64_t failed_at;         /* the last search's end, when it found none */
	struct err why;
};

struct pgsql_servers *pgsql_servers_new(void)
{
	struct pgsql_servers *s = (struct pgsql_servers *)mem_alloc(sizeof *s);
	(void)pthread_mutex_init(&s->lock, NULL);
	s->failed_at = -1;
	return s;
}

void pgsql_servers_free(struct pgsql_servers *s)
{
	if (s != NULL)
		(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

void pgsql_servers_tell(struct pgsql_servers *s, const struct store_events *to)
{
	s->to = to;
}

uint64_t pgsql_servers_timeline(const struct pgsql_servers *s)
{
	return s->timeline;
}

/* --- waiting ------------------------------------------------------------------------------------------------------*/
/* The system's clock throughout: real waits for a real server, no test scripts them. */
bool pgsql_wait(PGconn *h, int64_t most_ms)
{
	int64_t until = clock_mono_ms(&clock_system) + most_ms;
	for (;;) {
		int unsent = PQflush(h);
		if (unsent < 0)
			return false;
		if (unsent == 0 && PQisBusy(h) == 0)
			return true;
		int64_t left = until - clock_mono_ms(&clock_system);
		struct pollfd p = { .fd = PQsocket(h), .events = (short)(unsent > 0 ? POLLIN | POLLOUT : POLLIN) };
		int n = left <= 0 ? 0 : poll(&p, 1, (int)left);
		if (n == 0 || (n < 0 && errno != EINTR) || p.fd < 0)
			return false;
		if (n > 0 && PQconsumeInput(h) == 0)
			return false;
	}
}

/* Outside of a pipeline. NULL: the connection is lost, or nothing came for too long: a pooler may let who has connected
 * wait for a server for minutes. */
static PGresult *ask(PGconn *h, const char *sql)
{
	PGresult *last = NULL;
	bool open = PQsendQuery(h, sql) == 1;
	while (open && pgsql_wait(h, PGSQL_WAIT_MS)) {
		PGresult *r = PQgetResult(h);
		if (r == NULL)
			return last;
		PQclear(last);
		last = r;
	}
	PQclear(last);
	return NULL;
}

/* --- one host's parameters ----------------------------------------------------------------------------------------*/
/* The target's, but for one host; and files as they are now, in memory, where the sandbox does not see them. */
struct params {
	const char *keywords[PGSQL_PARAMS_MAX], *values[PGSQL_PARAMS_MAX];
	struct arena mem;
	int fds[PGSQL_FILES];
	const char *paths[PGSQL_FILES];
	size_t file_count;
};

static void params_done(struct params *p)
{
	for (size_t i = 0; i < p->file_count; i++)
		(void)close(p->fds[i]);
	arena_done(&p->mem);
}

/* libpq refuses a key that others may read, but for one of root's that a group may: the copy's owner is us. */
static fallible copy_file(int from, int to, struct err *err)
{
	struct stat st;
	char bytes[4096];
	if (fstat(from, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
		FAIL(err, ERR_IO, "not a file, or a large one");
	mode_t mode = st.st_mode & (st.st_uid == 0 ? 0707 : 0777);
	if (fchmod(to, mode | S_IRUSR | S_IWUSR) != 0)
		FAIL(err, ERR_IO, "fchmod: %s", strerror(errno));
	for (;;) {
		ssize_t n = read(from, bytes, sizeof bytes);
		if (n == 0 || (n < 0 && errno != EINTR))
			return n == 0 ? OK : (struct rc){ ERR_IO };
		if (n > 0)
			TRY(fd_write_all(to, str_n(bytes, (size_t)n), err));
	}
}

/* What cannot be read is left to libpq, which knows whether it matters and says so. */
static const char *file_in_memory(struct params *p, const char *path)
{
	AUTO(fd_close) int from = file_open_read(path, 0);
	if (from < 0)
		return path;
	AUTO(fd_close) int to = memfd_create("database file", MFD_CLOEXEC);
	if (to < 0 || FAILED(copy_file(from, to, NULL)))
		return path;
	p->paths[p->file_count] = path;
	p->fds[p->file_count++] = to;
	const char *name = str_dupz_raw(&p->mem, str_fmt(&p->mem, "/proc/self/fd/%d", to));
	to = -1;
	return name;
}

static void params_make(struct params *p, const struct pgsql_target *t, size_t host)
{
	struct pgsql_host at = pgsql_host(t, host);
	const struct {
		const char *keyword;
		struct str value;
	} one[] = { { "host", at.name }, { "hostaddr", at.address }, { "port", at.port } };
	for (size_t i = 0; t->keywords[i] != NULL; i++) {
		p->keywords[i] = t->keywords[i];
		p->values[i] = t->values[i];
		for (size_t n = 0; n < ARRAY_LEN(one); n++) {
			if (strcmp(t->keywords[i], one[n].keyword) == 0)
				p->values[i] = str_dupz_raw(&p->mem, one[n].value);
		}
		for (size_t n = 0; n < PGSQL_FILES; n++) {
			if (strcmp(t->keywords[i], pgsql_files[n]) == 0 && t->values[i][0] == '/')
				p->values[i] = file_in_memory(p, t->values[i]);
		}
	}
}

/* --- what libpq says of a connection that failed ------------------------------------------------------------------*/
/* Without its beginning, which names the server: so do we; and without the second line, which guesses. Of a file in memory,
 * the file's own name. */
static struct str failure_text(struct params *p, const PGconn *h)
{
	static const char failed[] = " failed: ";
	struct str all = str_z(h == NULL ? "out of memory" : PQerrorMessage(h));
	char line[TEXT_MAX];
	const char *first = str_dupz_raw(&p->mem, str_sub(all, 0, str_find(all, '\n', 0)));
	struct str text = str_z(pgsql_text(first, line, sizeof line));
	const char *behind = strstr(line, failed);
	if (str_skip(&text, STR("connection to server ")) && behind != NULL)
		text = str_z(behind + sizeof failed - 1);
	for (size_t i = 0; i < p->file_count; i++) {
		struct str name = str_fmt(&p->mem, "/proc/self/fd/%d\"", p->fds[i]);
		const char *found = memmem(text.p, text.n, name.p, name.n);
		size_t before = found == NULL ? 0 : (size_t)(found - text.p);
		if (found != NULL)
			text = str_fmt(&p->mem, "%.*s%s\"%.*s", (int)before, text.p, p->paths[i],
				       STR_FMT(str_sub(text, before + name.n, text.n)));
	}
	return str_fmt(&p->mem, "%.*s", STR_FMT(text));
}

/* libpq says of this one neither what it found nor what it wanted. */
static fallible fail_connect(const struct pgsql_target *t, struct params *p, const PGconn *h, struct err *err)
{
	struct str text = failure_text(p, h);
	static const char distrust[] = "certificate verify failed";
	if (memmem(text.p, text.n, distrust, sizeof distrust - 1) != NULL)
		FAIL(err, ERR_UNAVAILABLE,
		     "%.*s: its certificate is not signed by a CA of %s, or its time is over (openssl s_client "
		     "-starttls "
		     "postgres -connect HOST:PORT shows it)",
		     STR_FMT(text), pgsql_param(t, "sslrootcert"));
	FAIL(err, ERR_UNAVAILABLE, "%.*s", STR_FMT(text));
}

/* --- one server ---------------------------------------------------------------------------------------------------*/
struct candidate {
	PGconn *h;
	size_t at;
	struct hello hello;
};

static void candidate_done(struct candidate *c)
{
	PQfinish(c->h);
	c->h = NULL;
}

/* What must be so, and what only this server can say. */
static const char hello_sql[] =
	"SELECT current_setting('server_version_num')::bigint,"
	" current_setting('server_encoding') IN ('UTF8', 'SQL_ASCII'),"
	" pg_postmaster_start_time()::text, system_identifier::text,"
	" CASE WHEN pg_is_in_recovery() THEN '0' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,"
	" " PGSQL_LIFE_SQL " FROM pg_control_system()";

static fallible hello_read(const PGconn *h, const PGresult *r, struct hello *ret, struct err *err)
{
	if (PQresultStatus(r) != PGRES_TUPLES_OK || PQntuples(r) != 1) {
		char text[160];
		FAIL(err, ERR_UNAVAILABLE, "the database does not answer: %s",
		     pgsql_text(PQerrorMessage(h), text, sizeof text));
	}
	long version = strtol(PQgetvalue(r, 0, 0), NULL, 10);
	if (version < 130000)
		FAIL(err, ERR_CONFIG, "the database is PostgreSQL %ld, 13 or newer is wanted", version / 10000);
	if (PQgetvalue(r, 0, 1)[0] != 't')
		FAIL(err, ERR_CONFIG, "the database's encoding is not UTF8: create it with ENCODING 'UTF8'");
	*ret = (struct hello){ .timeline = strtoull(PQgetvalue(r, 0, 4), NULL, 16) };
	(void)snprintf(ret->started, sizeof ret->started, "%s", PQgetvalue(r, 0, 2));
	(void)snprintf(ret->system, sizeof ret->system, "%s", PQgetvalue(r, 0, 3));
	(void)snprintf(ret->life, sizeof ret->life, "%s", PQgetvalue(r, 0, 5));
	return OK;
}

/* Nothing is acknowledged that is not durable, whatever the server's file says, or comes to say: what is set in a session
 * outlives a reload. */
static fallible durable_set(PGconn *h, struct err *err)
{
	PGresult *r = ask(h, "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
			     " WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)");
	bool is_safe = PQresultStatus(r) == PGRES_TUPLES_OK;
	PQclear(r);
	if (!is_safe)
		FAIL(err, ERR_UNAVAILABLE, "the connection to the database was lost: try again later");
	return OK;
}

static fallible hello(const struct pgsql_target *t, struct candidate *c, struct err *err)
{
	if (PQsetnonblocking(c->h, 1) != 0)
		FAIL(err, ERR_UNAVAILABLE, "the connection to the database was lost: try again later");
	PGresult *r = ask(c->h, hello_sql);
	struct rc rc = hello_read(c->h, r, &c->hello, err);
	PQclear(r);
	TRY(rc);
	return t->pooler ? OK : durable_set(c->h, err); /* behind a pooler, in each transaction */
}

static void notice_ignored(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

static fallible candidate_open(const struct pgsql_target *t, size_t at, struct candidate *c, struct err *err)
{
	AUTO(params_done) struct params p = { .file_count = 0 };
	params_make(&p, t, at);
	c->at = at;
	c->h = PQconnectdbParams(p.keywords, p.values, 0);
	if (c->h == NULL || PQstatus(c->h) != CONNECTION_OK)
		return fail_connect(t, &p, c->h, err);
	(void)PQsetNoticeProcessor(c->h, notice_ignored, NULL);
	return hello(t, c, err);
}

/* --- the right one ------------------------------------------------------------------------------------------------*/
static bool is_the_same(const struct pgsql_servers *s, const struct candidate *c)
{
	return s->met && strcmp(s->known.system, c->hello.system) == 0 &&
	       strcmp(s->known.started, c->hello.started) == 0 && s->known.timeline == c->hello.timeline;
}

/* Whatever the server itself says about taking changes. */
static fallible candidate_judge(const struct pgsql_target *t, const struct candidate *c, struct err *err)
{
	const struct pgsql_servers *s = t->servers;
	if (s->met && strcmp(s->known.system, c->hello.system) != 0)
		FAIL(err, ERR_CONFIG,
		     "another database (system identifier %s; the one in use until now has %s): if it is meant, start "
		     "cairn again",
		     c->hello.system, s->known.system);
	if (t->standby)
		return OK;
	if (c->hello.timeline == 0)
		FAIL(err, ERR_UNAVAILABLE, "it follows another server, and takes no changes");
	if (s->met && c->hello.timeline < s->known.timeline)
		FAIL(err, ERR_CONFIG,
		     "an old primary (timeline %" PRIu64 ", and %" PRIu64
		     " has been in use): make it a standby of the new one (pg_rewind, or pg_basebackup), or stop it",
		     c->hello.timeline, s->known.timeline);
	return OK;
}

struct search {
	struct candidate best;
	struct buf passed_over; /* whom, and why */
	bool is_unfit;          /* one of them answers, and must not be used */
	struct err last;
};

static void search_done(struct search *f)
{
	candidate_done(&f->best);
	buf_done(&f->passed_over);
}

static struct str host_show(const struct pgsql_target *t, size_t at, struct arena *mem)
{
	struct pgsql_host h = pgsql_host(t, at);
	struct str name = h.name.n > 0 ? h.name : h.address;
	if (name.n == 0)
		name = STR("the local server");
	return h.port.n > 0 ? str_fmt(mem, "%.*s:%.*s", STR_FMT(name), STR_FMT(h.port)) : name;
}

static void pass_over(struct search *f, const struct pgsql_target *t, size_t at, const char *why)
{
	AUTO(arena_done) struct arena mem = { 0 };
	/* What does not fit is a long list of servers that are away. */
	struct rc rc = buf_addf(&f->passed_over, NULL, "%s%.*s: %s", f->passed_over.n == 0 ? "" : "; ",
				STR_FMT(host_show(t, at, &mem)), why);
	(void)rc;
}

/* True: there is no need to look at another. */
static bool search_one(struct search *f, const struct pgsql_target *t, size_t at)
{
	AUTO(candidate_done) struct candidate c = { .h = NULL };
	struct err why = { 0 };
	struct rc rc = candidate_open(t, at, &c, &why);
	if (!FAILED(rc)) {
		rc = candidate_judge(t, &c, &why);
		f->is_unfit = f->is_unfit || rc.kind == ERR_CONFIG;
	}
	if (FAILED(rc)) {
		f->last = why;
		pass_over(f, t, at, why.detail);
		return false;
	}
	if (f->best.h != NULL && c.hello.timeline <= f->best.hello.timeline)
		return false;
	if (f->best.h != NULL) {
		pass_over(f, t, f->best.at, "another one has a later timeline, so it is an old primary: stop it");
		f->is_unfit = true;
	}
	candidate_done(&f->best);
	f->best = c;
	c.h = NULL;
	return t->standby || is_the_same(t->servers, &f->best);
}

static void tell(const struct pgsql_target *t, const struct store_event *e)
{
	const struct store_events *to = t->servers->to;
	if (to != NULL)
		to->fn(to->ctx, e);
}

static const char *text_of(struct arena *mem, struct buf *text)
{
	return text->n == 0 ? NULL : str_dupz_raw(mem, buf_str(text));
}

static void found(const struct pgsql_target *t, struct search *f)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct pgsql_servers *s = t->servers;
	bool is_news = s->away || !is_the_same(s, &f->best);
	s->at = f->best.at;
	s->known = f->best.hello;
	s->timeline = t->standby ? 0 : s->known.timeline;
	s->met = true;
	s->away = false;
	if (!is_news)
		return;
	tell(t, &(struct store_event){ .level = f->is_unfit ? LOG_WARNING : LOG_NOTICE,
				       .what = "database in use",
				       .server = str_dupz_raw(&mem, host_show(t, f->best.at, &mem)),
				       .timeline = f->best.hello.timeline,
				       .passed_over = text_of(&mem, &f->passed_over) });
}

static fallible found_none(const struct pgsql_target *t, struct search *f, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct pgsql_servers *s = t->servers;
	const char *text = text_of(&mem, &f->passed_over);
	/* At a start, a server that is wrong is the operator's to mend; later, clients are told to come again. */
	enum err_kind kind = s->met || pgsql_host_count(t) > 1 ? ERR_UNAVAILABLE : f->last.kind;
	s->why = (struct err){ .kind = ERR_NONE };
	err_cause(&s->why, "%s", text == NULL ? "no server" : text);
	err_set(&s->why, kind, "no connection to the database");
	s->failed_at = clock_mono_ms(&clock_system);
	if (!s->away && s->met)
		tell(t, &(struct store_event){ .level = LOG_WARNING, .what = "database away", .why = text });
	s->away = true;
	if (err != NULL)
		*err = s->why;
	return (struct rc){ kind };
}

static fallible search(const struct pgsql_target *t, struct candidate *ret, struct err *err)
{
	AUTO(search_done) struct search f = { .passed_over = BUF_MAX(TEXT_MAX) };
	size_t count = pgsql_host_count(t), first = t->servers->at;
	for (size_t i = 0; i < count; i++) {
		if (search_one(&f, t, (first + i) % count))
			break;
	}
	if (f.best.h == NULL)
		return found_none(t, &f, err);
	found(t, &f);
	*ret = f.best;
	f.best.h = NULL;
	return OK;
}

fallible pgsql_connect(const struct pgsql_target *t, PGconn **ret, char life[PGSQL_LIFE_MAX], uint64_t *ret_timeline,
		       struct err *err)
{
	struct pgsql_servers *s = t->servers;
	int64_t came = clock_mono_ms(&clock_system);
	struct candidate c = { .h = NULL };
	struct rc rc;
	(void)pthread_mutex_lock(&s->lock);
	if (s->failed_at > came) { /* the search that was waited for */
		rc = (struct rc){ s->why.kind };
		if (err != NULL)
			*err = s->why;
	} else {
		rc = search(t, &c, err);
	}
	(void)pthread_mutex_unlock(&s->lock);
	TRY(rc);
	*ret = c.h;
	memcpy(life, c.hello.life, PGSQL_LIFE_MAX);
	*ret_timeline = c.hello.timeline;
	return OK;
}
