/* SPDX-License-Identifier: Apache-2.0
 *
 * cert_test.c: the certificate resource (RFC 8555 7.4.2) and its format (9.1): what is downloaded, and the other ways up
 * that an issuer's configuration may name.
 */
#include "fixture.h"
#include "unit.h"
#include "world.h"

#include <stdlib.h>

#define TWO_ALTERNATES "    alternates: [cross.pem, long.pem]\n"
#define CHAIN_MAX 8

struct fixture {
	FIXTURE;
	struct str certificate;                 /* URL */
	struct key *issuer_key, *b_key, *c_key; /* of the world's issuer, and of two other roots */
	struct cert *issuer, *b_root, *c_root;
};

struct chain {
	struct cert *v[CHAIN_MAX];
	size_t n;
};

static void chain_done(struct chain *c)
{
	while (c->n > 0)
		cert_free(c->v[--c->n]);
}

static const char *in_dir(struct fixture *f, const char *name)
{
	return str_fmt(&f->w.mem, "%s/%s", f->w.dir, name).p;
}

static struct world_reply download(struct fixture *f, const struct world_account *who, struct str url)
{
	struct err err = { 0 };
	struct world_reply r;
	MUST(world_post(&f->w, who, url, STR_NONE, &r, &err));
	return r;
}

static bool has(struct str text, const char *part)
{
	return memmem(text.p, text.n, part, strlen(part)) != NULL;
}

static size_t count_of(struct str text, const char *part)
{
	size_t n = 0, len = strlen(part);
	for (size_t i = 0; i + len <= text.n; i++)
		n += memcmp(text.p + i, part, len) == 0;
	return n;
}

static struct str alternate_url(struct fixture *f, const char *n)
{
	return str_fmt(&f->w.mem, "%.*s/alternate/%s", STR_FMT(f->certificate), n);
}

static bool links_to(struct fixture *f, const struct world_reply *r, struct str url)
{
	return has(r->headers, str_fmt(&f->w.mem, "Link: <%.*s>;rel=\"alternate\"\r\n", STR_FMT(url)).p);
}

/* --- the format --- */

static bool is_base64(struct str line)
{
	size_t pad = str_ends(line, STR("==")) ? 2 : str_ends(line, STR("=")) ? 1 : 0;
	for (size_t i = 0; i + pad < line.n; i++)
		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", line.p[i]) == NULL)
			return false;
	return line.n > 0 && line.n <= 64 && line.n % 4 == 0;
}

/* RFC 8555 9.1 with erratum 5983, and RFC 7468 3's strict form: nothing but blocks, no blank line, no CR, no byte order
 * mark, every line but the last one of 64 characters. */
static void assert_strict(struct str pem)
{
	struct cur c = cur_of(pem);
	struct str line;
	bool inside = false, short_line = false;
	assert_true(pem.n > 0 && pem.p[pem.n - 1] == '\n');
	while (!cur_end(&c)) {
		assert_false(FAILED(cur_until(&c, '\n', &line, NULL)));
		if (!inside) {
			assert_true(str_eq(line, STR("-----BEGIN CERTIFICATE-----")));
			inside = true;
			short_line = false;
		} else if (str_eq(line, STR("-----END CERTIFICATE-----"))) {
			inside = false;
		} else {
			assert_true(is_base64(line) && !short_line);
			short_line = line.n < 64;
		}
	}
	assert_false(inside);
}

static void read_chain(struct str pem, struct chain *ret)
{
	struct err err = { 0 };
	assert_strict(pem);
	MUST(cert_read_pem(pem, ret->v, CHAIN_MAX, &ret->n, &err));
}

static void assert_links(const struct chain *c)
{
	for (size_t i = 0; i + 1 < c->n; i++)
		assert_true(cert_names_issuer(c->v[i], c->v[i + 1]));
}

static void a_certificate_is_a_strict_chain_leaf_first_without_the_root(void **state)
{
	struct fixture *f = *state;
	AUTO(chain_done) struct chain c = { .n = 0 };
	struct world_reply r = download(f, &f->alice, f->certificate);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.content_type, "application/pem-certificate-chain");
	read_chain(r.body, &c);
	assert_int_equal(c.n, 2);
	assert_true(cert_has_dns_name(c.v[0], STR("www.a.test")));
	assert_true(str_eq(cert_get_der(c.v[1]), cert_get_der(f->issuer)));
	assert_links(&c);
}

