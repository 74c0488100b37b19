/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_dns_answer.c: whole answers of the DNS as libunbound hands them over, records and all that it says about them, to
 * what a challenge is judged by. What is bogus never gives data, what failed says why in plain words, nothing is read that
 * was not there, and no limit is passed.
 *
 * The input: which question, then one result (two for addresses): error, flags, rcode, the text of a reason, the canonical
 * name, and records until a length of zero. Lengths are one byte, of records two.
 */
#include "fuzz.h"
#include "net/resolve_internal.h"

#define RECORDS_MAX 1200

struct answer {
	struct ub_result result;
	char *data[RECORDS_MAX + 1];
	int len[RECORDS_MAX + 1];
	size_t count;
};

/* A copy in its own piece of memory, so that a sanitizer sees what is read behind its end. */
static char *piece(struct arena *mem, struct str s)
{
	char *p = arena_alloc(mem, s.n + 1);
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

static char *take_text(struct cur *c, struct arena *mem)
{
	uint8_t n = 0;
	struct str text = STR("");
	if (FAILED(cur_u8(c, &n, NULL)) || n == 0 || FAILED(cur_take(c, n, &text, NULL)))
		return NULL;
	return piece(mem, text);
}

static bool take_record(struct cur *c, struct answer *a, struct arena *mem)
{
	uint16_t n = 0;
	struct str data;
	if (a->count == RECORDS_MAX || FAILED(cur_u16(c, &n, NULL)) || n == 0 || FAILED(cur_take(c, n, &data, NULL)))
		return false;
	a->data[a->count] = piece(mem, data);
	a->len[a->count++] = (int)n;
	return true;
}

static void answer_take(struct cur *c, const struct ask_type *type, struct arena *mem, struct answer *a,
			struct outcome *ret)
{
	uint8_t error = 0, flags = 0, rcode = 0;
	bool whole = !FAILED(cur_u8(c, &error, NULL)) && !FAILED(cur_u8(c, &flags, NULL)) &&
		     !FAILED(cur_u8(c, &rcode, NULL));
	*ret = (struct outcome){ .type = type,
				 .answered = whole && error != 255,
				 .error = error < 11 ? -(int)error : 0 };
	a->result = (struct ub_result){ .data = a->data, .len = a->len, .rcode = rcode };
	a->result.secure = flags & 1;
	a->result.bogus = (flags & 1) == 0 ? flags & 2 : 0; /* never both */
	a->result.nxdomain = flags & 4;
	a->result.why_bogus = take_text(c, mem);
	a->result.canonname = take_text(c, mem);
	while (take_record(c, a, mem))
		;
	a->result.havedata = a->count > 0; /* for a bogus answer too */
	if (ret->answered && ret->error == 0)
		outcome_read(&a->result, ret);
}

static void check_failure(struct rc rc, const struct err *err, const struct question *q)
{
	check_err(rc, err);
	CHECK(rc.kind == ERR_NONE || rc.kind == ERR_DNS || rc.kind == ERR_INTERNAL);
	CHECK(rc.kind != ERR_DNS || strstr(err->detail, q->name) != NULL);
}

/* What is true of every answer. */
static void check_answer(const struct answer *a, const struct outcome *o, struct rc rc, size_t count, size_t left_out,
			 enum dnssec dnssec)
{
	CHECK(dnssec != DNSSEC_SECURE || (o->answered && a->result.secure != 0 && a->result.bogus == 0));
	CHECK(!o->bogus || (rc.kind == ERR_DNS && dnssec == DNSSEC_BOGUS));
	CHECK(rc.kind == ERR_NONE || count + left_out == 0);
	CHECK(rc.kind != ERR_NONE || (o->answered && o->error == 0 && count + left_out == a->count));
	CHECK(rc.kind != ERR_NONE || a->result.rcode == 0 || a->result.nxdomain != 0);
}

static void txt_answer(struct cur *c, struct arena *mem, const struct question *q)
{
	struct answer *a = ARENA_NEW(mem, struct answer);
	struct outcome o;
	struct resolve_txt_answer got = { 0 };
	struct err err = { 0 };
	answer_take(c, &txt_type, mem, a, &o);
	struct rc rc = txt_read(&o, q, mem, &got, &err);
	check_failure(rc, &err, q);
	check_answer(a, &o, rc, got.count, got.left_out, got.dnssec);
	CHECK(got.count <= RESOLVE_TXT_MAX);
	size_t in = 0, out = 0;
	for (size_t i = 0; i < a->count; i++)
		in += (size_t)a->len[i];
	for (size_t i = 0; i < got.count; i++)
		out += got.records[i].n + 1; /* each had a length byte at least */
	CHECK(out <= in);
}

static void caa_answer(struct cur *c, struct arena *mem, const struct question *q)
{
	struct answer *a = ARENA_NEW(mem, struct answer);
	struct outcome o;
	struct resolve_caa_answer got = { 0 };
	struct err err = { 0 };
	answer_take(c, &caa_type, mem, a, &o);
	struct rc rc = caa_read(&o, q, mem, &got, &err);
	check_failure(rc, &err, q);
	check_answer(a, &o, rc, got.count, got.left_out, got.dnssec);
	CHECK(got.count <= RESOLVE_CAA_MAX);
	for (size_t i = 0; i < got.count; i++)
		CHECK(got.records[i].tag.n >= 1 && got.records[i].value.n <= RESOLVE_CAA_VALUE_MAX);
}

static bool was_there(const struct answer *a, const struct ask_type *type, const struct addr *addr)
{
	for (size_t i = 0; i < a->count; i++)
		if (a->len[i] == type->size && memcmp(a->data[i], addr->b, (size_t)type->size) == 0)
			return true;
	return false;
}

static void address_answer(struct cur *c, struct arena *mem, const struct question *q)
{
	struct answer *a[ASK_COUNT];
	struct outcome o[ASK_COUNT];
	struct resolve_answer got = { 0 };
	struct err err = { 0 };
	for (size_t i = 0; i < ASK_COUNT; i++) {
		a[i] = ARENA_NEW(mem, struct answer);
		answer_take(c, &address_types[i], mem, a[i], &o[i]);
	}
	struct rc rc = addresses_read(o, q, mem, &got, &err);
	check_failure(rc, &err, q);
	CHECK((rc.kind == ERR_NONE) == (got.addr_count > 0) && got.addr_count <= RESOLVE_ADDRS_MAX);
	CHECK((o[ASK_AAAA].bogus || o[ASK_A].bogus) == (got.dnssec == DNSSEC_BOGUS));
	CHECK(got.dnssec != DNSSEC_BOGUS || rc.kind == ERR_DNS);
	for (size_t i = 0; i < got.addr_count; i++) {
		size_t type = got.addrs[i].family == AF_INET6 ? ASK_AAAA : ASK_A;
		CHECK(was_there(a[type], &address_types[type], &got.addrs[i]));
		CHECK(got.dnssec != DNSSEC_SECURE || o[type].secure);
		CHECK(i == 0 || got.addrs[i].family == AF_INET || got.addrs[i - 1].family == AF_INET6);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena mem = { 0 };
	const struct question q = {
		.name = "www.a.test", .from = STR("192.0.2.53"), .waited_ms = 1500, .wanted = "a record"
	};
	struct cur c = cur_of(str_n(data, size));
	uint8_t which = 0;
	if (FAILED(cur_u8(&c, &which, NULL)))
		return 0;
	if (which % 3 == 0)
		address_answer(&c, &mem, &q);
	else if (which % 3 == 1)
		txt_answer(&c, &mem, &q);
	else
		caa_answer(&c, &mem, &q);
	return 0;
}
