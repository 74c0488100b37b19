/* SPDX-License-Identifier: Apache-2.0
 *
 * store.c: which database a URL names, and the way from the public calls to it.
 */
#include "store/internal.h"

fallible store_open(struct str url, unsigned readers, const struct clock *clk, struct store **ret, struct err *err)
{
	struct str path = url;
	if (str_skip(&path, STR("sqlite:")) && path.n > 0)
		return store_sqlite_open(path, readers, clk, ret, err);
	FAIL(err, ERR_CONFIG, "\"%.*s\" is no database this program can open, sqlite:/path/of/the/file is",
	     STR_FMT(url));
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

struct store_stats store_stats(const struct store *s)
{
	return s->ops->stats(s);
}

bool store_is_lost(const struct store *s)
{
	return s->ops->is_lost(s);
}
