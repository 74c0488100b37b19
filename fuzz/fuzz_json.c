/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_json.c: what is read is inside the limits, and written out again it reads as the same value; what is refused
 * says why. Strings of any bytes and log lines of any bytes come out as JSON.
 */
#include "codec/codec.h"
#include "fuzz.h"

#define TEXT_MAX 65536

static void write_value(struct jw *w, const struct json *v, unsigned depth);

static fallible write_member(void *ctx, struct str key, const struct json *v, struct err *err)
{
	(void)err;
	struct jw *w = ctx;
	AUTO(arena_done) struct arena mem = { 0 };
	CHECK(str_find(key, '\0', 0) == key.n);
	jw_key(w, str_dupz_raw(&mem, key));
	write_value(w, v, w->depth);
	return OK;
}

static void write_value(struct jw *w, const struct json *v, unsigned depth)
{
	struct str s = STR_NONE;
	int64_t i = 0;
	bool b = false;
	CHECK(depth <= JSON_DEPTH_MAX);
	switch (json_type(v)) {
	case JSON_OBJECT:
		jw_object(w);
		CHECK(!FAILED(json_each(v, write_member, w, NULL)));
		jw_object_end(w);
		break;
	case JSON_ARRAY:
		jw_array(w);
		for (size_t at = 0; at < json_count(v); at++)
			write_value(w, json_at(v, at), w->depth);
		jw_array_end(w);
		break;
	case JSON_STRING:
		CHECK(json_as_str(v, &s));
		CHECK(str_find(s, '\0', 0) == s.n);
		jw_str(w, s);
		break;
	case JSON_INTEGER:
		CHECK(json_as_i64(v, &i));
		jw_i64(w, i);
		break;
	case JSON_BOOL:
		CHECK(json_as_bool(v, &b));
		jw_bool(w, b);
		break;
	case JSON_REAL: /* we neither use nor write fractions */
	case JSON_ABSENT:
		jw_null(w);
		break;
	}
}

static void rewrite(const struct json *top, struct buf *ret)
{
	struct err err = { 0 };
	struct jw w = jw_begin(ret, &err);
	write_value(&w, top, 0);
	CHECK(!FAILED(jw_end(&w)));
}

static void check_document(struct str in)
{
	AUTO(json_auto) struct json *top = NULL;
	struct err err = { 0 };
	struct rc rc = json_read(in, TEXT_MAX, &top, &err);
	check_err(rc, &err);
	if (rc.kind != ERR_NONE)
		return;
	CHECK(json_type(top) == JSON_OBJECT);
	AUTO(buf_done) struct buf once = BUF_MAX(TEXT_MAX * 8);
	AUTO(buf_done) struct buf twice = BUF_MAX(TEXT_MAX * 8);
	rewrite(top, &once);
	AUTO(json_auto) struct json *again = NULL;
	CHECK(!FAILED(json_read(buf_str(&once), once.n, &again, NULL)));
	rewrite(again, &twice);
	CHECK(str_eq(buf_str(&once), buf_str(&twice)));
}

static int64_t no_time(void *ctx)
{
	(void)ctx;
	return 0;
}

static void check_any_bytes(struct str in)
{
	AUTO(buf_done) struct buf b = BUF_MAX(TEXT_MAX * 8);
	struct jw w = jw_begin(&b, NULL);
	jw_object(&w);
	jw_kstr(&w, "k", in);
	jw_object_end(&w);
	CHECK(!FAILED(jw_end(&w)));
	AUTO(json_auto) struct json *top = NULL;
	bool has_nul = str_find(in, '\0', 0) < in.n;
	CHECK(FAILED(json_read(buf_str(&b), b.n, &top, NULL)) == has_nul); /* written escaped, never read */

	const struct clock clk = { no_time, no_time, NULL };
	const struct log log = { .program = "fuzz", .form = LOG_JSON, .fd = -1, .clock = &clk };
	char line[LOG_LINE_MAX];
	const struct kv pairs[] = {
		KV_STR("a", in), KV_STR("b", in), KV_STR("c", in), KV_STR("d", in), { .kind = KV_END }
	};
	size_t n = log_render(&log, LOG_INFO, "event", pairs, line);
	CHECK(n <= LOG_LINE_MAX && memchr(line, '\n', n) == line + n - 1);
	AUTO(json_auto) struct json *logged = NULL;
	CHECK(!FAILED(json_read(str_n(line, n), n, &logged, NULL)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > TEXT_MAX)
		return 0;
	check_document(str_n(data, size));
	check_any_bytes(str_n(data, size));
	return 0;
}
