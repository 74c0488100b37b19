/* SPDX-License-Identifier: Apache-2.0
 *
 * log.h: one line an event: JSON, or text when stderr is a terminal. Only programs and handlers log; libraries return
 * errors. An event has a fixed name, then pairs; peer text goes into values only, where it is escaped and cut.
 */
#ifndef CAIRN_BASE_LOG_H
#define CAIRN_BASE_LOG_H

#include "base/sys.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_NOTICE, LOG_WARNING, LOG_ERROR, LOG_LEVEL_COUNT };
/* LOG_AUTO asks the descriptor at every line. A program that will lock itself down settles it at start with
 * log_form_settle, because the question is an ioctl. */
enum log_form { LOG_AUTO, LOG_JSON, LOG_TEXT };

struct log {
	const char *program;          /* "cairn-api" */
	_Atomic enum log_level level; /* a reload changes it while others write */
	enum log_form form;
	int fd;
	const struct clock *clock;
};

enum kv_kind { KV_END, KV_KIND_STR, KV_KIND_I64, KV_KIND_U64, KV_KIND_BOOL, KV_KIND_ID, KV_KIND_ERR };
struct kv {
	const char *key;
	enum kv_kind kind;
	struct str s;
	int64_t i;
	uint64_t u;
	struct id id;
	const struct err *err;
};

#define KV_STR(k, v) ((struct kv){ .key = (k), .kind = KV_KIND_STR, .s = (v) })
#define KV_Z(k, v) ((struct kv){ .key = (k), .kind = KV_KIND_STR, .s = str_z(v) })
#define KV_I64(k, v) ((struct kv){ .key = (k), .kind = KV_KIND_I64, .i = (v) })
#define KV_U64(k, v) ((struct kv){ .key = (k), .kind = KV_KIND_U64, .u = (v) })
#define KV_BOOL(k, v) ((struct kv){ .key = (k), .kind = KV_KIND_BOOL, .u = (v) ? 1 : 0 })
#define KV_ID(k, v) ((struct kv){ .key = (k), .kind = KV_KIND_ID, .id = (v) })
/* Writes "error" (the kind's name), "detail" and, when there is one, "cause". */
#define KV_ERR(e) ((struct kv){ .key = "error", .kind = KV_KIND_ERR, .err = (e) })

/* LOG(log, LOG_NOTICE, "order finalized", KV_ID("order", id), KV_U64("names", n)); log may be NULL. */
#define LOG(log, level, event, ...) \
	log_write((log), (level), (event), (const struct kv[]){ __VA_ARGS__ __VA_OPT__(, ){ .kind = KV_END } })

/* level and form from text ("notice", "json"); ERR_CONFIG names the choices. */
fallible log_level_read(struct str s, enum log_level *ret, struct err *err);
fallible log_form_read(struct str s, enum log_form *ret, struct err *err); /* "auto", "json", "text" */
enum log_form log_form_settle(enum log_form form, int fd); /* LOG_AUTO: text for a terminal, else JSON */
const char *log_level_name(enum log_level level);
void log_write(const struct log *log, enum log_level level, const char *event, const struct kv *pairs);
/* Renders without writing, for tests; at most LOG_LINE_MAX bytes with the newline. */
#define LOG_LINE_MAX 4096
size_t log_render(const struct log *log, enum log_level level, const char *event, const struct kv *pairs,
		  char out[LOG_LINE_MAX]);

#endif
