/* SPDX-License-Identifier: Apache-2.0
 *
 * probe_test.c: whole probes over scripted DNS and HTTP (THREATS A29 to A35, A38). Every row says which exchanges take
 * place, in order and to which address, and the exact words of the refusal: an exchange that is not in the script fails
 * the test, so no row can open a connection that it does not list.
 */
#include "validate/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define TOKEN "tttttttt-_0123456789abcdefghijklmnopqrstuvw"
#define THUMB "hhhhhhhh-_0123456789ABCDEFGHIJKLMNOPQRSTUVU"
#define OTHER_TOKEN "oooooooo-_0123456789abcdefghijklmnopqrstuvw"
#define KEYAUTH TOKEN "." THUMB
#define SHORT "tttttttt....hhhhhhhh..."
#define PATH "/.well-known/acme-challenge/" TOKEN
#define FIRST "http://a.test" PATH
#define GET "192.0.2.7: GET " FIRST
#define LED "redirected by " FIRST ": "
#define X10 "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define X1000 X100 X100 X100 X100 X100 X100 X100 X100 X100 X100

struct lookup {
	const char *host;
	const char *addrs; /* separated by blanks; NULL: fails with `why` */
	const char *why;
};

struct exchange_row {
	const char *url, *peer;
	int status;       /* 0: fails */
	const char *text; /* body; of a redirect its Location; of a failure what happened */
	enum err_kind fail;
	bool connected;
	const char *location2; /* a second Location */
	bool cut;
	int takes_ms;
};

struct row {
	const char *title;
	struct lookup dns[4];
	struct exchange_row http[13];
	enum err_kind want; /* ERR_NONE: valid */
	const char *detail;
};

