/* SPDX-License-Identifier: Apache-2.0
 *
 * store.c: which database a URL names, and the way from the public calls to it.
 */
#include "store/internal.h"

static bool is_pgsql(struct str url)
{
	return str_skip(&url, STR("postgresql://")) || str_skip(&url, STR("postgres://"));
}

fallible store_open_at(const struct store_where *where, const struct clock *clk, struct store **ret, struct err *err)
{
	struct str path = where->url;
	if (str_skip(&path, STR("sqlite:")) && path.n > 0)
		return store_sqlite_open(path, where->readers, clk, ret, err);
	if (!is_pgsql(where->url)) /* not the URL itself: it may hold a password */
		FAIL(err, ERR_CONFIG,
		     "no database that this program can open: sqlite:/path/of/the/file and postgresql://... are");
#ifdef CAIRN_PGSQL
	return store_pgsql_open(where, clk, ret, err);
#else
	FAIL(err, ERR_CONFIG,
	     "this program was built without PostgreSQL (libpq), sqlite:/path/of/the/file is possible");
#endif
}

fallible store_open(struct str url, unsigned readers, const struct clock *clk, struct store **ret, struct err *err)
{
	const struct store_where where = { .url = url, .readers = readers, .connections = 8 };
	return store_open_at(&where, clk, ret, err);
}

void store_close(struct store *s)
{
	if (s != NULL)
		s->ops->close(s);
}

fallible store_tx(struct store *s, store_fn *fn, void *ctx, struct err *err)
{
	return s->ops->tx(s, fn, ctx, err);
}

fallible store_read(struct store *s, store_fn *fn, void *ctx, struct err *err)
{
	return s->ops->read(s, fn, ctx, err);
}

fallible store_read_stale(struct store *s, store_fn *fn, void *ctx, struct err *err)
{
	return s->ops->read_stale(s, fn, ctx, err);
}

struct store_stats store_stats(const struct store *s)
{
	return s->ops->stats(s);
}

void store_reach(const struct store *s, struct store_reach *ret)
{
	*ret = (struct store_reach){ .server = s->ops->reach != NULL };
	if (s->ops->reach != NULL)
		s->ops->reach(s, ret);
}

bool store_is_lost(const struct store *s)
{
	return s->ops->is_lost(s);
}
