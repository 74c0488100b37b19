/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve_setup.c: a resolver from its configuration: whom it asks, and libunbound's settings with the reasons for them.
 * Nothing is read from /etc/hosts.
 */
#include "net/resolve_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define RESOLVE_SERVERS_MAX 8
#define FORWARDS_TEXT_MAX (512 * 1024)
#define RESOLV_CONF_MAX (64 * 1024)
#define ANCHORS_MAX (256 * 1024)

struct server {
	struct addr addr;
	uint16_t port;
};

static fallible server_read(struct str text, struct server *ret, struct err *err)
{
	ret->port = 53;
	if (!FAILED(addr_read(text, &ret->addr, NULL)))
		return OK;
	if (FAILED(addr_port_read(text, &ret->addr, &ret->port, NULL)) || ret->port == 0 || text.p[0] == ':')
		FAIL(err, ERR_CONFIG,
		     "resolver \"%.*s\" is not an address; wanted \"192.0.2.53\", \"127.0.0.1:5353\" or \"[::1]:53\"",
		     STR_FMT(text));
	return OK;
}

/* The nameserver lines of resolv.conf(5). What cannot be read is passed over, as the C library does: the file belongs
 * to the system, and an address with a zone ("fe80::1%eth0") is none of ours. */
static size_t servers_of_system(struct server out[RESOLVE_SERVERS_MAX])
{
	AUTO(buf_done) struct buf text = BUF_MAX(RESOLV_CONF_MAX);
	size_t n = 0;
	if (FAILED(file_read(RESOLV_CONF, RESOLV_CONF_MAX, &text, NULL)))
		return 0;
	struct str all = buf_str(&text);
	for (size_t at = 0; at < all.n && n < RESOLVE_SERVERS_MAX;) {
		size_t end = str_find(all, '\n', at);
		struct str line = str_trim(str_sub(all, at, end));
		at = end + 1;
		if (!str_skip(&line, STR("nameserver")) || line.n == 0 || (line.p[0] != ' ' && line.p[0] != '\t'))
			continue;
		line = str_trim(line);
		out[n].port = 53;
		if (!FAILED(addr_read(line, &out[n].addr, NULL)))
			n++;
	}
	return n;
}

static fallible servers_list(const struct str *texts, size_t n, struct server out[RESOLVE_SERVERS_MAX], struct err *err)
{
	if (n > RESOLVE_SERVERS_MAX)
		FAIL(err, ERR_CONFIG, "%zu resolvers are too many; at most %d", n, RESOLVE_SERVERS_MAX);
	for (size_t i = 0; i < n; i++)
		TRY(server_read(texts[i], &out[i], err));
	return OK;
}

static fallible servers_read(const struct resolve_conf *conf, struct server out[RESOLVE_SERVERS_MAX], size_t *ret_n,
			     struct err *err)
{
	TRY(servers_list(conf->servers, conf->server_count, out, err));
	*ret_n = conf->server_count > 0 ? conf->server_count : servers_of_system(out);
	return OK;
}

static struct str server_show(struct arena *mem, const struct server *s, char separator)
{
	char text[ADDR_TEXT_MAX];
	addr_show(&s->addr, text);
	if (separator == ':' && s->port == 53)
		return str_fmt(mem, "%s", text);
	if (separator == ':' && s->addr.family == AF_INET6)
		return str_fmt(mem, "[%s]:%u", text, s->port);
	return str_fmt(mem, "%s%c%u", text, separator, s->port);
}

static struct str servers_show(struct arena *mem, const char *before, const struct server *servers, size_t n)
{
	struct str all = str_z(before);
	for (size_t i = 0; i < n; i++) {
		struct str one = server_show(mem, &servers[i], ':');
		all = str_fmt(mem, "%.*s%s%.*s", STR_FMT(all), i == 0 ? "" : ", ", STR_FMT(one));
	}
	return all;
}

static struct str describe(struct resolver *r, const struct server *servers, size_t n, bool of_system)
{
	if (n == 0)
		return r->static_count > 0 ? STR("static table") : STR("no resolver");
	return servers_show(&r->mem, of_system ? "system resolvers " : "", servers, n);
}

static fallible ub_check(int rc, const char *what, struct err *err)
{
	if (rc == UB_NOERROR)
		return OK;
	FAIL(err, ERR_CONFIG, "DNS library: %s: %s", what, ub_strerror(rc));
}