static void a_certificate_never_changes(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_reply first = download(f, &f->alice, f->certificate);
	f->w.now_ms += 3600 * 1000;
	MUST(world_restart_api(&f->w, &err));
	struct world_reply then = download(f, &f->alice, f->certificate);
	assert_true(str_eq(first.body, then.body));
}

/* --- alternates --- */

static void alternates_are_other_ways_up_from_the_same_leaf(void **state)
{
	struct fixture *f = *state;
	AUTO(chain_done) struct chain main_chain = { .n = 0 };
	static const struct {
		const char *n, *other;
		size_t length;
	} rows[] = { { "1", "2", 2 }, { "2", "1", 3 } };
	struct world_reply r = download(f, &f->alice, f->certificate);
	read_chain(r.body, &main_chain);
	assert_int_equal(count_of(r.headers, "rel=\"alternate\""), ARRAY_LEN(rows));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(chain_done) struct chain c = { .n = 0 };
		assert_true(links_to(f, &r, alternate_url(f, rows[i].n)));
		struct world_reply a = download(f, &f->alice, alternate_url(f, rows[i].n));
		assert_int_equal(a.status, 200);
		assert_string_equal(a.content_type, "application/pem-certificate-chain");
		read_chain(a.body, &c);
		assert_int_equal(c.n, rows[i].length);
		assert_true(str_eq(cert_get_der(c.v[0]), cert_get_der(main_chain.v[0])));
		assert_false(str_eq(cert_get_der(c.v[1]), cert_get_der(main_chain.v[1])));
		assert_links(&c);
		/* from each of them to all others, and not to itself */
		assert_int_equal(count_of(a.headers, "rel=\"alternate\""), ARRAY_LEN(rows));
		assert_true(links_to(f, &a, f->certificate));
		assert_true(links_to(f, &a, alternate_url(f, rows[i].other)));
	}
}

static void only_the_alternates_that_there_are_are_there(void **state)
{
	struct fixture *f = *state;
	static const char *const wrong[] = { "0",  "3",   "01",
					     "-1", "+1",  "1.0",
					     "1x", "%31", "99999999999999999999999999" };
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct world_reply r = download(f, &f->alice, alternate_url(f, wrong[i]));
		assert_int_equal(r.status, 404);
		assert_true(has(r.body, "no such alternate chain"));
		world_reply_done(&r);
	}
}

static void another_accounts_certificate_has_no_alternates_either(void **state)
{
	struct fixture *f = *state;
	const struct str urls[] = { f->certificate, alternate_url(f, "1"), alternate_url(f, "9") };
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct world_reply r = download(f, &f->bob, urls[i]);
		assert_int_equal(r.status, 404);
		assert_true(has(r.body, "this account has no such certificate"));
		assert_int_equal(count_of(r.headers, "alternate"), 0);
		world_reply_done(&r);
	}
}

static void configure(struct fixture *f, const char *issuer_text)
{
	struct err err = { 0 };
	f->w.issuer_text = issuer_text;
	MUST(world_configure(&f->w, NULL, &err));
}

static void alternates_come_and_go_with_a_reload(void **state)
{
	struct fixture *f = *state;
	configure(f, "");
	struct world_reply r = download(f, &f->alice, f->certificate);
	assert_int_equal(count_of(r.headers, "rel=\"alternate\""), 0);
	r = download(f, &f->alice, alternate_url(f, "1"));
	assert_int_equal(r.status, 404);
	world_reply_done(&r);
	configure(f, "    alternates: [long.pem]\n");
	r = download(f, &f->alice, f->certificate);
	assert_int_equal(count_of(r.headers, "rel=\"alternate\""), 1);
	configure(f, TWO_ALTERNATES);
	r = download(f, &f->alice, f->certificate);
	assert_int_equal(count_of(r.headers, "rel=\"alternate\""), 2);
}

/* --- files that do not fit --- */

static void write_certs(struct fixture *f, const char *name, const struct cert *const *certs, size_t count)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf pem = BUF_MAX(65536);
	for (size_t i = 0; i < count; i++)
		MUST(cert_add_pem(certs[i], &pem, &err));
	MUST(file_write_atomic(in_dir(f, name), buf_str(&pem), 0644, &err));
}

