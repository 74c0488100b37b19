/* SPDX-License-Identifier: Apache-2.0
 *
 * revoke_test.c: revocation (RFC 8555 7.6): who may, with which words the others may not, which reasons, what is no
 * certificate of ours, and what becomes of a key that is compromised. Certificates are made here and put into the store,
 * so that each can have the names, the owner and the end that its row wants; one is issued as usual.
 */
#include "expect.h"
#include "fixture.h"

#include <stdlib.h>

#define REVOKE STR(WORLD_BASE "/revoke-cert")
#define NEW_ACCOUNT STR(WORLD_BASE "/new-account")
#define NAMES_MAX 4
#define REALM                                                                                \
	"realm:\n"                                                                           \
	"  default:\n    names: [\"*.a.test\", a.test]\n    challenges: [http-01, dns-01]\n" \
	"    subdomain-auth: true\n    accounts-per-hour: 0\n    orders-per-hour: 0\n"       \
	"  other:\n    names: [\"*.a.test\"]\n    accounts-per-hour: 0\n    orders-per-hour: 0\n"

struct fixture {
	FIXTURE;
	struct issuer *issuer;
	struct world_account eve; /* never gets an authorization; alice is the owner, bob may get them */
	struct id alice_id, bob_id;
};

static struct key *key_new(void)
{
	struct err err = { 0 };
	struct key *k = NULL;
	MUST(key_generate(KEY_P256, 0, &k, &err));
	return k;
}

static struct world_reply post(struct fixture *f, const struct world_account *a, struct str url, struct str payload)
{
	struct err err = { 0 };
	struct world_reply r;
	MUST(world_post(&f->w, a, url, payload, &r, &err));
	return r;
}

/* --- certificates and authorizations, put where they belong ------------------------------------------------------ */
struct spec {
	const char *names[NAMES_MAX], *addrs[NAMES_MAX];
	struct str realm; /* empty: default */
	int64_t ends_in_s;
	struct id owner; /* zero: alice */
};

struct made {
	struct key *key;
	struct str der;
	struct id id;
	struct world_account holder; /* the key, as the signer of a request without account */
};

static struct str made_der(struct fixture *f, const struct spec *s, const struct key *key, struct serial serial)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX);
	AUTO(buf_done) struct buf der = BUF_MAX(CERT_DER_MAX);
	const struct cert_template t = { .ekus = EKU_SERVER };
	struct str names[NAMES_MAX];
	struct addr addrs[NAMES_MAX];
	struct cert_request r = { .names = names,
				  .addrs = addrs,
				  .key = key,
				  .serial = serial,
				  .not_before = f->w.now_ms / 1000 - 3600,
				  .not_after = f->w.now_ms / 1000 + s->ends_in_s };
	for (; r.name_count < NAMES_MAX && s->names[r.name_count] != NULL; r.name_count++)
		names[r.name_count] = str_z(s->names[r.name_count]);
	for (; r.addr_count < NAMES_MAX && s->addrs[r.addr_count] != NULL; r.addr_count++)
		MUST(addr_read(str_z(s->addrs[r.addr_count]), &addrs[r.addr_count], &err));
	MUST(cert_build_tbs(f->issuer, &t, &r, &tbs, &err));
	MUST(cert_sign_tbs(f->w.crypto, f->issuer, buf_str(&tbs), &der, &err));
	return str_dup(&f->w.mem, buf_str(&der));
}

struct insertion {
	struct order_row order;
	struct certificate_row certificate;
};

static fallible made_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct insertion *i = ctx;
	/* An order has one at least. */
	const struct authz_row z = { .id = i->certificate.id,
				     .account = i->order.account,
				     .realm = i->order.realm,
				     .thumbprint = STR("another-key-of-before-which-is-no-matter-00"),
				     .ident = { IDENT_DNS, STR("made.a.test") },
				     .status = AUTHZ_INVALID,
				     .created_at = i->order.created_at,
				     .expires_at = i->order.expires_at };
	TRY(authz_insert(tx, &z, err));
	TRY(order_insert(tx, &i->order, &z.id, 1, err));
	return certificate_insert(tx, &i->certificate, NULL, 0, err);
}

