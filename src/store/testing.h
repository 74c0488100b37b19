/* SPDX-License-Identifier: Apache-2.0
 *
 * testing.h: what the tests of store share: a database in a folder of its own, a clock that is set by hand, rows with
 * sensible values. Private to store's tests.
 */
#ifndef CAIRN_STORE_TESTING_H
#define CAIRN_STORE_TESTING_H

#include "store/internal.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define T_START 1800000000000 /* ms */

struct test_store {
	char folder[64], path[96], url[112];
	_Atomic int64_t now;
	struct clock clock;
	struct store *store;
	uint32_t next_id;
};

static inline int64_t test_now(void *ctx)
{
	return ((struct test_store *)ctx)->now;
}

static inline void must(struct rc rc, const struct err *err)
{
	if (FAILED(rc))
		fail_msg("%s: %s (%s)", err_kind_name(rc.kind), err->detail, err->cause);
}

static inline void test_open(struct test_store *t)
{
	struct err err = { 0 };
	must(store_open(str_z(t->url), 4, &t->clock, &t->store, &err), &err);
}

static inline int setup_store(void **state)
{
	struct test_store *t = (struct test_store *)calloc(1, sizeof *t);
	if (t == NULL)
		return -1;
	(void)snprintf(t->folder, sizeof t->folder, "/tmp/cairn-store-XXXXXX");
	if (mkdtemp(t->folder) == NULL)
		return -1;
	(void)snprintf(t->path, sizeof t->path, "%s/cairn.db", t->folder);
	(void)snprintf(t->url, sizeof t->url, "sqlite:%s", t->path);
	t->now = T_START;
	t->clock = (struct clock){ test_now, test_now, t };
	test_open(t);
	*state = t;
	return 0;
}

static inline int teardown_store(void **state)
{
	struct test_store *t = (struct test_store *)*state;
	static const char *const ends[] = { "", "-wal", "-shm", ".lock" };
	store_close(t->store);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		char path[112];
		(void)snprintf(path, sizeof path, "%s%s", t->path, ends[i]);
		(void)unlink(path);
	}
	(void)rmdir(t->folder);
	free(t);
	return 0;
}

/* Ids in rising order, as UUIDv7 are. */
static inline struct id test_id(uint32_t n)
{
	return (struct id){ { 1, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, 0x70, 0,
			      0x80 } };
}

static inline struct account_row test_account(struct id id, const char *thumbprint)
{
	return (struct account_row){ .id = id,
				     .realm = STR("default"),
				     .thumbprint = str_z(thumbprint),
				     .jwk = STR("{\"kty\":\"EC\"}"),
				     .status = ACCOUNT_VALID,
				     .contact = STR("[\"mailto:a@a.example\"]"),
				     .tos_agreed_at = 5,
				     .eab_kid = STR("kid-1"),
				     .created_at = T_START,
				     .created_ip = STR("192.0.2.9") };
}

static inline struct authz_row test_authz(struct id id, struct id account)
{
	return (struct authz_row){ .id = id,
				   .account = account,
				   .realm = STR("default"),
				   .thumbprint = STR("thumb"),
				   .ident = { IDENT_DNS, STR("a.example") },
				   .status = AUTHZ_PENDING,
				   .created_at = T_START,
				   .expires_at = T_START + 1000 };
}

static inline struct order_row test_order(struct id id, struct id account)
{
	return (struct order_row){ .id = id,
				   .account = account,
				   .realm = STR("default"),
				   .profile = STR("server"),
				   .status = ORDER_PENDING,
				   .identifiers = STR("[]"),
				   .created_at = T_START,
				   .expires_at = T_START + 1000 };
}

static inline struct challenge_row test_challenge(struct id id, struct id authz)
{
	return (struct challenge_row){
		.id = id, .authz = authz, .type = CHALLENGE_HTTP01, .status = CHALLENGE_PENDING, .token = STR("token")
	};
}

static inline struct attempt_row test_attempt(struct id id, struct id challenge, struct id authz, struct id account)
{
	return (struct attempt_row){ .id = id,
				     .challenge = challenge,
				     .authz = authz,
				     .account = account,
				     .realm = STR("default"),
				     .zone = STR("public"),
				     .status = ATTEMPT_OPEN,
				     .created_at = T_START,
				     .deadline_at = T_START + 60,
				     .send_at = T_START + 10 };
}

static inline struct issuance_row test_issuance(struct id id, struct id order, struct id account, const char *serial)
{
	return (struct issuance_row){ .id = id,
				      .order = order,
				      .account = account,
				      .realm = STR("default"),
				      .profile = STR("server"),
				      .issuer = STR("main"),
				      .serial = str_z(serial),
				      .not_before_s = 1000,
				      .not_after_s = 2000,
				      .finalize_protected = STR("cA"),
				      .finalize_payload = STR("cQ"),
				      .finalize_signature = STR("cg"),
				      .finalize_url = STR("https://ca.example/f"),
				      .status = ISSUANCE_INTENDED,
				      .created_at = T_START,
				      .send_at = T_START + 10 };
}

static inline struct certificate_row test_certificate(struct id id, struct id order, struct id account,
						      const char *serial)
{
	return (struct certificate_row){ .id = id,
					 .order = order,
					 .account = account,
					 .realm = STR("default"),
					 .profile = STR("server"),
					 .issuer = STR("main"),
					 .serial = str_z(serial),
					 .der = str_n("\x30\x00", 2),
					 .chain_pem = STR("pem\n"),
					 .spki_hash = { { 7 } },
					 .not_before_s = 1000,
					 .not_after_s = 2000,
					 .created_at = T_START };
}

#endif
