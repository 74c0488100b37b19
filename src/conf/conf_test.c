/* SPDX-License-Identifier: Apache-2.0
 *
 * conf_test.c: what a configuration may say, and the exact words for what it may not.
 */
#include "conf/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef CAIRN_PGSQL
#define STORE_URLS "sqlite:PATH or postgresql://USER@HOST:PORT/NAME"
#else
#define STORE_URLS "sqlite:PATH"
#endif

struct refusal {
	const char *text;
	const char *want; /* the whole error */
};

static void read_ok(const char *text, struct conf **ret)
{
	struct err err = { 0 };
	struct rc rc = conf_read_text(str_z(text), "/etc/cairn/c", conf_env_none, NULL, ret, &err);
	if (FAILED(rc))
		fail_msg("%s", err.detail);
}

static void check_refusals(const struct refusal *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct err err = { 0 };
		struct conf *c = NULL;
		struct rc rc = conf_read_text(str_z(rows[i].text), "c", conf_env_none, NULL, &c, &err);
		if (!FAILED(rc))
			fail_msg("accepted: %s", rows[i].text);
		assert_int_equal(rc.kind, ERR_CONFIG);
		assert_string_equal(err.detail, rows[i].want);
		assert_null(c);
	}
}

static void yaml_beyond_maps_lists_and_scalars_is_refused(void **state)
{
	(void)state;
	static const struct refusal rows[] = {
		{ "api:\n  listen: &a x\n", "c:2:11: found an anchor (&name); allowed: plain values" },
		{ "api: &a\n  workers: 3\n", "c:1:6: found an anchor (&name); allowed: plain values" },
		{ "api:\n  listen: *a\n", "c:2:11: found an alias (*name); allowed: the value itself, written out" },
		{ "api:\n  workers: !!int 3\n", "c:2:12: found a tag (!name); allowed: plain values" },
		{ "api:\n  listen: ! x\n", "c:2:11: found a tag (!name); allowed: plain values" },
		{ "api: {}\n---\nbus: {}\n", "c:2:1: found a second document; allowed: one" },
		{ "%YAML 1.1\n---\napi: {}\n", "c:1:1: found a directive (%...); allowed: none" },
		{ "api: {}\nbus: {}\napi: {}\n",
		  "c:3:1: api: found a second time; allowed: once (the first is in line 1)" },
		{ "api:\n  workers: 3\n  workers: 3\n",
		  "c:3:3: workers: found a second time; allowed: once (the first is in line 2)" },
		{ "[[[[[[[[[1]]]]]]]]]\n", "c:1:9: found more than 8 levels; allowed: 8" },
		{ "? [a]\n: b\n", "c:1:3: found a map or list as a key; allowed: a name" },
		{ "- a\n", "c:1:1: found a single value or list; allowed: sections such as \"api:\"" },
		{ "hello\n", "c:1:1: found a single value or list; allowed: sections such as \"api:\"" },
		{ "store:\n  url: \"a\\0b\"\n", "c:2:8: found a control character; allowed: text on one line" },
		{ "store:\n  url: |\n    a\n    b\n", "c:2:8: found a control character; allowed: text on one line" },
		{ "api:\n  workers: [1, 2\n", "c:3:1: did not find expected ',' or ']' while parsing a flow sequence" },
		{ "api:\n\tworkers: 3\n",
		  "c:2:1: found character that cannot start any token while scanning for the next token" },
		{ "api: \xff\n", "c: byte 5: invalid leading UTF-8 octet; allowed: UTF-8 text" },
	};
	check_refusals(rows, ARRAY_LEN(rows));
}

static void unknown_settings_are_named_with_the_nearest_known_one(void **state)
{
	(void)state;
	static const struct refusal rows[] = {
		{ "apy: {}\n", "c:1:1: apy: found an unknown setting; did you mean api?" },
		{ "profile:\n  server:\n    eku-client: true\n",
		  "c:3:5: profile.server.eku-client: found an unknown setting; did you mean profile.server.use?" },
		{ "api:\n  lisen: x\n", "c:2:3: api.lisen: found an unknown setting; did you mean api.listen?" },
		{ "realm:\n  corp:\n    name: x\n",
		  "c:3:5: realm.corp.name: found an unknown setting; did you mean realm.corp.names?" },
		{ "bus:\n  password: x\n", "c:2:3: bus.password: found an unknown setting; allowed: url" },
		{ "log:\n  level: info\n  file: /x\n",
		  "c:3:3: log.file: found an unknown setting; allowed: level, format" },
		{ "suffix-list: /nowhere/list\n", "c:1:14: suffix-list: found \"/nowhere/list\"; allowed: a file with "
						  "the Public Suffix List (open /nowhere/list: No "
						  "such file or directory)" },
		{ "<<: {}\n", "c:1:1: <<: found an unknown setting; allowed: state-dir, suffix-list, sandbox, log, "
			      "api, store, bus, "
			      "signer, validator, sweeper, keys, realm, zone, perspective, profile, issuer, operator" },
	};
	check_refusals(rows, ARRAY_LEN(rows));
}