/* A certificate for this subject and key by that parent. */
static struct cert *crossed(struct fixture *f, const char *subject, const struct key *key, const struct cert *parent,
			    const struct key *parent_key)
{
	struct err err = { 0 };
	struct cert *cert;
	int64_t now = f->w.now_ms / 1000;
	const struct ca_request rq = { .common_name = str_z(subject),
				       .key = key,
				       .not_before = now - 86400,
				       .not_after = now + (parent == NULL ? 2000 : 1000) * (int64_t)86400,
				       .path_len = -1 };
	if (parent == NULL)
		MUST(ca_make_root(f->w.crypto, &rq, &rng_system, &cert, &err));
	else
		MUST(ca_make_intermediate(f->w.crypto, &rq, parent, parent_key, &rng_system, &cert, &err));
	return cert;
}

static void make_misfits(struct fixture *f)
{
	struct err err = { 0 };
	AUTO(cert_auto) struct cert *fits = crossed(f, "World Issuer", f->issuer_key, f->b_root, f->b_key);
	AUTO(cert_auto) struct cert *renamed = crossed(f, "World Issuer 2", f->issuer_key, f->b_root, f->b_key);
	AUTO(cert_auto) struct cert *rekeyed = crossed(f, "World Issuer", f->c_key, f->b_root, f->b_key);
	const struct cert *other_name[] = { renamed }, *other_key[] = { rekeyed }, *gap[] = { fits, f->c_root };
	write_certs(f, "other-name.pem", other_name, 1);
	write_certs(f, "other-key.pem", other_key, 1);
	write_certs(f, "gap.pem", gap, 2);
	MUST(file_write_atomic(in_dir(f, "text.pem"), STR("hello\n"), 0644, &err));
	MUST(file_write_atomic(in_dir(f, "empty.pem"), STR(""), 0644, &err));
}

/* Neither a start nor a reload takes what a client could not use, and who must mend it is told which file it is. */
static void alternates_that_do_not_fit_are_refused(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	static const char *const files[] = { "other-name.pem", "other-key.pem", "gap.pem",
					     "text.pem",       "empty.pem",     "not-there.pem" };
	make_misfits(f);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		struct str text = str_fmt(&f->w.mem, "    alternates: [cross.pem, %s]\n", files[i]);
		f->w.issuer_text = text.p;
		struct rc rc = world_configure(&f->w, NULL, &err);
		print_message("%s\n", err.detail);
		assert_true(rc.kind == ERR_CONFIG || rc.kind == ERR_IO);
		assert_non_null(strstr(err.detail, "issuer.default.alternates: "));
		assert_non_null(strstr(err.detail, files[i]));
		/* what was there is still served */
		struct world_reply r = download(f, &f->alice, alternate_url(f, "2"));
		assert_int_equal(r.status, 200);
		err = (struct err){ 0 };
	}
	configure(f, TWO_ALTERNATES);
}

static void a_start_with_a_wrong_alternate_fails(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	make_misfits(f);
	f->w.issuer_text = "    alternates: [gap.pem]\n";
	assert_true(FAILED(world_configure(&f->w, NULL, &err))); /* the file is written all the same */
	err = (struct err){ 0 };
	MUST_FAIL(world_restart_api(&f->w, &err), ERR_CONFIG, "gap.pem"); /* the world has no api now: the last test */
}

/* A certificate from before the issuer's key was changed does not lead up the new ways. */
static void certificates_of_a_former_key_keep_only_their_own_chain(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(key_auto) struct key *new_key = NULL;
	MUST(key_generate(KEY_P256, 0, &new_key, &err));
	AUTO(cert_auto) struct cert *issuer = crossed(f, "World Issuer", new_key, f->c_root, f->c_key);
	AUTO(cert_auto) struct cert *cross = crossed(f, "World Issuer", new_key, f->b_root, f->b_key);
	const struct cert *own[] = { issuer }, *other[] = { cross };
	write_certs(f, "issuer.pem", own, 1);
	write_certs(f, "new-cross.pem", other, 1);
	f->w.issuer_text = "    alternates: [new-cross.pem]\n";
	MUST(world_configure(&f->w, NULL, &err));
	struct world_reply r = download(f, &f->alice, f->certificate);
	assert_int_equal(r.status, 200);
	assert_int_equal(count_of(r.headers, "rel=\"alternate\""), 0);
	r = download(f, &f->alice, alternate_url(f, "1"));
	assert_int_equal(r.status, 404);
	world_reply_done(&r);
}

