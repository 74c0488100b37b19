/* SPDX-License-Identifier: Apache-2.0
 *
 * tlsalpn01_test.c: which server is asked by tls-alpn-01, for what, and what is said when it does not answer as RFC 8737
 * and RFC 8738 want (THREATS A36 to A39). What a certificate must look like is alpn_cert_test.c's.
 */
#include "validate/test.h"

#define S(lit)                         \
	{                              \
		(lit), sizeof(lit) - 1 \
	}
#define ACME .alpn = S("acme-tls/1")
#define AT "192.0.2.7: TLS on port 443 for a.test: "
#define ADVICE                                                                                                \
	"; wanted a handshake with protocol \"acme-tls/1\"; check the TLS server there: it must answer this " \
	"challenge "                                                                                          \
	"itself, not a proxy or CDN in front of it"
#define START                                                                                                       \
	"; wanted a handshake with protocol \"acme-tls/1\"; start the ACME client's TLS server there, or let this " \
	"port "                                                                                                     \
	"through the firewall"
#define V6 "2001:db8::7"
#define ELSEWHERE " (the AAAA record leads there; 192.0.2.7 of the A record is asked only when that cannot be reached)"
#define V6_REVERSE "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"

static const struct alpn_cert right = { .digest = S(DIGEST_BYTES), .names = { S("a.test") } };
static const struct alpn_cert stale = { .digest = S("0123456789abcdef0123456789abcdef"), .names = { S("a.test") } };
static const struct alpn_cert right_v4 = { .digest = S(DIGEST_BYTES), .ip = S("\xc0\x00\x02\x07") };
static const struct alpn_cert right_v6 = { .digest = S(DIGEST_BYTES),
					   .ip = S("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07") };

