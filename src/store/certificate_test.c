/* SPDX-License-Identifier: Apache-2.0
 *
 * certificate_test.c: a certificate is revoked once, its reason may be raised to keyCompromise, and a compromised key
 * takes all of its certificates with it and stays on the block list.
 */
#include "store/testing.h"

/* Each with an order of its own. */
static void add_certificate(struct bench *b, uint32_t n, const char *serial, uint8_t key, int64_t not_after_s)
{
	add_order(b, n + 100, AUTHZ);
	struct certificate_row c = test_certificate(ID(n), ID(n + 100), ID(ACCOUNT), serial);
	c.spki_hash = (struct sha256){ { key } };
	c.not_after_s = not_after_s;
	GOOD(certificate_insert(&b->tx, &c, NULL, 0, &err));
}

static struct certificate_row get(struct bench *b, uint32_t n)
{
	struct certificate_row c;
	GOOD(certificate_by_id(&b->tx, &b->mem, ID(n), &c, &err));
	return c;
}

static void expect_revoked(struct bench *b, uint32_t n, int64_t at, int reason)
{
	struct certificate_row c = get(b, n);
	if (c.revoked_at != at || c.revocation_reason != reason)
		fail_msg("%u: revoked at %lld for %d", n, (long long)c.revoked_at, c.revocation_reason);
}

static void a_certificate_is_revoked_once(void **state)
{
	struct bench *b = (struct bench *)*state;
	add_account(b);
	add_authz(b, AUTHZ);
	add_certificate(b, 1000, "01", 7, T_START);
	expect_revoked(b, 1000, 0, 0);
	GOOD(certificate_revoke(&b->tx, ID(1000), T_START, 4, STR("key"), &err));
	expect_revoked(b, 1000, T_START, 4);
	BAD(certificate_revoke(&b->tx, ID(1000), T_START + 1, 5, STR("operator"), &err), ERR_CONFLICT, "is revoked");
	expect_revoked(b, 1000, T_START, 4);
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM certificates WHERE revoked_by = 'key'"), 1);
	BAD(certificate_revoke(&b->tx, ID(NOBODY), T_START, 0, STR("key"), &err), ERR_NOT_FOUND, "certificate");
}

static void what_is_no_revocation_is_refused(void **state)
{
	struct bench *b = (struct bench *)*state;
	static const int reasons[] = { -1, 7, 11 };
	size_t n;
	const struct sha256 key = { { 7 } };
	const struct id everybody = { 0 };
	add_account(b);
	add_authz(b, AUTHZ);
	add_certificate(b, 1000, "01", 7, T_START);
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		BAD(certificate_revoke(&b->tx, ID(1000), T_START, reasons[i], STR("key"), &err), ERR_INTERNAL,
		    "not a reason");
		BAD(certificates_revoke_key(&b->tx, &key, everybody, T_START, reasons[i], STR("key"), &n, &err),
		    ERR_INTERNAL, "not a reason");
	}
	BAD(certificate_revoke(&b->tx, ID(1000), 0, 1, STR("key"), &err), ERR_INTERNAL, "1970");
	expect_revoked(b, 1000, 0, 0);
}

static void a_reason_is_raised_to_key_compromise_and_no_further(void **state)
{
	struct bench *b = (struct bench *)*state;
	add_account(b);
	add_authz(b, AUTHZ);
	add_certificate(b, 1000, "01", 7, T_START);
	BAD(certificate_set_compromised(&b->tx, ID(1000), STR("key"), &err), ERR_CONFLICT, "not revoked");
	GOOD(certificate_revoke(&b->tx, ID(1000), T_START, 0, STR("operator"), &err));
	GOOD(certificate_set_compromised(&b->tx, ID(1000), STR("key"), &err));
	expect_revoked(b, 1000, T_START, 1); /* the time stays: relying parties were told of it */
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM certificates WHERE revoked_by = 'key'"), 1);
	BAD(certificate_set_compromised(&b->tx, ID(1000), STR("key"), &err), ERR_CONFLICT, "revoked for keyCompromise");
	BAD(certificate_set_compromised(&b->tx, ID(NOBODY), STR("key"), &err), ERR_NOT_FOUND, "certificate");
}

static void a_compromised_key_takes_its_living_certificates_with_it(void **state)
{
	struct bench *b = (struct bench *)*state;
	const struct sha256 key = { { 7 } };
	const struct id everybody = { 0 };
	const int64_t now_s = T_START / 1000;
	size_t n;
	add_account(b);
	add_authz(b, AUTHZ);
	add_certificate(b, 1000, "01", 7, now_s + 50);
	add_certificate(b, 1001, "02", 7, now_s);     /* its last second */
	add_certificate(b, 1002, "03", 7, now_s - 1); /* ended */
	add_certificate(b, 1003, "04", 8, now_s + 50);
	add_certificate(b, 1004, "05", 7, now_s + 50);
	GOOD(certificate_revoke(&b->tx, ID(1004), T_START - 5, 4, STR("operator"), &err));
	GOOD(certificates_revoke_key(&b->tx, &key, ID(NOBODY), T_START, 1, STR("key"), &n, &err));
	assert_int_equal(n, 0);
	GOOD(certificates_revoke_key(&b->tx, &key, ID(ACCOUNT), T_START, 1, STR("key"), &n, &err));
	assert_int_equal(n, 2);
	expect_revoked(b, 1000, T_START, 1);
	expect_revoked(b, 1001, T_START, 1);
	expect_revoked(b, 1002, 0, 0);
	expect_revoked(b, 1003, 0, 0);
	expect_revoked(b, 1004, T_START - 5, 4);
	add_certificate(b, 1005, "06", 7, now_s + 50);
	GOOD(certificates_revoke_key(&b->tx, &key, everybody, T_START, 1, STR("key"), &n, &err));
	assert_int_equal(n, 1);
	GOOD(certificates_revoke_key(&b->tx, &key, everybody, T_START, 1, STR("key"), &n, &err));
	assert_int_equal(n, 0);
}

