/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h: what conf's files share: the file as a tree with positions, the sections of named entries, and the one
 * form of an error.
 */
#ifndef CAIRN_CONF_INTERNAL_H
#define CAIRN_CONF_INTERNAL_H

#include "conf/conf.h"

#define CONF_FILE_MAX (1024 * 1024)
#define CONF_DEPTH_MAX 8
#define CONF_CHILDREN_MAX 4096 /* of one map or list; bounds the search for duplicates */
#define CONF_TEXT_MAX 4096     /* of one value */
#define CONF_NAME_MAX 64       /* of an entry's name */

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

/* One YAML node; all of a file live in one arena. */
struct node {
	enum node_kind kind;
	struct str text; /* of a scalar */
	bool absent;     /* a scalar of no characters and no quotes: "key:" */
	size_t line, col;
	struct str key; /* as a map's child */
	size_t key_line, key_col;
	struct node *first, *last, *next;
	size_t count;
};
/* The one document of the file as a tree; its top is a map (an empty file gives an empty one). Refuses what cairn does
 * not use of YAML: anchors, aliases, tags, directives, further documents, duplicate and complex keys. */
fallible node_read(struct arena *mem, struct str text, const char *name, struct node **ret, struct err *err);
const struct node *node_get(const struct node *map, struct str key); /* NULL: absent */

/* A map of named entries of one struct each. */
struct conf_section {
	const char *name;            /* "realm" */
	const char *prefix;          /* "realm.*." */
	const char *deflt;           /* the entry that is there when the file has none; NULL: none is */
	const char *const *built_in; /* NULL, or entries that are there besides those of the file; NULL-terminated */
	size_t size;                 /* of the struct, whose first member is its name */
	size_t array, count;         /* offsets into struct conf */
};
const struct conf_section *conf_sections(size_t *ret_count);
/* The section of a "*" row; NULL for the others. */
const struct conf_section *conf_row_section(const struct conf_row *row);
/* What stands behind the last "." of the row's key. */
struct str conf_row_leaf(const struct conf_row *row);

/* "FILE:LINE:COL: KEY: found FOUND; allowed: ..." */
fallible conf_refuse(const char *name, const struct conf_where *at, struct str key, struct str found, struct err *err,
		     const char *allowed, ...) __attribute__((format(printf, 6, 7)));
/* "FILE:LINE:COL: KEY: ": the start of such a line. */
struct str conf_place(struct arena *mem, const char *name, const struct conf_where *at, struct str key);

/* A setting's text as items: split at commas, blanks trimmed; empty text has none. */
fallible conf_split(struct arena *mem, struct str text, struct conf_list *ret, struct err *err);

/* The effective setting of that key; never NULL for a key of the schema. */
const struct conf_setting *conf_setting(const struct conf *c, struct str key);
/* References between entries, addresses, URLs, patterns: all that a row alone cannot say. */
fallible conf_check(struct conf *c, struct err *err);

#endif
