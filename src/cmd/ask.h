/* SPDX-License-Identifier: Apache-2.0
 *
 * ask.h: what the commands share that ask the running API something over its admin socket (admin.h) and show its answer, as
 * lines or as JSON.
 */
#ifndef CAIRN_CMD_ASK_H
#define CAIRN_CMD_ASK_H

#include "cmd/cmd.h"

#include "admin/admin.h"

/* A request: begun here, its members written by the caller, ended and sent by ask. */
struct jw ask_begin(struct buf *text, const char *op, struct err *err);
/* conf_flag: what -c gave, or NULL. *ret is freed with json_free. */
fallible ask(const char *conf_flag, struct jw *w, struct json **ret, struct err *err);
/* A member that is a list; none when it is empty. */
void ask_write_list(struct jw *w, const char *key, const struct conf_list *l);

/* Members of an answer; what is not there, or of another type, is empty, 0 or false. */
struct str ask_text(const struct json *o, const char *key);
int64_t ask_number(const struct json *o, const char *key);
bool ask_flag(const struct json *o, const char *key);

/* Members of an answer as they are, by a NULL-terminated list; those that are not there are left out. */
void ask_copy(struct jw *w, const struct json *from, const char *const *keys);
fallible ask_print_json(const struct json *answer, const char *const *members, struct err *err);
/* "  what   value"; without a value `otherwise`, or nothing when that is NULL. */
void ask_print_line(const char *what, struct str value, const char *otherwise);
void ask_print_list(const char *what, const struct json *list, const char *otherwise);

#endif
