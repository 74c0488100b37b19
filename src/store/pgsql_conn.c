/* SPDX-License-Identifier: Apache-2.0
 *
 * pgsql_conn.c: how PostgreSQL servers are reached: the URL's parameters with ours, names resolved and the password read
 * once. pgsql_server.c connects.
 */
#include "store/pgsql.h"

#include "store/store.h"

#include <errno.h>
#include <libpq-fe.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PASSWORD_MAX 1024
#define LIST_MAX 16384
#define NAME_MAX_DNS 255
#define ADDRESSES_MAX 8 /* of one name */

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
static const char session[] = "-c statement_timeout=15s -c lock_timeout=5s -c idle_in_transaction_session_timeout=10s"
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
	pgsql_servers_free(t->servers);
	*t = (struct pgsql_target){ .pooler = t->pooler, .standby = t->standby };
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
	if (i == PGSQL_PARAMS_MAX - 1)
		return; /* libpq knows some forty keywords */
	if (t->keywords[i] == NULL)
		t->keywords[i] = dup_z(keyword);
	wipe(t->values[i]);
	t->values[i] = dup_z(value);
}

const char *pgsql_param(const struct pgsql_target *t, const char *keyword)
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
		param_set(t, "options", str_dupz_raw(mem, str_fmt(mem, "%s %s", session, pgsql_param(t, "options"))));
}

/* --- what libpq would look for itself -----------------------------------------------------------------------------*/
/* What libpq would take from the environment, because we have to know. */
static void params_of_environment(struct pgsql_target *t)
{
	static const char *const known[][2] = {
		{ "host", "PGHOST" },       { "hostaddr", "PGHOSTADDR" },   { "port", "PGPORT" },
		{ "sslmode", "PGSSLMODE" }, { "sslcert", "PGSSLCERT" },     { "sslkey", "PGSSLKEY" },
		{ "sslcrl", "PGSSLCRL" },   { "sslcrldir", "PGSSLCRLDIR" }, { "sslrootcert", "PGSSLROOTCERT" },
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		const char *value = getenv(known[i][1]);
		if (value != NULL && pgsql_param(t, known[i][0])[0] == '\0')
			param_set(t, known[i][0], value);
	}
}

/* The files that libpq would look for in the home folder, each time: by their path, so that it looks for no home. */
static void params_of_home(struct pgsql_target *t)
{
	static const char *const known[][2] = { { "sslrootcert", "root.crt" },
						{ "sslcrl", "root.crl" },
						{ "sslcert", "postgresql.crt" },
						{ "sslkey", "postgresql.key" } };
	AUTO(arena_done) struct arena mem = { 0 };
	struct passwd entry, *found = NULL;
	char room[1024];
	const char *home = getenv("HOME");
	if ((home == NULL || home[0] == '\0') && getpwuid_r(geteuid(), &entry, room, sizeof room, &found) == 0 &&
	    found != NULL)
		home = found->pw_dir;
	if (home == NULL || home[0] != '/')
		home = "/nonexistent";
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		bool is_list = strcmp(known[i][0], "sslcrl") == 0 && pgsql_param(t, "sslcrldir")[0] != '\0';
		if (pgsql_param(t, known[i][0])[0] == '\0' && !is_list)
			param_set(t, known[i][0],
				  str_dupz_raw(&mem, str_fmt(&mem, "%s/.postgresql/%s", home, known[i][1])));
	}
}

/* --- libpq's lists -------------------------------------------------------------------------------------------------*/
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

static struct str list_nth(struct str list, size_t n)
{
	if (n > 0 && list_count(list) <= 1) /* one for all */
		return list;
	for (; n > 0; n--)
		(void)list_next(&list);
	return list_next(&list);
}

size_t pgsql_host_count(const struct pgsql_target *t)
{
	size_t names = list_count(str_z(pgsql_param(t, "host")));
	size_t addresses = list_count(str_z(pgsql_param(t, "hostaddr")));
	size_t n = names > addresses ? names : addresses;
	return n == 0 ? 1 : n;
}

