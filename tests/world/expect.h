/* SPDX-License-Identifier: Apache-2.0
 *
 * expect.h: what a world's reply must be, said in one line, with the reply in the message when it is not.
 */
#ifndef CAIRN_TESTS_WORLD_EXPECT_H
#define CAIRN_TESTS_WORLD_EXPECT_H

#include "unit.h"
#include "world.h"

static inline bool reply_says(const struct world_reply *r, const char *text)
{
	return memmem(r->body.p, r->body.n, text, strlen(text)) != NULL;
}

/* A problem document of this status and type whose detail has these words; the reply is done with. */
static inline void expect_problem(const char *name, struct world_reply *r, int status, const char *type,
				  const char *words)
{
	struct err err = { 0 };
	struct str found, detail;
	MUST(json_want_str(r->json, "type", 256, &found, &err));
	MUST(json_want_str(r->json, "detail", 4096, &detail, &err));
	assert_true(str_skip(&found, STR(PROBLEM_URN)));
	if (!str_eq(found, str_z(type)) || r->status != status ||
	    memmem(detail.p, detail.n, words, strlen(words)) == NULL)
		fail_msg("%s: got %d %.*s, wanted %d %s with \"%s\"", name, r->status, (int)r->body.n, r->body.p,
			 status, type, words);
	world_reply_done(r);
}

static inline void expect_status(const char *name, struct world_reply *r, int status)
{
	if (r->status != status)
		fail_msg("%s: got %d %.*s, wanted %d", name, r->status, (int)r->body.n, r->body.p, status);
	world_reply_done(r);
}

/* Whether the database has these bytes anywhere: what must be written down, and what must not be. */
static inline bool store_has(struct world *w, struct str text)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf bytes = BUF_MAX(64u << 20);
	MUST(world_store_bytes(w, &bytes, &err));
	return memmem(bytes.p, bytes.n, text.p, text.n) != NULL;
}

#endif