static fallible ub_options(struct ub_ctx *ctx, struct err *err)
{
	const char *const options[][2] = {
		{ "do-not-query-localhost:", "no" }, /* a resolver on this host is the usual case */
		/* Nothing is kept, so that a corrected record counts at once. Zones' keys are asked for again too:
		 * the library cannot tell the one from the other, and its servers have them. */
		{ "cache-max-ttl:", "0" },
		{ "cache-max-negative-ttl:", "0" },
		/* Sizes of 0 alone would not do: see zone_write. */
		{ "msg-cache-size:", "0" },
		{ "rrset-cache-size:", "0" },
		{ "msg-cache-slabs:", "1" },
		{ "rrset-cache-slabs:", "1" },
		{ "val-bogus-ttl:", "0" },
		/* Signatures end when they say so, but for a difference of clocks. The library by itself takes them for up
		 * to a day more (a tenth of their life). */
		{ "val-sig-skew-min:", "300" },
		{ "val-sig-skew-max:", "300" },
		{ "aggressive-nsec:", "no" }, /* would answer for names that were never asked */
		/* Of several servers, one that is silent must be known for long enough to be passed over (with 0, it is
		 * chosen again and again, measured: 5 s and more). But names that nobody answers, which clients
		 * choose, must not make the library take all of its servers for dead and leave them out for minutes:
		 * in 2 s its patience with one does not grow so far. */
		{ "infra-host-ttl:", "2" },
		/* It has one patience for all names of a server: one that answers others at once made it ask ten times
		 * within 1.4 s about a name whose own servers are slow, and then give up. */
		{ "infra-cache-min-rtt:", "1000" },
		/* The library's own 16 sockets are soon full of such questions, and then everybody waits. */
		{ "outgoing-range:", "256" },
		{ "num-queries-per-thread:", "512" },
		{ "outgoing-num-tcp:", "32" },
		{ "use-caps-for-id:", "yes" }, /* THREATS A41 */
		{ "edns-buffer-size:", "1232" },
		{ "use-syslog:", "no" },
	};
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		TRY(ub_check(ub_ctx_set_option(ctx, options[i][0], options[i][1]), options[i][0], err));
	return OK;
}

/* It goes into the library's configuration: a domain and nothing else. */
static fallible domain_check(struct str domain, struct err *err)
{
	bool good = domain.n > 0 && domain.n <= NAME_MAX_LEN && domain.p[0] != '.' && !str_ends(domain, STR("."));
	for (size_t i = 0; good && i < domain.n; i++) {
		char c = domain.p[i];
		good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
		       (c == '.' && domain.p[i - 1] != '.');
	}
	if (!good)
		FAIL(err, ERR_CONFIG, "\"%.*s\" is not a domain to forward; wanted one such as corp.example",
		     STR_FMT(domain));
	return OK;
}

/* Its answers are never stored: a message cache of size 0 still keeps the last message, and a failure, or a denial without
 * SOA, would count for 5 s. Domain: empty for the root. */
static fallible zone_write(struct arena *mem, struct str domain, const struct server *servers, size_t n,
			   struct buf *out, struct err *err)
{
	TRY(buf_addf(out, err, "forward-zone:\n  name: \"%.*s.\"\n  forward-no-cache: yes\n", STR_FMT(domain)));
	for (size_t i = 0; i < n; i++)
		TRY(buf_addf(out, err, "  forward-addr: %.*s\n", STR_FMT(server_show(mem, &servers[i], '@'))));
	return OK;
}

static fallible forward_write(struct resolver *r, const struct resolve_forward *f, struct forward *to, struct buf *out,
			      struct err *err)
{
	struct server servers[RESOLVE_SERVERS_MAX];
	TRY(domain_check(f->domain, err));
	TRY(servers_list(f->servers, f->server_count, servers, err));
	if (f->server_count == 0)
		FAIL(err, ERR_CONFIG, "no server to forward %.*s to", STR_FMT(f->domain));
	*to = (struct forward){ str_dup(&r->mem, f->domain), servers_show(&r->mem, "", servers, f->server_count) };
	return zone_write(&r->mem, f->domain, servers, f->server_count, out, err);
}

/* What the library takes from a file only, and what lies in files that a sandbox keeps from it, is given to it in a
 * file in memory. */
#define MEMORY_PATH_MAX 32
static fallible memory_file(const char *name, struct str text, int *ret_fd, char path[MEMORY_PATH_MAX], struct err *err)
{
	AUTO(fd_close) int fd = memfd_create(name, MFD_CLOEXEC);
	if (fd < 0)
		FAIL(err, ERR_IO, "memfd_create: %s", strerror(errno));
	TRY(fd_write_all(fd, text, err));
	snprintf(path, MEMORY_PATH_MAX, "/proc/self/fd/%d", fd);
	*ret_fd = fd;
	fd = -1;
	return OK;
}