/* key NULL: one of its own. */
static struct made make_with(struct fixture *f, struct spec s, struct key *key)
{
	struct err err = { 0 };
	struct serial serial = serial_new(1, &rng_system);
	struct made m = { .key = key != NULL ? key_ref(key) : key_new() };
	struct str realm = s.realm.n > 0 ? s.realm : STR("default");
	if (s.ends_in_s == 0)
		s.ends_in_s = 86400;
	if (s.names[0] == NULL && s.addrs[0] == NULL)
		s.names[0] = "www.a.test";
	m.der = made_der(f, &s, m.key, serial);
	m.id = id_new(&f->w.clock, &rng_system);
	m.holder = (struct world_account){ .key = m.key };
	struct id owner = id_is_zero(s.owner) ? f->alice_id : s.owner;
	struct insertion i = { .order = { .id = id_new(&f->w.clock, &rng_system),
					  .account = owner,
					  .realm = realm,
					  .profile = STR("default"),
					  .status = ORDER_VALID,
					  .identifiers = STR("[]"),
					  .created_at = f->w.now_ms,
					  .expires_at = f->w.now_ms + 86400000,
					  .certificate = m.id },
			       .certificate = { .id = m.id,
						.account = owner,
						.realm = realm,
						.profile = STR("default"),
						.issuer = STR("default"),
						.serial = serial_hex(&f->w.mem, &serial),
						.der = m.der,
						.chain_pem = STR("-"),
						.not_before_s = f->w.now_ms / 1000 - 3600,
						.not_after_s = f->w.now_ms / 1000 + s.ends_in_s,
						.created_at = f->w.now_ms } };
	i.certificate.order = i.order.id;
	MUST(key_spki_hash(f->w.crypto, m.key, &i.certificate.spki_hash, &err));
	MUST(store_tx(f->w.store, made_tx, &i, &err));
	return m;
}

static struct made make(struct fixture *f, struct spec s)
{
	return make_with(f, s, NULL);
}

struct look {
	struct id id;
	struct arena *mem;
	struct certificate_row row;
};

static fallible look_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct look *l = ctx;
	return certificate_by_id(tx, l->mem, l->id, &l->row, err);
}

static struct certificate_row row_of(struct fixture *f, const struct made *m)
{
	struct err err = { 0 };
	struct look l = { .id = m->id, .mem = &f->w.mem };
	MUST(store_read(f->w.store, look_tx, &l, &err));
	return l.row;
}

static bool is_revoked(struct fixture *f, const struct made *m)
{
	return row_of(f, m).revoked_at != 0;
}

static struct id id_of_url(struct str url)
{
	struct err err = { 0 };
	struct id id;
	MUST(id_read(str_sub(url, strlen(WORLD_BASE "/account/"), url.n), &id, &err));
	return id;
}

/* The payload that asks for it; reason: JSON, NULL leaves it out. */
static struct str asked(struct fixture *f, struct str der, const char *reason)
{
	struct str text = b64url_encode(&f->w.mem, der);
	return str_fmt(&f->w.mem, "{\"certificate\":\"%.*s\"%s%s}", (int)text.n, text.p,
		       reason == NULL ? "" : ",\"reason\":", reason == NULL ? "" : reason);
}

static struct world_reply revoke_one(struct fixture *f, const struct world_account *a, const struct made *m,
				     const char *reason)
{
	return post(f, a, REVOKE, asked(f, m->der, reason));
}

/* --- who may ------------------------------------------------------------------------------------------------------*/
static void the_owner_revokes_with_each_reason_that_is_a_subscribers(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *sent;
		int stored;
		const char *again;
	} rows[] = {
		{ NULL, 0, "with reason 0 (unspecified)" },         { "null", 0, "with reason 0 (unspecified)" },
		{ "0", 0, "with reason 0 (unspecified)" },          { "1", 1, "with reason 1 (keyCompromise)" },
		{ "3", 3, "with reason 3 (affiliationChanged)" },   { "4", 4, "with reason 4 (superseded)" },
		{ "5", 5, "with reason 5 (cessationOfOperation)" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct made m = make(f, (struct spec){ .realm = STR_NONE });
		struct world_reply r = revoke_one(f, &f->alice, &m, rows[i].sent);
		assert_int_equal(r.body.n, 0); /* RFC 8555 7.6 */
		expect_status("revoke", &r, 200);
		struct certificate_row row = row_of(f, &m);
		assert_int_equal(row.revoked_at, f->w.now_ms);
		assert_int_equal(row.revocation_reason, rows[i].stored);
		r = revoke_one(f, &f->alice, &m, "5");
		expect_problem("again", &r, 400, "alreadyRevoked", rows[i].again);
		assert_int_equal(row_of(f, &m).revocation_reason, rows[i].stored);
		key_free(m.key);
	}
}

static void what_was_issued_as_usual_is_revoked_by_its_owner(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct made m = { .key = key_new() };
	MUST(world_issue(&f->w, &f->alice, m.key, STR("issued.a.test"), &m.der, &err));
	struct world_reply r = revoke_one(f, &f->eve, &m, NULL);
	expect_status("eve", &r, 403);
	r = revoke_one(f, &f->alice, &m, "4");
	expect_status("alice", &r, 200);
	r = revoke_one(f, &f->alice, &m, "4");
	expect_problem("again", &r, 400, "alreadyRevoked", "with reason 4 (superseded)");
	key_free(m.key);
}

