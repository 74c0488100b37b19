/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_persist.c: a record of dns-persist-01. What is taken has the form that was promised; written anew from what was
 * understood it says the same; the issuer is found in no other place than before the first semicolon.
 */
#include "fuzz.h"
#include "validate/internal.h"

static void check_value(struct str record, const struct persist_value *v)
{
	CHECK(v->account_uri.n > 0);
	CHECK(v->account_uri.p >= record.p && v->account_uri.p + v->account_uri.n <= record.p + record.n);
	for (size_t i = 0; i < v->account_uri.n; i++)
		CHECK(v->account_uri.p[i] > 0x20 && v->account_uri.p[i] < 0x7f && v->account_uri.p[i] != ';');
	CHECK(v->has_until || v->until_s == 0);
}

static void check_again(struct arena *mem, const struct persist_value *v)
{
	AUTO(buf_done) struct buf text = BUF_MAX(1 << 20);
	struct err err = { 0 };
	struct persist_value again;
	CHECK(!FAILED(buf_add(&text, STR("ca.test; accounturi="), &err)));
	CHECK(!FAILED(buf_add(&text, v->account_uri, &err)));
	if (v->wildcard)
		CHECK(!FAILED(buf_add(&text, STR("; policy=wildcard"), &err)));
	if (v->has_until)
		CHECK(!FAILED(buf_addf(&text, &err, "; persistUntil=%lld", (long long)v->until_s)));
	CHECK(!FAILED(persist_read(mem, buf_str(&text), &again, &err)));
	CHECK(persist_is_for(buf_str(&text), STR("ca.test")));
	CHECK(str_eq(again.account_uri, v->account_uri) && again.wildcard == v->wildcard);
	CHECK(again.has_until == v->has_until && again.until_s == v->until_s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str record = str_n(data, size);
	struct persist_value v;
	struct err err = { 0 };
	struct rc rc = persist_read(&mem, record, &v, &err);
	check_err(rc, &err);
	CHECK(rc.kind == ERR_NONE || rc.kind == ERR_MALFORMED);
	for (const char *c = err.detail; *c != '\0'; c++)
		CHECK(*c >= 0x20 && *c <= 0x7e);
	struct str head = str_sub(record, 0, str_find(record, ';', 0));
	CHECK(persist_is_for(record, STR("ca.test")) == persist_is_for(head, STR("ca.test")));
	if (rc.kind != ERR_NONE)
		return 0;
	check_value(record, &v);
	check_again(&mem, &v);
	return 0;
}
