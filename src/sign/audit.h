/* SPDX-License-Identifier: Apache-2.0
 *
 * audit.h: was a certificate issued rightly? The same questions that the signer asked, again and offline, of a record
 * that somebody exported; what may be believed is the configuration with its pinned keys, and the journal when there is one.
 */
#ifndef CAIRN_SIGN_AUDIT_H
#define CAIRN_SIGN_AUDIT_H

#include "sign/sign.h"

/* What the signer's journal says of the certificates that it made, by serial. */
struct audit_journal;
fallible audit_journal_read(const char *dir, const struct crypto *crypto, struct audit_journal **ret, struct err *err);
void audit_journal_free(struct audit_journal *j); /* accepts NULL */
size_t audit_journal_count(const struct audit_journal *j);

struct audit { /* all borrowed */
	const struct crypto *crypto;
	const struct conf *conf;
	const struct pinned_keys *keys;
	struct revoked_grants revoked;
	struct issuer *const *issuers;       /* as conf->issuers, without keys; NULL where it cannot be read */
	const struct audit_journal *journal; /* NULL: none at hand */
};

struct audit_report { /* filled in as far as the check came; slices in the arena */
	struct id order;
	struct str serial_hex;
	const char *rule; /* of the failure: "evidence", "names" ... */
};
/* ERR_NONE: everything about it is as it was to be. Otherwise err says what is not. */
fallible audit_check(const struct audit *a, struct arena *mem, const struct audit_record *record,
		     struct audit_report *ret, struct err *err);

#endif
