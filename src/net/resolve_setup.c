/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve_setup.c: a resolver from its configuration: whom it asks, in the words of libunbound's configuration, and the
 * trust anchors. Nothing is read from /etc/hosts.
 */
#include "net/resolve_internal.h"

#include <stdlib.h>

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

/* One context for all: aliases lead from one domain's servers to another's, and validation has one chain. */
static fallible zones_write(struct resolver *r, const struct resolve_conf *conf, const struct server *servers, size_t n,
			    struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(FORWARDS_TEXT_MAX);
	r->forwards = ARENA_ARRAY(&r->mem, struct forward, conf->forward_count);
	for (size_t i = 0; i < conf->forward_count; i++)
		TRY(forward_write(r, &conf->forwards[i], &r->forwards[r->forward_count++], &text, err));
	TRY(zone_write(&r->mem, STR(""), servers, n, &text, err));
	r->zones = str_dup(&r->mem, buf_str(&text));
	return OK;
}

/* They are kept: what is read again later, in a sandbox, may be another file, or none. */
static fallible anchors_read(struct resolver *r, struct str file, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(ANCHORS_MAX);
	struct err why = { 0 };
	if (file.n == 0)
		return OK;
	TRY(str_dupz(&r->mem, file, &r->anchors_name, err));
	if (FAILED(file_read(r->anchors_name, ANCHORS_MAX, &text, &why)))
		FAIL(err, ERR_CONFIG, "trust anchor file: %s", why.detail);
	r->anchors = str_dup(&r->mem, buf_str(&text));
	return OK;
}

static void resolver_auto(struct resolver **r)
{
	resolver_free(*r);
}

fallible resolver_new(const struct resolve_conf *conf, struct resolver **ret, struct err *err)
{
	AUTO(resolver_auto) struct resolver *r = mem_alloc(sizeof *r);
	pthread_mutex_init(&r->lock, NULL);
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
		TRY(zones_write(r, conf, servers, n, err));
		TRY(anchors_read(r, conf->trust_anchor_file, err));
		TRY(library_new(r, &r->library, err));
	}
	*ret = TAKE(r);
	return OK;
}

void resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	library_unref(r->library);
	pthread_mutex_destroy(&r->lock);
	arena_done(&r->mem);
	free(r);
}
