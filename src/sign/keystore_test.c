/* SPDX-License-Identifier: Apache-2.0
 *
 * keystore_test.c: keys in files and in a token that does what it should, and in one that fails in each way that tokens
 * fail (THREATS F40 to F42, A87): lost sessions, gone and back, a wrong PIN, hung calls, wrong answers.
 */
#include "sign/keystore_internal.h"
#include "sign/test_token.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct bench {
	struct soft *soft;
	struct crypto *crypto;
	struct keystore *ks;
	struct log log;
	int log_fd;
	struct arena mem;
	_Atomic(const char *) hung;
};

static void on_hung(void *ctx, const char *call)
{
	struct bench *b = ctx;
	atomic_store(&b->hung, call);
	soft_script(b->soft, ""); /* which lets the call go on, too */
}

static void bench_open(struct bench *b)
{
	struct err err = { 0 };
	const struct keystore_conf conf = { .crypto = b->crypto,
					    .log = &b->log,
					    .refused_dir = soft_path(b->soft, "refused"),
					    .hung = on_hung,
					    .hung_ctx = b };
	MUST(keystore_new(&conf, &b->ks, &err));
}

/* As a signer that was started anew. */
static void bench_again(struct bench *b)
{
	keystore_free(b->ks);
	bench_open(b);
}