static const struct row rows[] = {
	{ "the key authorization proves the name",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 200, .text = KEYAUTH } },
	  ERR_NONE,
	  "" },
	{ "blanks at its end do not matter",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 200, .text = KEYAUTH " \t\r\n\n" } },
	  ERR_NONE,
	  "" },
	{ "blanks before it do",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 200, .text = " " KEYAUTH } },
	  ERR_UNAUTHORIZED,
	  GET " answered 200 with \" tttttttt-_0123456789abcdefghijklmnopqrstuvw.hhhhhhhh-_01234...\"; wanted the key "
	      "authorization \"" SHORT
	      "\"; put the challenge file of this order there, with nothing before or after the key authorization" },
	/* DNS */
	{ "a name that does not resolve",
	  { { "a.test", NULL, "a.test does not exist: NXDOMAIN from 127.0.0.1:5353" } },
	  { { 0 } },
	  ERR_DNS,
	  "a.test does not exist: NXDOMAIN from 127.0.0.1:5353" },
	/* A29: special addresses, none of which is dialled */
	{ "loopback is refused",
	  { { "a.test", "127.0.0.1", NULL } },
	  { { 0 } },
	  ERR_CONNECTION,
	  "a.test has no address that may be contacted: 127.0.0.1 is loopback (127.0.0.0/8); wanted a public address, "
	  "or one in allow-addresses of zone \"inside\"; publish one where this validator asks: 127.0.0.1:5353" },
	{ "metadata, private, mapped and unspecified addresses are refused together",
	  { { "a.test", "::ffff:10.0.0.1 fd00::5 ::1 64:ff9b::7f00:1 169.254.169.254 10.0.0.1 0.0.0.0", NULL } },
	  { { 0 } },
	  ERR_CONNECTION,
	  "a.test has no address that may be contacted: ::ffff:10.0.0.1 is " },
	{ "the addresses that are fine are used, in spite of others",
	  { { "a.test", "::1 10.0.0.1 192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 200, .text = KEYAUTH } },
	  ERR_NONE,
	  "" },
	{ "a redirect to an inner address is refused",
	  { { "a.test", "192.0.2.7", NULL }, { "in.test", "10.0.0.5", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "http://in.test/" } },
	  ERR_CONNECTION,
	  LED
	  "in.test has no address that may be contacted: 10.0.0.5 is private (10.0.0.0/8); wanted a public address, or "
	  "one in allow-addresses of zone \"inside\"; publish one where this validator asks: 127.0.0.1:5353" },
	{ "a redirect to an inner address in figures is refused",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "http://169.254.169.254/latest" } },
	  ERR_CONNECTION,
	  LED
	  "169.254.169.254 has no address that may be contacted: 169.254.169.254 is cloud metadata (169.254.169.254); "
	  "wanted a "
	  "public address, or one in allow-addresses of zone \"inside\"" },
	{ "a redirect to a number in disguise is refused",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "http://0x7f.1/" } },
	  ERR_CONNECTION,
	  GET " answered 302 to \"http://0x7f.1/\", which is not followed: URL host \"0x7f.1\" is " },
	{ "a redirect to a scoped address is refused",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "http://[fe80::1%25eth0]/" } },
	  ERR_CONNECTION,
	  GET " answered 302 to \"http://[fe80::1%25eth0]/\", which is not followed: " },
	{ "a redirect to localhost is refused",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "http://localhost/" } },
	  ERR_CONNECTION,
	  GET " answered 302 to \"http://localhost/\", which is not followed: host refused: " },
	/* A30: a name that answers differently the second time is vetted the second time too */
	{ "a rebinding name is looked up and vetted at each hop",
	  { { "a.test", "192.0.2.7", NULL }, { "a.test", "127.0.0.1", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "/again" } },
	  ERR_CONNECTION,
	  LED "a.test has no address that may be contacted: 127.0.0.1 is loopback (127.0.0.0/8); " },
	/* A31: redirects */
	{ "a redirect to https elsewhere is followed",
	  { { "a.test", "192.0.2.7", NULL }, { "b.test", "2001:db8::8 192.0.2.8", NULL } },
	  { { FIRST, "192.0.2.7", .status = 301, .text = "https://b.test/x?y=1#z" },
	    { "https://b.test/x?y=1", "2001:db8::8", .status = 200, .text = KEYAUTH } },
	  ERR_NONE,
	  "" },
	{ "307 and 308 with relative targets are followed",
	  { { "a.test", "192.0.2.7", NULL }, { "a.test", "192.0.2.8", NULL }, { "a.test", "192.0.2.9", NULL } },
	  { { FIRST, "192.0.2.7", .status = 307, .text = "x" },
	    { "http://a.test/.well-known/acme-challenge/x", "192.0.2.8", .status = 308, .text = "//a.test:443/y" },
	    { "http://a.test:443/y", "192.0.2.9", .status = 200, .text = KEYAUTH } },
	  ERR_NONE,
	  "" },
	{ "other schemes are refused",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "ftp://a.test/" } },
	  ERR_CONNECTION,
	  GET " answered 302 to \"ftp://a.test/\", which is not followed: URL \"ftp://a.test/\" does not begin with "
	      "http:// or "
	      "https://; leave /.well-known/acme-challenge/ out of the redirects" },
	{ "a file is refused",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "file:///etc/passwd" } },
	  ERR_CONNECTION,
	  GET " answered 302 to \"file:///etc/passwd\", which is not followed: " },
	{ "other ports are refused",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "http://a.test:8080/" } },
	  ERR_CONNECTION,
	  GET " answered 302 to \"http://a.test:8080/\", which is not followed: port 8080 is not followed; wanted 80 "
	      "or 443; leave /.well-known/acme-challenge/ out of the redirects" },
	{ "port 22 is refused",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "http://a.test:22/" } },
	  ERR_CONNECTION,
	  GET
	  " answered 302 to \"http://a.test:22/\", which is not followed: port 22 is not followed; wanted 80 or 443; "
	  "leave /.well-known/acme-challenge/ out of the redirects" },
	{ "userinfo is refused",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "http://u:p@a.test/" } },
	  ERR_CONNECTION,
	  GET " answered 302 to \"http://u:p@a.test/\", which is not followed: URL has userinfo before its host; "
	      "leave /.well-known/acme-challenge/ out of the redirects" },
	{ "an empty host is refused",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "http:///x" } },
	  ERR_CONNECTION,
	  GET " answered 302 to \"http:///x\", which is not followed: URL has no host; "
	      "leave /.well-known/acme-challenge/ out of the redirects" },
	{ "a missing slash is recognised",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "https://a.test.well-known/x" } },
	  ERR_CONNECTION,
	  GET
	  " answered 302 to \"https://a.test.well-known/x\", which is not followed: the host ends in .well-known: the "
	  "redirect target lacks a '/' after the host name, add it; leave /.well-known/acme-challenge/ out of the "
	  "redirects" },
	{ "303 is not followed",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 303, .text = "http://a.test/x" } },
	  ERR_CONNECTION,
	  GET " answered 303, which is not followed; wanted 200, or a redirect by 301, 302, 307 or 308" },
	{ "300 is not followed",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 300, .text = "http://a.test/x" } },
	  ERR_CONNECTION,
	  GET " answered 300, which is not followed; wanted 200, or a redirect by 301, 302, 307 or 308" },
	{ "a redirect needs a Location",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "" } },
	  ERR_CONNECTION,
	  GET " answered 302 without a Location; wanted one, or 200" },
	{ "a redirect needs one Location",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "/x", .location2 = "/y" } },
	  ERR_CONNECTION,
	  GET " answered 302 with two Locations; wanted one" },
	{ "a loop is recognised",
	  { { "a.test", "192.0.2.7", NULL }, { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "/b" },
	    { "http://a.test/b", "192.0.2.7", .status = 302, .text = PATH } },
	  ERR_CONNECTION,
	  LED "192.0.2.7: GET http://a.test/b answered 302 to "
	      "\"/.well-known/acme-challenge/tttttttt-_0123456789abcdefghijkl...\": "
	      "redirect loop; wanted 200 with the key authorization; leave "
	      "/.well-known/acme-challenge/ out of the redirects" },
	{ "a path of 2,001 bytes is refused",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "/" X1000 X1000 } },
	  ERR_CONNECTION,
	  GET " answered 302 to \"/" X10 X10 X10 X10 X10
	      "xxxxxxxxx...\", which is not followed: its path has 2001 bytes; at most "
	      "2000 are followed; leave /.well-known/acme-challenge/ out of the redirects" },
	{ "peer bytes are escaped",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "http://a.test/\x1b[2J\"\\\r\n" } },
	  ERR_CONNECTION,
	  GET " answered 302 to \"http://a.test/\\x1b[2J\\x22\\x5c\\x0d\\x0a\", which is not followed: " },
	/* A32: what the fetcher gives up on */
	{ "a slow server",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .text = "timeout after connect (your server may be slow or overloaded)",
	      .fail = ERR_TIMEOUT, .connected = true } },
	  ERR_CONNECTION,
	  GET ": timeout after connect (your server may be slow or overloaded); wanted an answer on port 80; check the "
	      "web server "
	      "there" },
	{ "a body of 128 bytes",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 200, .text = X100 "xxxxxxxxxxxxxxxxxxxxxxxxxxxx" } },
	  ERR_INCORRECT_RESPONSE,
	  GET " answered 200 with 128 bytes or more, beginning \"" X10 X10 X10 X10 X10 X10
	      "...\"; wanted nothing but the key "
	      "authorization \"" SHORT "\", 87 bytes; serve the challenge file itself, not a page" },
	{ "a key authorization and much more",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 200, .text = KEYAUTH, .cut = true } },
	  ERR_INCORRECT_RESPONSE,
	  GET " answered 200 with 128 bytes or more, " },
	{ "the time is used up on the way",
	  { { "a.test", "192.0.2.7", NULL }, { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "/b", .takes_ms = 20000 } },
	  ERR_CONNECTION,
	  LED
	  "192.0.2.7: GET http://a.test/b was not tried: the 20.0 s of this validation are used up; wanted the whole "
	  "answer "
	  "within them" },
	/* A33: the right body under the wrong status */
	{ "404",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 404, .text = KEYAUTH } },
	  ERR_UNAUTHORIZED,
	  GET " answered 404; wanted 200 with the key authorization; put the challenge file under the web root that "
	      "serves this "
	      "name" },
	{ "206",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 206, .text = KEYAUTH } },
	  ERR_UNAUTHORIZED,
	  GET " answered 206; wanted 200 with the key authorization; " },
	{ "204",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 204, .text = KEYAUTH } },
	  ERR_UNAUTHORIZED,
	  GET " answered 204; wanted 200 with the key authorization; " },
	{ "401",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 401, .text = KEYAUTH } },
	  ERR_UNAUTHORIZED,
	  GET " answered 401; wanted 200 with the key authorization; " },
	{ "500",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 500, .text = KEYAUTH } },
	  ERR_UNAUTHORIZED,
	  GET " answered 500; wanted 200 with the key authorization; " },
	/* A34 and other wrong bodies */
	{ "an echo of the path proves nothing",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 200, .text = PATH } },
	  ERR_UNAUTHORIZED,
	  GET " answered 200 with \"/.well-known/acme-challenge/tttttttt-_0123456789abcdefghijkl...\"; " },
	{ "an empty body",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 200, .text = " \n" } },
	  ERR_UNAUTHORIZED,
	  GET " answered 200 with an empty body; wanted the key authorization \"" SHORT
	      "\"; write it into the challenge file" },
	{ "another account's key authorization",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 200, .text = TOKEN ".other" } },
	  ERR_UNAUTHORIZED,
	  GET " answered 200 with \"" TOKEN ".other\"; wanted the key authorization \"" SHORT
	      "\"; the challenge file belongs to "
	      "another account key" },
	{ "the file of another order",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 200, .text = OTHER_TOKEN "." THUMB } },
	  ERR_UNAUTHORIZED,
	  GET " answered 200 with \"" OTHER_TOKEN ".hhhhhhhh-_012345...\"; wanted the key authorization \"" SHORT
	      "\"; that is the file of another order: put the challenge file of this order there" },
	{ "the token alone",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 200, .text = TOKEN "\n" } },
	  ERR_UNAUTHORIZED,
	  GET " answered 200 with \"" TOKEN "\\x0a\"; wanted the key authorization \"" SHORT
	      "\"; the file has the token alone: write the whole key authorization into it" },
	{ "a byte order mark",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 200, .text = "\xef\xbb\xbf" KEYAUTH } },
	  ERR_UNAUTHORIZED,
	  GET
	  " answered 200 with \"\\xef\\xbb\\xbftttttttt-_0123456789abcdefghijklmnopqrstuvw.hhhh...\"; wanted the key "
	  "authorization \"" SHORT "\"; the file begins with a byte order mark: write it without" },
	{ "UTF-16",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 200, .text = "\xff\xfet", .cut = true } },
	  ERR_INCORRECT_RESPONSE,
	  GET " answered 200 with 128 bytes or more, beginning \"\\xff\\xfet\"; wanted nothing but the key "
	      "authorization \"" SHORT "\", 87 bytes; the file is UTF-16 text: write it as plain ASCII" },
	{ "400: TLS is what this port speaks",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 400, .text = "" } },
	  ERR_UNAUTHORIZED,
	  GET " answered 400; wanted 200 with the key authorization; the web server did not understand the request: it "
	      "must speak plain HTTP on this port, not TLS" },
	{ "403: nobody may read it",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .status = 403, .text = "" } },
	  ERR_UNAUTHORIZED,
	  GET " answered 403; wanted 200 with the key authorization; let everybody read the challenge file: access "
	      "rules or the file's mode forbid it" },
	/* A35: the fetcher's word for what is no HTTP */
	{ "no HTTP at all",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .text = "the answer is not HTTP/1.x", .fail = ERR_CONNECTION, .connected = true } },
	  ERR_CONNECTION,
	  GET ": the answer is not HTTP/1.x; wanted an answer on port 80; check the web server there: it must speak "
	      "plain HTTP on this port" },
	/* A38: fall back to v4 */
	{ "v6 cannot be reached, v4 can",
	  { { "a.test", "2001:db8::7 192.0.2.7", NULL } },
	  { { FIRST, "2001:db8::7", .text = "connection refused", .fail = ERR_CONNECTION },
	    { FIRST, "192.0.2.7", .status = 200, .text = KEYAUTH } },
	  ERR_NONE,
	  "" },
	{ "neither can be reached",
	  { { "a.test", "2001:db8::7 2001:db8::8 192.0.2.7 192.0.2.8", NULL } },
	  { { FIRST, "2001:db8::7", .text = "timeout during connect (likely firewall problem)", .fail = ERR_TIMEOUT },
	    { FIRST, "192.0.2.7", .text = "connection refused", .fail = ERR_CONNECTION } },
	  ERR_CONNECTION,
	  GET ": connection refused; wanted an answer on port 80; start a web server there, or let this port through "
	      "the firewall "
	      "(2001:db8::7 was tried first: timeout during connect (likely firewall problem))" },
	{ "v6 accepts and resets: no second chance",
	  { { "a.test", "2001:db8::7 192.0.2.7", NULL } },
	  { { FIRST, "2001:db8::7", .text = "connection reset after connect", .fail = ERR_CONNECTION,
	      .connected = true } },
	  ERR_CONNECTION,
	  "2001:db8::7: GET " FIRST
	  ": connection reset after connect; wanted an answer on port 80; check the web server there: it must "
	  "speak plain HTTP on this port (the AAAA record leads there; 192.0.2.7 of the A record is asked only when "
	  "that "
	  "cannot be reached)" },
	{ "v6 has the wrong answer: no second chance",
	  { { "a.test", "2001:db8::7 192.0.2.7", NULL } },
	  { { FIRST, "2001:db8::7", .status = 404, .text = KEYAUTH } },
	  ERR_UNAUTHORIZED,
	  "2001:db8::7: GET " FIRST " answered 404; " },
	{ "no fall-back after a redirect",
	  { { "a.test", "192.0.2.7", NULL }, { "b.test", "2001:db8::8 192.0.2.8", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "https://b.test/" },
	    { "https://b.test/", "2001:db8::8", .text = "connection refused", .fail = ERR_CONNECTION } },
	  ERR_CONNECTION,
	  LED "2001:db8::8: GET https://b.test/: connection refused; wanted an answer on port 443; " },
	{ "TLS fails behind a redirect",
	  { { "a.test", "192.0.2.7", NULL }, { "b.test", "192.0.2.8", NULL } },
	  { { FIRST, "192.0.2.7", .status = 302, .text = "https://b.test/" },
	    { "https://b.test/", "192.0.2.8", .text = "server only speaks HTTP, not TLS", .fail = ERR_TLS,
	      .connected = true } },
	  ERR_TLS,
	  LED
	  "192.0.2.8: GET https://b.test/: server only speaks HTTP, not TLS; wanted an answer on port 443; check the "
	  "TLS "
	  "settings there, or redirect to http" },
	/* our own fault is no vote */
	{ "a fault of the fetcher",
	  { { "a.test", "192.0.2.7", NULL } },
	  { { FIRST, "192.0.2.7", .text = "out of memory", .fail = ERR_INTERNAL } },
	  ERR_INTERNAL,
	  GET ": out of memory; " },
};