/* One context for all: aliases lead from one domain's servers to another's, and validation has one chain. */
static fallible ub_forwards(struct resolver *r, const struct resolve_conf *conf, const struct server *servers, size_t n,
			    struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(FORWARDS_TEXT_MAX);
	AUTO(fd_close) int fd = -1;
	char path[MEMORY_PATH_MAX];
	r->forwards = ARENA_ARRAY(&r->mem, struct forward, conf->forward_count);
	for (size_t i = 0; i < conf->forward_count; i++)
		TRY(forward_write(r, &conf->forwards[i], &r->forwards[r->forward_count++], &text, err));
	TRY(zone_write(&r->mem, STR(""), servers, n, &text, err));
	TRY(memory_file("forwards", buf_str(&text), &fd, path, err));
	return ub_check(ub_ctx_config(r->ctx, path), "zone.resolvers and zone.forwards", err);
}

/* The library reads them when it is finalised: until then *ret_fd stays open. */
static fallible ub_anchors(struct ub_ctx *ctx, struct arena *mem, struct str file, int *ret_fd, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(ANCHORS_MAX);
	char path[MEMORY_PATH_MAX];
	struct err why = { 0 };
	char *name;
	if (file.n == 0)
		return OK;
	TRY(str_dupz(mem, file, &name, err));
	if (FAILED(file_read(name, ANCHORS_MAX, &text, &why)))
		FAIL(err, ERR_CONFIG, "trust anchor file: %s", why.detail);
	TRY(memory_file("anchors", buf_str(&text), ret_fd, path, err));
	return ub_check(ub_ctx_add_ta_file(ctx, path), name, err);
}

static fallible ub_setup(struct resolver *r, const struct resolve_conf *conf, const struct server *servers, size_t n,
			 struct err *err)
{
	struct ub_ctx *ctx = r->ctx;
	AUTO(arena_done) struct arena mem = { 0 };
	/* Its messages would go to stderr; results say what matters. */
	TRY(ub_check(ub_ctx_debugout(ctx, NULL), "debug output", err));
	TRY(ub_options(ctx, err));
	TRY(ub_forwards(r, conf, servers, n, err));
	AUTO(fd_close) int anchors = -1;
	TRY(ub_anchors(ctx, &mem, conf->trust_anchor_file, &anchors, err));
	TRY(ub_check(ub_ctx_async(ctx, 1), "threads", err));
	/* Built-in zones answer NXDOMAIN for these, which private networks use. The first ub_ctx_zone_add finalises the
	 * context: nothing above may come after it. */
	static const char *const zones[] = { "test.", "invalid.", "home.arpa." };
	for (size_t i = 0; i < ARRAY_LEN(zones); i++)
		TRY(ub_check(ub_ctx_zone_add(ctx, zones[i], "nodefault"), zones[i], err));
	return OK;
}

static void resolver_auto(struct resolver **r)
{
	resolver_free(*r);
}

fallible resolver_new(const struct resolve_conf *conf, struct resolver **ret, struct err *err)
{
	AUTO(resolver_auto) struct resolver *r = mem_alloc(sizeof *r);
	r->wake_fd = -1;
	r->statics = ARENA_ARRAY(&r->mem, struct resolve_static, conf->static_count);
	r->static_count = conf->static_count;
	for (size_t i = 0; i < conf->static_count; i++) {
		r->statics[i].pattern = str_dup(&r->mem, conf->statics[i].pattern);
		r->statics[i].addr = conf->statics[i].addr;
	}
	struct server servers[RESOLVE_SERVERS_MAX];
	size_t n = 0;
	TRY(servers_read(conf, servers, &n, err));
	r->description = describe(r, servers, n, conf->server_count == 0);
	if (n == 0 && conf->forward_count > 0)
		FAIL(err, ERR_CONFIG,
		     "domains are forwarded, but nobody is known to ask about other names; set zone.resolvers, or name "
		     "servers in %s",
		     RESOLV_CONF);
	if (n > 0) {
		r->ctx = ub_ctx_create();
		if (r->ctx == NULL)
			FAIL(err, ERR_IO, "the DNS library cannot be started: %s", strerror(errno));
		TRY(ub_setup(r, conf, servers, n, err));
		TRY(dispatcher_start(r, err));
	}
	*ret = TAKE(r);
	return OK;
}

void resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	dispatcher_stop(r);
	if (r->ctx != NULL)
		ub_ctx_delete(r->ctx);
	fd_close(&r->wake_fd);
	arena_done(&r->mem);
	free(r);
}
