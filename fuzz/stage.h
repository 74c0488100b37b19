/* SPDX-License-Identifier: Apache-2.0
 *
 * stage.h: a whole CA for fuzz targets that go through acme_handle: the in-process world of the tests, with an account
 * that owns one of everything. What an input did to it is put right before the next one: a stage that was spoiled gets
 * a new account with new things, and a world that has grown is made anew, so that no input runs in the ruins of others
 * for long and memory stays bounded.
 */
#ifndef CAIRN_FUZZ_STAGE_H
#define CAIRN_FUZZ_STAGE_H

#include "acme/app.h"
#include "fuzz.h"
#include "world.h"

#define STAGE_THINGS 4
struct stage {
	struct world w;
	struct world_account alice, bob;
	struct key *spare;      /* no account's */
	struct key *cert_key;   /* of the certificate */
	struct str certificate; /* URL */
	struct str cert_der, chain_id;
	struct str orders[STAGE_THINGS]; /* pending, ready, valid, of bob */
	struct str authz, challenge, bob_authz, bob_challenge;
	struct str csr; /* base64url, for the ready order */
	size_t uses;
	bool spoiled;
};
struct stage *stage_get(void);
/* Signs and sends one POST. key: NULL is alice's. kid empty: the embedded key. The reply lives in mem. */
struct world_reply stage_post(struct stage *s, struct arena *mem, const struct key *key, struct str kid, struct str url,
			      struct str payload);
/* Text in which "$x" stands for something of the stage (the table is in stage.c), so that mutation finds its way past
 * what it cannot guess; "$$" is a "$". */
struct str stage_expand(struct stage *s, struct arena *mem, struct str text);
/* What holds for every reply, whatever was asked: no fault of ours, whole headers, a problem document for a refusal. */
void stage_check_reply(const struct world_reply *r, bool post);
/* Delivers what is on the bus, and wants it to be taken. */
void stage_settle(struct stage *s);

#endif