static const struct {
	const char *title;
	struct ident ident;
	struct script_step steps[3];
	enum err_kind kind;
	const char *want;
} rows[] = {
	{ "the right certificate",
	  { IDENT_DNS, S("a.test") },
	  { { "a.test", .addrs = S("192.0.2.7") }, { "192.0.2.7", .server_name = "a.test", .cert = &right, ACME } },
	  ERR_NONE,
	  "" },
	{ "an IPv4 address is dialled itself and asked for by its reverse name",
	  { IDENT_IP, S("192.0.2.7") },
	  { { "192.0.2.7", .server_name = "7.2.0.192.in-addr.arpa", .cert = &right_v4, ACME } },
	  ERR_NONE,
	  "" },
	{ "and so is an IPv6 address",
	  { IDENT_IP, S(V6) },
	  { { V6, .server_name = V6_REVERSE, .cert = &right_v6, ACME } },
	  ERR_NONE,
	  "" },
	{ "a certificate for the name does not prove its address",
	  { IDENT_IP, S("192.0.2.7") },
	  { { "192.0.2.7", .cert = &right, ACME } },
	  ERR_UNAUTHORIZED,
	  "192.0.2.7: TLS on port 443 for 7.2.0.192.in-addr.arpa: the certificate is for \"a.test\"; wanted the single "
	  "entry 192.0.2.7" },
	{ "no protocol",
	  { IDENT_DNS, S("a.test") },
	  { { "a.test", .addrs = S("192.0.2.7") }, { "192.0.2.7", .cert = &right } },
	  ERR_TLS,
	  AT
	  "the server chose no protocol; wanted protocol \"acme-tls/1\" (ALPN, RFC 8737); the ACME client must answer "
	  "there, not the usual server or a proxy in front of it" },
	{ "another protocol",
	  { IDENT_DNS, S("a.test") },
	  { { "a.test", .addrs = S("192.0.2.7") }, { "192.0.2.7", .cert = &right, .alpn = S("h2\x1b") } },
	  ERR_TLS,
	  AT "the server chose protocol \"h2\\x1b\"; wanted protocol \"acme-tls/1\" " },
	{ "almost the protocol",
	  { IDENT_DNS, S("a.test") },
	  { { "a.test", .addrs = S("192.0.2.7") }, { "192.0.2.7", .cert = &right, .alpn = S("ACME-TLS/1") } },
	  ERR_TLS,
	  AT "the server chose protocol \"ACME-TLS/1\"; " },
	{ "the certificate of another order",
	  { IDENT_DNS, S("a.test") },
	  { { "a.test", .addrs = S("192.0.2.7") }, { "192.0.2.7", .cert = &stale, ACME } },
	  ERR_UNAUTHORIZED,
	  AT
	  "the certificate has the digest 3031323334353637383961626364656630313233343536373839616263646566 in its "
	  "acmeIdentifier; wanted 8670521dd3e7e752b049e44f382622de808016d1b23ad27cfe18a2a78614cfea; it is of another "
	  "order or account: see which ACME client answers there" },
	{ "a failed handshake",
	  { IDENT_DNS, S("a.test") },
	  { { "a.test", .addrs = S("192.0.2.7") },
	    { "192.0.2.7", "the server does not speak TLS on this port", ERR_TLS, .connected = true } },
	  ERR_TLS,
	  AT "the server does not speak TLS on this port" ADVICE },
	{ "a stalled handshake",
	  { IDENT_DNS, S("a.test") },
	  { { "a.test", .addrs = S("192.0.2.7") },
	    { "192.0.2.7", "timeout during the TLS handshake (does this port speak TLS?)", ERR_TIMEOUT,
	      .connected = true } },
	  ERR_CONNECTION,
	  AT "timeout during the TLS handshake (does this port speak TLS?)" ADVICE },
	{ "v6 cannot be reached, v4 can",
	  { IDENT_DNS, S("a.test") },
	  { { "a.test", .addrs = S(V6 " 192.0.2.7") },
	    { V6, "connection refused", ERR_CONNECTION },
	    { "192.0.2.7", .cert = &right, ACME } },
	  ERR_NONE,
	  "" },
	{ "neither can be reached",
	  { IDENT_DNS, S("a.test") },
	  { { "a.test", .addrs = S(V6 " 192.0.2.7") },
	    { V6, "timeout during connect (likely firewall problem)", ERR_TIMEOUT },
	    { "192.0.2.7", "connection refused", ERR_CONNECTION } },
	  ERR_CONNECTION,
	  AT "connection refused" START
	     " (2001:db8::7 was tried first: timeout during connect (likely firewall problem))" },
	{ "v6 accepts and fails: no second chance",
	  { IDENT_DNS, S("a.test") },
	  { { "a.test", .addrs = S(V6 " 192.0.2.7") },
	    { V6, "the server reset the connection during the TLS handshake", ERR_TLS, .connected = true } },
	  ERR_TLS,
	  "2001:db8::7: TLS on port 443 for a.test: the server reset the connection during the TLS handshake" ADVICE
		  ELSEWHERE },
	{ "v6 is an ordinary web server: that the A record leads elsewhere is said",
	  { IDENT_DNS, S("a.test") },
	  { { "a.test", .addrs = S(V6 " 192.0.2.7") }, { V6, .cert = &right } },
	  ERR_TLS,
	  "2001:db8::7: TLS on port 443 for a.test: the server chose no protocol; wanted protocol \"acme-tls/1\" "
	  "(ALPN, "
	  "RFC 8737); the ACME client must answer there, not the usual server or a proxy in front of it" ELSEWHERE },
	{ "v6 shows a wrong certificate: no second chance",
	  { IDENT_DNS, S("a.test") },
	  { { "a.test", .addrs = S(V6 " 192.0.2.7") }, { V6, .cert = &stale, ACME } },
	  ERR_UNAUTHORIZED,
	  "2001:db8::7: TLS on port 443 for a.test: the certificate has the digest "
	  "3031323334353637383961626364656630313233343536373839616263646566 in its acmeIdentifier; wanted "
	  "8670521dd3e7e752b049e44f382622de808016d1b23ad27cfe18a2a78614cfea; it is of another order or account: see "
	  "which ACME client answers there" ELSEWHERE },
	{ "the time is used up on the way",
	  { IDENT_DNS, S("a.test") },
	  { { "a.test", .addrs = S("192.0.2.7"), .takes_ms = 20000 } },
	  ERR_CONNECTION,
	  "192.0.2.7: TLS on port 443 for a.test was not tried: the 20.0 s of this validation are used up; wanted the "
	  "whole handshake within them" },
	{ "an inner address is not dialled", /* A29 */
	  { IDENT_DNS, S("a.test") },
	  { { "a.test", .addrs = S("10.0.0.1 ::1") } },
	  ERR_CONNECTION,
	  "a.test has no address that may be contacted: 10.0.0.1 is private (10.0.0.0/8), ::1 is loopback (::1); " },
	{ "nor when it is the identifier", /* A39 */
	  { IDENT_IP, S("169.254.169.254") },
	  { { 0 } },
	  ERR_CONNECTION,
	  "169.254.169.254 has no address that may be contacted: 169.254.169.254 is cloud metadata " },
	{ "a mapped address is an inner one",
	  { IDENT_IP, S("::ffff:10.0.0.1") },
	  { { 0 } },
	  ERR_CONNECTION,
	  "::ffff:10.0.0.1 has no address that may be contacted: " },
	{ "a name that does not resolve",
	  { IDENT_DNS, S("a.test") },
	  { { "a.test", "a.test does not exist: NXDOMAIN from 127.0.0.1:5353", ERR_DNS } },
	  ERR_DNS,
	  "a.test does not exist: NXDOMAIN from 127.0.0.1:5353" },
	{ "a fault of ours is no vote",
	  { IDENT_DNS, S("a.test") },
	  { { "a.test", .addrs = S("192.0.2.7") }, { "192.0.2.7", "out of memory", ERR_INTERNAL } },
	  ERR_INTERNAL,
	  AT "out of memory; " },
};

