/* SPDX-License-Identifier: Apache-2.0
 *
 * urls.h: where the store and the bus are: store.url and bus.url with their relative paths taken from state-dir. In mem.
 */
#ifndef CAIRN_CMD_URLS_H
#define CAIRN_CMD_URLS_H

#include "conf/conf.h"
#include "store/store.h"

/* All that the configuration says of the store. */
fallible store_where_of(const struct conf *conf, struct arena *mem, struct store_where *ret, struct err *err);
fallible url_of_store(const struct conf *conf, struct arena *mem, struct str *ret, struct err *err);
fallible url_of_bus(const struct conf *conf, struct arena *mem, struct str *ret, struct err *err);

#endif
