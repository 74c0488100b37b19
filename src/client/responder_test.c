/* SPDX-License-Identifier: Apache-2.0
 *
 * responder_test.c: what a probe gets, what anybody else gets, and that nobody can keep the probe out.
 */
#include "client/client.h"
#include "unit.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TOKEN "token-of-authorization-0"
#define GET(path) "GET " path " HTTP/1.1\r\nHost: a.test\r\n\r\n"
#define WELL_KNOWN "/.well-known/acme-challenge/"

static struct addr loopback(int family)
{
	struct addr a = { .family = family };
	if (family == AF_INET)
		memcpy(a.b, (const uint8_t[]){ 127, 0, 0, 1 }, 4);
	else
		a.b[15] = 1;
	return a;
}

static int setup(void **state)
{
	struct err err = { 0 };
	struct addr a = loopback(AF_INET);
	struct responder *r = NULL;
	MUST(responder_new(&a, 0, &r, &err));
	MUST(responder_add(r, STR(TOKEN), STR(TOKEN ".thumb"), &err));
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	responder_free(*state);
	return 0;
}

static int dial(uint16_t port)
{
	struct addr a = loopback(AF_INET);
	struct sockaddr_storage sa;
	socklen_t n = addr_sockaddr(&a, port, &sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&sa, n), 0);
	return fd;
}

/* All that comes until the connection ends; -1: it did not end in time. */
static ssize_t read_all(int fd, char *out, size_t max, int within_ms)
{
	size_t n = 0;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		if (poll(&p, 1, within_ms) <= 0)
			return -1;
		ssize_t got = recv(fd, out + n, max - 1 - n, 0);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	out[n] = '\0';
	return (ssize_t)n;
}

static void ask(uint16_t port, const char *request, char *out, size_t max)
{
	int fd = dial(port);
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	assert_true(read_all(fd, out, max, 3000) >= 0);
	close(fd);
}

struct row {
	const char *request, *status, *body;
};

static const struct row rows[] = {
	{ GET(WELL_KNOWN TOKEN), "200 OK", TOKEN ".thumb" },
	{ "GET " WELL_KNOWN TOKEN " HTTP/1.1\r\n\r\n", "200 OK", TOKEN ".thumb" },
	{ GET(WELL_KNOWN), "404 Not Found", "" },
	{ GET(WELL_KNOWN "other"), "404 Not Found", "" },
	{ GET(WELL_KNOWN TOKEN "?x"), "404 Not Found", "" },
	{ GET(WELL_KNOWN TOKEN "/"), "404 Not Found", "" },
	{ GET(WELL_KNOWN "../acme-challenge/" TOKEN), "404 Not Found", "" },
	{ GET("/"), "404 Not Found", "" },
	{ GET("/.well-known/acme-challeng" TOKEN), "404 Not Found", "" },
	{ "HEAD " WELL_KNOWN TOKEN " HTTP/1.1\r\n\r\n", "405 Method Not Allowed", "" },
	{ "POST " WELL_KNOWN TOKEN " HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405 Method Not Allowed", "" },
	{ "get " WELL_KNOWN TOKEN " HTTP/1.1\r\n\r\n", "405 Method Not Allowed", "" },
	{ "GET  " WELL_KNOWN TOKEN " HTTP/1.1\r\n\r\n", "404 Not Found", "" },
	{ "GET " WELL_KNOWN TOKEN " HTTP/1.0\r\n\r\n", "400 Bad Request", "" },
	{ "GET " WELL_KNOWN TOKEN "\r\n\r\n", "400 Bad Request", "" },
	{ "\r\n\r\n", "400 Bad Request", "" },
	{ " HTTP/1.1\r\n\r\n", "405 Method Not Allowed", "" },
	{ "HTTP/1.1\r\n\r\n", "400 Bad Request", "" },
};