/* --- the scripted world -------------------------------------------------------------------------------------------*/

struct world {
	const struct row *row;
	size_t looked_up, fetched;
	int64_t now;
};

static int64_t world_now(void *ctx)
{
	struct world *w = ctx;
	return w->now;
}

static fallible world_resolve(void *ctx, struct str name, int64_t deadline_mono_ms, struct arena *mem,
			      struct resolve_answer *ret, struct err *err)
{
	struct world *w = ctx;
	assert_true(w->looked_up < ARRAY_LEN(w->row->dns));
	const struct lookup *l = &w->row->dns[w->looked_up++];
	assert_non_null(l->host);
	assert_true(str_eq(name, str_z(l->host)));
	assert_true(deadline_mono_ms <= w->now + 10000);
	*ret = (struct resolve_answer){ .addrs = ARENA_ARRAY(mem, struct addr, RESOLVE_ADDRS_MAX) };
	if (l->addrs == NULL)
		FAIL(err, ERR_DNS, "%s", l->why);
	struct str all = str_z(l->addrs);
	for (size_t at = 0; at < all.n;) {
		size_t end = str_find(all, ' ', at);
		assert_int_equal(addr_read(str_sub(all, at, end), &ret->addrs[ret->addr_count++], err).kind, ERR_NONE);
		at = end + 1;
	}
	return OK;
}