static void values_out_of_their_row_are_refused(void **state)
{
	(void)state;
	static const struct refusal rows[] = {
		{ "log:\n  level: loud\n",
		  "c:2:10: log.level: found \"loud\"; allowed: debug, info, notice, warning, error" },
		{ "log:\n  level: [info]\n", "c:2:10: log.level: found a list; allowed: one value" },
		{ "log:\n  level: {a: b}\n", "c:2:10: log.level: found a map; allowed: one value" },
		{ "log: info\n", "c:1:6: log: found \"info\"; allowed: settings below it" },
		{ "log: [info]\n", "c:1:6: log: found \"[...]\"; allowed: settings below it" },
		{ "realm:\n  a: x\n", "c:2:6: realm.a: found \"x\"; allowed: settings below it" },
		{ "api:\n  workers: 0\n", "c:2:12: api.workers: found \"0\"; allowed: a number from 1 to 1024" },
		{ "api:\n  workers: 010\n", "c:2:12: api.workers: found \"010\"; allowed: a number from 1 to 1024" },
		{ "api:\n  workers: -1\n", "c:2:12: api.workers: found \"-1\"; allowed: a number from 1 to 1024" },
		{ "api:\n  workers: 99999999999999999999\n",
		  "c:2:12: api.workers: found \"99999999999999999999\"; allowed: a number from 1 to 1024" },
		{ "api:\n  workers:\n", "c:2:3: api.workers: found nothing; allowed: a number from 1 to 1024" },
		{ "api:\n  tls-own: yes\n", "c:2:12: api.tls-own: found \"yes\"; allowed: true, false" },
		{ "api:\n  nonce-life: 90\n", "c:2:15: api.nonce-life: found \"90\"; allowed: a duration from 1m to "
					      "1d, with a unit: s, m, h or d" },
		{ "api:\n  nonce-life: 60500ms\n",
		  "c:2:15: api.nonce-life: found \"60500ms\"; allowed: a duration from 1m "
		  "to 1d, with a unit: s, m, h or d" },
		{ "api:\n  nonce-life: 9223372036854775807d\n",
		  "c:2:15: api.nonce-life: found \"9223372036854775807d\"; allowed: a duration from 1m to 1d, with a "
		  "unit: "
		  "s, m, h or d" },
		{ "api:\n  finalize-wait: 31s\n",
		  "c:2:18: api.finalize-wait: found \"31s\"; allowed: a duration from 0 to "
		  "30s, with a unit: ms, s, m, h or d" },
		{ "api:\n  listen: []\n", "c:2:11: api.listen: found 0 values; allowed: 1 to 16" },
		{ "api:\n  listen:\n  - 127.0.0.1:1\n  - [a]\n",
		  "c:4:5: api.listen: found a list; allowed: one value an item" },
		{ "api:\n  listen: ['a,b']\n",
		  "c:2:12: api.listen: found \"a,b\"; allowed: one value an item, without commas" },
		{ "api:\n  listen: 'a,,b'\n",
		  "c:2:11: api.listen: found \"a,,b\"; allowed: values between the commas" },
		{ "api:\n  tls-names: [a, a]\n", "c:2:14: api.tls-names: found \"a\"; allowed: each value once" },
		{ "store:\n  url: \"\"\n", "c:2:8: store.url: found nothing; allowed: a value that is not empty" },
		{ "realm:\n  a:\n    challenges: [http-01, smtp-01]\n",
		  "c:3:27: realm.a.challenges: found \"smtp-01\"; allowed: http-01, dns-01, tls-alpn-01, "
		  "dns-account-01, "
		  "dns-persist-01" },
		{ "realm:\n  a:\n    challenges: [http-01, dns-persist-01]\n",
		  "c:2:3: realm.a.caa-identities: found nothing (the default); allowed: 1 to 10 names, because "
		  "dns-persist-01 is in "
		  "challenges and its records name one of them" },
		{ "realm:\n  a:\n    challenges: dns-persist-01\n    caa-identities: "
		  "'a.x,b.x,c.x,d.x,e.x,f.x,g.x,h.x,i.x,j.x,k.x'\n",
		  "c:4:21: realm.a.caa-identities: found \"11 names\"; allowed: 1 to 10 names, because dns-persist-01 "
		  "is "
		  "in challenges and its records name one of them" },
		{ "realm:\n  a:\n    account-hash-prefix: http://ca.example/h/\n",
		  "c:3:26: realm.a.account-hash-prefix: found \"http://ca.example/h/\"; allowed: an https URL of at "
		  "most "
		  "256 bytes that ends in / and has no ;" },
		{ "realm:\n  a:\n    account-hash-prefix: https://ca.example/h\n",
		  "c:3:26: realm.a.account-hash-prefix: found \"https://ca.example/h\"; allowed: an https URL of at "
		  "most "
		  "256 bytes that ends in / and has no ;" },
		{ "realm:\n  a:\n    account-hash-prefix: https://ca.example/h;/\n",
		  "c:3:26: realm.a.account-hash-prefix: found \"https://ca.example/h;/\"; allowed: an https URL of at "
		  "most "
		  "256 bytes that ends in / and has no ;" },
		/* the signer refuses what was begun two days ago, and a job may wait a day for it */
		{ "profile:\n  server:\n    backdate: 25h\n",
		  "c:3:15: profile.server.backdate: found \"25h\"; allowed: "
		  "a duration from 0 to 1d, with a unit: s, m, h or d" },
		{ "realm:\n  a:\n    eab: maybe\n",
		  "c:3:10: realm.a.eab: found \"maybe\"; allowed: off, optional, required" },
		{ "realm:\n  a:\n    subdomain-auth: 1\n",
		  "c:3:21: realm.a.subdomain-auth: found \"1\"; allowed: true, false" },
		{ "zone:\n  default:\n    attempts: 11\n",
		  "c:3:15: zone.default.attempts: found \"11\"; allowed: a number from 1 to 10" },
		{ "issuer:\n  default:\n    alternates: [a.pem, '']\n",
		  "c:3:25: issuer.default.alternates: found nothing; allowed: one value an item, without commas" },
		{ "realm:\n  Corp: {}\n",
		  "c:2:3: realm: found \"Corp\"; allowed: names of 1 to 64 characters from a-z, 0-9 and -" },
		{ "zone:\n  default:\n    forwards: x\n",
		  "c:3:15: zone.default.forwards: found \"x\"; allowed: a map of domains to DNS servers" },
		{ "zone:\n  default:\n    forwards: {corp.example: {}}\n",
		  "c:3:30: zone.default.forwards: found \"corp.example\"; allowed: a DNS server or a list of them for "
		  "each domain" },
		{ "zone:\n  default:\n    forwards: {corp.example: dns.corp.example}\n",
		  "c:3:15: zone.default.forwards: found \"dns.corp.example\"; allowed: an address or ADDRESS:PORT of a "
		  "DNS "
		  "server" },
		{ "zone:\n  default:\n    forwards: {'*.corp.example': 192.0.2.53}\n",
		  "c:3:15: zone.default.forwards: found \"*.corp.example\"; allowed: lower-case domains such as "
		  "corp.example" },
		{ "zone:\n  default:\n    forwards: {a: [10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5, 10.0.0.6, "
		  "10.0.0.7, 10.0.0.8, 10.0.0.9]}\n",
		  "c:3:15: zone.default.forwards: found \"a\"; allowed: at most 8 servers a domain" },
		{ "realm:\n  a:\n    caa: maybe\n", "c:3:10: realm.a.caa: found \"maybe\"; allowed: on, off" },
		{ "zone:\n  default:\n    names: x\n",
		  "c:3:12: zone.default.names: found \"x\"; allowed: a map of names to addresses" },
		{ "zone:\n  default:\n    names: [x]\n",
		  "c:3:12: zone.default.names: found a list; allowed: a map of names to addresses" },
		{ "zone:\n  default:\n    names:\n      a.example: {}\n",
		  "c:4:18: zone.default.names: found \"a.example\"; allowed: an address or a list of addresses for "
		  "each "
		  "name" },
	};
	check_refusals(rows, ARRAY_LEN(rows));
}