/* RFC 8555 7.6: no account is wanted, and no policy for account keys applies. */
static void who_has_the_certificates_key_revokes_it(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f, (struct spec){ .realm = STR_NONE });
	struct world_reply r = revoke_one(f, &m.holder, &m, "4");
	expect_status("by its key", &r, 200);
	assert_true(is_revoked(f, &m));
	key_free(m.key);
}

struct held {
	enum ident_type type;
	const char *value;
	bool wildcard, subdomains;
	enum authz_status status;
	int64_t lives_ms; /* 0: a day */
};

struct holding {
	struct fixture *f;
	struct held held[NAMES_MAX];
	struct id ids[NAMES_MAX];
};

static fallible hold_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct holding *h = ctx;
	for (size_t i = 0; i < NAMES_MAX && h->held[i].value != NULL; i++) {
		const struct held *held = &h->held[i];
		h->ids[i] = id_new(&h->f->w.clock, &rng_system);
		const struct authz_row z = {
			.id = h->ids[i],
			.account = h->f->bob_id,
			.realm = STR("default"),
			.thumbprint =
				STR("another-key-of-before-which-is-no-matter-00"), /* RFC 8555 7.6 asks for none */
			.ident = { held->type, str_z(held->value) },
			.wildcard = held->wildcard,
			.subdomains = held->subdomains,
			.status = held->status,
			.created_at = h->f->w.now_ms,
			.expires_at = h->f->w.now_ms + (held->lives_ms != 0 ? held->lives_ms : 86400000)
		};
		TRY(authz_insert(tx, &z, err));
	}
	return OK;
}

static fallible let_go_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct holding *h = ctx;
	for (size_t i = 0; i < NAMES_MAX && h->held[i].value != NULL; i++)
		if (h->held[i].status == AUTHZ_VALID)
			TRY(authz_move(tx, h->ids[i], AUTHZ_VALID, AUTHZ_DEACTIVATED, err));
	return OK;
}

#define NOBODY                                                                                                       \
	"this request is signed neither by the account that ordered the certificate, nor by one that is authorized " \
	"for all of its names, nor by the certificate's own key"

/* THREATS A16: all names, each by a valid authorization that holds for it. */
static void another_account_revokes_when_it_is_authorized_for_all_names(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name;
		struct spec spec;
		struct held held[NAMES_MAX];
		bool allowed;
	} rows[] = {
		{ "the one name",
		  { .names = { "h1.a.test" } },
		  { { IDENT_DNS, "h1.a.test", .status = AUTHZ_VALID } },
		  true },
		{ "one of two",
		  { .names = { "h2.a.test", "i2.a.test" } },
		  { { IDENT_DNS, "h2.a.test", .status = AUTHZ_VALID } },
		  false },
		{ "both of two",
		  { .names = { "h3.a.test", "i3.a.test" } },
		  { { IDENT_DNS, "h3.a.test", .status = AUTHZ_VALID },
		    { IDENT_DNS, "i3.a.test", .status = AUTHZ_VALID } },
		  true },
		{ "pending",
		  { .names = { "h4.a.test" } },
		  { { IDENT_DNS, "h4.a.test", .status = AUTHZ_PENDING } },
		  false },
		{ "ended",
		  { .names = { "h5.a.test" } },
		  { { IDENT_DNS, "h5.a.test", .status = AUTHZ_VALID, .lives_ms = -1 } },
		  false },
		{ "invalid",
		  { .names = { "h6.a.test" } },
		  { { IDENT_DNS, "h6.a.test", .status = AUTHZ_INVALID } },
		  false },
		{ "a wildcard by its own",
		  { .names = { "*.h7.a.test" } },
		  { { IDENT_DNS, "h7.a.test", .wildcard = true, .status = AUTHZ_VALID } },
		  true },
		{ "a wildcard by the bare name",
		  { .names = { "*.h8.a.test" } },
		  { { IDENT_DNS, "h8.a.test", .status = AUTHZ_VALID } },
		  false },
		{ "a wildcard by an ancestor",
		  { .names = { "*.h9.a.test" } },
		  { { IDENT_DNS, "h9.a.test", .subdomains = true, .status = AUTHZ_VALID } },
		  false },
		{ "the bare name by a wildcard",
		  { .names = { "h10.a.test" } },
		  { { IDENT_DNS, "h10.a.test", .wildcard = true, .status = AUTHZ_VALID } },
		  false },
		{ "a name below a wildcard",
		  { .names = { "x.h11.a.test" } },
		  { { IDENT_DNS, "h11.a.test", .wildcard = true, .status = AUTHZ_VALID } },
		  false },
		{ "below an ancestor",
		  { .names = { "x.y.h12.a.test" } },
		  { { IDENT_DNS, "h12.a.test", .subdomains = true, .status = AUTHZ_VALID } },
		  true },
		{ "the ancestor itself",
		  { .names = { "h13.a.test" } },
		  { { IDENT_DNS, "h13.a.test", .subdomains = true, .status = AUTHZ_VALID } },
		  true },
		{ "below a name that is no ancestor",
		  { .names = { "x.h14.a.test" } },
		  { { IDENT_DNS, "h14.a.test", .status = AUTHZ_VALID } },
		  false },
		{ "beside an ancestor",
		  { .names = { "xh15.a.test" } },
		  { { IDENT_DNS, "h15.a.test", .subdomains = true, .status = AUTHZ_VALID } },
		  false },
		{ "an address",
		  { .addrs = { "192.0.2.16" } },
		  { { IDENT_IP, "192.0.2.16", .status = AUTHZ_VALID } },
		  true },
		{ "an IPv6 address",
		  { .addrs = { "2001:db8::17" } },
		  { { IDENT_IP, "2001:db8::17", .status = AUTHZ_VALID } },
		  true },
		{ "another address",
		  { .addrs = { "192.0.2.18" } },
		  { { IDENT_IP, "192.0.2.19", .status = AUTHZ_VALID } },
		  false },
		{ "a name and not its address",
		  { .names = { "h20.a.test" }, .addrs = { "192.0.2.20" } },
		  { { IDENT_DNS, "h20.a.test", .status = AUTHZ_VALID } },
		  false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		struct holding h = { .f = f };
		struct made m = make(f, rows[i].spec);
		memcpy(h.held, rows[i].held, sizeof h.held);
		MUST(store_tx(f->w.store, hold_tx, &h, &err));
		struct world_reply r = revoke_one(f, &f->bob, &m, "1");
		if (rows[i].allowed)
			expect_problem(rows[i].name, &r, 400, "badRevocationReason",
				       "reason 1 (keyCompromise) is taken from the account that ordered");
		else
			expect_problem(rows[i].name, &r, 403, "unauthorized", NOBODY);
		assert_false(is_revoked(f, &m));
		r = revoke_one(f, &f->bob, &m, "5");
		expect_status(rows[i].name, &r, rows[i].allowed ? 200 : 403);
		assert_int_equal(is_revoked(f, &m), rows[i].allowed);
		MUST(store_tx(f->w.store, let_go_tx, &h, &err));
		key_free(m.key);
	}
}

