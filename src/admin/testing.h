/* SPDX-License-Identifier: Apache-2.0
 *
 * testing.h: what the tests of admin share: a server with a store in a folder of its own, a clock that is set by hand
 * (waits are real), and one line to ask it something. Private to admin's tests.
 */
#ifndef CAIRN_ADMIN_TESTING_H
#define CAIRN_ADMIN_TESTING_H

#include "admin/internal.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define T_START 1800000000000 /* 2027-01-15T08:00:00Z */
#define T_CONF                                \
	"api:\n"                              \
	"  base-url: https://ca.test:14000\n" \
	"realm:\n"                            \
	"  default:\n"                        \
	"    names: [\"*.a.test\"]\n"         \
	"    profiles: [server, short]\n"     \
	"  lab:\n"                            \
	"    eab: required\n"                 \
	"profile:\n"                          \
	"  server:\n"                         \
	"    lifetime: 90d\n"                 \
	"  short:\n"                          \
	"    lifetime: 7d\n"

struct test_admin {
	char folder[64], socket[96], url[112], key_file[96];
	_Atomic int64_t now;
	struct clock clock;
	struct crypto *crypto;
	struct store *store;
	struct secret key;
	struct admin_deps deps;
	struct admin *admin;
};

static inline int64_t test_now(void *ctx)
{
	return ((struct test_admin *)ctx)->now;
}

static inline struct conf *test_conf(const char *text)
{
	struct err err = { 0 };
	struct conf *conf = NULL;
	MUST(conf_read_text(str_z(text), "cairn.conf", conf_env_none, NULL, &conf, &err));
	return conf;
}

static inline void test_open(struct test_admin *t)
{
	struct err err = { 0 };
	MUST(store_open(str_z(t->url), 2, &t->clock, &t->store, &err));
	t->deps = (struct admin_deps){
		.store = t->store, .crypto = t->crypto, .clk = &t->clock, .rng = &rng_system, .seal_key = &t->key
	};
	MUST(admin_new(&t->deps, test_conf(T_CONF), &t->admin, &err));
}

static inline void test_close(struct test_admin *t)
{
	admin_free(t->admin);
	store_close(t->store);
	t->admin = NULL;
	t->store = NULL;
}

/* The folder and all but the server. */
static inline int setup_folder(void **state)
{
	struct err err = { 0 };
	struct test_admin *t = (struct test_admin *)mem_alloc(sizeof *t);
	(void)snprintf(t->folder, sizeof t->folder, "/tmp/cairn-admin-XXXXXX");
	if (mkdtemp(t->folder) == NULL)
		return -1;
	(void)snprintf(t->socket, sizeof t->socket, "%s/admin.sock", t->folder);
	(void)snprintf(t->key_file, sizeof t->key_file, "%s/secret.key", t->folder);
	(void)snprintf(t->url, sizeof t->url, "sqlite:%s/cairn.db", t->folder);
	t->now = T_START;
	t->clock = (struct clock){ test_now, clock_system.mono_ms, t };
	MUST(crypto_new(&t->crypto, &err));
	MUST(seal_key_make(t->key_file, &rng_system, &err));
	MUST(seal_key_read(t->key_file, &t->key, &err));
	*state = t;
	return 0;
}

static inline int setup_admin(void **state)
{
	if (setup_folder(state) != 0)
		return -1;
	test_open((struct test_admin *)*state);
	return 0;
}

static inline int teardown_admin(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	AUTO(arena_done) struct arena mem = { 0 };
	test_close(t);
	secret_done(&t->key);
	crypto_free(t->crypto);
	int rc = system(str_fmt(&mem, "rm -r %s", t->folder).p);
	free(t);
	return rc;
}

/* The answer to a request of this operation and these further members: "\"kid\":\"x\"". Freed with json_free. */
static inline struct json *test_ask(struct test_admin *t, const char *op, const char *members)
{
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(wipe_done) struct buf out = BUF_MAX(ADMIN_ANSWER_MAX);
	struct json *answer = NULL;
	admin_answer(t->admin, str_fmt(&mem, "{\"v\":1,\"do\":\"%s\"%s%s}", op, *members == '\0' ? "" : ",", members),
		     0, &out);
	MUST(json_read(buf_str(&out), ADMIN_ANSWER_MAX, &answer, &err));
	return answer;
}

static inline struct str test_str(const struct json *o, const char *key)
{
	struct str s = STR_NONE;
	(void)json_as_str(json_get(o, key), &s);
	return s;
}

static inline int64_t test_i64(const struct json *o, const char *key)
{
	int64_t i = -1;
	(void)json_as_i64(json_get(o, key), &i);
	return i;
}

static inline bool test_bool(const struct json *o, const char *key)
{
	bool b = false;
	(void)json_as_bool(json_get(o, key), &b);
	return b;
}

#define ASSERT_STR(found, wanted)                                                                         \
	do {                                                                                              \
		struct str found_ = (found);                                                              \
		if (!str_eq(found_, str_z(wanted)))                                                       \
			fail_msg("%s: found \"%.*s\", wanted \"%s\"", #found, STR_FMT(found_), (wanted)); \
	} while (0)

/* The answer is a refusal of this kind, whose detail holds this text. */
static inline void assert_refused(const struct json *answer, const char *kind, const char *text)
{
	AUTO(arena_done) struct arena mem = { 0 };
	char *detail = str_dupz_raw(&mem, test_str(answer, "detail"));
	assert_int_equal(test_i64(answer, "v"), 1);
	if (test_bool(answer, "ok") || !str_eq(test_str(answer, "kind"), str_z(kind)) || strstr(detail, text) == NULL)
		fail_msg("found %.*s \"%s\", wanted %s \"%s\"", STR_FMT(test_str(answer, "kind")), detail, kind, text);
}

#endif