struct pgsql_host pgsql_host(const struct pgsql_target *t, size_t n)
{
	return (struct pgsql_host){ list_nth(str_z(pgsql_param(t, "host")), n),
				    list_nth(str_z(pgsql_param(t, "hostaddr")), n),
				    list_nth(str_z(pgsql_param(t, "port")), n) };
}

/* --- names --------------------------------------------------------------------------------------------------------*/
/* Lists with one entry in each for an address. */
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

/* A host without an address is passed over where there are others: a start must be possible while a machine, or its
 * name, is gone. */
static fallible host_resolve(struct hosts *h, struct str name, struct str port, bool alone, struct err *passed,
			     struct err *err)
{
	struct rc rc = hosts_resolve(h, name, port, passed);
	if (!FAILED(rc) || (rc.kind == ERR_UNAVAILABLE && !alone))
		return OK;
	if (err != NULL)
		*err = *passed;
	return rc;
}

/* Now, whether the server answers or not: whoever is in a sandbox cannot ask a resolver. The names stay, because the
 * server's certificate is for them; one with several addresses stands there as often as it has some. */
static fallible names_resolve(struct pgsql_target *t, struct err *err)
{
	struct str names = str_z(pgsql_param(t, "host")), addresses = str_z(pgsql_param(t, "hostaddr"));
	struct str ports = str_z(pgsql_param(t, "port"));
	size_t count = list_count(names), port_count = list_count(ports);
	if (count == 0)
		return OK;
	bool alone = count == 1;
	AUTO(hosts_done) struct hosts h = { BUF_MAX(LIST_MAX), BUF_MAX(LIST_MAX), BUF_MAX(LIST_MAX), 0 };
	for (; count > 0; count--) {
		struct str name = list_next(&names), address = list_next(&addresses);
		struct str port = port_count > 1 ? list_next(&ports) : ports;
		bool is_path = name.n == 0 || name.p[0] == '/' || name.p[0] == '@';
		if (is_path || address.n > 0)
			TRY(hosts_add(&h, name, address, port, err));
		else
			TRY(host_resolve(&h, name, port, alone, &t->passed_over, err));
	}
	if (h.count == 0) {
		if (err != NULL)
			*err = t->passed_over;
		return (struct rc){ ERR_UNAVAILABLE };
	}
	TRY(param_set_list(t, "host", &h.names, err));
	TRY(param_set_list(t, "hostaddr", &h.addresses, err));
	return param_set_list(t, "port", &h.ports, err);
}

/* --- making one ---------------------------------------------------------------------------------------------------*/
static fallible lists_check(const struct pgsql_target *t, struct err *err)
{
	struct str ports = str_z(pgsql_param(t, "port"));
	size_t names = list_count(str_z(pgsql_param(t, "host"))), port_count = list_count(ports);
	size_t addresses = list_count(str_z(pgsql_param(t, "hostaddr")));
	if (names > 0 && addresses > 0 && names != addresses)
		FAIL(err, ERR_CONFIG, "found %zu hosts and %zu hostaddr; wanted as many of one as of the other", names,
		     addresses);
	size_t hosts = names > addresses ? names : addresses;
	if (port_count > 1 && port_count != hosts)
		FAIL(err, ERR_CONFIG, "found %zu hosts and %zu ports; wanted one port, or one for each host", hosts,
		     port_count);
	if (hosts > PGSQL_HOSTS_MAX)
		FAIL(err, ERR_CONFIG, "found %zu hosts; wanted %d at most", hosts, PGSQL_HOSTS_MAX);
	while (ports.n > 0) {
		struct str one = list_next(&ports);
		uint64_t port;
		if (one.n > 0 && (FAILED(str_u64(one, UINT16_MAX, &port, NULL)) || port == 0))
			FAIL(err, ERR_CONFIG, "found the port %.*s; wanted 1 to 65535", STR_FMT(one));
	}
	return OK;
}