static void an_authorization_that_was_given_up_revokes_nothing(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct holding h = { .f = f, .held = { { IDENT_DNS, "gone.a.test", .status = AUTHZ_VALID } } };
	struct made m = make(f, (struct spec){ .names = { "gone.a.test" } });
	MUST(store_tx(f->w.store, hold_tx, &h, &err));
	MUST(store_tx(f->w.store, let_go_tx, &h, &err));
	struct world_reply r = revoke_one(f, &f->bob, &m, NULL);
	expect_problem("deactivated", &r, 403, "unauthorized", NOBODY);
	key_free(m.key);
}

/* --- who may not, and what is not ours ----------------------------------------------------------------------------*/

/* THREATS A15: the same words, whoever it is and whatever he knows. */
static void strangers_are_told_apart_by_nothing(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f, (struct spec){ .realm = STR_NONE });
	struct made revoked = make(f, (struct spec){ .realm = STR_NONE });
	struct made ended = make(f, (struct spec){ .ends_in_s = -60 });
	struct world_account other_key = { .key = key_new() };
	struct world_account alices_key = { .key = f->alice.key }; /* the owner's key, but not her account */
	struct world_reply r = revoke_one(f, &f->alice, &revoked, "4");
	expect_status("revoke", &r, 200);
	const struct {
		const char *name;
		const struct world_account *who;
		const struct made *what;
	} rows[] = {
		{ "another account", &f->eve, &m },
		{ "another key", &other_key, &m },
		{ "the account's key without its account", &alices_key, &m },
		{ "a revoked one", &f->eve, &revoked },
		{ "an ended one", &f->eve, &ended },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		r = revoke_one(f, rows[i].who, rows[i].what, "1");
		expect_problem(rows[i].name, &r, 403, "unauthorized", NOBODY);
	}
	assert_false(is_revoked(f, &m));
	key_free(other_key.key);
	key_free(m.key);
	key_free(revoked.key);
	key_free(ended.key);
}

