/* SPDX-License-Identifier: Apache-2.0
 *
 * value.h: a setting's value on its way from text or YAML into struct conf, and back for showing.
 */
#ifndef CAIRN_CONF_VALUE_H
#define CAIRN_CONF_VALUE_H

#include "conf/internal.h"

#define CONF_ADDRESSES_MAX 16 /* of one static name */

enum value_kind { VALUE_TEXT, VALUE_LIST, VALUE_MAP };

struct value {
	const char *name; /* of the file, for errors */
	const struct conf_row *row;
	struct str key;
	struct conf_where where;
	enum value_kind kind;
	struct str text;         /* VALUE_TEXT */
	const struct node *node; /* the others */
};

/* base: the struct conf, or the entry's struct for a "*" row. */
fallible value_set(const struct value *v, struct arena *mem, void *base, struct err *err);
/* The member in the form of the schema, borrowed from it or in mem. */
struct str value_show(const struct conf_row *row, struct arena *mem, const void *base);

#endif