/* libpq reads a service's file for each connection, which a sandbox forbids; and a server that follows takes no changes. */
static fallible words_check(const struct pgsql_target *t, struct err *err)
{
	static const char *const main_may[] = { "any", "read-write", "primary" };
	const char *attrs = pgsql_param(t, "target_session_attrs");
	bool good = t->standby;
	for (size_t i = 0; i < ARRAY_LEN(main_may); i++)
		good = good || strcmp(attrs, main_may[i]) == 0;
	if (!good)
		FAIL(err, ERR_CONFIG, "found target_session_attrs=%s; wanted read-write, which holds without it",
		     attrs);
	if (pgsql_param(t, "service")[0] != '\0' || getenv("PGSERVICE") != NULL)
		FAIL(err, ERR_CONFIG,
		     "found a service of libpq's (service=, or PGSERVICE); wanted its settings in the URL");
	return OK;
}

static fallible params_make(struct str url, struct pgsql_target *t, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	char *url_z;
	TRY(str_dupz(&mem, url, &url_z, err));
	t->keywords = (char **)mem_alloc_n(sizeof(char *), PGSQL_PARAMS_MAX);
	t->values = (char **)mem_alloc_n(sizeof(char *), PGSQL_PARAMS_MAX);
	params_ours(t);
	TRY(params_of_url(t, url_z, err));
	params_session(t, &mem);
	params_of_environment(t);
	params_of_home(t);
	TRY(words_check(t, err));
	return lists_check(t, err);
}

fallible pgsql_target_make(struct str url, const char *password_file, bool pooler, bool standby,
			   struct pgsql_target *ret, struct err *err)
{
	AUTO(pgsql_target_done) struct pgsql_target t = { .pooler = pooler, .standby = standby };
	TRY(params_make(url, &t, err));
	if (password_file != NULL)
		TRY(password_read(&t, password_file, err));
	TRY(names_resolve(&t, err));
	t.servers = pgsql_servers_new();
	*ret = t;
	t = (struct pgsql_target){ .pooler = pooler };
	return OK;
}

fallible pgsql_url_check(struct str url, bool standby, struct err *err)
{
	AUTO(pgsql_target_done) struct pgsql_target t = { .standby = standby };
	return params_make(url, &t, err);
}

/* --- files --------------------------------------------------------------------------------------------------------*/
const char *const pgsql_files[PGSQL_FILES] = { "sslrootcert", "sslcert", "sslkey", "sslcrl" };

fallible pgsql_url_files(struct str url, struct arena *mem, const char *ret[PGSQL_FILES], size_t *ret_count,
			 struct err *err)
{
	AUTO(pgsql_target_done) struct pgsql_target t = { .standby = true };
	TRY(params_make(url, &t, err));
	size_t n = 0;
	for (size_t i = 0; i < PGSQL_FILES; i++) {
		const char *file = pgsql_param(&t, pgsql_files[i]);
		if (file[0] == '/')
			ret[n++] = str_dupz_raw(mem, str_z(file));
	}
	*ret_count = n;
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
	struct str ports = str_z(pgsql_param(t, "port"));
	do {
		uint64_t port = 0;
		if (FAILED(str_u64(list_next(&ports), UINT16_MAX, &port, NULL)) || port == 0)
			port = 5432;
		reach_port((uint16_t)port, add);
	} while (ports.n > 0);
}

void pgsql_target_reach(const struct pgsql_target *t, struct store_reach *add)
{
	reach_ports(t, add);
	const char *folder = pgsql_param(t, "sslcrldir"); /* libpq looks into it; single files are read for it */
	if (folder[0] == '/' && add->file_count < STORE_FILES_MAX)
		add->files[add->file_count++] = folder;
}

/* --- what libpq found -----------------------------------------------------------------------------------------------*/
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
