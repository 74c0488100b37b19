/* SPDX-License-Identifier: Apache-2.0
 *
 * pgsql_conn.c: how a PostgreSQL server is reached: the URL's parameters with ours, names resolved and the password read
 * once, every wait bounded.
 */
#include "store/pgsql.h"

#include "store/store.h"

#include <errno.h>
#include <libpq-fe.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PARAMS_MAX 64
#define PASSWORD_MAX 1024
#define LIST_MAX 16384
#define NAME_MAX_DNS 255
#define ADDRESSES_MAX 8 /* of one name */
/* Longer than the server's own statement_timeout: what is over that is a server that hangs, or a network that swallows. */
#define WAIT_MS 20000

/* Ours stand first, so that the URL has the last word. */
static const struct {
	const char *keyword, *value;
} ours[] = {
	{ "fallback_application_name", "cairn" },
	{ "connect_timeout", "5" },
	{ "tcp_user_timeout", "10000" },
	{ "keepalives", "1" },
	{ "keepalives_idle", "10" },
	{ "keepalives_interval", "3" },
	{ "keepalives_count", "3" },
	{ "gssencmode", "disable" }, /* it looks for tickets in files of its own */
};

/* No plan for what the values of one call happen to be: planning costs more than most statements, and a scan of a whole
 * table, even a small one, is in the way of everybody who writes to it. */
static const char session[] = "-c statement_timeout=15s -c lock_timeout=5s -c idle_in_transaction_session_timeout=30s"
			      " -c enable_seqscan=off -c plan_cache_mode=force_generic_plan";

static void wipe(char *z)
{
	if (z != NULL)
		explicit_bzero(z, strlen(z));
	free(z);
}

void pgsql_target_done(struct pgsql_target *t)
{
	if (t == NULL || t->keywords == NULL)
		return;
	for (size_t i = 0; t->keywords[i] != NULL; i++) {
		free(t->keywords[i]);
		wipe(t->values[i]);
	}
	free(t->keywords);
	free(t->values);
	t->keywords = t->values = NULL;
}

static char *dup_z(const char *z)
{
	char *p = strdup(z);
	if (p == NULL)
		abort(); /* as mem_alloc does */
	return p;
}

static void param_set(struct pgsql_target *t, const char *keyword, const char *value)
{
	size_t i = 0;
	while (t->keywords[i] != NULL && strcmp(t->keywords[i], keyword) != 0)
		i++;
	if (i == PARAMS_MAX - 1)
		return; /* libpq knows some forty keywords */
	if (t->keywords[i] == NULL)
		t->keywords[i] = dup_z(keyword);
	wipe(t->values[i]);
	t->values[i] = dup_z(value);
}

static const char *param_get(const struct pgsql_target *t, const char *keyword)
{
	for (size_t i = 0; t->keywords[i] != NULL; i++) {
		if (strcmp(t->keywords[i], keyword) == 0)
			return t->values[i];
	}
	return "";
}

const char *pgsql_text(const char *from, char *to, size_t room)
{
	size_t n = 0;
	for (; *from != '\0' && n + 1 < room; from++) {
		if (*from == '\n' && from[1] == '\0')
			break;
		to[n++] = *from == '\n' || *from == '\t' ? ' ' : *from;
	}
	to[n] = '\0';
	return to;
}

/* --- the URL ------------------------------------------------------------------------------------------------------*/
static fallible params_of_url(struct pgsql_target *t, const char *url, struct err *err)
{
	PQconninfoOption *options = PQconninfoParse(url, NULL);
	/* libpq's own words would repeat the URL, which may hold a password. */
	if (options == NULL)
		FAIL(err, ERR_CONFIG,
		     "the database's URL cannot be read, postgresql://USER@HOST:PORT/NAME?sslmode=verify-full is the "
		     "form");
	for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
		if (o->val != NULL)
			param_set(t, o->keyword, o->val);
	}
	PQconninfoFree(options);
	return OK;
}

static fallible password_read(struct pgsql_target *t, const char *path, struct err *err)
{
	char line[PASSWORD_MAX];
	FILE *f = fopen(path, "re");
	if (f == NULL)
		FAIL(err, ERR_CONFIG, "opening the file of the database's password %s: %s", path, strerror(errno));
	char *got = fgets(line, sizeof line, f);
	(void)fclose(f);
	if (got == NULL)
		FAIL(err, ERR_CONFIG, "the file of the database's password %s is empty", path);
	line[strcspn(line, "\r\n")] = '\0';
	param_set(t, "password", line);
	explicit_bzero(line, sizeof line);
	return OK;
}

static void params_ours(struct pgsql_target *t)
{
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		param_set(t, ours[i].keyword, ours[i].value);
	if (!t->standby)
		param_set(t, "target_session_attrs", "read-write");
}

