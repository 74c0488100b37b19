/* SPDX-License-Identifier: Apache-2.0
 *
 * quorum.h: which of an attempt's verdicts the signer gets.
 */
#ifndef CAIRN_ACME_QUORUM_H
#define CAIRN_ACME_QUORUM_H

#include "conf/conf.h"
#include "store/store.h"

/* Moves a quorum's worth of good verdicts to the front, the newest ones of perspectives that the zone has now, and returns
 * how many; all good ones when there is no choice. records: the account had other keys, so that records of dns-persist-01
 * may name different ones; those chosen name the same. zone NULL: it is not configured any more. */
size_t quorum_choose(struct arena *mem, const struct conf_zone *zone, bool records, struct verdict_row *rows,
		     size_t count);

#endif