static struct str world_resolver_name(void *ctx, struct str name)
{
	(void)name;
	(void)ctx;
	return STR("127.0.0.1:5353");
}

static void check_request(const struct world *w, const struct fetch_request *rq, const struct exchange_row *x)
{
	char peer[ADDR_TEXT_MAX];
	assert_non_null(x->url);
	assert_int_equal(rq->url.n, strlen(x->url));
	assert_memory_equal(rq->url.p, x->url, rq->url.n);
	assert_non_null(rq->pin);
	addr_show(rq->pin, peer);
	assert_string_equal(peer, x->peer);
	assert_true(str_eq(rq->method, STR("GET")));
	assert_true(str_eq(rq->user_agent, STR("cairn-validator (+RFC 8555 http-01)")));
	assert_false(rq->verify_tls);
	assert_int_equal(rq->body_max, 128);
	assert_true(rq->headers_max > 0 && rq->headers_max <= 16384);
	assert_true(rq->timeout_ms > 0 && rq->timeout_ms <= 20000 - (w->now - 1000000));
	assert_true(rq->connect_timeout_ms > 0 && rq->connect_timeout_ms <= 10000);
	assert_null(memmem(rq->url.p, rq->url.n, THUMB, strlen(THUMB))); /* A34 */
}

static fallible world_fetch(void *ctx, const struct fetch_request *rq, struct arena *mem, struct fetch_reply *ret,
			    struct err *err)
{
	struct world *w = ctx;
	assert_true(w->fetched < ARRAY_LEN(w->row->http));
	const struct exchange_row *x = &w->row->http[w->fetched++];
	check_request(w, rq, x);
	w->now += x->takes_ms;
	*ret = (struct fetch_reply){ .status = x->status,
				     .connected = x->connected || x->status != 0,
				     .body_cut = x->cut };
	if (x->status == 0)
		FAIL(err, x->fail, "%s", x->text);
	ret->headers = ARENA_ARRAY(mem, struct fetch_header, 2);
	if (x->status >= 300 && x->status < 400) {
		if (x->text[0] != '\0')
			ret->headers[ret->header_count++] = (struct fetch_header){ STR("location"), str_z(x->text) };
		if (x->location2 != NULL)
			ret->headers[ret->header_count++] =
				(struct fetch_header){ STR("location"), str_z(x->location2) };
	} else {
		ret->body = str_z(x->text);
	}
	return OK;
}

