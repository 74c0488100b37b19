/* SPDX-License-Identifier: Apache-2.0
 *
 * grant.h: between the two halves of `cairn grant`: what the command line said (cairn_grant.c), and what is done with the
 * operator's key and with the signer's list of revoked grants (grant_make.c).
 */
#ifndef CAIRN_CMD_GRANT_H
#define CAIRN_CMD_GRANT_H

#include "cmd/ask.h"

enum grant_flag {
	GRANT_FLAG_FIRST = 256,
	FLAG_ACCOUNT = GRANT_FLAG_FIRST, /* these may be repeated */
	FLAG_EAB,
	FLAG_NAME,
	FLAG_ADDRESS,
	FLAG_EMAIL,
	FLAG_PROFILE,
	GRANT_FLAG_LISTS_END,
	FLAG_OPERATOR = GRANT_FLAG_LISTS_END,
	FLAG_WILDCARDS,
	FLAG_ORGANIZATION,
	FLAG_LOCALITY,
	FLAG_STATE,
	FLAG_COUNTRY,
	FLAG_REALM,
	FLAG_DAYS,
	FLAG_NOTE,
	FLAG_PASSPHRASE,
	FLAG_UNENCRYPTED,
	FLAG_JSON,
	GRANT_FLAG_END
};
struct grant_given {
	struct arena mem;
	unsigned flags; /* which were there */
	const char *text[GRANT_FLAG_END - GRANT_FLAG_FIRST];
	struct conf_list lists[GRANT_FLAG_LISTS_END - GRANT_FLAG_FIRST];
	const char *conf, *operand;
};
bool grant_given(const struct grant_given *g, enum grant_flag f);
const char *grant_given_z(const struct grant_given *g, enum grant_flag f);

/* Makes the pair of the operator `operand` and says what to do with it. */
fallible grant_key_make(const struct grant_given *g, struct err *err);
/* Signs what the flags say and gives it to the API. *ret is the API's answer. */
fallible grant_make(struct grant_given *g, struct json **ret, struct err *err);
/* Writes the grant `operand` into the file that this host's signer looks at. *ret_new false: it was there. */
fallible grant_revoke_here(const struct grant_given *g, bool *ret_new, struct err *err);

#endif
