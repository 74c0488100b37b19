/* SPDX-License-Identifier: Apache-2.0
 *
 * store.c: which database a URL names, and the way from the public calls to it.
 */
#include "store/internal.h"

#ifdef CAIRN_PGSQL
#include "store/pgsql.h"
#endif

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

#ifdef CAIRN_PGSQL
static fallible url_check(const char *setting, struct str url, bool standby, struct err *err)
{
	struct rc rc = is_pgsql(url) ? pgsql_url_check(url, standby, err) : OK;
	if (FAILED(rc))
		err_prefix(err, "%s: ", setting);
	return rc;
}

fallible store_where_check(const struct store_where *where, struct err *err)
{
	TRY(url_check("store.url", where->url, false, err));
	return url_check("store.standby", where->standby_url, true, err);
}

fallible store_url_files(struct str url, struct arena *mem, const char *ret[STORE_URL_FILES_MAX], size_t *ret_count,
			 struct err *err)
{
	static_assert(STORE_URL_FILES_MAX == PGSQL_FILES, "they are libpq's");
	*ret_count = 0;
	return is_pgsql(url) ? pgsql_url_files(url, mem, ret, ret_count, err) : OK;
}
#else
fallible store_where_check(const struct store_where *where, struct err *err)
{
	(void)where;
	(void)err;
	return OK;
}

fallible store_url_files(struct str url, struct arena *mem, const char *ret[STORE_URL_FILES_MAX], size_t *ret_count,
			 struct err *err)
{
	(void)url;
	(void)mem;
	(void)ret;
	(void)err;
	*ret_count = 0;
	return OK;
}
#endif

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