static int set_up(void **state)
{
	struct bench *b = mem_alloc(sizeof *b);
	struct err err = { 0 };
	b->soft = soft_new();
	b->log_fd = open(soft_path(b->soft, "log"), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	b->log = (struct log){
		.program = "test", .level = LOG_DEBUG, .form = LOG_JSON, .fd = b->log_fd, .clock = &clock_system
	};
	MUST(crypto_new(&b->crypto, &err));
	bench_open(b);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;
	keystore_free(b->ks);
	crypto_free(b->crypto);
	close(b->log_fd);
	soft_free(b->soft);
	arena_done(&b->mem);
	free(b);
	return 0;
}

static size_t logged(struct bench *b, const char *text)
{
	AUTO(buf_done) struct buf all = BUF_MAX(1 << 20);
	struct err err = { 0 };
	size_t count = 0;
	MUST(file_read(soft_path(b->soft, "log"), 1 << 20, &all, &err));
	MUST(buf_add_char(&all, '\0', &err));
	for (const char *at = all.p; (at = strstr(at, text)) != NULL; at += strlen(text))
		count++;
	return count;
}

static enum digest digest_for(const struct key *k)
{
	return key_get_kind(k) == KEY_P384   ? DIGEST_SHA384
	       : key_get_kind(k) == KEY_P521 ? DIGEST_SHA512
					     : DIGEST_SHA256;
}

static struct rc try_sign(struct bench *b, const struct key *k, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str sig;
	*err = (struct err){ 0 };
	TRY(sig_sign_x509(b->crypto, k, STR("text"), &mem, &sig, err));
	return sig_verify_x509(b->crypto, k, digest_for(k), STR("text"), sig, err);
}

static struct key *make(struct bench *b, const char *label, enum key_kind kind)
{
	struct err err = { 0 };
	struct key *k = NULL;
	struct keystore_key where = soft_key(b->soft, label);
	MUST(keystore_make(b->ks, &where, kind, 2048, &k, &err));
	return k;
}

static void nap(int ms)
{
	const struct timespec t = { ms / 1000, ms % 1000 * 1000000L };
	nanosleep(&t, NULL);
}

/* --- files ------------------------------------------------------------------------------------------------------------*/
static void files_are_read_with_and_without_a_passphrase(void **state)
{
	struct bench *b = *state;
	AUTO(key_auto) struct key *k = NULL, *plain = NULL, *sealed = NULL, *none = NULL;
	AUTO(secret_done) struct secret pass = { 0 };
	struct err err = { 0 };
	struct keystore_key where = { .where = soft_path(b->soft, "plain.key") };
	MUST(key_generate(KEY_P256, 0, &k, &err));
	MUST(key_write_file(k, where.where, NULL, &err));
	MUST(keystore_open(b->ks, &where, &plain, &err));
	MUST(try_sign(b, plain, &err));
	MUST(secret_set(&pass, STR("correct horse"), &err));
	where.where = soft_path(b->soft, "sealed.key");
	MUST(key_write_file(k, where.where, &pass, &err));
	MUST_FAIL(keystore_open(b->ks, &where, &none, &err), ERR_CONFIG, "no passphrase is given");
	where.passphrase_file = soft_path(b->soft, "pass");
	soft_write(where.passphrase_file, "wrong\n", 0600);
	MUST_FAIL(keystore_open(b->ks, &where, &none, &err), ERR_CONFIG, "does not open the key");
	soft_write(where.passphrase_file, "correct horse\n", 0644);
	MUST_FAIL(keystore_open(b->ks, &where, &none, &err), ERR_CONFIG, "chmod 600");
	soft_write(where.passphrase_file, "correct horse\n", 0600);
	MUST(keystore_open(b->ks, &where, &sealed, &err));
	assert_true(key_public_eq(k, sealed));
	where.pin_file = b->soft->pin_file;
	MUST_FAIL(keystore_open(b->ks, &where, &none, &err), ERR_CONFIG, "pin-file for a key in a file");
}

/* --- URIs and modules -------------------------------------------------------------------------------------------------*/
static void uris_name_a_module_a_token_and_a_key_and_no_secret(void **state)
{
	static const struct {
		const char *uri, *why;
	} rows[] = {
		{ "pkcs11:token=t;object=k?module-path=/m.so", NULL },
		{ "pkcs11:serial=12;id=%01%02?module-path=/m.so&pin-source=/run/pin", NULL },
		{ "pkcs11:token=t;object=k;type=private?module-path=/m.so&pin-source=file:///run/pin", NULL },
		{ "pkcs11:manufacturer=m;id=%00?pin-source=file:/run/pin&module-path=/m.so", NULL },
		{ "PKCS11:token=t;object=k?module-path=/m.so", NULL },
		{ "pkcs12:token=t;object=k?module-path=/m.so", "does not begin with" },
		{ "pkcs11:object=k?module-path=/m.so", "names no token" },
		{ "pkcs11:token=t?module-path=/m.so", "names no key" },
		{ "pkcs11:token=t;object=k", "names no module" },
		{ "pkcs11:token=t;object=k?module-name=softhsm2", "names no module" },
		{ "pkcs11:token=t;object=k?module-path=m.so", "names no module" },
		{ "pkcs11:token=t;object=k?module-path=/m.so&pin-value=1234", "pin-value" },
		{ "pkcs11:token=t;object=k?module-path=/m.so&pin-source=%7Ccat", "no file" },
		{ "pkcs11:token=t;object=k?module-path=/m.so&pin-source=file:pin", "no file" },
		{ "pkcs11:token=t;object=k?module-path=/m.so&pin-source=file://host/pin", "no file" },
		{ "pkcs11:token=t;object=k;slot-id=3?module-path=/m.so", "slot numbers change" },
		{ "pkcs11:token=t;object=k;type=cert?module-path=/m.so", "type" },
		{ "pkcs11:token=t;object=k;colour=red?module-path=/m.so", "not known" },
		{ "pkcs11:token=t;object=%zz?module-path=/m.so", "%XX" },
		{ "pkcs11:token=t;object=my key?module-path=/m.so", "%20" },
		{ "pkcs11:token=t;object?module-path=/m.so", "NAME=VALUE" },
		{ "pkcs11:token=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;object=k?module-path=/m.so",
		  "pkcs11 URI" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(token_uri_done) struct token_uri u = { 0 };
		struct err err = { 0 };
		if (rows[i].why != NULL) {
			MUST_FAIL(token_uri_read(str_z(rows[i].uri), &u, &err), ERR_CONFIG, rows[i].why);
			continue;
		}
		MUST(token_uri_read(str_z(rows[i].uri), &u, &err));
		assert_string_equal(u.module_path, "/m.so");
		if (strstr(rows[i].uri, "pin-source") != NULL)
			assert_string_equal(u.pin_source, "/run/pin");
	}
	char long_uri[TOKEN_URI_MAX + 2];
	memset(long_uri, 'a', sizeof long_uri);
	struct token_uri u;
	struct err err = { 0 };
	MUST_FAIL(token_uri_read(str_n(long_uri, sizeof long_uri), &u, &err), ERR_CONFIG, "at most 4096");
}

static void a_module_that_others_could_change_is_not_loaded(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };
	struct key *k = NULL;
	struct keystore_key where = soft_key(b->soft, "k");
	assert_int_equal(chmod(b->soft->module, 0775), 0);
	MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "chmod go-w");
	MUST_FAIL(keystore_check(&where, &err), ERR_CONFIG, "chmod go-w");
	assert_int_equal(chmod(b->soft->module, 0757), 0);
	MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "chmod go-w");
	assert_int_equal(chmod(b->soft->module, 0755), 0);
	MUST(keystore_check(&where, &err));
	assert_int_equal(chmod(b->soft->dir, 0770), 0);
	MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, b->soft->dir);
	assert_int_equal(chmod(b->soft->dir, 0700), 0);
	assert_int_equal(soft_calls(b->soft, "C_GetSlotList"), 0);
	soft_run("ln -s nowhere '%s/link.so'", b->soft->dir);
	where.where = "pkcs11:token=cairn;object=k?module-path=/nowhere/at/all.so";
	MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "/nowhere/at/all.so");
	where.where = str_fmt(&b->mem, "pkcs11:token=cairn;object=k?module-path=%s%c", b->soft->pin_file, 0).p;
	MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "does not load");
	where.where = str_fmt(&b->mem, "pkcs11:token=cairn;object=k?module-path=%s%c", b->soft->dir, 0).p;
	MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "not a regular file");
	if (geteuid() == 0) {
		assert_int_equal(chown(b->soft->module, 12345, (gid_t)-1), 0);
		where = soft_key(b->soft, "k");
		MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "belongs to user 12345");
	}
}