/* What CAA records do is in caa_test.c. */
static const struct conf_realm no_caa = { .name = { "default", 7 }, .caa = { "off", 3 } };

static struct validate_job job_make(void)
{
	return (struct validate_job){
		.attempt = { { 1 } },
		.authz = { { 2 } },
		.order = { { 3 } },
		.realm = STR("default"),
		.zone = STR("inside"),
		.method = CHALLENGE_HTTP01,
		.ident = { IDENT_DNS, STR("a.test") },
		.token = STR(TOKEN),
		.thumbprint = STR(THUMB),
		.deadline_ms = 1000000 + 60000,
	};
}

static void run(struct world *w, const struct validate_job *job, int64_t http_port, struct arena *mem,
		struct verdict *ret)
{
	const struct conf_zone zone = { .name = STR("inside"), .http_port = http_port, .deadline_ms = 20000 };
	struct addr_range allowed[2];
	assert_int_equal(addr_range_read(STR("192.0.2.0/24"), &allowed[0], NULL).kind, ERR_NONE);
	assert_int_equal(addr_range_read(STR("2001:db8::/32"), &allowed[1], NULL).kind, ERR_NONE);
	const struct clock clk = { world_now, world_now, w };
	const struct probe_ops ops = {
		.resolve = world_resolve, .resolver_name = world_resolver_name, .fetch = world_fetch, .ctx = w
	};
	const struct probe_env env = { .zone = &zone,
				       .realm = &no_caa,
				       .allowed = allowed,
				       .allowed_count = 2,
				       .ops = &ops,
				       .clk = &clk,
				       .perspective = STR("local") };
	w->now = 1000000;
	probe_run(&env, job, mem, ret);
}

