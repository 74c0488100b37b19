/* SPDX-License-Identifier: Apache-2.0
 *
 * authority.h: what the commands share that make CA certificates: `cairn init`, `cairn issuer` and `cairn root`.
 */
#ifndef CAIRN_CMD_AUTHORITY_H
#define CAIRN_CMD_AUTHORITY_H

#include "conf/conf.h"
#include "pki/pki.h"

#define AUTHORITY_CHAIN_MAX 8
#define AUTHORITY_PEM_MAX (128 * 1024)
#define AUTHORITY_BACKDATE_S ((int64_t)3600)

struct authority_key {
	enum key_kind kind;
	unsigned rsa_bits;
};
/* p256, p384, rsa2048, rsa3072, rsa4096; flag: for the error. */
fallible authority_key_read(const char *flag, struct str word, struct authority_key *ret, struct err *err);

/* Domains and ranges of addresses, as --permit has them, into what a CA certificate may be valid for. In mem. */
fallible authority_permits_read(struct arena *mem, const struct conf_list *texts, struct ca_request *to,
				struct err *err);

/* "server-auth,client-auth": EKU_*. */
fallible authority_uses_read(struct str text, unsigned *ret, struct err *err);

struct authority_root {
	struct cert *cert;
	struct key *key;
};
/* The root's certificate and key; an encrypted key's passphrase is read from the file, or asked for at the terminal. */
fallible authority_root_open(const char *cert_path, const char *key_path, const char *passphrase_file,
			     struct authority_root *ret, struct err *err);
void authority_root_done(struct authority_root *r);

struct authority_chain {
	struct cert *v[AUTHORITY_CHAIN_MAX];
	size_t n;
};
void authority_chain_done(struct authority_chain *c);
fallible authority_chain_read(const char *path, struct authority_chain *ret, struct err *err);

/* A file that one of the above was written to before: never replaced. */
fallible authority_write_pem(const char *path, const char *kind, struct str der, struct err *err);
/* The reasons of a revocation (RFC 5280 5.3.1) by their names. */
fallible authority_reason_read(struct str word, int *ret, struct err *err);

#endif
