/* SPDX-License-Identifier: Apache-2.0
 *
 * log.c: renders one event as one line and writes it with one write(2), so that lines of several processes on one
 * pipe do not mix (LOG_LINE_MAX is PIPE_BUF on Linux). A line that would be longer is cut at a value and stays valid.
 */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define VALUE_MAX 1024 /* rendered bytes of one value: a long one must not push out the others */

static const char *const level_names[] = {
	[LOG_DEBUG] = "debug",     [LOG_INFO] = "info",   [LOG_NOTICE] = "notice",
	[LOG_WARNING] = "warning", [LOG_ERROR] = "error",
};
static_assert(ARRAY_LEN(level_names) == LOG_LEVEL_COUNT, "name every level");

static const char *const form_names[] = { [LOG_AUTO] = "auto", [LOG_JSON] = "json", [LOG_TEXT] = "text" };

struct line {
	char *p;
	size_t n;
	size_t cap; /* what the tail needs is held back */
	bool json;
	bool cut;
};

/* What must always fit behind the last pair. */
#define JSON_CUT ",\"cut\":true"
#define TEXT_CUT " cut=true"
#define TAIL_MAX (sizeof JSON_CUT + sizeof "}\n")

static bool put(struct line *l, struct str s)
{
	if (s.n > l->cap - l->n)
		return false;
	memcpy(l->p + l->n, s.p, s.n);
	l->n += s.n;
	return true;
}

static bool putz(struct line *l, const char *z)
{
	return put(l, str_z(z));
}

/* Stands between quotes as it is, in both forms. */
static bool is_plain(char c)
{
	return c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
}

/* Another one as it may stand there: the text \xNN for what is not printable ASCII, as in err.h. */
static struct str escaped(unsigned char c, bool json, char out[8])
{
	if (c == '"' || c == '\\') {
		out[0] = '\\';
		out[1] = (char)c;
		return str_n(out, 2);
	}
	int n = snprintf(out, 8, json ? "\\\\x%02x" : "\\x%02x", c);
	return str_n(out, (size_t)n);
}

static bool needs_quotes(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c <= ' ' || c > '~' || c == '"' || c == '\\' || c == '=')
			return true;
	}
	return s.n == 0;
}

/* Writes as much of s as fits this value and the line, and "..." where it was cut. */
static bool put_value(struct line *l, struct str s)
{
	static const struct str dots = { "...", 3 };
	bool quotes = l->json || needs_quotes(s);
	size_t room = l->cap - l->n;
	if (room > VALUE_MAX)
		room = VALUE_MAX;
	if (room < 16)
		return false;
	size_t end = l->n + room - dots.n - 1; /* for the dots and the closing quote */
	bool fits = quotes ? putz(l, "\"") : true;
	for (size_t i = 0; i < s.n && fits;) {
		char out[8];
		size_t from = i;
		while (i < s.n && i - from < end - l->n && is_plain(s.p[i]))
			i++;
		(void)put(l, str_sub(s, from, i));
		if (i == s.n)
			break;
		struct str c = is_plain(s.p[i]) ? str_sub(s, i, i + 1) : escaped((unsigned char)s.p[i], l->json, out);
		i++;
		fits = c.n <= end - l->n;
		if (fits)
			(void)put(l, c);
	}
	if (!fits)
		(void)put(l, dots);
	return quotes ? putz(l, "\"") : true;
}

static bool put_key(struct line *l, const char *key)
{
	if (!l->json)
		return putz(l, " ") && putz(l, key) && putz(l, "=");
	return putz(l, l->p[l->n - 1] == '{' ? "\"" : ",\"") && putz(l, key) && putz(l, "\":");
}

static bool put_str_pair(struct line *l, const char *key, struct str v)
{
	return put_key(l, key) && put_value(l, v);
}

static bool put_number_pair(struct line *l, const char *key, bool negative, uint64_t v)
{
	char digits[24];
	(void)snprintf(digits, sizeof digits, "%s%" PRIu64, negative ? "-" : "", v);
	return put_key(l, key) && putz(l, digits);
}

static bool put_err_pairs(struct line *l, const char *key, const struct err *err)
{
	if (err == NULL)
		return put_str_pair(l, key, STR("none"));
	if (!put_str_pair(l, key, str_z(err_kind_name(err->kind))) || !put_str_pair(l, "detail", str_z(err->detail)))
		return false;
	return err->cause[0] == '\0' || put_str_pair(l, "cause", str_z(err->cause));
}