/* Whatever happened, the verdict is one that can be written, and says what it is about. */
static void check_verdict(const struct verdict *v, const struct validate_job *job)
{
	AUTO(buf_done) struct buf text = BUF_MAX(VERDICT_PAYLOAD_MAX);
	struct err err = { 0 };
	if (FAILED(verdict_write(v, &text, &err)))
		fail_msg("%s", err.detail);
	assert_true(id_eq(v->attempt, job->attempt) && id_eq(v->authz, job->authz));
	assert_true(str_eq(v->perspective, STR("local")));
	assert_true(str_eq(v->caa, v->valid ? STR("not-needed: off in this realm") : STR("not-checked")) ||
		    job->ident.type == IDENT_IP);
	assert_int_equal(v->caa_result, v->valid ? CAA_NOT_NEEDED : CAA_NOT_CHECKED);
	assert_int_equal(v->valid, v->problem == ERR_NONE);
	assert_true(v->step_count <= VERDICT_STEPS_MAX);
}

static size_t listed(const struct row *row, bool http)
{
	size_t n = 0;
	if (http)
		while (n < ARRAY_LEN(row->http) && row->http[n].url != NULL)
			n++;
	else
		while (n < ARRAY_LEN(row->dns) && row->dns[n].host != NULL)
			n++;
	return n;
}

static void every_row_ends_as_it_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		const struct row *row = &rows[i];
		struct world w = { .row = row };
		struct validate_job job = job_make();
		struct verdict v;
		run(&w, &job, 80, &mem, &v);
		check_verdict(&v, &job);
		const char *detail = str_dupz_raw(&mem, v.problem_detail);
		size_t n = strlen(row->detail);
		bool whole = n < 2 || row->detail[n - 1] != ' '; /* a row may give only the beginning */
		if (v.problem != row->want || strncmp(detail, row->detail, whole ? SIZE_MAX : n) != 0)
			fail_msg("%s:\n  got    %s: %s\n  wanted %s: %s", row->title, err_kind_name(v.problem), detail,
				 err_kind_name(row->want), row->detail);
		assert_int_equal(w.fetched, listed(row, true));
		assert_int_equal(w.looked_up, listed(row, false));
		assert_int_equal(v.finished_ms - v.started_ms, w.now - 1000000);
	}
}

static void the_transcript_tells_what_was_seen(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	static const struct row row = {
		"",
		{ { "a.test", "2001:db8::7 ::1 192.0.2.7", NULL }, { "b.test", "192.0.2.8", NULL } },
		{ { FIRST, "2001:db8::7", .text = "connection refused", .fail = ERR_CONNECTION },
		  { FIRST, "192.0.2.7", .status = 302, .text = "https://b.test/x" },
		  { "https://b.test/x", "192.0.2.8", .status = 200, .text = KEYAUTH } },
		ERR_NONE,
		""
	};
	static const char *const want[][2] = {
		{ "resolve", "a.test AAAA,A from 127.0.0.1:5353: 2001:db8::7, ::1, 192.0.2.7 (insecure)" },
		{ "resolve", "refused: ::1 is loopback (::1)" },
		{ "connect", "2001:db8::7: GET " FIRST ": connection refused" },
		{ "response", "192.0.2.7: GET " FIRST " answered 302 with 0 bytes" },
		{ "redirect", "302 to https://b.test/x" },
		{ "resolve", "b.test AAAA,A from 127.0.0.1:5353: 192.0.2.8 (insecure)" },
		{ "response", "192.0.2.8: GET https://b.test/x answered 200 with 87 bytes" },
	};
	struct world w = { .row = &row };
	struct validate_job job = job_make();
	struct verdict v;
	run(&w, &job, 80, &mem, &v);
	assert_true(v.valid);
	assert_int_equal(v.step_count, ARRAY_LEN(want));
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_string_equal(str_dupz_raw(&mem, v.steps[i].what), want[i][0]);
		assert_string_equal(str_dupz_raw(&mem, v.steps[i].detail), want[i][1]);
	}
}

