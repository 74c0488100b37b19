/* SPDX-License-Identifier: Apache-2.0
 *
 * check.h: how the files that hold the configuration against its rules point at the line of the setting that is wrong.
 */
#ifndef CAIRN_CONF_CHECK_H
#define CAIRN_CONF_CHECK_H

#include "conf/internal.h"

struct checker {
	struct conf *c;
	struct arena mem;
};

/* The place of "SECTION.NAME.LEAF"; section NULL: LEAF is the whole key. */
struct spot {
	const char *section;
	struct str entry;
	const char *leaf;
};
#define SPOT(section_, entry_, leaf_) (&(const struct spot){ section_, entry_, leaf_ })

struct str spot_key(struct arena *mem, const struct spot *s);
/* The error of a setting's value; found empty: "nothing". */
fallible spot_refuse(struct checker *k, const struct spot *s, struct str found, struct err *err, const char *allowed);
/* The same; the reader's own reason becomes part of the rule. */
fallible spot_refuse_because(struct checker *k, const struct spot *s, struct str found, struct err *err,
			     const char *allowed, const struct err *reason);
/* A line of conf_warnings. */
fallible spot_warn(const struct conf *c, const struct spot *s, const char *text, struct buf *ret, struct err *err);

/* --- profile.c --- */
/* The default of this row for this entry: the built-in profiles have some of their own. */
const char *profile_default(const struct conf_row *row, struct str entry);
fallible profile_check(struct checker *k, const struct conf_profile *p, struct err *err);
/* What only the realm that offers it makes wrong. */
fallible profile_check_offer(struct checker *k, const struct conf_realm *r, const struct conf_profile *p,
			     struct err *err);
fallible profile_warn(const struct conf *c, const struct conf_profile *p, struct buf *ret, struct err *err);

#endif
