/* SPDX-License-Identifier: Apache-2.0
 *
 * yaml.c: libyaml's events as a small tree with positions. Everything is text: YAML 1.1 would read "no" as false and
 * 010 as eight, so the schema alone decides what a value means. What YAML has beyond maps, lists and scalars is
 * refused, because a reader of the file should need no knowledge of it.
 */
#include "conf/internal.h"

#include <yaml.h>

struct yaml_in {
	yaml_parser_t parser;
	struct arena *mem;
	const char *name;
};

static struct rc refuse_at(const struct yaml_in *in, size_t line, size_t col, const char *what, struct err *err)
{
	FAIL(err, ERR_CONFIG, "%s:%zu:%zu: %s", in->name, line, col, what);
}

static fallible next_event(struct yaml_in *in, yaml_event_t *ret, struct err *err)
{
	if (yaml_parser_parse(&in->parser, ret) == 1)
		return OK;
	const yaml_parser_t *p = &in->parser;
	if (p->error == YAML_MEMORY_ERROR)
		FAIL(err, ERR_CONFIG, "%s: the YAML reader ran out of memory", in->name);
	const char *problem = p->problem == NULL ? "not readable as YAML" : p->problem;
	if (p->error == YAML_READER_ERROR) /* has a byte offset and no mark */
		FAIL(err, ERR_CONFIG, "%s: byte %zu: %s; allowed: UTF-8 text", in->name, p->problem_offset, problem);
	FAIL(err, ERR_CONFIG, "%s:%zu:%zu: %s%s%s", in->name, p->problem_mark.line + 1, p->problem_mark.column + 1,
	     problem, p->context == NULL ? "" : " ", p->context == NULL ? "" : p->context);
}

/* Anchors and tags have the same shape in the three kinds of node that can carry them. */
static fallible check_decoration(const struct yaml_in *in, const yaml_event_t *ev, struct err *err)
{
	const yaml_char_t *anchor = NULL;
	const yaml_char_t *tag = NULL;
	if (ev->type == YAML_SCALAR_EVENT) {
		anchor = ev->data.scalar.anchor;
		tag = ev->data.scalar.tag;
	} else if (ev->type == YAML_SEQUENCE_START_EVENT) {
		anchor = ev->data.sequence_start.anchor;
		tag = ev->data.sequence_start.tag;
	} else if (ev->type == YAML_MAPPING_START_EVENT) {
		anchor = ev->data.mapping_start.anchor;
		tag = ev->data.mapping_start.tag;
	}
	size_t line = ev->start_mark.line + 1;
	size_t col = ev->start_mark.column + 1;
	if (ev->type == YAML_ALIAS_EVENT)
		return refuse_at(in, line, col, "found an alias (*name); allowed: the value itself, written out", err);
	if (anchor != NULL)
		return refuse_at(in, line, col, "found an anchor (&name); allowed: plain values", err);
	if (tag != NULL)
		return refuse_at(in, line, col, "found a tag (!name); allowed: plain values", err);
	return OK;
}

static fallible read_scalar(const struct yaml_in *in, const yaml_event_t *ev, struct node *n, struct err *err)
{
	struct str text = str_n(ev->data.scalar.value, ev->data.scalar.length);
	if (text.n > CONF_TEXT_MAX)
		return refuse_at(in, n->line, n->col, "found a value of more than 4096 bytes; allowed: shorter ones",
				 err);
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if (c < 0x20 || c == 0x7f)
			return refuse_at(in, n->line, n->col, "found a control character; allowed: text on one line",
					 err);
	}
	n->kind = NODE_SCALAR;
	n->text = str_dup(in->mem, text);
	n->absent = text.n == 0 && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	return OK;
}

static fallible read_node(struct yaml_in *in, const yaml_event_t *ev, unsigned depth, struct node **ret,
			  struct err *err);

static fallible add_child(const struct yaml_in *in, struct node *parent, struct node *child, struct err *err)
{
	if (parent->count == CONF_CHILDREN_MAX)
		return refuse_at(in, child->line, child->col, "found more than 4096 entries in one map or list", err);
	if (parent->last == NULL)
		parent->first = child;
	else
		parent->last->next = child;
	parent->last = child;
	parent->count++;
	return OK;
}

static fallible read_key(const struct yaml_in *in, const struct node *map, const yaml_event_t *ev, struct node *ret,
			 struct err *err)
{
	*ret = (struct node){ .line = ev->start_mark.line + 1, .col = ev->start_mark.column + 1 };
	if (ev->type != YAML_SCALAR_EVENT)
		return refuse_at(in, ret->line, ret->col, "found a map or list as a key; allowed: a name", err);
	TRY(check_decoration(in, ev, err));
	TRY(read_scalar(in, ev, ret, err));
	const struct node *twin = node_get(map, ret->text);
	if (twin != NULL)
		FAIL(err, ERR_CONFIG, "%s:%zu:%zu: %.*s: found a second time; allowed: once (the first is in line %zu)",
		     in->name, ret->line, ret->col, STR_FMT(ret->text), twin->key_line);
	return OK;
}