static void only_a_known_token_is_answered(void **state)
{
	struct responder *r = *state;
	char got[4096], want[64];
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ask(responder_port(r), rows[i].request, got, sizeof got);
		(void)snprintf(want, sizeof want, "HTTP/1.1 %s\r\n", rows[i].status);
		const char *body = strstr(got, "\r\n\r\n");
		if (strncmp(got, want, strlen(want)) != 0 || body == NULL || strcmp(body + 4, rows[i].body) != 0)
			fail_msg("row %zu: \"%s\"", i, got);
	}
}

static void a_request_may_come_byte_by_byte(void **state)
{
	struct responder *r = *state;
	const char *request = GET(WELL_KNOWN TOKEN);
	char got[4096];
	int fd = dial(responder_port(r));
	for (size_t i = 0; request[i] != '\0'; i++) {
		assert_int_equal(send(fd, request + i, 1, MSG_NOSIGNAL), 1);
		const struct timespec pause = { .tv_nsec = 500000 };
		(void)nanosleep(&pause, NULL);
	}
	assert_true(read_all(fd, got, sizeof got, 3000) > 0);
	assert_non_null(strstr(got, TOKEN ".thumb"));
	close(fd);
}

static void what_was_removed_is_gone_and_what_was_replaced_is_new(void **state)
{
	struct responder *r = *state;
	struct err err = { 0 };
	char got[4096];
	MUST(responder_add(r, STR(TOKEN), STR("another"), &err));
	ask(responder_port(r), GET(WELL_KNOWN TOKEN), got, sizeof got);
	assert_non_null(strstr(got, "\r\n\r\nanother"));
	responder_remove(r, STR(TOKEN));
	responder_remove(r, STR(TOKEN));
	responder_remove(r, STR("never there"));
	ask(responder_port(r), GET(WELL_KNOWN TOKEN), got, sizeof got);
	assert_non_null(strstr(got, "404"));
}

static void many_answers_stand_side_by_side(void **state)
{
	struct responder *r = *state;
	struct err err = { 0 };
	char token[64], request[256], got[4096];
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(token, sizeof token, "t-%d", i);
		MUST(responder_add(r, str_z(token), str_z(token), &err));
	}
	for (int i = 0; i < 1000; i += 2) {
		(void)snprintf(token, sizeof token, "t-%d", i);
		responder_remove(r, str_z(token));
	}
	for (int i = 0; i < 1000; i += 37) {
		(void)snprintf(request, sizeof request, GET(WELL_KNOWN "t-%d"), i);
		(void)snprintf(token, sizeof token, "\r\n\r\nt-%d", i);
		ask(responder_port(r), request, got, sizeof got);
		assert_int_equal(strstr(got, token) != NULL, i % 2 == 1);
	}
}

static void absurd_answers_are_refused(void **state)
{
	struct responder *r = *state;
	struct err err = { 0 };
	char big[2000];
	memset(big, 'a', sizeof big);
	MUST_FAIL(responder_add(r, STR_NONE, STR("x"), &err), ERR_MALFORMED, "not served");
	MUST_FAIL(responder_add(r, STR("x"), STR_NONE, &err), ERR_MALFORMED, "not served");
	MUST_FAIL(responder_add(r, str_n(big, 600), STR("x"), &err), ERR_MALFORMED, "not served");
	MUST_FAIL(responder_add(r, STR("x"), str_n(big, sizeof big), &err), ERR_MALFORMED, "not served");
}

static void an_endless_head_ends_the_connection(void **state)
{
	struct responder *r = *state;
	char line[1024], got[4096];
	int fd = dial(responder_port(r));
	memset(line, 'a', sizeof line);
	for (int i = 0; i < 64; i++)
		if (send(fd, line, sizeof line, MSG_NOSIGNAL) <= 0)
			break;
	assert_true(read_all(fd, got, sizeof got, 3000) >= 0);
	assert_int_equal(got[0], '\0');
	close(fd);
}

