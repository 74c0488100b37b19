/* SPDX-License-Identifier: Apache-2.0
 *
 * alpn_responder_test.c: what a probe of tls-alpn-01 is shown, what anybody else gets, and that nobody can keep the
 * probe out. Whether such a certificate proves anything is the validator's to say; its bytes are looked at here.
 */
#include "client/client.h"
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

#define DIGEST "0123456789abcdef0123456789abcdef"
/* The extension as it must stand there: its object identifier, critical, and the digest (RFC 8737 3). */
#define EXTENSION "\x06\x08\x2b\x06\x01\x05\x05\x07\x01\x1f\x01\x01\xff\x04\x22\x04\x20" DIGEST

struct world {
	struct crypto *c;
	struct tls_client *client;
	struct alpn_responder *r;
	struct arena mem;
};

static struct addr loopback(void)
{
	return (struct addr){ .family = AF_INET, .b = { 127, 0, 0, 1 } };
}

static int setup(void **state)
{
	struct world *w = mem_alloc(sizeof *w);
	struct err err = { 0 };
	struct addr a = loopback();
	MUST(crypto_new(&w->c, &err));
	MUST(tls_client_new(&w->client, &err));
	MUST(alpn_responder_new(w->c, &a, 0, &w->r, &err));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	alpn_responder_free(w->r);
	tls_client_free(w->client);
	crypto_free(w->c);
	arena_done(&w->mem);
	free(w);
	return 0;
}

static void show(struct world *w, enum ident_type type, const char *name)
{
	struct err err = { 0 };
	struct sha256 digest;
	const struct ident ident = { type, str_z(name) };
	memcpy(digest.b, DIGEST, sizeof digest.b);
	MUST(alpn_responder_add(w->r, &ident, &digest, &err));
}

static enum err_kind ask(struct world *w, const char *name, const char *protocol, struct tls_probe_reply *ret)
{
	struct err err = { 0 };
	const struct tls_probe_request rq = {
		.addr = loopback(),
		.port = alpn_responder_port(w->r),
		.server_name = str_z(name),
		.alpn = str_z(protocol),
		.connect_timeout_ms = 3000,
		.timeout_ms = 5000,
	};
	*ret = (struct tls_probe_reply){ 0 };
	return tls_probe(w->client, &rq, &w->mem, ret, &err).kind;
}

static bool has(struct str text, struct str part)
{
	return memmem(text.p, text.n, part.p, part.n) != NULL;
}

static void each_identifier_is_shown_its_own_certificate(void **state)
{
	static const struct {
		enum ident_type type;
		const char *ident, *server_name;
		struct str san; /* the one entry, and that it is the only one */
	} rows[] = {
		{ IDENT_DNS, "www.a.test", "www.a.test", { "\x30\x0c\x82\x0awww.a.test", 14 } },
		{ IDENT_DNS,
		  "b.test",
		  "B.test",
		  { "\x30\x08\x82\x06"
		    "b.test",
		    10 } },
		{ IDENT_IP, "192.0.2.7", "7.2.0.192.in-addr.arpa", { "\x30\x06\x87\x04\xc0\x00\x02\x07", 8 } },
		{ IDENT_IP,
		  "2001:db8::1f",
		  "f.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
		  { "\x30\x12\x87\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x1f", 20 } },
	};
	struct world *w = *state;
	struct tls_probe_reply got;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		show(w, rows[i].type, rows[i].ident);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (ask(w, rows[i].server_name, "acme-tls/1", &got) != ERR_NONE)
			fail_msg("%s: no handshake", rows[i].ident);
		assert_true(str_eq(got.alpn, STR("acme-tls/1")));
		assert_true(has(got.certificate, str_n(EXTENSION, sizeof EXTENSION - 1)));
		if (!has(got.certificate, rows[i].san))
			fail_msg("%s: another name", rows[i].ident);
	}
}

static void who_asks_for_anything_else_gets_an_alert(void **state)
{
	struct world *w = *state;
	struct tls_probe_reply got;
	show(w, IDENT_DNS, "www.a.test");
	assert_int_equal(ask(w, "www.a.test", "http/1.1", &got), ERR_TLS);
	assert_int_equal(ask(w, "b.test", "acme-tls/1", &got), ERR_TLS);
	assert_int_equal(ask(w, "a.test", "acme-tls/1", &got), ERR_TLS);
	assert_int_equal(ask(w, "www.a.test", "acme-tls/1", &got), ERR_NONE);
}

static void what_was_removed_is_gone(void **state)
{
	struct world *w = *state;
	struct tls_probe_reply got;
	const struct ident name = { IDENT_DNS, STR("www.a.test") }, ip = { IDENT_IP, STR("192.0.2.7") };
	show(w, IDENT_DNS, "www.a.test");
	show(w, IDENT_IP, "192.0.2.7");
	alpn_responder_remove(w->r, &name);
	alpn_responder_remove(w->r, &name);
	assert_int_equal(ask(w, "www.a.test", "acme-tls/1", &got), ERR_TLS);
	assert_int_equal(ask(w, "7.2.0.192.in-addr.arpa", "acme-tls/1", &got), ERR_NONE);
	alpn_responder_remove(w->r, &ip);
	assert_int_equal(ask(w, "7.2.0.192.in-addr.arpa", "acme-tls/1", &got), ERR_TLS);
	show(w, IDENT_DNS, "www.a.test");
	show(w, IDENT_DNS, "www.a.test"); /* a second one replaces the first */
	assert_int_equal(ask(w, "www.a.test", "acme-tls/1", &got), ERR_NONE);
}

static int dial(const struct world *w)
{
	struct addr a = loopback();
	struct sockaddr_storage sa;
	socklen_t n = addr_sockaddr(&a, alpn_responder_port(w->r), &sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&sa, n), 0);
	return fd;
}

static void those_who_say_half_a_hello_keep_nobody_out(void **state)
{
	struct world *w = *state;
	struct tls_probe_reply got;
	int fds[150];
	show(w, IDENT_DNS, "www.a.test");
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = dial(w);
		assert_int_equal(send(fds[i], "\x16\x03\x01\x02\x00", 5, MSG_NOSIGNAL), 5);
	}
	int garbage = dial(w);
	assert_int_equal(send(garbage, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
	assert_int_equal(ask(w, "www.a.test", "acme-tls/1", &got), ERR_NONE);
	close(garbage);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
}

static void a_port_that_is_taken_is_told(void **state)
{
	struct world *w = *state;
	struct addr a = loopback();
	struct alpn_responder *second = NULL;
	struct err err = { 0 };
	MUST_FAIL(alpn_responder_new(w->c, &a, alpn_responder_port(w->r), &second, &err), ERR_IO, "cannot listen on");
	assert_null(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_identifier_is_shown_its_own_certificate, setup, teardown),
		cmocka_unit_test_setup_teardown(who_asks_for_anything_else_gets_an_alert, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_removed_is_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(those_who_say_half_a_hello_keep_nobody_out, setup, teardown),
		cmocka_unit_test_setup_teardown(a_port_that_is_taken_is_told, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