static void every_row_ends_as_it_says(void **state)
{
	struct script *s = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct verdict v;
		size_t count = 0;
		while (count < ARRAY_LEN(rows[i].steps) && rows[i].steps[count].asked != NULL)
			count++;
		struct validate_job job = script_job(CHALLENGE_TLSALPN01);
		job.ident = rows[i].ident;
		assert_true(script_run(s, rows[i].steps, count, 1, &job, &mem, &v));
		script_check_problem(rows[i].title, &v, rows[i].kind, rows[i].want, &mem);
	}
}

static void the_transcript_tells_what_was_seen(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	const struct script_step steps[] = { { "a.test", .addrs = S(V6 " 192.0.2.7") },
					     { V6, "connection refused", ERR_CONNECTION },
					     { "192.0.2.7", .cert = &stale, ACME } };
	struct verdict v;
	struct validate_job job = script_job(CHALLENGE_TLSALPN01);
	assert_true(script_run(s, steps, ARRAY_LEN(steps), 1, &job, &mem, &v));
	assert_int_equal(v.step_count, 3);
	assert_true(
		str_eq(v.steps[0].detail, STR("a.test AAAA,A from 127.0.0.1:5353: 2001:db8::7, 192.0.2.7 (insecure)")));
	assert_true(str_eq(v.steps[1].detail, STR("2001:db8::7: TLS on port 443 for a.test: connection refused")));
	assert_true(
		str_starts(v.steps[2].detail,
			   STR("192.0.2.7: TLS on port 443 for a.test: TLSv1.3, protocol \"acme-tls/1\", certificate "
			       "sha256 ")));
	assert_int_equal(v.steps[2].detail.n, 90 + 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_ends_as_it_says),
		cmocka_unit_test(the_transcript_tells_what_was_seen),
	};
	return cmocka_run_group_tests(tests, script_setup, script_teardown);
}
