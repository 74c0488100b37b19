/* SPDX-License-Identifier: Apache-2.0
 *
 * caa.h: CAA at the time of issue, for an order that is about to go to the signer: is what is known of its names young
 * enough, and what comes of asking again.
 */
#ifndef CAIRN_ACME_CAA_H
#define CAIRN_ACME_CAA_H

#include "acme/order.h"

struct caa_asking { /* of one order */
	struct acme *a;
	const struct view *view;
	struct arena *mem;
	struct id order;
	int64_t now_ms;

	/* caa_ask_again */
	bool off;          /* this realm does not look */
	struct id *opened; /* attempts whose jobs caa_send sends after the commit; none: all is known */
	size_t opened_count;
	/* caa_settle */
	bool ready, failed; /* let go to the signer; ended */
	struct id issuance;
	struct err why;

	/* its own */
	const struct conf_realm *realm;
	const struct conf_zone *zone;
	struct authz_row *authzs;
	size_t authz_count;
	struct attempt_row *asked;
	size_t asked_count;
};
/* Opens an attempt for every name whose CAA was looked up too long ago. With any, the issuance is to be held. */
fallible caa_ask_again(struct caa_asking *q, struct store_tx *tx, struct str realm, const struct ident *idents,
		       size_t count, struct err *err);
/* After the commit. False: nothing could be sent yet. */
bool caa_send(const struct caa_asking *q);

/* What a verdict means to the store. */
enum verdict_caa caa_of_verdict(const struct verdict *v);
/* Can the rest of an attempt's verdicts change nothing any more? */
bool caa_decides(const struct verdict_row *rows, size_t count, size_t quorum, size_t perspectives);
/* An attempt has ended: when it was the last, the order's issuance is let go, or ends with the reasons. */
fallible caa_settle(struct caa_asking *q, struct store_tx *tx, struct err *err);
/* After that commit. */
void caa_after(const struct caa_asking *q);

#endif