/* --- a token that works -----------------------------------------------------------------------------------------------*/
static void keys_of_each_kind_are_made_found_again_and_sign(void **state)
{
	static const struct {
		const char *label;
		enum key_kind kind;
	} rows[] = { { "p256", KEY_P256 }, { "p384", KEY_P384 }, { "p521", KEY_P521 }, { "rsa", KEY_RSA } };
	struct bench *b = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(key_auto) struct key *made = make(b, rows[i].label, rows[i].kind);
		struct err err = { 0 };
		struct key *again = NULL;
		struct keystore_key where = soft_key(b->soft, rows[i].label);
		assert_int_equal(key_get_kind(made), rows[i].kind);
		MUST(try_sign(b, made, &err));
		MUST_FAIL(keystore_make(b->ks, &where, rows[i].kind, 2048, &again, &err), ERR_CONFLICT, "already");
	}
	assert_int_equal(keystore_width(b->ks), 4);
	assert_int_equal(soft_calls(b->soft, "C_Login"), 1); /* one login for all of them */
	bench_again(b);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(key_auto) struct key *k = NULL;
		struct err err = { 0 };
		struct keystore_key where = soft_key(b->soft, rows[i].label);
		MUST(keystore_open(b->ks, &where, &k, &err));
		MUST(try_sign(b, k, &err));
	}
	soft_script(b->soft,
		    "C_GetMechanismList without 0x40\n"); /* no CKM_SHA256_RSA_PKCS: then the DigestInfo is ours */
	AUTO(key_auto) struct key *raw = NULL;
	struct err err = { 0 };
	struct keystore_key where = soft_key(b->soft, "rsa");
	MUST(keystore_open(b->ks, &where, &raw, &err));
	MUST(try_sign(b, raw, &err));
}

static void what_was_made_can_be_unmade(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };
	struct key *k = make(b, "brief", KEY_P256), *again = NULL;
	key_free(k);
	keystore_unmake(b->ks);
	struct keystore_key where = soft_key(b->soft, "brief");
	MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "no private key");
	again = make(b, "brief", KEY_P256);
	key_free(again);
}

