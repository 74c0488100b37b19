/* SPDX-License-Identifier: Apache-2.0
 *
 * dispatch.c: the text of a request to the text of its answer. A new operation is a row here and a function that reads
 * its members and writes the answer's.
 */
#include "admin/internal.h"

#define COMMON "v", "do"
static const char *const eab_add_members[] = { COMMON, "realm", "label",   "names",    "profiles",
					       "uses", "kid",   "expires", "lifetime", NULL };
static const char *const eab_list_members[] = { COMMON, "realm", "after", NULL };
static const char *const eab_show_members[] = { COMMON, "kid", NULL };
static const char *const eab_disable_members[] = { COMMON, "kid", "accounts", NULL };

static const char *const grant_keys_members[] = { COMMON, "realm", "accounts", "eabs", NULL };
static const char *const grant_add_members[] = { COMMON, "jws", NULL };
static const char *const grant_list_members[] = { COMMON, "realm", "after", NULL };
static const char *const grant_one_members[] = { COMMON, "id", NULL };
static const char *const audit_export_members[] = { COMMON, "since", "until", "after", "offset", NULL };

static const struct admin_op ops[] = {
	{ "eab.add", eab_add_members, admin_eab_add },
	{ "eab.list", eab_list_members, admin_eab_list },
	{ "eab.show", eab_show_members, admin_eab_show },
	{ "eab.disable", eab_disable_members, admin_eab_disable },
	{ "grant.keys", grant_keys_members, admin_grant_keys },
	{ "grant.add", grant_add_members, admin_grant_add },
	{ "grant.list", grant_list_members, admin_grant_list },
	{ "grant.show", grant_one_members, admin_grant_show },
	{ "grant.revoke", grant_one_members, admin_grant_revoke },
	{ "audit.export", audit_export_members, admin_audit_export },
};

const struct admin_op *admin_ops(size_t *ret_count)
{
	*ret_count = ARRAY_LEN(ops);
	return ops;
}

void admin_write_time(struct jw *w, const char *key, int64_t at_ms)
{
	char text[TIME_TEXT_MAX];
	if (at_ms == 0)
		return;
	time_show(at_ms / 1000, text);
	jw_kz(w, key, text);
}

static const struct admin_op *find_op(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		if (str_eq(name, str_z(ops[i].name)))
			return &ops[i];
	}
	return NULL;
}

static fallible check_form(const struct json *rq, const struct admin_op **ret_op, struct err *err)
{
	int64_t version = 0;
	struct str name = STR_NONE;
	TRY(json_want_i64(rq, "v", 0, INT64_MAX, &version, err));
	if (version != ADMIN_VERSION)
		FAIL(err, ERR_MALFORMED, "this cairn-api speaks version %d of the admin requests, not %lld",
		     ADMIN_VERSION, (long long)version);
	TRY(json_want_str(rq, "do", 64, &name, err));
	const struct admin_op *op = find_op(name);
	if (op == NULL)
		FAIL(err, ERR_MALFORMED, "this cairn-api has no operation \"%.*s\": it may be of an earlier release",
		     STR_FMT(name));
	TRY(json_only(rq, op->members, err));
	*ret_op = op;
	return OK;
}

fallible admin_request_read(struct str text, struct json **ret, const struct admin_op **ret_op, struct err *err)
{
	AUTO(json_auto) struct json *rq = NULL;
	TRY(json_read(text, ADMIN_REQUEST_MAX, &rq, err));
	TRY(check_form(rq, ret_op, err));
	*ret = TAKE(rq);
	return OK;
}

static fallible write_answer(const struct admin_op *op, struct admin_call *c, struct err *err)
{
	jw_object(c->out);
	jw_ki64(c->out, "v", ADMIN_VERSION);
	jw_kbool(c->out, "ok", true);
	TRY(op->fn(c, err));
	jw_object_end(c->out);
	return jw_end(c->out);
}

fallible admin_perform(const struct admin_deps *d, const struct conf *conf, uid_t uid, struct str request,
		       struct buf *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(json_auto) struct json *rq = NULL;
	const struct admin_op *op = NULL;
	TRY(admin_request_read(request, &rq, &op, err));
	struct jw out = jw_begin(ret, err);
	struct admin_call c = { .d = d,
				.conf = conf,
				.rq = rq,
				.mem = &mem,
				.actor = str_fmt(&mem, "operator:%u", (unsigned)uid),
				.now_ms = clock_now_ms(d->clk),
				.out = &out };
	return write_answer(op, &c, err);
}

void admin_refuse(const struct err *why, struct buf *ret)
{
	buf_reset(ret);
	struct jw out = jw_begin(ret, NULL);
	jw_object(&out);
	jw_ki64(&out, "v", ADMIN_VERSION);
	jw_kbool(&out, "ok", false);
	jw_kz(&out, "kind", err_kind_name(why->kind));
	jw_kz(&out, "detail", why->detail);
	jw_object_end(&out);
	if (FAILED(jw_end(&out))) /* not even room for this: the peer gets an end without an answer */
		buf_reset(ret);
}
