/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_url.c: shown and read again a URL is the same URL; nothing that was refused comes back through a reference.
 * The first line of the input is a URL, the rest a reference.
 */
#include "codec/codec.h"
#include "fuzz.h"

#include <arpa/inet.h>

#define URL_MAX 2000

static void check_same(const struct url *a, const struct url *b)
{
	CHECK(a->https == b->https && a->port == b->port && a->host_is_addr == b->host_is_addr);
	CHECK(str_eq(a->host, b->host) && str_eq(a->path, b->path));
	CHECK(!a->host_is_addr || addr_eq(&a->addr, &b->addr));
}

static void check_url(struct arena *mem, const struct url *u)
{
	CHECK(u->port != 0 && u->host.n > 0 && u->path.n > 0 && u->path.p[0] == '/');
	for (size_t i = 0; i < u->path.n; i++)
		CHECK(u->path.p[i] > 0x20 && u->path.p[i] < 0x7f && u->path.p[i] != '#');
	/* What the C library would take for an IPv4 address in any notation is known to be one. */
	char *host = str_dupz_raw(mem, u->host);
	struct in_addr loose;
	if (inet_aton(host, &loose) != 0)
		CHECK(u->host_is_addr && u->addr.family == AF_INET && memcmp(&loose, u->addr.b, 4) == 0);
	struct url again = { 0 };
	CHECK(!FAILED(url_read(mem, url_show(mem, u), 2 * URL_MAX, &again, NULL)));
	check_same(u, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str in = str_n(data, size);
	size_t line = str_find(in, '\n', 0);
	struct url base = { 0 };
	struct err err = { 0 };
	struct rc rc = url_read(&mem, str_sub(in, 0, line), URL_MAX, &base, &err);
	check_err(rc, &err);
	if (FAILED(rc))
		return 0;
	check_url(&mem, &base);
	struct url u = { 0 };
	struct err resolve_err = { 0 };
	rc = url_resolve(&mem, &base, str_sub(in, line + 1, in.n), URL_MAX, &u, &resolve_err);
	check_err(rc, &resolve_err);
	if (FAILED(rc))
		return 0;
	check_url(&mem, &u);
	struct str path = str_sub(u.path, 0, str_find(u.path, '?', 0));
	for (size_t at = 0; at < path.n;) { /* dot segments are gone */
		size_t next = str_find(path, '/', at + 1);
		struct str segment = str_sub(path, at + 1, next);
		CHECK(!str_eq(segment, STR(".")) && !str_eq(segment, STR("..")));
		at = next;
	}
	struct url same = { 0 };
	CHECK(!FAILED(url_resolve(&mem, &base, url_show(&mem, &u), 2 * URL_MAX, &same, NULL)));
	check_same(&u, &same);
	return 0;
}