static void the_certificate_tells_the_public_half_when_the_token_does_not(void **state)
{
	struct bench *b = *state;
	AUTO(key_auto) struct key *made = make(b, "quiet", KEY_P256), *k = NULL, *other = NULL;
	struct err err = { 0 };
	struct keystore_key where = soft_key(b->soft, "quiet");
	soft_script(b->soft, "C_GetAttributeValue hide 0x181\n"); /* CKA_EC_POINT */
	MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "does not tell");
	where.public = made;
	MUST(keystore_open(b->ks, &where, &k, &err));
	MUST(try_sign(b, k, &err));
	MUST(key_generate(KEY_P256, 0, &other, &err));
	struct key *none = NULL;
	where.public = other;
	MUST_FAIL(keystore_open(b->ks, &where, &none, &err), ERR_CONFIG, "not for the public key");
}

static void a_key_that_is_named_unclearly_is_refused(void **state)
{
	struct bench *b = *state;
	AUTO(key_auto) struct key *a = NULL, *k = NULL;
	struct err err = { 0 };
	MUST(key_generate(KEY_P256, 0, &a, &err));
	soft_import(b->soft, a, "twin", "01");
	soft_import(b->soft, a, "twin", "02");
	struct keystore_key where = soft_key(b->soft, "twin");
	MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "several private keys");
	where.where = str_fmt(&b->mem, "pkcs11:token=cairn;object=twin;id=%%02?module-path=%s%c", b->soft->module, 0).p;
	MUST(keystore_open(b->ks, &where, &k, &err));
	assert_true(key_public_eq(a, k));
	where.where = str_fmt(&b->mem, "pkcs11:token=other;id=%%02?module-path=%s%c", b->soft->module, 0).p;
	struct key *none = NULL;
	MUST_FAIL(keystore_open(b->ks, &where, &none, &err), ERR_UNAVAILABLE, "token \"other\" is not there");
	where = soft_key(b->soft, "twin");
	where.passphrase_file = b->soft->pin_file;
	MUST_FAIL(keystore_open(b->ks, &where, &none, &err), ERR_CONFIG, "passphrase-file");
	soft_run("softhsm2-util --init-token --free --label cairn --pin 1 --so-pin 87654321 >/dev/null 2>&1 || "
		 "softhsm2-util --init-token --free --label cairn --pin 4321 --so-pin 87654321 >/dev/null");
	bench_again(b);
	where = soft_key(b->soft, "twin");
	MUST_FAIL(keystore_open(b->ks, &where, &none, &err), ERR_CONFIG, "add serial=");
}

/* --- PINs -------------------------------------------------------------------------------------------------------------*/
static void a_wrong_pin_is_tried_once_even_over_restarts(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };
	struct key *k = make(b, "k", KEY_P256);
	key_free(k);
	bench_again(b);
	struct keystore_key where = soft_key(b->soft, "k");
	soft_write(b->soft->pin_file, "9999\n", 0600);
	(void)soft_calls(b->soft, "C_Login");
	MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "it was tried once");
	assert_int_equal(soft_calls(b->soft, "C_Login"), 1);
	assert_int_equal(logged(b, "alarm: a token refused the PIN"), 1);
	for (int i = 0; i < 3; i++) {
		MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "refused this PIN before");
		bench_again(b);
	}
	assert_int_equal(soft_calls(b->soft, "C_Login"), 0);
	soft_write(b->soft->pin_file, "8888\n", 0600); /* another one: one more attempt */
	MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "it was tried once");
	assert_int_equal(soft_calls(b->soft, "C_Login"), 1);
	soft_write(b->soft->pin_file, TOKEN_PIN "\n", 0600);
	MUST(keystore_open(b->ks, &where, &k, &err));
	key_free(k);
	soft_run("test -z \"$(ls '%s/refused')\"", b->soft->dir); /* forgotten when the right one came */
}