static void the_certificates_key_with_anothers_signature_is_refused(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(buf_done) struct buf good = BUF_MAX(65536);
	AUTO(json_auto) struct json *top = NULL;
	struct made m = make(f, (struct spec){ .realm = STR_NONE });
	struct str nonce, protected_b64, payload_b64, signature;
	struct world_reply r;
	MUST(world_nonce(&f->w, &nonce, &err));
	MUST(jws_sign_acme(f->w.crypto, m.key, STR_NONE, nonce, REVOKE, asked(f, m.der, NULL), &good, &err));
	MUST(json_read(buf_str(&good), 65536, &top, &err));
	MUST(json_want_str(top, "protected", 65536, &protected_b64, &err));
	MUST(json_want_str(top, "payload", 65536, &payload_b64, &err));
	struct str in = str_fmt(&f->w.mem, "%.*s.%.*s", STR_FMT(protected_b64), STR_FMT(payload_b64));
	MUST(sig_sign(f->w.crypto, f->eve.key, in, &f->w.mem, &signature, &err));
	struct str body =
		str_fmt(&f->w.mem, "{\"protected\":\"%.*s\",\"payload\":\"%.*s\",\"signature\":\"%.*s\"}",
			STR_FMT(protected_b64), STR_FMT(payload_b64), STR_FMT(b64url_encode(&f->w.mem, signature)));
	MUST(world_send(&f->w, HTTP_POST, world_path(REVOKE), STR("application/jose+json"), body, &r, &err));
	expect_problem("forged", &r, 400, "malformed", "signature");
	assert_false(is_revoked(f, &m));
	key_free(m.key);
}

static struct str altered(struct fixture *f, struct str der, size_t at)
{
	char *copy = arena_alloc(&f->w.mem, der.n);
	memcpy(copy, der.p, der.n);
	copy[at] = (char)(copy[at] ^ 1);
	return str_n(copy, der.n);
}

static struct str foreign(struct fixture *f)
{
	struct err err = { 0 };
	AUTO(cert_auto) struct cert *cert = NULL;
	AUTO(key_auto) struct key *k = key_new();
	const struct ca_request r = { .common_name = STR("Somebody Else"),
				      .key = k,
				      .not_before = f->w.now_ms / 1000 - 60,
				      .not_after = f->w.now_ms / 1000 + 86400,
				      .path_len = -1 };
	MUST(ca_make_root(f->w.crypto, &r, &rng_system, &cert, &err));
	return str_dup(&f->w.mem, cert_get_der(cert));
}

#define NOT_OURS "this certificate is not one of this CA's"
#define NO_CERTIFICATE "certificate is not one X.509 certificate in DER"

/* THREATS A17: never a wrong serial. */
static void what_is_no_certificate_of_ours_is_not_revoked(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f, (struct spec){ .realm = STR_NONE });
	struct made elsewhere = make(f, (struct spec){ .realm = STR("other") });
	struct arena *mem = &f->w.mem;
	const struct {
		const char *name;
		struct str payload;
		int status;
		const char *words;
	} rows[] = {
		{ "nothing", STR("{}"), 400, "\"certificate\" is missing" },
		{ "a number", STR("{\"certificate\":1}"), 400, "\"certificate\" is" },
		{ "PEM", STR("{\"certificate\":\"-----BEGIN CERTIFICATE-----\"}"), 400, "certificate is PEM" },
		{ "base64", STR("{\"certificate\":\"MIIB+/==\"}"), 400, "certificate: " },
		{ "empty", STR("{\"certificate\":\"\"}"), 400, NO_CERTIFICATE },
		{ "garbage", STR("{\"certificate\":\"AAAA\"}"), 400, NO_CERTIFICATE },
		{ "cut short", asked(f, str_sub(m.der, 0, m.der.n - 1), NULL), 400, NO_CERTIFICATE },
		{ "something after it",
		  asked(f, str_n(memcpy(arena_alloc(mem, m.der.n + 1), m.der.p, m.der.n), m.der.n + 1), NULL), 400,
		  NO_CERTIFICATE },
		{ "another signature", asked(f, altered(f, m.der, m.der.n - 1), NULL), 404, NOT_OURS },
		{ "another CA's", asked(f, foreign(f), NULL), 404, NOT_OURS },
		{ "another realm's", asked(f, elsewhere.der, NULL), 404, NOT_OURS },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world_reply r = post(f, &f->alice, REVOKE, rows[i].payload);
		expect_problem(rows[i].name, &r, rows[i].status, "malformed", rows[i].words);
	}
	/* Whichever byte differs, it is not the one that was issued. */
	for (size_t at = 0; at < m.der.n; at += 7) {
		struct world_reply r = post(f, &f->alice, REVOKE, asked(f, altered(f, m.der, at), NULL));
		assert_true((r.status == 404 && reply_says(&r, NOT_OURS)) ||
			    (r.status == 400 && reply_says(&r, NO_CERTIFICATE)));
		world_reply_done(&r);
	}
	assert_false(is_revoked(f, &m));
	assert_false(is_revoked(f, &elsewhere));
	key_free(m.key);
	key_free(elsewhere.key);
}