/* --- the fixture --- */

static struct str member(struct fixture *f, struct str url, const char *key)
{
	struct err err = { 0 };
	struct str text;
	struct world_reply r = download(f, &f->alice, url);
	MUST(json_want_str(r.json, key, 256, &text, &err));
	text = str_dup(&f->w.mem, text);
	world_reply_done(&r);
	return text;
}

static void issue(struct fixture *f)
{
	struct err err = { 0 };
	struct world_reply r;
	struct str order, csr;
	AUTO(key_auto) struct key *k = NULL;
	MUST(key_generate(KEY_P256, 0, &k, &err));
	MUST(world_csr(&f->w, k, STR("www.a.test"), &csr, &err));
	world_site(&f->w, STR("www.a.test"))->thumbprint = str_z(f->alice.thumbprint.z);
	MUST(world_order_new(&f->w, &f->alice, STR("www.a.test"), &order, &err));
	MUST(world_order_prove(&f->w, &f->alice, order, &err));
	MUST(world_post(&f->w, &f->alice, member(f, order, "finalize"), csr, &r, &err));
	world_reply_done(&r);
	MUST(world_run(&f->w, &err));
	f->certificate = member(f, order, "certificate");
}

static void make_alternates(struct fixture *f)
{
	struct err err = { 0 };
	struct chain own = { .n = 0 };
	MUST(key_read_file(in_dir(f, "issuer.key"), NULL, &f->issuer_key, &err));
	MUST(cert_read_pem_file(in_dir(f, "issuer.pem"), own.v, CHAIN_MAX, &own.n, &err));
	f->issuer = own.v[0];
	MUST(key_generate(KEY_P256, 0, &f->b_key, &err));
	MUST(key_generate(KEY_P384, 0, &f->c_key, &err));
	f->b_root = crossed(f, "Root B", f->b_key, NULL, NULL);
	f->c_root = crossed(f, "Root C", f->c_key, NULL, NULL);
	AUTO(cert_auto) struct cert *cross = crossed(f, "World Issuer", f->issuer_key, f->b_root, f->b_key);
	AUTO(cert_auto) struct cert *b_by_c = crossed(f, "Root B", f->b_key, f->c_root, f->c_key);
	const struct cert *by_b[] = { cross }, *by_c[] = { cross, b_by_c };
	write_certs(f, "cross.pem", by_b, 1);
	write_certs(f, "long.pem", by_c, 2);
}

static int open_world(void **state)
{
	struct fixture *f = fixture_new(sizeof *f, NULL, 2);
	issue(f);
	make_alternates(f);
	configure(f, TWO_ALTERNATES);
	*state = f;
	return 0;
}

static int close_world(void **state)
{
	struct fixture *f = *state;
	struct key *keys[] = { f->issuer_key, f->b_key, f->c_key };
	struct cert *certs[] = { f->issuer, f->b_root, f->c_root };
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		key_free(keys[i]);
	for (size_t i = 0; i < ARRAY_LEN(certs); i++)
		cert_free(certs[i]);
	return fixture_free(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_certificate_is_a_strict_chain_leaf_first_without_the_root),
		cmocka_unit_test(a_certificate_never_changes),
		cmocka_unit_test(alternates_are_other_ways_up_from_the_same_leaf),
		cmocka_unit_test(only_the_alternates_that_there_are_are_there),
		cmocka_unit_test(another_accounts_certificate_has_no_alternates_either),
		cmocka_unit_test(alternates_come_and_go_with_a_reload),
		cmocka_unit_test(alternates_that_do_not_fit_are_refused),
		cmocka_unit_test(certificates_of_a_former_key_keep_only_their_own_chain),
		cmocka_unit_test(a_start_with_a_wrong_alternate_fails),
	};
	return cmocka_run_group_tests(tests, open_world, close_world);
}