/* One child of a list or map, whose first event is *ev: for a map that is the key. */
static fallible read_child(struct yaml_in *in, const yaml_event_t *ev, struct node *parent, unsigned depth,
			   struct err *err)
{
	struct node key = { .key = STR_NONE };
	struct node *child = NULL;
	if (parent->kind == NODE_LIST) {
		TRY(read_node(in, ev, depth, &child, err));
		return add_child(in, parent, child, err);
	}
	TRY(read_key(in, parent, ev, &key, err));
	AUTO(yaml_event_delete) yaml_event_t value = { 0 };
	TRY(next_event(in, &value, err));
	TRY(read_node(in, &value, depth, &child, err));
	child->key = key.text;
	child->key_line = key.line;
	child->key_col = key.col;
	return add_child(in, parent, child, err);
}

static fallible read_children(struct yaml_in *in, struct node *n, yaml_event_type_t end, unsigned depth,
			      struct err *err)
{
	if (depth >= CONF_DEPTH_MAX)
		return refuse_at(in, n->line, n->col, "found more than 8 levels; allowed: 8", err);
	for (;;) {
		AUTO(yaml_event_delete) yaml_event_t ev = { 0 };
		TRY(next_event(in, &ev, err));
		if (ev.type == end)
			return OK;
		TRY(read_child(in, &ev, n, depth + 1, err));
	}
}

static fallible read_node(struct yaml_in *in, const yaml_event_t *ev, unsigned depth, struct node **ret,
			  struct err *err)
{
	TRY(check_decoration(in, ev, err));
	struct node *n = ARENA_NEW(in->mem, struct node);
	n->line = ev->start_mark.line + 1;
	n->col = ev->start_mark.column + 1;
	if (ev->type == YAML_SCALAR_EVENT) {
		TRY(read_scalar(in, ev, n, err));
	} else if (ev->type == YAML_SEQUENCE_START_EVENT) {
		n->kind = NODE_LIST;
		TRY(read_children(in, n, YAML_SEQUENCE_END_EVENT, depth, err));
	} else if (ev->type == YAML_MAPPING_START_EVENT) {
		n->kind = NODE_MAP;
		TRY(read_children(in, n, YAML_MAPPING_END_EVENT, depth, err));
	} else {
		return refuse_at(in, n->line, n->col, "found no value where one should stand", err);
	}
	*ret = n;
	return OK;
}

static fallible expect_end(struct yaml_in *in, struct err *err)
{
	AUTO(yaml_event_delete) yaml_event_t end = { 0 };
	TRY(next_event(in, &end, err)); /* of the document */
	AUTO(yaml_event_delete) yaml_event_t after = { 0 };
	TRY(next_event(in, &after, err));
	if (after.type != YAML_STREAM_END_EVENT)
		return refuse_at(in, after.start_mark.line + 1, after.start_mark.column + 1,
				 "found a second document; allowed: one", err);
	return OK;
}

static fallible read_document(struct yaml_in *in, struct node **ret, struct err *err)
{
	AUTO(yaml_event_delete) yaml_event_t start = { 0 };
	TRY(next_event(in, &start, err)); /* of the stream */
	AUTO(yaml_event_delete) yaml_event_t doc = { 0 };
	TRY(next_event(in, &doc, err));
	struct node *top = ARENA_NEW(in->mem, struct node);
	top->kind = NODE_MAP;
	if (doc.type == YAML_STREAM_END_EVENT) {
		*ret = top;
		return OK;
	}
	const yaml_tag_directive_t *tags = doc.data.document_start.tag_directives.start;
	if (doc.data.document_start.version_directive != NULL || tags != doc.data.document_start.tag_directives.end)
		return refuse_at(in, doc.start_mark.line + 1, 1, "found a directive (%...); allowed: none", err);
	AUTO(yaml_event_delete) yaml_event_t first = { 0 };
	TRY(next_event(in, &first, err));
	struct node *n = NULL;
	TRY(read_node(in, &first, 0, &n, err));
	if (n->kind != NODE_MAP && !n->absent)
		return refuse_at(in, n->line, n->col,
				 "found a single value or list; allowed: sections such as \"api:\"", err);
	TRY(expect_end(in, err));
	*ret = n->absent ? top : n;
	return OK;
}

fallible node_read(struct arena *mem, struct str text, const char *name, struct node **ret, struct err *err)
{
	if (text.n > CONF_FILE_MAX)
		FAIL(err, ERR_CONFIG, "%s: found %zu bytes; allowed: at most %d", name, text.n, CONF_FILE_MAX);
	struct yaml_in in = { .mem = mem, .name = name };
	if (yaml_parser_initialize(&in.parser) != 1)
		FAIL(err, ERR_INTERNAL, "the YAML reader ran out of memory");
	yaml_parser_set_input_string(&in.parser, (const unsigned char *)(text.n == 0 ? "" : text.p), text.n);
	yaml_parser_set_encoding(&in.parser, YAML_UTF8_ENCODING);
	struct rc rc = read_document(&in, ret, err);
	yaml_parser_delete(&in.parser);
	return rc;
}

const struct node *node_get(const struct node *map, struct str key)
{
	if (map == NULL || map->kind != NODE_MAP)
		return NULL;
	for (const struct node *n = map->first; n != NULL; n = n->next) {
		if (str_eq(n->key, key))
			return n;
	}
	return NULL;
}