static void a_reason_that_is_not_a_subscribers_is_refused_with_the_list(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f, (struct spec){ .realm = STR_NONE });
	static const struct {
		const char *reason, *type, *words;
	} rows[] = {
		{ "-1", "badRevocationReason",
		  "reason -1 is not served; served are 0 (unspecified), 1 (keyCompromise), "
		  "3 (affiliationChanged), 4 (superseded), 5 (cessationOfOperation)" },
		{ "2", "badRevocationReason", "reason 2 is not served" },
		{ "6", "badRevocationReason", "reason 6 is not served" },
		{ "7", "badRevocationReason", "reason 7 is not served" },
		{ "8", "badRevocationReason", "reason 8 is not served" },
		{ "9", "badRevocationReason", "reason 9 is not served" },
		{ "10", "badRevocationReason", "reason 10 is not served" },
		{ "4294967297", "badRevocationReason", "reason 4294967297 is not served" },
		{ "\"1\"", "malformed", "reason is not an integer" },
		{ "1.5", "malformed", "reason is not an integer" },
		{ "1.0", "malformed", "reason is not an integer" },
		{ "true", "malformed", "reason is not an integer" },
		{ "[1]", "malformed", "reason is not an integer" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world_reply r = revoke_one(f, &f->alice, &m, rows[i].reason);
		expect_problem(rows[i].reason, &r, 400, rows[i].type, rows[i].words);
	}
	assert_false(is_revoked(f, &m));
	key_free(m.key);
}

static void what_has_ended_is_not_revoked(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f, (struct spec){ .ends_in_s = -1 });
	struct world_reply r = revoke_one(f, &f->alice, &m, NULL);
	expect_problem("by its owner", &r, 400, "malformed", "the certificate ended at 2026-09-21T");
	r = revoke_one(f, &m.holder, &m, "1");
	expect_problem("by its key", &r, 400, "malformed", "there is nothing left to revoke");
	assert_false(is_revoked(f, &m));
	key_free(m.key);
}

static void an_account_that_has_ended_revokes_nothing(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_account gone = { .key = NULL };
	struct made m = { .key = key_new() };
	MUST(world_account_new(&f->w, &gone, &err));
	MUST(world_issue(&f->w, &gone, m.key, STR("gone2.a.test"), &m.der, &err));
	m.holder.key = m.key;
	struct world_reply r = post(f, &gone, gone.url, STR("{\"status\":\"deactivated\"}"));
	expect_status("deactivate", &r, 200);
	r = revoke_one(f, &gone, &m, NULL);
	expect_problem("its owner", &r, 401, "unauthorized", "the account is deactivated");
	r = revoke_one(f, &m.holder, &m, NULL);
	expect_status("its key", &r, 200);
	key_free(gone.key);
	key_free(m.key);
}

/* --- keys that are compromised ------------------------------------------------------------------------------------*/
static struct world_account account_in(struct fixture *f, const char *realm, struct key *k)
{
	struct world_account a = { .key = k };
	struct world_reply r = post(f, &a, str_fmt(&f->w.mem, "%s%s/new-account", WORLD_BASE, realm), STR("{}"));
	a.url = world_header(&r, "Location");
	expect_status("newAccount", &r, 201);
	return a;
}

static struct str key_change_to(struct fixture *f, const struct world_account *a, const struct key *k)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096);
	AUTO(buf_done) struct buf inner = BUF_MAX(16384);
	MUST(jwk_write(a->key, &jwk, &err));
	struct str payload =
		str_fmt(&f->w.mem, "{\"account\":\"%.*s\",\"oldKey\":%.*s}", STR_FMT(a->url), STR_FMT(buf_str(&jwk)));
	MUST(jws_sign_acme(f->w.crypto, k, STR_NONE, STR_NONE, STR(WORLD_BASE "/key-change"), payload, &inner, &err));
	return str_dup(&f->w.mem, buf_str(&inner));
}

static struct world_reply finalize_under(struct fixture *f, const struct world_account *a, const struct key *k,
					 struct str name)
{
	struct err err = { 0 };
	struct str order, csr, status;
	world_site(&f->w, name)->thumbprint = str_dup(&f->w.mem, str_z(a->thumbprint.z));
	MUST(world_order_new(&f->w, a, name, &order, &err));
	MUST(world_order_status(&f->w, a, order, &status, &err));
	if (str_eq(status, STR("pending")))
		MUST(world_order_prove(&f->w, a, order, &err));
	MUST(world_csr(&f->w, k, name, &csr, &err));
	return post(f, a, str_fmt(&f->w.mem, "%.*s/finalize", STR_FMT(order)), csr);
}