/* A pooler's answer to options is to refuse: there the settings come with each transaction. */
static void params_session(struct pgsql_target *t, struct arena *mem)
{
	param_set(t, "client_encoding", "UTF8");
	if (!t->pooler)
		param_set(t, "options", str_dupz_raw(mem, str_fmt(mem, "%s %s", session, param_get(t, "options"))));
}

/* --- names --------------------------------------------------------------------------------------------------------*/
/* What libpq would take from the environment, because we have to know. */
static void params_of_environment(struct pgsql_target *t)
{
	static const char *const known[][2] = { { "host", "PGHOST" },
						{ "hostaddr", "PGHOSTADDR" },
						{ "port", "PGPORT" } };
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		const char *value = getenv(known[i][1]);
		if (value != NULL && param_get(t, known[i][0])[0] == '\0')
			param_set(t, known[i][0], value);
	}
}

/* libpq's lists, one entry in each for an address. */
struct hosts {
	struct buf names, addresses, ports;
	size_t count;
};

static void hosts_done(struct hosts *h)
{
	buf_done(&h->names);
	buf_done(&h->addresses);
	buf_done(&h->ports);
}

static size_t list_count(struct str list)
{
	size_t n = list.n > 0;
	for (size_t i = 0; i < list.n; i++)
		n += list.p[i] == ',';
	return n;
}

static struct str list_next(struct str *list)
{
	size_t n = str_find(*list, ',', 0);
	struct str one = str_sub(*list, 0, n);
	*list = n < list->n ? str_sub(*list, n + 1, list->n) : STR_NONE;
	return one;
}

static fallible list_add(struct buf *list, bool is_first, struct str one, struct err *err)
{
	if (!is_first)
		TRY(buf_add_char(list, ',', err));
	return buf_add(list, one, err);
}

static fallible hosts_add(struct hosts *h, struct str name, struct str address, struct str port, struct err *err)
{
	bool is_first = h->count++ == 0;
	TRY(list_add(&h->names, is_first, name, err));
	TRY(list_add(&h->addresses, is_first, address, err));
	return list_add(&h->ports, is_first, port, err);
}

static fallible hosts_resolve(struct hosts *h, struct str name, struct str port, struct err *err)
{
	char z[NAME_MAX_DNS + 1] = "";
	if (name.n >= sizeof z)
		FAIL(err, ERR_CONFIG, "a host's name in the database's URL is too long");
	memcpy(z, name.p, name.n);
	const struct addrinfo hint = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int e = getaddrinfo(z, NULL, &hint, &found);
	if (e != 0)
		FAIL(err, ERR_UNAVAILABLE, "looking up the database's host %s: %s", z, gai_strerror(e));
	struct rc rc = OK;
	unsigned n = 0;
	for (const struct addrinfo *a = found; a != NULL && n < ADDRESSES_MAX && !FAILED(rc); a = a->ai_next, n++) {
		char text[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0)
			rc = hosts_add(h, name, str_z(text), port, err);
	}
	freeaddrinfo(found);
	return rc;
}

static fallible param_set_list(struct pgsql_target *t, const char *keyword, struct buf *list, struct err *err)
{
	TRY(buf_add_char(list, '\0', err));
	param_set(t, keyword, list->p);
	return OK;
}

/* Now, whether the server answers or not: whoever is in a sandbox cannot ask a resolver. The names stay, because the
 * server's certificate is for them; one with several addresses stands there as often as it has some. */
static fallible names_resolve(struct pgsql_target *t, struct err *err)
{
	struct str names = str_z(param_get(t, "host")), addresses = str_z(param_get(t, "hostaddr"));
	struct str ports = str_z(param_get(t, "port"));
	size_t count = list_count(names), given = list_count(addresses), port_count = list_count(ports);
	/* Lists that do not fit are libpq's to refuse, which it does before it looks a name up. */
	if (count == 0 || (given > 0 && given != count) || (port_count > 1 && port_count != count))
		return OK;
	AUTO(hosts_done) struct hosts h = { BUF_MAX(LIST_MAX), BUF_MAX(LIST_MAX), BUF_MAX(LIST_MAX), 0 };
	for (; count > 0; count--) {
		struct str name = list_next(&names), address = list_next(&addresses);
		struct str port = port_count > 1 ? list_next(&ports) : ports;
		bool is_path = name.n == 0 || name.p[0] == '/' || name.p[0] == '@';
		if (is_path || address.n > 0)
			TRY(hosts_add(&h, name, address, port, err));
		else
			TRY(hosts_resolve(&h, name, port, err));
	}
	TRY(param_set_list(t, "host", &h.names, err));
	TRY(param_set_list(t, "hostaddr", &h.addresses, err));
	return param_set_list(t, "port", &h.ports, err);
}