static void values_that_do_not_fit_together_are_refused(void **state)
{
	(void)state;
	static const struct refusal rows[] = {
		{ "realm:\n  a:\n    zone: vlan\n",
		  "c:3:11: realm.a.zone: found \"vlan\"; allowed: a zone of this file: default" },
		{ "realm:\n  a:\n    issuers: x\nissuer:\n  y: {}\n  z: {}\n",
		  "c:3:14: realm.a.issuers: found \"x\"; allowed: an issuer of this file: y, z" },
		{ "realm:\n  a:\n    profiles: [web]\nprofile:\n  own: {}\n",
		  "c:3:15: realm.a.profiles: found \"web\"; allowed: a profile of this file: own, server, shortlived, "
		  "client, codesigning, email" },
		{ "validator:\n  perspective: moon\n",
		  "c:2:16: validator.perspective: found \"moon\"; allowed: a perspective of this file: local" },
		{ "zone:\n  default:\n    quorum: 2\n",
		  "c:3:13: zone.default.quorum: found \"2\"; allowed: 1 to 1, because "
		  "the zone has 1 perspectives" },
		{ "profile:\n  server:\n    lifetime: 1h\n", "c:2:3: profile.server.backdate: found \"1h\" (the "
							     "default); allowed: less than the profile's lifetime" },
		{ "api:\n  base-url: http://a.example\n", "c:2:13: api.base-url: found \"http://a.example\"; allowed: "
							  "https://HOST or https://HOST:PORT, without a "
							  "path or a slash at the end" },
		{ "api:\n  base-url: https://a.example/\n", "c:2:13: api.base-url: found \"https://a.example/\"; "
							    "allowed: https://HOST or https://HOST:PORT, without "
							    "a path or a slash at the end" },
		{ "api:\n  base-url: https://a.example/acme\n",
		  "c:2:13: api.base-url: found \"https://a.example/acme\"; allowed: https://HOST or https://HOST:PORT, "
		  "without a path or a slash at the end" },
#ifdef CAIRN_PGSQL
		{ "store:\n  url: postgresql:u:secret@h/d\n",
		  "c:2:8: store.url: found \"postgresql\"; allowed: " STORE_URLS },
		{ "store:\n  standby: sqlite:x\n",
		  "c:2:12: store.standby: found \"sqlite:x\"; allowed: postgresql://USER@HOST:PORT/NAME" },
#endif
		{ "bus:\n  url: amqps://u:secret@h\n",
		  "c:2:8: bus.url: this build has no driver for amqps:; use unix:PATH" },
		{ "store:\n  url: mysql://u:secret@h/d\n", "c:2:8: store.url: found \"mysql\"; allowed: " STORE_URLS },
		{ "store:\n  url: \"sqlite:\"\n", "c:2:8: store.url: found \"sqlite:\"; allowed: " STORE_URLS },
		{ "issuer:\n  default:\n    crl-url: https://a.example/x\n",
		  "c:3:14: issuer.default.crl-url: found \"https://a.example/x\"; allowed: an http URL (RFC 5280 "
		  "4.2.1.13 "
		  "readers fetch it without TLS)" },
		{ "api:\n  tls-names: [Host]\n",
		  "c:2:14: api.tls-names: found \"Host\"; allowed: lower-case host names and addresses" },
		{ "issuer:\n  default:\n    certificate: a.pem\n    alternates: [b.pem, a.pem]\n",
		  "c:4:17: issuer.default.alternates: found \"a.pem\"; allowed: files other than the issuer's "
		  "certificate" },
		{ "zone:\n  default:\n    resolvers: [dns.example]\n",
		  "c:3:16: zone.default.resolvers: found \"dns.example\"; allowed: an address or ADDRESS:PORT of a DNS "
		  "server" },
	};
	check_refusals(rows, ARRAY_LEN(rows));
}

