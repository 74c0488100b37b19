/* SPDX-License-Identifier: Apache-2.0
 *
 * audit.h: what the two halves of `cairn audit` share: which certificates are meant, and what is at hand to judge them by.
 */
#ifndef CAIRN_CMD_AUDIT_H
#define CAIRN_CMD_AUDIT_H

#include "cmd/cmd.h"

struct audit_given {
	int64_t since_ms; /* unix milliseconds; 0: from the first one */
	int64_t until_ms; /* INT64_MAX: to the last one */
	const char *conf, *journal;
	bool no_journal, json;
	char **files; /* verify; none: standard input */
	int file_count;
};

/* audit_export.c: everything that the running API has of these certificates, as lines to stdout. */
int audit_export(const struct audit_given *g);
/* audit_verify.c: such lines, held against the configuration. */
int audit_verify(const struct audit_given *g);

#endif
