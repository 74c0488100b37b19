/* SPDX-License-Identifier: Apache-2.0
 *
 * urls.c: URLs of the configuration that hold a path, with that path taken from state-dir.
 */
#include "cmd/urls.h"

/* "scheme:relative/path" -> "scheme:/state/dir/relative/path"; other URLs are not served. */
static fallible url_absolute(const struct conf *conf, struct arena *mem, struct str url, struct str scheme,
			     struct str *ret, struct err *err)
{
	struct str path = url;
	if (!str_skip(&path, scheme))
		FAIL(err, ERR_CONFIG, "%.*s: this build has no driver for it; use %.*sPATH", STR_FMT(url),
		     STR_FMT(scheme));
	*ret = str_fmt(mem, "%.*s%s", STR_FMT(scheme), conf_path(conf, mem, path));
	return OK;
}

/* conf has looked at the scheme. */
static bool url_is_server(struct str url)
{
	return str_skip(&url, STR("postgresql://")) || str_skip(&url, STR("postgres://"));
}

fallible store_where_of(const struct conf *conf, struct arena *mem, struct store_where *ret, struct err *err)
{
	struct store_where w = { .readers = (unsigned)conf->store.readers,
				 .connections = (unsigned)conf->store.connections,
				 .pooler = conf->store.pooler,
				 .standby_url = conf->store.standby,
				 .standby_lag_s = conf->store.standby_lag_s };
	if (conf->store.password_file.n > 0)
		w.password_file = conf_path(conf, mem, conf->store.password_file);
	TRY(url_of_store(conf, mem, &w.url, err));
	*ret = w;
	return OK;
}

fallible url_of_store(const struct conf *conf, struct arena *mem, struct str *ret, struct err *err)
{
	if (url_is_server(conf->store.url)) {
		*ret = conf->store.url;
		return OK;
	}
	return url_absolute(conf, mem, conf->store.url, STR("sqlite:"), ret, err);
}

fallible url_of_bus(const struct conf *conf, struct arena *mem, struct str *ret, struct err *err)
{
	return url_absolute(conf, mem, conf->bus.url, STR("unix:"), ret, err);
}
