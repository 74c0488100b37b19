/* SPDX-License-Identifier: Apache-2.0
 *
 * recheck.h: what the check and the signer must agree upon. How long an order may still be signed after its life: a job
 * may wait that long for a signer. The journal remembers orders for longer than any of them can be signed. And what the
 * parts of the check share.
 */
#ifndef CAIRN_SIGN_RECHECK_H
#define CAIRN_SIGN_RECHECK_H

#include "sign/sign.h"

#define ORDER_GRACE_S ((int64_t)24 * 3600)

/* --- key_chain.c: the account's earlier keys --- */
struct key_chain_want {
	const struct crypto *crypto;
	struct str url;         /* where key changes of this realm go */
	struct str account_url; /* of the order's account */
	struct str thumbprint;  /* of the key that the last change leads to */
};
/* The thumbprints of the keys before it, one for each change, oldest first. Changes without a gap, from this account, each
 * signed by both keys, or an error that says which one and what is wrong with it. */
fallible key_chain_read(const struct key_chain_want *w, struct arena *mem, const struct str *changes, size_t count,
			struct str **ret_earlier, struct err *err);

#endif