/* RULES R12, THREATS A18: what else there is of the key. The owner may share it with others, whom he must not be able to
 * end; who has the key speaks for all. */
static void a_key_that_is_reported_compromised_ends(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < 2; i++) {
		bool proved = i == 1;
		struct made m = make(f, (struct spec){ .realm = STR_NONE });
		struct made same = make_with(f, (struct spec){ .realm = STR("other") }, m.key);
		struct made bobs = make_with(f, (struct spec){ .owner = f->bob_id }, m.key);
		struct made was = make_with(f, (struct spec){ .realm = STR_NONE }, m.key);
		struct made unlike = make(f, (struct spec){ .realm = STR_NONE });
		struct world_account here = account_in(f, "", m.key), there = account_in(f, "/realm/other", m.key);
		struct world_reply r = revoke_one(f, &f->alice, &was, "4");
		expect_status("for another reason", &r, 200);
		r = revoke_one(f, proved ? &m.holder : &f->alice, &m, "1");
		expect_status("keyCompromise", &r, 200);

		assert_int_equal(row_of(f, &m).revocation_reason, 1);
		assert_int_equal(row_of(f, &same).revocation_reason, 1);
		assert_true(is_revoked(f, &same));
		assert_int_equal(is_revoked(f, &bobs), proved);
		assert_int_equal(row_of(f, &was).revocation_reason, 4); /* is revoked; its key's holder may raise it */
		assert_false(is_revoked(f, &unlike));
		r = post(f, &here, here.url, STR_NONE);
		if (proved)
			expect_problem("its account", &r, 401, "unauthorized", "the account is revoked");
		else
			expect_status("an account that has the key too", &r, 200);
		r = post(f, &there, there.url, STR_NONE);
		if (proved)
			expect_problem("its account in another realm", &r, 401, "unauthorized",
				       "the account is revoked");
		else
			expect_status("and in another realm", &r, 200);
		key_free(m.key);
		key_free(same.key);
		key_free(bobs.key);
		key_free(was.key);
		key_free(unlike.key);
	}
}

static void a_compromised_key_gets_no_account_and_no_certificate(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < 2; i++) { /* whoever of the two said so */
		struct made m = make(f, (struct spec){ .realm = STR_NONE });
		struct world_reply r = revoke_one(f, i == 0 ? &m.holder : &f->alice, &m, "1");
		expect_status("keyCompromise", &r, 200);
		r = post(f, &m.holder, NEW_ACCOUNT, STR("{}"));
		expect_problem("newAccount", &r, 400, "badPublicKey", "this key is known to be compromised");
		r = post(f, &f->bob, STR(WORLD_BASE "/key-change"), key_change_to(f, &f->bob, m.key));
		expect_problem("keyChange", &r, 400, "badPublicKey", "this key is known to be compromised");
		r = finalize_under(f, &f->alice, m.key, STR("compromised.a.test"));
		expect_problem("finalize", &r, 400, "badCSR", "this key is known to be compromised");
		key_free(m.key);
	}
}

static void who_has_the_key_raises_the_reason_to_key_compromise_once(void **state)
{
	struct fixture *f = *state;
	struct made m = make(f, (struct spec){ .realm = STR_NONE });
	struct world_reply r = revoke_one(f, &f->alice, &m, "4");
	expect_status("superseded", &r, 200);
	int64_t at = row_of(f, &m).revoked_at;
	f->w.now_ms += 60000;
	r = revoke_one(f, &f->alice, &m, "1");
	expect_problem("raised by its owner", &r, 400, "alreadyRevoked", "with reason 4 (superseded)");
	r = revoke_one(f, &m.holder, &m, "5");
	expect_problem("changed by its key", &r, 400, "alreadyRevoked", "with reason 4 (superseded)");
	r = revoke_one(f, &m.holder, &m, "1");
	expect_status("raised by its key", &r, 200);
	assert_int_equal(row_of(f, &m).revocation_reason, 1);
	assert_int_equal(row_of(f, &m).revoked_at, at);
	r = revoke_one(f, &m.holder, &m, "1");
	expect_problem("again", &r, 400, "alreadyRevoked", "with reason 1 (keyCompromise)");
	r = post(f, &m.holder, NEW_ACCOUNT, STR("{}"));
	expect_problem("newAccount", &r, 400, "badPublicKey", "this key is known to be compromised");
	key_free(m.key);
}

static void what_was_revoked_is_in_the_audit(void **state)
{
	struct fixture *f = *state;
	static const char *const events[] = { "certificate revoked", "revocation reason raised", "key blocked",
					      "account revoked", "\"why\":\"its key is compromised\"" };
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		assert_true(store_has(&f->w, str_z(events[i])));
}

