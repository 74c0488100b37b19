/* SPDX-License-Identifier: Apache-2.0
 *
 * growth.h: what the filler and the measurer of bench/growth share: which rows a filled store has.
 */
#ifndef CAIRN_BENCH_GROWTH_H
#define CAIRN_BENCH_GROWTH_H

#include <stdint.h>

#define DAY_MS (24 * 3600 * 1000LL)
/* The defaults of retention: certificates of 90 days stay 90 days longer, orders that failed 30 days. */
#define SPAN_MS (179 * DAY_MS)
#define FAILED_SPAN_MS (29 * DAY_MS)
#define VALID_MS (90 * DAY_MS)
#define REVOKED_EVERY 100
/* The first account has every tenth order, the others share the rest. */
#define ACCOUNTS 10000
#define GREAT_ACCOUNT_EVERY 10
#define ORDERS_AN_AUTHZ 10 /* orders of one name that fail together */

/* The certificate's serial and name, so that both sides know them. */
#define SERIAL_FORMAT "%016llx%020llx"
#define SERIAL_ARGS(n) (unsigned long long)((uint64_t)(n)*0x9e3779b97f4a7c15u), (unsigned long long)(n)
#define NAME_FORMAT "test.growth.n%llu"

#endif