/* These end with the reason that codec gives, which its own tests pin down. */
static void addresses_and_patterns_are_checked_where_they_stand(void **state)
{
	(void)state;
	static const struct refusal rows[] = {
		{ "api:\n  listen: [localhost:1]\n",
		  "c:2:11: api.listen: found \"localhost:1\"; allowed: ADDRESS:PORT" },
		{ "realm:\n  a:\n    names: ['a.*.example']\n",
		  "c:3:12: realm.a.names: found \"a.*.example\"; allowed: a name, *.DOMAIN or * (" },
		{ "zone:\n  default:\n    names: {a.example: 1.2.3}\n",
		  "c:3:12: zone.default.names: found \"1.2.3\"; allowed: IPv4 or IPv6 addresses (" },
		{ "zone:\n  default:\n    allow-addresses: [10.0.0.0/33]\n",
		  "c:3:22: zone.default.allow-addresses: found \"10.0.0.0/33\"; allowed: an address or ADDRESS/BITS "
		  "(" },
		{ "realm:\n  a:\n    addresses: [10.0.0.0/8, 10.0.0.1/8]\n",
		  "c:3:16: realm.a.addresses: found \"10.0.0.1/8\"; allowed: an address or ADDRESS/BITS (" },
		{ "realm:\n  a:\n    addresses: corp.example\n",
		  "c:3:16: realm.a.addresses: found \"corp.example\"; allowed: an address or ADDRESS/BITS (" },
		{ "api:\n  base-url: localhost\n", "c:2:13: api.base-url: found \"localhost\"; allowed: https://HOST" },
		{ "realm:\n  a:\n    website: x\n",
		  "c:3:14: realm.a.website: found \"x\"; allowed: an http or https URL (" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		struct conf *c = NULL;
		struct rc rc = conf_read_text(str_z(rows[i].text), "c", conf_env_none, NULL, &c, &err);
		assert_int_equal(rc.kind, ERR_CONFIG);
		if (!str_starts(str_z(err.detail), str_z(rows[i].want)))
			fail_msg("%s", err.detail);
	}
}

static void an_empty_file_gives_one_entry_of_each_section(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"", "# nothing\n", "{}", "---\n", "api:\nrealm:\nzone: {}\n", "realm:\n  default:\n"
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct conf *c = NULL;
		read_ok(texts[i], &c);
		assert_int_equal(c->realm_count, 1);
		assert_true(str_eq(c->realms[0].name, STR("default")));
		assert_int_equal(c->realms[0].names.n, 0);
		assert_true(str_eq(c->zones[0].perspectives.v[0], STR("local")));
		assert_true(str_eq(c->perspectives[0].key, STR("perspectives/local.key")));
		assert_true(str_eq(c->profiles[0].name, STR("server")));
		assert_int_equal(c->profiles[0].lifetime_s, 90 * 86400);
		assert_true(str_eq(c->issuers[0].key, STR("issuer/issuer.key")));
		assert_true(str_eq(c->state_dir, STR("/etc/cairn")));
		assert_true(str_eq(c->file, STR("/etc/cairn/c")));
		assert_int_equal(c->api.finalize_wait_ms, 3000);
		assert_true(c->api.tls_own);
		conf_free(c);
	}
}