static void a_blocked_key_is_known_and_who_blocked_it_first(void **state)
{
	struct bench *b = (struct bench *)*state;
	const struct sha256 key = { { 7 } }, other = { { 8 } };
	bool has;
	GOOD(blocked_key_has(&b->tx, &key, &has, &err));
	assert_false(has);
	GOOD(blocked_key_insert(&b->tx, &key, STR("keyCompromise"), T_START, STR("key"), &err));
	GOOD(blocked_key_insert(&b->tx, &key, STR("other"), T_START + 1, STR("operator"), &err)); /* twice is OK */
	GOOD(blocked_key_has(&b->tx, &key, &has, &err));
	assert_true(has);
	GOOD(blocked_key_has(&b->tx, &other, &has, &err));
	assert_false(has);
	assert_int_equal(count_of(b, "SELECT created_at FROM blocked_keys WHERE reason = 'keyCompromise' AND "
				     "created_by = 'key'"),
			 T_START);
}

/* The first bytes of a PEM text of 0x30 0x00, as the signer writes it. */
#define LEAF "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"

static struct str chain_of(struct bench *b, uint32_t certificate)
{
	struct certificate_row got;
	GOOD(certificate_by_id(&b->tx, &b->mem, ID(certificate), &got, &err));
	return got.chain_pem;
}

static void a_chain_is_kept_once_and_served_as_it_was(void **state)
{
	static const struct {
		const char *issuer, *text;
		int64_t chains; /* afterwards */
	} rows[] = {
		{ "main", LEAF "above\n", 1 },   { "main", LEAF "above\n", 1 },
		{ "main", LEAF "later\n", 2 },   { "main", LEAF "above\n", 2 },
		{ "other", LEAF "above\n", 3 },  { "main", LEAF, 3 },
		{ "main", "not its leaf\n", 3 }, { "main", "", 3 },
	};
	struct bench *b = (struct bench *)*state;
	add_all(b);
	for (uint32_t i = 0; i < ARRAY_LEN(rows); i++) {
		char serial[8];
		(void)snprintf(serial, sizeof serial, "%02x", i);
		add_order(b, 100 + i, AUTHZ);
		struct certificate_row c = test_certificate(ID(200 + i), ID(100 + i), ID(ACCOUNT), serial);
		c.issuer = str_z(rows[i].issuer);
		c.chain_pem = str_z(rows[i].text);
		GOOD(certificate_insert(&b->tx, &c, NULL, 0, &err));
		assert_int_equal(count_of(b, "SELECT COUNT(*) FROM chains"), rows[i].chains);
	}
	for (uint32_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_true(str_eq(chain_of(b, 200 + i), str_z(rows[i].text)));
	assert_int_equal(count_of(b, "SELECT COUNT(*) FROM certificates WHERE chain_pem <> ''"), 2);
}

static void a_leaf_whose_chain_is_gone_is_not_served_alone(void **state)
{
	static const char *const rows[] = { "DELETE FROM chains", "UPDATE chains SET issuer = 'other'",
					    "UPDATE chains SET seq = seq + 1" };
	struct bench *b = (struct bench *)*state;
	struct certificate_row got;
	uint64_t changed = 0;
	add_all(b);
	struct certificate_row c = test_certificate(ID(CERTIFICATE), ID(ORDER), ID(ACCOUNT), "0a");
	c.chain_pem = STR(LEAF "above\n");
	GOOD(certificate_insert(&b->tx, &c, NULL, 0, &err));
	for (size_t i = ARRAY_LEN(rows); i-- > 0;) {
		GOOD(tx_run(&b->tx, rows[i], NULL, 0, &changed, &err));
		assert_int_equal(changed, 1);
		BAD(certificate_by_id(&b->tx, &b->mem, ID(CERTIFICATE), &got, &err), ERR_INTERNAL, "chain");
		BAD(certificate_by_serial(&b->tx, &b->mem, STR("0a"), &got, &err), ERR_INTERNAL, "chain");
	}
}

/* From before a leaf alone was kept whole: its row is empty, and there. */
static void a_row_of_nothing_above_a_leaf_is_no_missing_one(void **state)
{
	struct bench *b = (struct bench *)*state;
	uint64_t changed = 0;
	add_all(b);
	struct certificate_row c = test_certificate(ID(CERTIFICATE), ID(ORDER), ID(ACCOUNT), "0a");
	c.chain_pem = STR(LEAF "above\n");
	GOOD(certificate_insert(&b->tx, &c, NULL, 0, &err));
	GOOD(tx_run(&b->tx, "UPDATE chains SET pem = ''", NULL, 0, &changed, &err));
	assert_true(str_eq(chain_of(b, CERTIFICATE), STR(LEAF)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH(a_chain_is_kept_once_and_served_as_it_was),
		BENCH(a_leaf_whose_chain_is_gone_is_not_served_alone),
		BENCH(a_row_of_nothing_above_a_leaf_is_no_missing_one),
		BENCH(a_certificate_is_revoked_once),
		BENCH(what_is_no_revocation_is_refused),
		BENCH(a_reason_is_raised_to_key_compromise_and_no_further),
		BENCH(a_compromised_key_takes_its_living_certificates_with_it),
		BENCH(a_blocked_key_is_known_and_who_blocked_it_first),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