/* Ten redirects are followed, an eleventh is not; the transcript keeps its beginning and its end. */
static fallible chain_resolve(void *ctx, struct str name, int64_t deadline_mono_ms, struct arena *mem,
			      struct resolve_answer *ret, struct err *err)
{
	(void)ctx, (void)name, (void)deadline_mono_ms, (void)err;
	*ret = (struct resolve_answer){ .addrs = ARENA_NEW(mem, struct addr), .addr_count = 1 };
	*ret->addrs = (struct addr){ AF_INET, { 8, 8, 8, 8 } };
	return OK;
}

static fallible chain_fetch(void *ctx, const struct fetch_request *rq, struct arena *mem, struct fetch_reply *ret,
			    struct err *err)
{
	int *left = ctx;
	(void)rq, (void)err;
	*ret = (struct fetch_reply){ .status = 200, .body = STR(KEYAUTH), .connected = true };
	if (*left == 0)
		return OK;
	ret->status = 302;
	ret->header_count = 1;
	ret->headers = ARENA_NEW(mem, struct fetch_header);
	*ret->headers = (struct fetch_header){ STR("location"), str_fmt(mem, "/%d/%s", (*left)--, X1000 X100) };
	return OK;
}

static void ten_redirects_are_followed_and_no_more(void **state)
{
	(void)state;
	for (int redirects = 10; redirects <= 11; redirects++) {
		AUTO(arena_done) struct arena mem = { 0 };
		int left = redirects;
		const struct conf_zone zone = { .name = STR("inside"), .http_port = 80, .deadline_ms = 20000 };
		const struct probe_ops ops = { .resolve = chain_resolve,
					       .resolver_name = world_resolver_name,
					       .fetch = chain_fetch,
					       .ctx = &left };
		const struct probe_env env = {
			.zone = &zone,
			.realm = &no_caa,
			.ops = &ops,
			.clk = &clock_system,
			.perspective = STR("local"),
		};
		struct validate_job job = job_make();
		job.deadline_ms = clock_now_ms(&clock_system) + 60000;
		struct verdict v;
		probe_run(&env, &job, &mem, &v);
		check_verdict(&v, &job);
		assert_int_equal(v.valid, redirects == 10);
		assert_int_equal(v.step_count, VERDICT_STEPS_MAX);
		assert_true(str_eq(v.steps[0].detail, STR("a.test AAAA,A from 127.0.0.1:5353: 8.8.8.8 (insecure)")));
		assert_true(str_ends(v.steps[VERDICT_STEPS_MAX - 2].detail, STR(" steps are left out here")));
		assert_true(str_eq(v.steps[VERDICT_STEPS_MAX - 1].what, STR("response")));
		if (redirects == 11)
			assert_non_null(strstr(str_dupz_raw(&mem, v.problem_detail),
					       ": more than 10 redirects; wanted 200 with the key authorization; leave "
					       "/.well-known/acme-challenge/ out of the redirects"));
	}
}

static void the_zones_port_is_used_and_followed(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	static const struct row row = { "",
					{ { "a.test", "192.0.2.7", NULL }, { "a.test", "192.0.2.7", NULL } },
					{ { "http://a.test:5002" PATH, "192.0.2.7", .status = 302,
					    .text = "http://a.test:5002/x" },
					  { "http://a.test:5002/x", "192.0.2.7", .status = 200, .text = KEYAUTH } },
					ERR_NONE,
					"" };
	struct world w = { .row = &row };
	struct validate_job job = job_make();
	struct verdict v;
	run(&w, &job, 5002, &mem, &v);
	assert_true(v.valid);
	assert_int_equal(w.fetched, 2);
}