static void a_remembered_refusal_does_not_give_the_pin_away_and_damage_does_not_unlock_it(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };
	struct key *k = make(b, "k", KEY_P256);
	key_free(k);
	bench_again(b);
	struct keystore_key where = soft_key(b->soft, "k");
	soft_write(b->soft->pin_file, "9999\n", 0600);
	MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "it was tried once");
	soft_run("f=$(ls '%s'/refused/pin-refused.*) && test $(wc -c <\"$f\") = 18 && test $(stat -c %%a \"$f\") = 600 "
		 "&& ! grep -q "
		 "9999 \"$f\" && printf x >\"$f\"",
		 b->soft->dir);
	bench_again(b);
	soft_write(b->soft->pin_file, TOKEN_PIN "\n", 0600);
	(void)soft_calls(b->soft, "C_Login");
	MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "refused this PIN before");
	assert_int_equal(soft_calls(b->soft, "C_Login"), 0);
}

static void the_last_attempt_is_not_spent(void **state)
{
	static const struct {
		const char *script, *why;
	} rows[] = { { "C_GetTokenInfo flags 0x20000\n", "one more wrong PIN locks it" },
		     { "C_GetTokenInfo flags 0x40000\n", "locked" } };
	struct bench *b = *state;
	struct key *k = make(b, "k", KEY_P256);
	key_free(k);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		struct keystore_key where = soft_key(b->soft, "k");
		bench_again(b);
		soft_script(b->soft, rows[i].script);
		(void)soft_calls(b->soft, "C_Login");
		MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, rows[i].why);
		assert_int_equal(soft_calls(b->soft, "C_Login"), 0);
	}
}

static void a_pin_is_wanted_from_a_file_for_its_owner_alone(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };
	struct key *k = make(b, "k", KEY_P256);
	key_free(k);
	bench_again(b);
	struct keystore_key where = soft_key(b->soft, "k");
	where.pin_file = NULL;
	MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "wants a PIN");
	where.where = str_fmt(&b->mem, "%s&pin-source=file:%s%c", soft_uri(b->soft, "k"), b->soft->pin_file, 0).p;
	MUST(keystore_open(b->ks, &where, &k, &err));
	key_free(k);
	where.pin_file = b->soft->pin_file;
	MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "one of them");
	bench_again(b);
	where = soft_key(b->soft, "k");
	assert_int_equal(chmod(b->soft->pin_file, 0640), 0);
	MUST_FAIL(keystore_open(b->ks, &where, &k, &err), ERR_CONFIG, "chmod 600");
}

/* A PIN that was changed while the signer has it: told once, and for good. */
static void a_pin_refused_when_the_token_comes_back_ends_the_waiting(void **state)
{
	struct bench *b = *state;
	AUTO(key_auto) struct key *k = make(b, "k", KEY_P256);
	struct err err = { 0 };
	(void)soft_calls(b->soft, "C_Login");
	soft_script(b->soft, "C_Sign rv 0xb3\nC_Login rv 0xa0\n");
	assert_int_equal(try_sign(b, k, &err).kind, ERR_CONFIG);
	soft_script(b->soft, "");
	for (int i = 0; i < 5; i++)
		assert_int_equal(try_sign(b, k, &err).kind, ERR_CONFIG);
	assert_int_equal(soft_calls(b->soft, "C_Login"), 1);
}

/* --- faults -----------------------------------------------------------------------------------------------------------*/
static void a_lost_session_costs_one_more_attempt(void **state)
{
	static const char *const scripts[] = { "C_Sign rv 0xb3 once\n",  "C_SignInit rv 0xb3 once\n",
					       "C_Sign rv 0xb0 once\n",  "C_SignInit rv 0x82 once\n",
					       "C_Sign rv 0x101 once\n", "C_Sign rv 0x30 once\n",
					       "C_Sign rv 0x5 once\n" };
	struct bench *b = *state;
	AUTO(key_auto) struct key *k = make(b, "k", KEY_P256);
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		struct err err = { 0 };
		soft_script(b->soft, scripts[i]);
		MUST(try_sign(b, k, &err));
		MUST(try_sign(b, k, &err));
	}
	assert_int_equal(logged(b, "alarm"), 0);
}