static void a_full_file_is_taken_as_written(void **state)
{
	(void)state;
	struct conf *c = NULL;
	read_ok("state-dir: data\n"
		"api:\n"
		"  listen:\n    - '127.0.0.1:1'\n    - '[::1]:2'\n"
		"  drain: 500ms\n"
		"realm:\n"
		"  default:\n    names: ['*.corp.example', a.example]\n    zone: vlan\n"
		"  team-a: { names: '*', zone: vlan, authz-valid: 0 }\n"
		"perspective: { p1: , p2: { key: /k } }\n"
		"validator: { perspective: p2 }\n"
		"zone:\n  vlan:\n    perspectives: [p1, p2]\n    quorum: 2\n    http-port: 5002\n"
		"    names:\n      a.example: 192.0.2.1\n      '*.b.example': [192.0.2.2, '2001:db8::1']\n"
		"    forwards:\n      corp.example: 127.0.0.1:5353\n      lan: ['192.0.2.53', '[::1]:53']\n",
		&c);
	assert_int_equal(c->api.listen.n, 2);
	assert_true(str_eq(c->api.listen.v[1], STR("[::1]:2")));
	assert_int_equal(c->api.drain_ms, 500);
	assert_int_equal(c->realm_count, 2);
	const struct conf_realm *team = conf_realm(c, STR("team-a"));
	assert_non_null(team);
	assert_int_equal(team->authz_valid_s, 0);
	assert_true(str_eq(team->names.v[0], STR("*")));
	const struct conf_zone *z = conf_zone(c, STR("vlan"));
	assert_non_null(z);
	assert_int_equal(z->name_count, 2);
	assert_true(str_eq(z->names[1].pattern, STR("*.b.example")));
	assert_int_equal(z->names[1].addrs.n, 2);
	assert_null(conf_zone(c, STR("default")));
	assert_true(str_eq(conf_perspective(c, STR("p2"))->key, STR("/k")));
	assert_true(str_eq(conf_perspective(c, STR("p1"))->public_key, STR("perspectives/p1.jwk")));
	assert_string_equal(conf_path(c, &c->mem, STR("tls/api.key")), "/etc/cairn/data/tls/api.key");
	assert_string_equal(conf_path(c, &c->mem, STR("/k")), "/k");
	const struct conf_setting *names = conf_setting(c, STR("zone.vlan.names"));
	assert_true(str_eq(names->text, STR("a.example=192.0.2.1, *.b.example=192.0.2.2, *.b.example=2001:db8::1")));
	assert_int_equal(names->where.source, CONF_FROM_FILE);
	assert_int_equal(z->forward_count, 2);
	assert_true(str_eq(z->forwards[1].pattern, STR("lan")) && z->forwards[1].addrs.n == 2);
	const struct conf_setting *forwards = conf_setting(c, STR("zone.vlan.forwards"));
	assert_true(str_eq(forwards->text, STR("corp.example=127.0.0.1:5353, lan=192.0.2.53, lan=[::1]:53")));
	assert_true(str_eq(team->caa, STR("on")));
	conf_free(c);
}

static const char *env_of(void *ctx, const char *name)
{
	const char *const *pairs = ctx;
	for (; pairs[0] != NULL; pairs += 2) {
		if (strcmp(pairs[0], name) == 0)
			return pairs[1];
	}
	return NULL;
}