/* --- several at once ----------------------------------------------------------------------------------------------*/
struct shot {
	pthread_t thread;
	struct world *w;
	pthread_barrier_t *start;
	struct str body;
	struct arena mem;
	struct world_reply reply;
	struct rc rc;
};

static void *shot_main(void *arg)
{
	struct shot *s = arg;
	pthread_barrier_wait(s->start);
	s->rc = world_send_on(s->w, &s->mem, HTTP_POST, world_path(REVOKE), STR("application/jose+json"), s->body,
			      &s->reply, NULL);
	return NULL;
}

static void of_twenty_revocations_at_once_one_is_carried_out(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	static struct shot shots[20];
	pthread_barrier_t start;
	struct made m = make(f, (struct spec){ .realm = STR_NONE });
	size_t done = 0;
	assert_int_equal(pthread_barrier_init(&start, NULL, ARRAY_LEN(shots)), 0);
	for (size_t i = 0; i < ARRAY_LEN(shots); i++) {
		const struct world_account *who = i % 2 == 0 ? &f->alice : &m.holder;
		shots[i].w = &f->w;
		shots[i].start = &start;
		MUST(world_sign(&f->w, who, REVOKE, asked(f, m.der, "4"), &shots[i].body, &err));
	}
	for (size_t i = 0; i < ARRAY_LEN(shots); i++)
		assert_int_equal(pthread_create(&shots[i].thread, NULL, shot_main, &shots[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(shots); i++) {
		pthread_join(shots[i].thread, NULL);
		assert_false(FAILED(shots[i].rc));
		done += shots[i].reply.status == 200;
		assert_true(shots[i].reply.status == 200 || reply_says(&shots[i].reply, "alreadyRevoked"));
		world_reply_done(&shots[i].reply);
		arena_done(&shots[i].mem);
	}
	assert_int_equal(done, 1);
	pthread_barrier_destroy(&start);
	key_free(m.key);
}

/* --- the world ----------------------------------------------------------------------------------------------------*/
static void issuer_open(struct fixture *f)
{
	struct err err = { 0 };
	AUTO(key_auto) struct key *key = NULL;
	struct cert *chain[4] = { NULL };
	size_t count = 0;
	MUST(cert_read_pem_file(str_fmt(&f->w.mem, "%s/issuer.pem", f->w.dir).p, chain, ARRAY_LEN(chain), &count,
				&err));
	MUST(key_read_file(str_fmt(&f->w.mem, "%s/issuer.key", f->w.dir).p, NULL, &key, &err));
	struct rc rc = issuer_new(f->w.crypto, chain, count, key, &f->issuer, &err);
	for (size_t i = 0; i < count; i++)
		cert_free(chain[i]);
	MUST(rc);
}

static int open_world(void **state)
{
	struct fixture *f = fixture_new(sizeof *f, REALM, 0);
	struct err err = { 0 };
	issuer_open(f);
	MUST(world_account_new(&f->w, &f->alice, &err));
	MUST(world_account_new(&f->w, &f->bob, &err));
	MUST(world_account_new(&f->w, &f->eve, &err));
	f->alice_id = id_of_url(f->alice.url);
	f->bob_id = id_of_url(f->bob.url);
	*state = f;
	return 0;
}

static int close_world(void **state)
{
	struct fixture *f = *state;
	key_free(f->eve.key);
	issuer_free(f->issuer);
	return fixture_free(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_owner_revokes_with_each_reason_that_is_a_subscribers),
		cmocka_unit_test(what_was_issued_as_usual_is_revoked_by_its_owner),
		cmocka_unit_test(who_has_the_certificates_key_revokes_it),
		cmocka_unit_test(another_account_revokes_when_it_is_authorized_for_all_names),
		cmocka_unit_test(an_authorization_that_was_given_up_revokes_nothing),
		cmocka_unit_test(strangers_are_told_apart_by_nothing),
		cmocka_unit_test(the_certificates_key_with_anothers_signature_is_refused),
		cmocka_unit_test(what_is_no_certificate_of_ours_is_not_revoked),
		cmocka_unit_test(a_reason_that_is_not_a_subscribers_is_refused_with_the_list),
		cmocka_unit_test(what_has_ended_is_not_revoked),
		cmocka_unit_test(an_account_that_has_ended_revokes_nothing),
		cmocka_unit_test(a_key_that_is_reported_compromised_ends),
		cmocka_unit_test(a_compromised_key_gets_no_account_and_no_certificate),
		cmocka_unit_test(who_has_the_key_raises_the_reason_to_key_compromise_once),
		cmocka_unit_test(what_was_revoked_is_in_the_audit),
		cmocka_unit_test(of_twenty_revocations_at_once_one_is_carried_out),
	};
	return cmocka_run_group_tests(tests, open_world, close_world);
}
