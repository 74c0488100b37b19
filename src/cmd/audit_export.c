/* SPDX-License-Identifier: Apache-2.0
 *
 * audit_export.c: `cairn audit export`: what every certificate was issued upon, a line each, from the running API. It comes in
 * pieces, which may end within a line, and goes out as it comes: nothing is gathered.
 */
#include "cmd/audit.h"

#include "admin/admin.h"

#include <errno.h>
#include <stdio.h>

#define WAIT_MS 120000
#define PIECES_MAX 100000000

struct piece {
	const char *socket;
	const struct audit_given *g;
	char after[ID_TEXT_LEN + 1];
	int64_t offset;
	bool more;
};

static fallible piece_ask(const struct piece *p, struct json **ret, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(4096);
	struct jw w = jw_begin(&text, err);
	jw_object(&w);
	jw_ki64(&w, "v", ADMIN_VERSION);
	jw_kz(&w, "do", "audit.export");
	if (p->g->since_ms > 0)
		jw_ki64(&w, "since", p->g->since_ms);
	if (p->g->until_ms < INT64_MAX)
		jw_ki64(&w, "until", p->g->until_ms);
	jw_kz(&w, "after", p->after);
	jw_ki64(&w, "offset", p->offset);
	jw_object_end(&w);
	TRY(jw_end(&w));
	return admin_call(p->socket, buf_str(&text), WAIT_MS, ret, err);
}

static fallible piece_take(struct piece *p, const struct json *answer, struct err *err)
{
	struct str text, after;
	bool more = false;
	TRY(json_want_str(answer, "text", ADMIN_ANSWER_MAX, &text, err));
	TRY(json_want_str(answer, "after", ID_TEXT_LEN, &after, err));
	TRY(json_want_i64(answer, "offset", 0, INT64_MAX, &p->offset, err));
	TRY(json_may_bool(answer, "more", &more, err));
	if (text.n > 0 && fwrite(text.p, 1, text.n, stdout) != text.n)
		FAIL(err, ERR_IO, "writing the output: %s", strerrordesc_np(errno));
	(void)snprintf(p->after, sizeof p->after, "%.*s", STR_FMT(after));
	p->more = more;
	return OK;
}

static fallible export_all(const struct audit_given *g, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct conf *conf = NULL;
	struct rc rc = OK;
	TRY(conf_read(cmd_conf_path(g->conf), conf_env_system, NULL, &conf, err));
	struct piece p = { .socket = conf_path(conf, &mem, conf->api.admin_socket), .g = g, .more = true };
	for (int i = 0; i < PIECES_MAX && p.more && !FAILED(rc); i++) {
		AUTO(json_auto) struct json *answer = NULL;
		rc = piece_ask(&p, &answer, err);
		if (!FAILED(rc))
			rc = piece_take(&p, answer, err);
	}
	conf_free(conf);
	return rc;
}

int audit_export(const struct audit_given *g)
{
	struct err err = { 0 };
	return FAILED(export_all(g, &err)) ? cmd_fail("audit", &err) : cmd_flush("audit");
}