static void a_token_that_is_gone_is_waited_for_without_spinning(void **state)
{
	struct bench *b = *state;
	AUTO(key_auto) struct key *k = make(b, "k", KEY_P256);
	struct err err = { 0 };
	soft_script(b->soft, "token gone\n");
	for (int i = 0; i < 200; i++)
		assert_int_equal(try_sign(b, k, &err).kind, ERR_UNAVAILABLE);
	size_t calls = soft_calls(b->soft, "C_Sign") + soft_calls(b->soft, "C_SignInit");
	assert_true(calls < 10);
	assert_non_null(strstr(err.detail, "is away"));
	assert_int_equal(logged(b, "alarm: a token is lost"), 1);
	soft_script(b->soft, "");
	struct rc rc = try_sign(b, k, &err);
	for (int i = 0; i < 400 && rc.kind == ERR_UNAVAILABLE; i++) {
		nap(25);
		rc = try_sign(b, k, &err);
	}
	MUST(rc);
	assert_int_equal(logged(b, "token signs again"), 1);
	for (int i = 0; i < 20; i++)
		MUST(try_sign(b, k, &err));
}

static void a_token_whose_key_is_gone_is_waited_for(void **state)
{
	struct bench *b = *state;
	AUTO(key_auto) struct key *k = make(b, "k", KEY_P256);
	struct err err = { 0 };
	soft_run("mv '%s/tokens' '%s/away'", b->soft->dir, b->soft->dir); /* SoftHSM notices at its own pace */
	soft_script(b->soft, "C_Sign rv 0x32 once\n");
	for (int i = 0; i < 3; i++)
		(void)try_sign(b, k, &err).kind;
	soft_run("rm -rf '%s/tokens' && mv '%s/away' '%s/tokens'", b->soft->dir, b->soft->dir, b->soft->dir);
	struct rc rc = try_sign(b, k, &err);
	for (int i = 0; i < 400 && rc.kind == ERR_UNAVAILABLE; i++) {
		nap(25);
		rc = try_sign(b, k, &err);
	}
	MUST(rc);
}

static void wrong_answers_are_not_taken(void **state)
{
	struct bench *b = *state;
	AUTO(key_auto) struct key *k = make(b, "k", KEY_P256);
	struct err err = { 0 };
	struct key *none = NULL;
	struct keystore_key where = soft_key(b->soft, "k");
	soft_script(b->soft, "C_Sign short\n");
	assert_int_equal(try_sign(b, k, &err).kind, ERR_INTERNAL);
	soft_script(b->soft, "C_Sign long\n");
	assert_int_equal(try_sign(b, k, &err).kind, ERR_INTERNAL);
	soft_script(b->soft, "C_Sign flip\n"); /* verifies with no key: whoever asked checks that */
	assert_int_equal(try_sign(b, k, &err).kind, ERR_MALFORMED);
	MUST_FAIL(keystore_open(b->ks, &where, &none, &err), ERR_CONFIG, "not for the public key");
	soft_script(b->soft, "");
	MUST(try_sign(b, k, &err));
}

static void a_hung_call_is_told(void **state)
{
	struct bench *b = *state;
	struct err err = { 0 };
	struct key *made = make(b, "k", KEY_P256), *k = NULL;
	key_free(made);
	bench_again(b);
	struct keystore_key where = soft_key(b->soft, "k");
	where.timeout_ms = 300;
	MUST(keystore_open(b->ks, &where, &k, &err));
	nap(500); /* calls that ended in time are forgotten */
	assert_null(atomic_load(&b->hung));
	soft_script(b->soft, "C_Sign hang 900\n");
	MUST(try_sign(b, k, &err)); /* it came back after all; in the program it would have been too late */
	assert_non_null(atomic_load(&b->hung));
	assert_string_equal(atomic_load(&b->hung), "C_Sign");
	key_free(k);
}