static bool put_pair(struct line *l, const struct kv *kv)
{
	switch (kv->kind) {
	case KV_KIND_STR:
		return put_str_pair(l, kv->key, kv->s);
	case KV_KIND_I64:
		return put_number_pair(l, kv->key, kv->i < 0, kv->i < 0 ? 0 - (uint64_t)kv->i : (uint64_t)kv->i);
	case KV_KIND_U64:
		return put_number_pair(l, kv->key, false, kv->u);
	case KV_KIND_BOOL:
		return put_key(l, kv->key) && putz(l, kv->u != 0 ? "true" : "false");
	case KV_KIND_ID:
		return put_str_pair(l, kv->key, str_z(id_show(kv->id).z));
	case KV_KIND_ERR:
		return put_err_pairs(l, kv->key, kv->err);
	case KV_END:
		break;
	}
	return true;
}

static void put_pairs(struct line *l, const struct kv *pairs)
{
	for (const struct kv *kv = pairs; kv != NULL && kv->kind != KV_END; kv++) {
		size_t before = l->n;
		if (!put_pair(l, kv)) {
			l->n = before;
			l->cut = true;
			return;
		}
	}
}

static void put_head(struct line *l, const struct log *log, enum log_level level, const char *event)
{
	int64_t now_ms = clock_now_ms(log->clock);
	int64_t now_s = now_ms / 1000 - (now_ms % 1000 < 0 ? 1 : 0);
	struct civil t = civil_of(now_s);
	char text[64];
	if (!l->json) {
		(void)snprintf(text, sizeof text, "%02d:%02d:%02d %-7s ", t.hour, t.minute, t.second,
			       level_names[level]);
		(void)(putz(l, text) && putz(l, event));
		return;
	}
	(void)snprintf(text, sizeof text, "%04" PRId64 "-%02d-%02dT%02d:%02d:%02d.%03dZ", t.year, t.month, t.day,
		       t.hour, t.minute, t.second, (int)(now_ms - now_s * 1000));
	(void)(putz(l, "{") && put_str_pair(l, "time", str_z(text)) &&
	       put_str_pair(l, "level", str_z(level_names[level])) && put_str_pair(l, "program", str_z(log->program)) &&
	       put_number_pair(l, "pid", false, (uint64_t)getpid()) && put_str_pair(l, "event", str_z(event)));
}

size_t log_render(const struct log *log, enum log_level level, const char *event, const struct kv *pairs,
		  char out[LOG_LINE_MAX])
{
	struct line l = { .p = out, .cap = LOG_LINE_MAX - TAIL_MAX };
	l.json = log_form_settle(log->form, log->fd) == LOG_JSON;
	put_head(&l, log, level, event);
	put_pairs(&l, pairs);
	l.cap = LOG_LINE_MAX;
	if (l.cut)
		(void)putz(&l, l.json ? JSON_CUT : TEXT_CUT);
	(void)putz(&l, l.json ? "}\n" : "\n");
	return l.n;
}

void log_write(const struct log *log, enum log_level level, const char *event, const struct kv *pairs)
{
	if (log == NULL || level < log->level)
		return;
	int saved = errno; /* logging between a failed call and the look at errno must not change it */
	char out[LOG_LINE_MAX];
	size_t n = log_render(log, level, event, pairs, out);
	ssize_t put_n;
	do {
		put_n = write(log->fd, out, n);
	} while (put_n < 0 && errno == EINTR);
	/* A full or closed log loses the line, not the request that it tells of. */
	errno = saved;
}

enum log_form log_form_settle(enum log_form form, int fd)
{
	if (form != LOG_AUTO)
		return form;
	int saved = errno;
	bool terminal = isatty(fd) == 1;
	errno = saved;
	return terminal ? LOG_TEXT : LOG_JSON;
}

const char *log_level_name(enum log_level level)
{
	return (unsigned)level < LOG_LEVEL_COUNT ? level_names[level] : "unknown";
}

fallible log_level_read(struct str s, enum log_level *ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (str_eq(s, str_z(level_names[i]))) {
			*ret = (enum log_level)i;
			return OK;
		}
	}
	FAIL(err, ERR_CONFIG, "log level \"%.*s\" is none of debug, info, notice, warning, error", STR_FMT(s));
}

fallible log_form_read(struct str s, enum log_form *ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(form_names); i++) {
		if (str_eq(s, str_z(form_names[i]))) {
			*ret = (enum log_form)i;
			return OK;
		}
	}
	FAIL(err, ERR_CONFIG, "log form \"%.*s\" is none of auto, json, text", STR_FMT(s));
}