/* More idle and dripping connections than are kept: the probe is answered all the same. */
static void nobody_can_keep_the_probe_out(void **state)
{
	struct responder *r = *state;
	int idle[300];
	char got[4096];
	for (size_t i = 0; i < ARRAY_LEN(idle); i++) {
		idle[i] = dial(responder_port(r));
		assert_int_equal(send(idle[i], "GET /", 5, MSG_NOSIGNAL), 5);
	}
	ask(responder_port(r), GET(WELL_KNOWN TOKEN), got, sizeof got);
	assert_non_null(strstr(got, TOKEN ".thumb"));
	for (size_t i = 0; i < ARRAY_LEN(idle); i++)
		close(idle[i]);
}

static void who_says_nothing_more_is_cut_off(void **state)
{
	struct responder *r = *state;
	char got[64];
	int fd = dial(responder_port(r));
	assert_int_equal(send(fd, "GET /", 5, MSG_NOSIGNAL), 5);
	assert_int_equal(read_all(fd, got, sizeof got, 8000), 0);
	close(fd);
}

static void a_port_in_use_is_told(void **state)
{
	struct responder *r = *state, *second = NULL;
	struct err err = { 0 };
	struct addr a = loopback(AF_INET);
	MUST_FAIL(responder_new(&a, responder_port(r), &second, &err), ERR_IO, "cannot listen on 127.0.0.1 port");
	assert_null(second);
}

static void the_unspecified_ipv6_address_serves_ipv4_too(void **state)
{
	struct err err = { 0 };
	struct addr any = { .family = AF_INET6 };
	struct responder *r = NULL;
	char got[4096];
	(void)state;
	int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (probe < 0)
		skip();
	close(probe);
	MUST(responder_new(&any, 0, &r, &err));
	MUST(responder_add(r, STR(TOKEN), STR("both"), &err));
	ask(responder_port(r), GET(WELL_KNOWN TOKEN), got, sizeof got);
	assert_non_null(strstr(got, "\r\n\r\nboth"));
	responder_free(r);
}

struct hammer {
	struct responder *r;
	unsigned wrong;
};

static void *hammer_run(void *arg)
{
	struct hammer *h = arg;
	char got[1024], token[64], request[256];
	for (unsigned i = 0; i < 200; i++) {
		(void)snprintf(token, sizeof token, "%p-%u", arg, i);
		(void)snprintf(request, sizeof request, GET(WELL_KNOWN "%s"), token);
		if (FAILED(responder_add(h->r, str_z(token), str_z(token), NULL))) {
			h->wrong++;
			continue;
		}
		ask(responder_port(h->r), request, got, sizeof got);
		const char *body = strstr(got, "\r\n\r\n");
		h->wrong += body == NULL || strcmp(body + 4, token) != 0;
		responder_remove(h->r, str_z(token));
	}
	return NULL;
}

static void threads_may_add_and_remove_while_it_serves(void **state)
{
	struct hammer h[4] = { 0 };
	pthread_t threads[ARRAY_LEN(h)];
	for (size_t i = 0; i < ARRAY_LEN(h); i++) {
		h[i].r = *state;
		assert_int_equal(pthread_create(&threads[i], NULL, hammer_run, &h[i]), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(h); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(h[i].wrong, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_a_known_token_is_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(a_request_may_come_byte_by_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_removed_is_gone_and_what_was_replaced_is_new, setup, teardown),
		cmocka_unit_test_setup_teardown(many_answers_stand_side_by_side, setup, teardown),
		cmocka_unit_test_setup_teardown(absurd_answers_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(an_endless_head_ends_the_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_can_keep_the_probe_out, setup, teardown),
		cmocka_unit_test_setup_teardown(who_says_nothing_more_is_cut_off, setup, teardown),
		cmocka_unit_test_setup_teardown(a_port_in_use_is_told, setup, teardown),
		cmocka_unit_test(the_unspecified_ipv6_address_serves_ipv4_too),
		cmocka_unit_test_setup_teardown(threads_may_add_and_remove_while_it_serves, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