static void an_address_is_asked_itself(void **state)
{
	(void)state;
	static const struct {
		const char *value;
		struct row row;
		bool valid;
	} cases[] = {
		{ "192.0.2.7",
		  { "",
		    { { 0 } },
		    { { "http://192.0.2.7" PATH, "192.0.2.7", .status = 200, .text = KEYAUTH } },
		    0,
		    "" },
		  true },
		{ "2001:db8::7",
		  { "",
		    { { 0 } },
		    { { "http://[2001:db8::7]" PATH, "2001:db8::7", .status = 200, .text = KEYAUTH } },
		    0,
		    "" },
		  true },
		{ "10.0.0.1", { "", { { 0 } }, { { 0 } }, 0, "" }, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct world w = { .row = &cases[i].row };
		struct validate_job job = job_make();
		job.ident = (struct ident){ IDENT_IP, str_z(cases[i].value) };
		struct verdict v;
		run(&w, &job, 80, &mem, &v);
		assert_int_equal(v.valid, cases[i].valid);
		assert_int_equal(w.looked_up, 0);
		assert_int_equal(w.fetched, listed(&cases[i].row, true));
	}
}

/* What the api must not ask for is answered as a fault, and nobody is asked. */
static void wrong_jobs_are_faults(void **state)
{
	(void)state;
	static const struct row nothing = { "", { { 0 } }, { { 0 } }, 0, "" };
	const struct ident addr = { IDENT_IP, STR("192.0.2.7") };
	struct validate_job jobs[14];
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		jobs[i] = job_make();
	jobs[0].method = CHALLENGE_TYPE_COUNT;
	jobs[1].wildcard = true;
	jobs[2].token = STR("short");
	jobs[3].token = STR("tttttttt-_0123456789abcdefghijklmnopqrstu\r\n"); /* A35 */
	jobs[4].thumbprint = STR("");
	jobs[5].ident.value = STR("a.test/../x");
	jobs[6].wildcard = true; /* A40 */
	jobs[6].method = CHALLENGE_TLSALPN01;
	jobs[7].subdomains = true;
	jobs[8].subdomains = true;
	jobs[8].method = CHALLENGE_TLSALPN01;
	jobs[9].ident = addr; /* A39 */
	jobs[9].method = CHALLENGE_DNS01;
	jobs[10].ident = (struct ident){ IDENT_IP, STR("192.0.2.007") };
	jobs[11].ident = (struct ident){ IDENT_IP, STR("2001:DB8::7") };
	jobs[12].ident = (struct ident){ IDENT_IP, STR("fe80::1%eth0") };
	jobs[13].ident = (struct ident){ IDENT_DNS, STR("192.0.2.7") };
	static const char *const want[] = {
		"this validator has no method of that number",
		"http-01 proves no wildcard name (BR 3.2.2.4.19, 3.2.2.4.20)",
		"token and thumbprint must be 43 base64url characters",
		"token and thumbprint must be 43 base64url characters",
		"token and thumbprint must be 43 base64url characters",
		"the job's identifier is not one to validate: ",
		"tls-alpn-01 proves no wildcard name (BR 3.2.2.4.19, 3.2.2.4.20)",
		"http-01 proves nothing about the names below (RFC 9444)",
		"tls-alpn-01 proves nothing about the names below (RFC 9444)",
		"dns-01 proves no address (RFC 8738 7)",
		"the job's identifier is not one to validate: ",
		"the job's identifier is not one to validate: ",
		"the job's identifier is not one to validate: ",
		"the job's identifier is not one to validate: ",
	};
	static_assert(ARRAY_LEN(want) == ARRAY_LEN(jobs), "a text for each");
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct world w = { .row = &nothing };
		struct verdict v;
		run(&w, &jobs[i], 80, &mem, &v);
		assert_int_equal(v.problem, ERR_INTERNAL);
		if (!str_starts(v.problem_detail, str_z(want[i])))
			fail_msg("job %zu: %.*s", i, STR_FMT(v.problem_detail));
		assert_int_equal(w.looked_up + w.fetched, 0);
	}
}

static void peer_text_is_short_and_printable(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	assert_true(str_eq(peer_text(&mem, STR("a\"b\\\n\xff"), 60), STR("a\\x22b\\x5c\\x0a\\xff")));
	assert_true(str_eq(peer_text(&mem, STR("abcdef"), 3), STR("abc...")));
	assert_true(str_eq(peer_text(&mem, STR("abc"), 3), STR("abc")));
	assert_true(str_eq(peer_text(&mem, STR("a\n\n"), 6), STR("a\\x0a...")));
	assert_true(str_eq(peer_text(&mem, STR("\n"), 4), STR("\\x0a")));
	assert_int_equal(peer_text(&mem, STR_NONE, 3).n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_ends_as_it_says),
		cmocka_unit_test(the_transcript_tells_what_was_seen),
		cmocka_unit_test(ten_redirects_are_followed_and_no_more),
		cmocka_unit_test(the_zones_port_is_used_and_followed),
		cmocka_unit_test(an_address_is_asked_itself),
		cmocka_unit_test(wrong_jobs_are_faults),
		cmocka_unit_test(peer_text_is_short_and_printable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