fallible pgsql_target_make(struct str url, const char *password_file, bool pooler, bool standby,
			   struct pgsql_target *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	char *url_z;
	TRY(str_dupz(&mem, url, &url_z, err));
	AUTO(pgsql_target_done) struct pgsql_target t = { .pooler = pooler, .standby = standby };
	t.keywords = (char **)mem_alloc_n(sizeof(char *), PARAMS_MAX);
	t.values = (char **)mem_alloc_n(sizeof(char *), PARAMS_MAX);
	params_ours(&t);
	TRY(params_of_url(&t, url_z, err));
	params_session(&t, &mem);
	if (password_file != NULL)
		TRY(password_read(&t, password_file, err));
	params_of_environment(&t);
	TRY(names_resolve(&t, err));
	*ret = t;
	t = (struct pgsql_target){ .pooler = pooler };
	return OK;
}

/* --- what a connection needs of a sandbox -------------------------------------------------------------------------*/
static void reach_port(uint16_t port, struct store_reach *add)
{
	for (size_t i = 0; i < add->port_count; i++) {
		if (add->ports[i] == port)
			return;
	}
	if (add->port_count < STORE_PORTS_MAX)
		add->ports[add->port_count++] = port;
}

static void reach_ports(const struct pgsql_target *t, struct store_reach *add)
{
	struct str ports = str_z(param_get(t, "port"));
	do {
		uint64_t port = 0;
		if (FAILED(str_u64(list_next(&ports), UINT16_MAX, &port, NULL)) || port == 0)
			port = 5432;
		reach_port((uint16_t)port, add);
	} while (ports.n > 0);
}

void pgsql_target_reach(const struct pgsql_target *t, struct store_reach *add)
{
	static const char *const named[] = { "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir" };
	reach_ports(t, add);
	for (size_t i = 0; i < ARRAY_LEN(named); i++) {
		const char *file = param_get(t, named[i]);
		if (file[0] == '/' && add->file_count < STORE_FILES_MAX)
			add->files[add->file_count++] = file;
	}
}

/* --- connecting ---------------------------------------------------------------------------------------------------*/
/* What libpq found for itself: the user's name from the system, the password from a file. From now on it asks neither. */
void pgsql_target_settle(struct pgsql_target *t, const PGconn *h)
{
	static const char nowhere[] = "/nonexistent/pgpass";
	const struct {
		const char *keyword, *value;
	} found[] = { { "user", PQuser(h) }, { "dbname", PQdb(h) }, { "password", PQpass(h) } };
	for (size_t i = 0; i < ARRAY_LEN(found); i++) {
		if (found[i].value != NULL && found[i].value[0] != '\0')
			param_set(t, found[i].keyword, found[i].value);
	}
	param_set(t, "passfile", nowhere);
}

/* libpq looks for these before it connects. */
void pgsql_target_settle_away(struct pgsql_target *t)
{
	PGconn *h = PQconnectStartParams((const char *const *)t->keywords, (const char *const *)t->values, 0);
	if (h != NULL)
		pgsql_target_settle(t, h);
	PQfinish(h);
}

static void notice_ignored(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

fallible pgsql_connect(const struct pgsql_target *t, PGconn **ret, struct err *err)
{
	PGconn *h = PQconnectdbParams((const char *const *)t->keywords, (const char *const *)t->values, 0);
	if (h == NULL || PQstatus(h) != CONNECTION_OK) {
		char text[200];
		(void)pgsql_text(h == NULL ? "out of memory" : PQerrorMessage(h), text, sizeof text);
		PQfinish(h);
		err_cause(err, "%s", text);
		FAIL(err, ERR_UNAVAILABLE, "no connection to the database");
	}
	(void)PQsetNoticeProcessor(h, notice_ignored, NULL);
	*ret = h;
	return OK;
}

static int64_t now_ms(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* a real wait for a real socket: no test scripts it */
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool pgsql_wait(PGconn *h)
{
	int64_t until = now_ms() + WAIT_MS;
	for (;;) {
		int unsent = PQflush(h);
		if (unsent < 0)
			return false;
		if (unsent == 0 && PQisBusy(h) == 0)
			return true;
		int64_t left = until - now_ms();
		struct pollfd p = { .fd = PQsocket(h), .events = (short)(unsent > 0 ? POLLIN | POLLOUT : POLLIN) };
		int n = left <= 0 ? 0 : poll(&p, 1, (int)left);
		if (n == 0 || (n < 0 && errno != EINTR) || p.fd < 0)
			return false;
		if (n > 0 && PQconsumeInput(h) == 0)
			return false;
	}
}