static void a_hung_call_ends_the_process(void **state)
{
	struct bench *b = *state;
	struct key *k = make(b, "k", KEY_P256);
	int status = 0;
	key_free(k);
	keystore_free(b->ks); /* no module over the fork */
	b->ks = NULL;
	pid_t child = fork();
	if (child == 0) {
		struct err err = { 0 };
		struct keystore_key where = soft_key(b->soft, "k");
		const struct keystore_conf conf = { .crypto = b->crypto, .log = &b->log };
		where.timeout_ms = 300;
		if (FAILED(keystore_new(&conf, &b->ks, &err)) || FAILED(keystore_open(b->ks, &where, &k, &err)))
			_exit(98);
		soft_script(b->soft, "C_Sign hang 20000\n");
		(void)try_sign(b, k, &err).kind;
		_exit(99);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	assert_int_equal(logged(b, "alarm: the token's module hangs"), 1);
	assert_int_equal(logged(b, "\"call\":\"C_Sign\""), 1);
	soft_script(b->soft, "");
	bench_open(b);
}

/* --- several at once --------------------------------------------------------------------------------------------------*/
struct turn {
	struct bench *b;
	struct key *k;
	int good, waited, bad;
};

static void *sign_many(void *ctx)
{
	struct turn *t = ctx;
	for (int i = 0; i < 60; i++) {
		struct err err = { 0 };
		struct rc rc = try_sign(t->b, t->k, &err);
		for (int n = 0; n < 400 && rc.kind == ERR_UNAVAILABLE; n++) {
			t->waited++;
			nap(5);
			rc = try_sign(t->b, t->k, &err);
		}
		if (FAILED(rc))
			t->bad++;
		else
			t->good++;
	}
	return NULL;
}

static void many_threads_share_the_sessions_and_survive_their_loss(void **state)
{
	struct bench *b = *state;
	AUTO(key_auto) struct key *ec = make(b, "ec", KEY_P256), *rsa = make(b, "rsa", KEY_RSA);
	struct turn turns[8];
	pthread_t threads[8];
	for (int i = 0; i < 8; i++) {
		turns[i] = (struct turn){ .b = b, .k = i % 2 == 0 ? ec : rsa };
		assert_int_equal(pthread_create(&threads[i], NULL, sign_many, &turns[i]), 0);
	}
	for (int i = 0; i < 5; i++) {
		nap(20);
		soft_script(b->soft, "C_Sign rv 0xb3 once\n");
	}
	for (int i = 0; i < 8; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(turns[i].bad, 0);
		assert_int_equal(turns[i].good, 60);
	}
}

#define ON_A_TOKEN(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		ON_A_TOKEN(files_are_read_with_and_without_a_passphrase),
		cmocka_unit_test(uris_name_a_module_a_token_and_a_key_and_no_secret),
		ON_A_TOKEN(a_module_that_others_could_change_is_not_loaded),
		ON_A_TOKEN(keys_of_each_kind_are_made_found_again_and_sign),
		ON_A_TOKEN(what_was_made_can_be_unmade),
		ON_A_TOKEN(the_certificate_tells_the_public_half_when_the_token_does_not),
		ON_A_TOKEN(a_key_that_is_named_unclearly_is_refused),
		ON_A_TOKEN(a_wrong_pin_is_tried_once_even_over_restarts),
		ON_A_TOKEN(a_remembered_refusal_does_not_give_the_pin_away_and_damage_does_not_unlock_it),
		ON_A_TOKEN(the_last_attempt_is_not_spent),
		ON_A_TOKEN(a_pin_is_wanted_from_a_file_for_its_owner_alone),
		ON_A_TOKEN(a_pin_refused_when_the_token_comes_back_ends_the_waiting),
		ON_A_TOKEN(a_lost_session_costs_one_more_attempt),
		ON_A_TOKEN(a_token_that_is_gone_is_waited_for_without_spinning),
		ON_A_TOKEN(a_token_whose_key_is_gone_is_waited_for),
		ON_A_TOKEN(wrong_answers_are_not_taken),
		ON_A_TOKEN(a_hung_call_is_told),
		ON_A_TOKEN(a_hung_call_ends_the_process),
		ON_A_TOKEN(many_threads_share_the_sessions_and_survive_their_loss),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
