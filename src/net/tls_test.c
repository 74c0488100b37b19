/* SPDX-License-Identifier: Apache-2.0
 *
 * tls_test.c: which files are refused and in what words, and what a client gets to see in a handshake.
 */
#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct files {
	char dir[64], chain[96], key[96], other_key[96], locked_key[96], broken[96], empty[96];
};

static void write_cert(const char *path, EVP_PKEY *key, long serial)
{
	X509 *c = X509_new();
	assert_non_null(c);
	X509_set_version(c, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(c), serial);
	X509_gmtime_adj(X509_getm_notBefore(c), -60);
	X509_gmtime_adj(X509_getm_notAfter(c), 3600);
	X509_NAME *name = X509_NAME_new();
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
	X509_set_subject_name(c, name);
	X509_set_issuer_name(c, name);
	X509_NAME_free(name);
	X509_set_pubkey(c, key);
	assert_true(X509_sign(c, key, EVP_sha256()) > 0);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(PEM_write_X509(f, c), 1);
	fclose(f);
	X509_free(c);
}

static void write_key(const char *path, EVP_PKEY *key, const char *passphrase)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(PEM_write_PrivateKey(f, key, passphrase == NULL ? NULL : EVP_aes_128_cbc(),
					      (const unsigned char *)passphrase,
					      passphrase == NULL ? 0 : (int)strlen(passphrase), NULL, NULL),
			 1);
	fclose(f);
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int make_files(void **state)
{
	struct files *f = mem_alloc(sizeof *f);
	snprintf(f->dir, sizeof f->dir, "/tmp/cairn-tls-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->chain, sizeof f->chain, "%s/chain.pem", f->dir);
	snprintf(f->key, sizeof f->key, "%s/key.pem", f->dir);
	snprintf(f->other_key, sizeof f->other_key, "%s/other.pem", f->dir);
	snprintf(f->locked_key, sizeof f->locked_key, "%s/locked.pem", f->dir);
	snprintf(f->broken, sizeof f->broken, "%s/broken.pem", f->dir);
	snprintf(f->empty, sizeof f->empty, "%s/empty.pem", f->dir);
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
	write_cert(f->chain, key, 1);
	write_key(f->key, key, NULL);
	write_key(f->other_key, other, NULL);
	write_key(f->locked_key, key, "secret");
	write_text(f->broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	write_text(f->empty, "");
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	*state = f;
	return 0;
}

static int remove_files(void **state)
{
	struct files *f = *state;
	const char *const all[] = { f->chain, f->key, f->other_key, f->locked_key, f->broken, f->empty };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		unlink(all[i]);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void bad_files_are_refused_by_name(void **state)
{
	const struct files *f = *state;
	const struct {
		const char *chain, *key, *file, *fault;
	} rows[] = {
		{ "/nonexistent/chain", f->key, "/nonexistent/chain", "No such file" },
		{ f->chain, "/nonexistent/key", "/nonexistent/key", "No such file" },
		{ f->empty, f->key, f->empty, "no PEM certificate" },
		{ f->broken, f->key, f->broken, "no PEM certificate" },
		{ f->key, f->key, f->key, "no PEM certificate" },
		{ f->chain, f->empty, f->empty, "no private key" },
		{ f->chain, f->chain, f->chain, "no private key" },
		{ f->chain, f->locked_key, f->locked_key, "without passphrase" },
		{ f->chain, f->other_key, f->other_key, "not that of the first certificate" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		struct tls_server *t = NULL;
		assert_int_equal(tls_server_new(rows[i].chain, rows[i].key, &t, &err).kind, ERR_CONFIG);
		assert_null(t);
		assert_non_null(strstr(err.detail, rows[i].file));
		assert_non_null(strstr(err.detail, rows[i].fault));
		assert_int_equal(ERR_peek_error(), 0);
	}
}

static void damaged_second_certificate_is_refused(void **state)
{
	const struct files *f = *state;
	char path[128], cmd[512];
	snprintf(path, sizeof path, "%s/two.pem", f->dir);
	snprintf(cmd, sizeof cmd, "cat %s %s > %s", f->chain, f->broken, path);
	assert_int_equal(system(cmd), 0);
	struct err err = { 0 };
	struct tls_server *t = NULL;
	assert_int_equal(tls_server_new(path, f->key, &t, &err).kind, ERR_CONFIG);
	assert_non_null(strstr(err.detail, "certificate 2"));
	unlink(path);
}

struct shake {
	bool ok;
	int version;
	long serial;
	char alpn[16];
	bool resumable;
};

/* Both ends in one thread over a non-blocking socket pair. alpn is in wire form, NULL: none offered. */
static struct shake shake_hands(struct tls_server *t, int max_version, const char *alpn, size_t alpn_len)
{
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	SSL *server = tls_server_accept(t, fds[0]);
	assert_non_null(server);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(ctx, max_version);
	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
	SSL *client = SSL_new(ctx);
	SSL_set_fd(client, fds[1]);
	SSL_set_connect_state(client);
	if (alpn != NULL)
		SSL_set_alpn_protos(client, (const unsigned char *)alpn, (unsigned)alpn_len);
	struct shake r = { 0 };
	for (unsigned i = 0; i < 20 && !r.ok; i++) {
		int c = SSL_do_handshake(client), s = SSL_do_handshake(server);
		r.ok = c == 1 && s == 1;
	}
	if (r.ok) {
		r.version = SSL_version(client);
		X509 *peer = SSL_get1_peer_certificate(client);
		r.serial = ASN1_INTEGER_get(X509_get0_serialNumber(peer));
		X509_free(peer);
		const unsigned char *chosen = NULL;
		unsigned n = 0;
		SSL_get0_alpn_selected(client, &chosen, &n);
		snprintf(r.alpn, sizeof r.alpn, "%.*s", (int)n, n == 0 ? "" : (const char *)chosen);
		char byte;
		(void)SSL_read(client, &byte, 1); /* takes in any ticket */
		r.resumable = SSL_SESSION_is_resumable(SSL_get0_session(client)) == 1 &&
			      SSL_SESSION_has_ticket(SSL_get0_session(client)) == 1;
	}
	ERR_clear_error();
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(ctx);
	close(fds[0]);
	close(fds[1]);
	return r;
}

static void handshake_offers_1_2_and_1_3_and_http_1_1_only(void **state)
{
	const struct files *f = *state;
	static const struct {
		int max_version;
		const char *offer; /* wire form */
		size_t offer_len;
		bool ok;
		int version;
		const char *alpn;
	} rows[] = {
		{ TLS1_3_VERSION, NULL, 0, true, TLS1_3_VERSION, "" },
		{ TLS1_2_VERSION, NULL, 0, true, TLS1_2_VERSION, "" },
		{ TLS1_1_VERSION, NULL, 0, false, 0, "" },
		{ TLS1_VERSION, NULL, 0, false, 0, "" },
		{ TLS1_3_VERSION, "\x08http/1.1", 9, true, TLS1_3_VERSION, "http/1.1" },
		{ TLS1_3_VERSION, "\x02h2\x08http/1.1", 12, true, TLS1_3_VERSION, "http/1.1" },
		{ TLS1_3_VERSION, "\x02h2", 3, false, 0, "" },
		{ TLS1_2_VERSION,
		  "\x0a"
		  "acme-tls/1",
		  11, false, 0, "" },
	};
	struct err err = { 0 };
	struct tls_server *t = NULL;
	assert_int_equal(tls_server_new(f->chain, f->key, &t, &err).kind, ERR_NONE);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct shake r = shake_hands(t, rows[i].max_version, rows[i].offer, rows[i].offer_len);
		assert_int_equal(r.ok, rows[i].ok);
		assert_int_equal(r.version, rows[i].version);
		assert_string_equal(r.alpn, rows[i].alpn);
		assert_false(r.resumable);
	}
	tls_server_free(t);
}

static void reload_serves_the_new_certificate_and_keeps_the_old_on_failure(void **state)
{
	const struct files *f = *state;
	struct err err = { 0 };
	struct tls_server *t = NULL;
	assert_int_equal(tls_server_new(f->chain, f->key, &t, &err).kind, ERR_NONE);
	assert_int_equal(shake_hands(t, TLS1_3_VERSION, NULL, 0).serial, 1);
	SSL *before = tls_server_accept(t, 0); /* outlives the context that it came from */

	EVP_PKEY *key = EVP_EC_gen("P-256");
	write_cert(f->chain, key, 2);
	assert_int_equal(tls_server_reload(t, &err).kind, ERR_CONFIG); /* the key on disk is still the old one */
	assert_int_equal(shake_hands(t, TLS1_3_VERSION, NULL, 0).serial, 1);
	write_key(f->key, key, NULL);
	assert_int_equal(tls_server_reload(t, &err).kind, ERR_NONE);
	assert_int_equal(shake_hands(t, TLS1_3_VERSION, NULL, 0).serial, 2);
	EVP_PKEY_free(key);
	SSL_free(before);
	tls_server_free(t);
	tls_server_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_files_are_refused_by_name),
		cmocka_unit_test(damaged_second_certificate_is_refused),
		cmocka_unit_test(handshake_offers_1_2_and_1_3_and_http_1_1_only),
		cmocka_unit_test(reload_serves_the_new_certificate_and_keeps_the_old_on_failure),
	};
	return cmocka_run_group_tests(tests, make_files, remove_files);
}