static void the_environment_goes_before_the_file(void **state)
{
	(void)state;
	const char *env[] = {
		"CAIRN_LISTEN", "127.0.0.1:1, [::1]:2", "DATABASE_URL", "sqlite:/d", "CAIRN_LOG_LEVEL", "", NULL
	};
	struct conf *c = NULL;
	struct err err = { 0 };
	struct str text = STR("log: { level: info }\napi: { listen: '127.0.0.1:9' }\nstore: { url: 'sqlite:x' }\n");
	assert_false(FAILED(conf_read_text(text, "c", env_of, env, &c, &err)));
	assert_int_equal(c->api.listen.n, 2);
	assert_true(str_eq(c->store.url, STR("sqlite:/d")));
	assert_true(str_eq(c->log.level, STR("info")));
	assert_string_equal(conf_setting(c, STR("store.url"))->where.env, "DATABASE_URL");
	conf_free(c);

	static const struct {
		const char *name, *value, *want;
	} rows[] = {
		{ "CAIRN_LOG_LEVEL", "loud",
		  "environment CAIRN_LOG_LEVEL: log.level: found \"loud\"; allowed: debug, info, notice, warning, "
		  "error" },
		{ "DATABASE_URL", "mysql:h",
		  "environment DATABASE_URL: store.url: found \"mysql:h\"; allowed: " STORE_URLS },
		{ "CAIRN_LISTEN", "127.0.0.1:1\n",
		  "environment CAIRN_LISTEN: api.listen: found \"127.0.0.1:1\\x0a\"; allowed: text without control "
		  "characters" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *one[] = { rows[i].name, rows[i].value, NULL };
		c = NULL;
		assert_true(FAILED(conf_read_text(STR(""), "c", env_of, one, &c, &err)));
		assert_string_equal(err.detail, rows[i].want);
	}
}

static void warnings_name_what_is_hardly_meant(void **state)
{
	(void)state;
	static const struct refusal rows[] = {
		{ "realm: { default: { names: a.example } }\n", "" },
		{ "", "/etc/cairn/c: realm.default.names: no names: this realm issues nothing; list names or patterns "
		      "to open it\n" },
		{ "realm:\n  default:\n    names: ['*']\n",
		  "/etc/cairn/c:3:12: realm.default.names: \"*\" allows every name there is\n" },
		{ "realm: { default: { addresses: 10.0.0.0/8 } }\n", "" },
		{ "realm:\n  default:\n    addresses: [10.0.0.0/8, '::/0']\n",
		  "/etc/cairn/c:3:16: realm.default.addresses: a range of all addresses: what is private or loopback "
		  "wants a range of its own\n" },
		{ "realm:\n  default:\n    addresses: 10.0.0.0/8\n    challenges: dns-01\n",
		  "/etc/cairn/c:3:16: realm.default.addresses: none can be proved: challenges has neither http-01 nor "
		  "tls-alpn-01\n" },
		{ "realm:\n  default:\n    names: a.example\n    subdomain-auth: true\n    challenges: http-01\n",
		  "/etc/cairn/c:4:21: realm.default.subdomain-auth: without a DNS method in challenges no domain can "
		  "be "
		  "proved with what is below it\n" },
		{ "realm: { default: { names: a.example, subdomain-auth: true, challenges: [http-01, dns-01] } }\n",
		  "" },
		{ "realm:\n  default:\n    names: a.example\n    terms-agree-again: true\n",
		  "/etc/cairn/c:4:24: realm.default.terms-agree-again: there are no terms: terms-of-service is "
		  "empty\n" },
		{ "realm: { default: { names: a.example } }\napi:\n  listen: '[::]:1'\n",
		  "/etc/cairn/c: api.base-url: other machines that reach the API would be sent to their own "
		  "localhost\n" },
		{ "realm: { default: { names: a.example } }\nzone:\n  default:\n  vlan:\n",
		  "/etc/cairn/c:4:3: zone.vlan.perspectives: no realm uses this zone\n" },
		{ "realm: { default: { names: a.example } }\nperspective: { local: , b: }\n"
		  "zone:\n  default: { perspectives: [local, b] }\n",
		  "/etc/cairn/c:4:3: zone.default.quorum: half of the perspectives or fewer decide: one that errs or "
		  "lies may "
		  "be enough\n" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct conf *c = NULL;
		read_ok(rows[i].text, &c);
		AUTO(buf_done) struct buf out = BUF_MAX(4096);
		struct err err = { 0 };
		assert_false(FAILED(conf_warnings(c, &out, &err)));
		assert_false(FAILED(buf_add_char(&out, '\0', &err)));
		assert_string_equal(out.p, rows[i].want);
		conf_free(c);
	}
}

static void what_wants_a_restart_is_named(void **state)
{
	(void)state;
	static const struct {
		const char *old, *now, *want;
	} rows[] = {
		{ "", "", NULL },
		{ "", "realm: { default: { names: a.example } }", NULL },
		{ "", "realm: { default: , more: }", NULL },
		{ "", "profile: { server: { lifetime: 10d } }", NULL },
		{ "", "realm: { default: { addresses: 10.0.0.0/8, eab: required, subdomain-auth: true } }", NULL },
		{ "", "realm: { default: { terms-of-service: 'https://a.example/', terms-agree-again: true } }", NULL },
		{ "", "zone: { default: { attempts: 1, alpn-port: 5001 } }", NULL },
		{ "", "profile: { server: { description: x } }", NULL },
		{ "", "issuer: { default: { alternates: a.pem } }", NULL },
		{ "", "api: { admin-socket: x.sock }", "api.admin-socket" },
		{ "", "store: { secret-key: x.key }", "store.secret-key" },
		{ "", "api: { listen: '127.0.0.1:1' }", "api.listen" },
		{ "", "store: { url: 'sqlite:x' }", "store.url" },
		{ "", "state-dir: x", "state-dir" },
		{ "", "issuer: { default: , more: }", "issuer.*.certificate" },
		{ "issuer: { default: , more: }", "", "issuer.*.certificate" },
		{ "bus: { url: 'unix:run/bus.sock' }", "", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct conf *old = NULL;
		struct conf *now = NULL;
		read_ok(rows[i].old, &old);
		read_ok(rows[i].now, &now);
		const char *got = conf_needs_restart(old, now);
		if (rows[i].want == NULL)
			assert_null(got);
		else
			assert_string_equal(got, rows[i].want);
		conf_free(old);
		conf_free(now);
	}
}

static void a_realm_allows_what_its_patterns_match(void **state)
{
	(void)state;
	struct conf *c = NULL;
	read_ok("realm:\n  default: { names: ['*.corp.example', b.example] }\n  shut:\n", &c);
	struct err err = { 0 };
	const struct conf_realm *r = conf_realm(c, STR("default"));
	assert_false(FAILED(conf_realm_allows(r, STR("a.corp.example"), &err)));
	assert_false(FAILED(conf_realm_allows(r, STR("b.example"), &err)));
	assert_int_equal(conf_realm_allows(r, STR("c.example"), &err).kind, ERR_REJECTED_IDENTIFIER);
	assert_string_equal(err.detail, "c.example is not allowed: realm default allows *.corp.example, b.example");
	assert_int_equal(conf_realm_allows(conf_realm(c, STR("shut")), STR("b.example"), &err).kind,
			 ERR_REJECTED_IDENTIFIER);
	assert_string_equal(err.detail, "b.example is not allowed: realm shut allows no names yet");
	conf_free(c);
}

struct asked {
	const char *addr;
	const char *says; /* NULL: allowed */
};

static void check_addresses(const char *realm, const struct asked *rows, size_t n)
{
	char text[256];
	(void)snprintf(text, sizeof text, "realm:\n  default: { addresses: [%s] }\n", realm);
	struct conf *c = NULL;
	read_ok(text, &c);
	for (size_t i = 0; i < n; i++) {
		struct err err = { 0 };
		struct addr addr;
		assert_false(FAILED(addr_read(str_z(rows[i].addr), &addr, &err)));
		struct rc rc = conf_realm_allows_addr(&c->realms[0], &addr, &err);
		if (rows[i].says == NULL ? FAILED(rc)
					 : rc.kind != ERR_REJECTED_IDENTIFIER || strcmp(err.detail, rows[i].says) != 0)
			fail_msg("%s: %s: %s", realm, rows[i].addr, err.detail);
	}
	conf_free(c);
}

static void a_realm_allows_the_addresses_of_its_ranges(void **state)
{
	(void)state;
	static const struct asked none[] = {
		{ "1.1.1.1", "1.1.1.1 is not allowed: realm default allows no addresses" },
		{ "::1", "::1 is not allowed: realm default allows no addresses" },
	};
	static const struct asked some[] = {
		{ "1.1.1.1", NULL },
		{ "1.1.2.1", "1.1.2.1 is not allowed: realm default allows 1.1.1.0/24, 2600::1" },
		{ "2600::1", NULL },
		{ "2600::2", "2600::2 is not allowed: realm default allows 1.1.1.0/24, 2600::1" },
	};
	check_addresses("", none, ARRAY_LEN(none));
	check_addresses("1.1.1.0/24, '2600::1'", some, ARRAY_LEN(some));
}

/* A range of everything is written by who thinks of the internet. */
static void a_special_address_wants_a_range_that_was_meant_for_it(void **state)
{
	(void)state;
	static const struct asked all[] = {
		{ "1.1.1.1", NULL },
		{ "2600::1", NULL },
		{ "127.0.0.1", "127.0.0.1 is not allowed: it is loopback (127.0.0.0/8), for which realm default has no "
			       "range of its own" },
		{ "10.1.2.3", "10.1.2.3 is not allowed: it is private (10.0.0.0/8), for which realm default has no "
			      "range of its own" },
		{ "169.254.169.254", "169.254.169.254 is not allowed: it is cloud metadata (169.254.169.254), for "
				     "which realm default has no range of its own" },
		{ "fc00::1", "fc00::1 is not allowed: it is private (fc00::/7), for which realm default has no range "
			     "of its own" },
		{ "::1", "::1 is not allowed: it is loopback (::1), for which realm default has no range of its own" },
		{ "::ffff:1.1.1.1", "::ffff:1.1.1.1 is not allowed: ask for the IPv4 address itself" },
	};
	static const struct asked wide[] = {
		{ "10.1.2.3", "10.1.2.3 is not allowed: it is private (10.0.0.0/8), for which realm default has no "
			      "range of its own" },
		{ "fc00::1", "fc00::1 is not allowed: it is private (fc00::/7), for which realm default has no range "
			     "of its own" },
	};
	static const struct asked meant[] = {
		{ "10.1.2.3", NULL },
		{ "127.0.0.1", NULL },
		{ "fc00::1", NULL },
		{ "fd12::1", NULL },
		{ "fe80::1", "fe80::1 is not allowed: it is link-local (fe80::/10), for which realm default has no "
			     "range of its own" },
		{ "::ffff:10.1.2.3", "::ffff:10.1.2.3 is not allowed: ask for the IPv4 address itself" },
	};
	check_addresses("0.0.0.0/0, '::/0'", all, ARRAY_LEN(all));
	check_addresses("10.0.0.0/7, 'fc00::/6'", wide, ARRAY_LEN(wide));
	check_addresses("'::/0', 10.0.0.0/8, 127.0.0.1, 'fc00::/7', '::ffff:0:0/96'", meant, ARRAY_LEN(meant));
}

static void each_identifier_has_its_ways_of_proof(void **state)
{
	(void)state;
	static const struct {
		const char *challenges;
		bool name, wildcard, address;
	} rows[] = {
		{ "http-01", true, false, true },
		{ "tls-alpn-01", true, false, true },
		{ "dns-01", true, true, false },
		{ "http-01, dns-01", true, true, true },
		{ "dns-01, tls-alpn-01", true, true, true },
		{ "dns-account-01", true, true, false },
		{ "tls-alpn-01, dns-account-01", true, true, true },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[128];
		(void)snprintf(text, sizeof text, "realm: { default: { challenges: [%s] } }\n", rows[i].challenges);
		struct conf *c = NULL;
		read_ok(text, &c);
		const struct conf_realm *r = &c->realms[0];
		assert_int_equal(conf_realm_proves(r, false, false), rows[i].name);
		assert_int_equal(conf_realm_proves(r, false, true), rows[i].wildcard);
		assert_int_equal(conf_realm_proves(r, true, false), rows[i].address);
		assert_false(conf_realm_proves(r, true, true)); /* no way serves both */
		conf_free(c);
	}
}

static void a_description_is_one_short_line(void **state)
{
	(void)state;
	char text[640], longest[514];
	memset(longest, 'x', sizeof longest);
	static const struct {
		int n;
		bool good;
	} rows[] = { { 0, true }, { 1, true }, { 512, true }, { 513, false } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)snprintf(text, sizeof text, "profile: { server: { description: \"%.*s\" } }\n", rows[i].n,
			       longest);
		struct conf *c = NULL;
		struct err err = { 0 };
		struct rc rc = conf_read_text(str_z(text), "c", conf_env_none, NULL, &c, &err);
		assert_int_equal(FAILED(rc), !rows[i].good);
		if (!rows[i].good)
			assert_true(str_ends(str_z(err.detail), STR("allowed: one line of at most 512 bytes")));
		conf_free(c);
	}
	struct err err = { 0 };
	struct conf *c = NULL;
	struct str lines = STR("profile: { server: { description: \"a\\nb\" } }\n");
	assert_true(FAILED(conf_read_text(lines, "c", conf_env_none, NULL, &c, &err)));
}

static void what_came_with_rfc_8555_is_closed_until_it_is_opened(void **state)
{
	(void)state;
	struct conf *c = NULL;
	read_ok("", &c);
	const struct conf_realm *r = &c->realms[0];
	assert_true(r->addresses.n == 0 && !r->subdomain_auth && !r->terms_agree_again);
	assert_true(str_eq(r->eab, STR("off")) && r->challenges.n == 3);
	assert_true(c->zones[0].alpn_port == 443 && c->zones[0].attempts == 3);
	assert_true(c->issuers[0].alternates.n == 0 && c->profiles[0].description.n == 0);
	assert_true(str_eq(c->api.admin_socket, STR("run/admin.sock")));
	assert_true(str_eq(c->store.secret_key, STR("store/secret.key")));
	conf_free(c);
}

static void a_file_that_others_may_change_is_refused(void **state)
{
	(void)state;
	char dir[] = "/tmp/cairn-conf-XXXXXX";
	assert_non_null(mkdtemp(dir));
	char path[64];
	(void)snprintf(path, sizeof path, "%s/cairn.conf", dir);
	struct err err = { 0 };
	struct conf *c = NULL;
	assert_int_equal(conf_read(path, conf_env_none, NULL, &c, &err).kind, ERR_CONFIG);
	assert_non_null(strstr(err.detail, "make one with: cairn init"));
	assert_false(FAILED(file_write_new(path, STR("log: { level: debug }\n"), 0600, &err)));
	assert_false(FAILED(conf_read(path, conf_env_none, NULL, &c, &err)));
	assert_true(str_eq(c->state_dir, str_z(dir)));
	conf_free(c);
	c = NULL;
	assert_int_equal(chmod(path, 0660), 0);
	assert_int_equal(conf_read(path, conf_env_none, NULL, &c, &err).kind, ERR_CONFIG);
	assert_non_null(strstr(err.detail, "found mode 0660"));
	assert_int_equal(conf_read(dir, conf_env_none, NULL, &c, &err).kind, ERR_CONFIG);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(yaml_beyond_maps_lists_and_scalars_is_refused),
		cmocka_unit_test(unknown_settings_are_named_with_the_nearest_known_one),
		cmocka_unit_test(values_out_of_their_row_are_refused),
		cmocka_unit_test(values_that_do_not_fit_together_are_refused),
		cmocka_unit_test(addresses_and_patterns_are_checked_where_they_stand),
		cmocka_unit_test(an_empty_file_gives_one_entry_of_each_section),
		cmocka_unit_test(a_full_file_is_taken_as_written),
		cmocka_unit_test(the_environment_goes_before_the_file),
		cmocka_unit_test(warnings_name_what_is_hardly_meant),
		cmocka_unit_test(what_wants_a_restart_is_named),
		cmocka_unit_test(a_realm_allows_what_its_patterns_match),
		cmocka_unit_test(a_realm_allows_the_addresses_of_its_ranges),
		cmocka_unit_test(a_special_address_wants_a_range_that_was_meant_for_it),
		cmocka_unit_test(each_identifier_has_its_ways_of_proof),
		cmocka_unit_test(a_description_is_one_short_line),
		cmocka_unit_test(what_came_with_rfc_8555_is_closed_until_it_is_opened),
		cmocka_unit_test(a_file_that_others_may_change_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
