/* SPDX-License-Identifier: Apache-2.0
 *
 * state.c: the states of RFC 8555 7.1.6, their names on the wire, and the moves between them. What is not in a table
 * does not happen: the store asks here before it compares and sets. Staying is not a move.
 */
#include "model/model.h"

#include <assert.h>

#define BIT(s) (1u << (s))

static const char *const account_names[] = {
	[ACCOUNT_VALID] = "valid",
	[ACCOUNT_DEACTIVATED] = "deactivated",
	[ACCOUNT_REVOKED] = "revoked",
};
static_assert(ARRAY_LEN(account_names) == ACCOUNT_STATUS_COUNT, "name every state");

static const char *const order_names[] = {
	[ORDER_PENDING] = "pending", [ORDER_READY] = "ready",     [ORDER_PROCESSING] = "processing",
	[ORDER_VALID] = "valid",     [ORDER_INVALID] = "invalid",
};
static_assert(ARRAY_LEN(order_names) == ORDER_STATUS_COUNT, "name every state");

static const char *const authz_names[] = {
	[AUTHZ_PENDING] = "pending",         [AUTHZ_VALID] = "valid",     [AUTHZ_INVALID] = "invalid",
	[AUTHZ_DEACTIVATED] = "deactivated", [AUTHZ_EXPIRED] = "expired", [AUTHZ_REVOKED] = "revoked",
};
static_assert(ARRAY_LEN(authz_names) == AUTHZ_STATUS_COUNT, "name every state");

static const char *const challenge_names[] = {
	[CHALLENGE_PENDING] = "pending",
	[CHALLENGE_PROCESSING] = "processing",
	[CHALLENGE_VALID] = "valid",
	[CHALLENGE_INVALID] = "invalid",
};
static_assert(ARRAY_LEN(challenge_names) == CHALLENGE_STATUS_COUNT, "name every state");

/* Each row: from a state, the set of states that may follow. */
static const unsigned account_moves[ACCOUNT_STATUS_COUNT] = {
	[ACCOUNT_VALID] = BIT(ACCOUNT_DEACTIVATED) | BIT(ACCOUNT_REVOKED),
};

static const unsigned order_moves[ORDER_STATUS_COUNT] = {
	[ORDER_PENDING] = BIT(ORDER_READY) | BIT(ORDER_INVALID),
	[ORDER_READY] = BIT(ORDER_PROCESSING) | BIT(ORDER_INVALID),
	[ORDER_PROCESSING] = BIT(ORDER_VALID) | BIT(ORDER_INVALID),
};

/* The picture in 7.1.6 has no arrow from pending to deactivated, but 7.5.2 lets a client relinquish any authorization
 * and clients do so with pending ones after a failure. */
static const unsigned authz_moves[AUTHZ_STATUS_COUNT] = {
	[AUTHZ_PENDING] = BIT(AUTHZ_VALID) | BIT(AUTHZ_INVALID) | BIT(AUTHZ_DEACTIVATED),
	[AUTHZ_VALID] = BIT(AUTHZ_DEACTIVATED) | BIT(AUTHZ_EXPIRED) | BIT(AUTHZ_REVOKED),
};

static const unsigned challenge_moves[CHALLENGE_STATUS_COUNT] = {
	[CHALLENGE_PENDING] = BIT(CHALLENGE_PROCESSING),
	[CHALLENGE_PROCESSING] = BIT(CHALLENGE_VALID) | BIT(CHALLENGE_INVALID),
};

/* Numbers come from a database, too: one that is no state has no name and no moves. */
static const char *name_of(const char *const *names, unsigned count, unsigned s)
{
	return s < count ? names[s] : "unknown";
}

static bool may(const unsigned *moves, unsigned count, unsigned from, unsigned to)
{
	return from < count && to < count && (moves[from] & BIT(to)) != 0;
}

const char *account_status_name(enum account_status s)
{
	return name_of(account_names, ACCOUNT_STATUS_COUNT, s);
}

const char *order_status_name(enum order_status s)
{
	return name_of(order_names, ORDER_STATUS_COUNT, s);
}

const char *authz_status_name(enum authz_status s)
{
	return name_of(authz_names, AUTHZ_STATUS_COUNT, s);
}

const char *challenge_status_name(enum challenge_status s)
{
	return name_of(challenge_names, CHALLENGE_STATUS_COUNT, s);
}

bool account_may_move(enum account_status from, enum account_status to)
{
	return may(account_moves, ACCOUNT_STATUS_COUNT, from, to);
}

bool order_may_move(enum order_status from, enum order_status to)
{
	return may(order_moves, ORDER_STATUS_COUNT, from, to);
}

bool authz_may_move(enum authz_status from, enum authz_status to)
{
	return may(authz_moves, AUTHZ_STATUS_COUNT, from, to);
}

bool challenge_may_move(enum challenge_status from, enum challenge_status to)
{
	return may(challenge_moves, CHALLENGE_STATUS_COUNT, from, to);
}
