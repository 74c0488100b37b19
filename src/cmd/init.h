/* SPDX-License-Identifier: Apache-2.0
 *
 * init.h: `cairn init` in two halves: cairn_init.c reads what the operator wants, init_make.c makes it.
 */
#ifndef CAIRN_CMD_INIT_H
#define CAIRN_CMD_INIT_H

#include "cmd/authority.h"
#include "cmd/cmd.h"
#include "pki/pki.h"
#include "sign/sign.h"

enum init_root { INIT_ROOT_ENCRYPTED, INIT_ROOT_EXPORTED, INIT_ROOT_PLAIN, INIT_ROOT_EXTERNAL };

struct init_plan {                  /* lists are comma-separated text, as the configuration has them */
	const char *dir;            /* absolute */
	struct str name;            /* of the CA's organisation */
	struct conf_list tls_names; /* names and addresses in the API's own certificate */
	/* What the intermediate may issue for; both empty: anything. */
	struct conf_list permit;          /* domains */
	struct addr_range *permit_ranges; /* addresses */
	size_t permit_range_count;
	struct authority_key key, root_key;
	int64_t root_days, intermediate_days;
	enum init_root root_mode;
	struct secret passphrase; /* INIT_ROOT_ENCRYPTED */
	const char *root_export;  /* INIT_ROOT_EXPORTED */
	const char *token_uri;    /* the issuing key's place in a token; NULL: a file */
	const char *pin_file;     /* absolute; NULL: none, or the URI's */
	bool token_key_exists;    /* it is there already and only used */
	struct buf conf_text;     /* the configuration, checked */
};

struct init_result {
	char root_fingerprint[96]; /* SHA-256, "AB:CD:..."; not of an external root */
};

/* All or nothing: everything is made in DIR/.cairn-init and then moved, cairn.conf last. */
fallible init_make(const struct init_plan *plan, struct init_result *ret, struct err *err);
/* DIR does not exist, or is an empty folder. */
fallible init_check_dir(const char *dir, struct err *err);

#endif
