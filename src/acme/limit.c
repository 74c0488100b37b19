/* SPDX-License-Identifier: Apache-2.0
 *
 * limit.c: rate limits (GCRA, one number a bucket), charged in the transaction that makes what they limit, so that a
 * refused or failed request costs nothing.
 */
#include "acme/app.h"

#define HOUR_MS (3600 * 1000)

fallible limit_check(struct call *c, struct store_tx *tx, struct str bucket, int64_t per_hour, const char *what,
		     struct err *err)
{
	int64_t wait_ms = 0;
	if (per_hour <= 0)
		return OK;
	TRY(limit_take(tx, bucket, c->now_ms, (unsigned)per_hour, HOUR_MS, (unsigned)per_hour, &wait_ms, err));
	if (wait_ms <= 0)
		return OK;
	uint32_t wait_s = (uint32_t)((wait_ms + 999) / 1000);
	err_set(err, ERR_RATE_LIMITED, "too many %s: %lld an hour are allowed here; try again in %u s", what,
		(long long)per_hour, wait_s);
	if (err != NULL)
		err->retry_after_s = wait_s;
	return (struct rc){ ERR_RATE_LIMITED };
}

fallible limit_has_room(struct call *c, struct store_tx *tx, struct str bucket, int64_t per_hour, bool *ret,
			struct err *err)
{
	int64_t wait_ms = 0;
	TRY(limit_take(tx, bucket, c->now_ms, (unsigned)per_hour, HOUR_MS, (unsigned)per_hour, &wait_ms, err));
	*ret = wait_ms <= 0;
	return OK;
}
