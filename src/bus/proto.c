/* SPDX-License-Identifier: Apache-2.0
 *
 * proto.c: bus_local's frames to values and back, by one table of fields.
 */
#include "bus/proto.h"

#include <assert.h>

#define NUMBER 1u
#define TAG 2u
#define NAME 4u
#define BODY 8u
#define BY_HUB 16u
#define BY_CLIENT 32u

static const struct {
	const char *name;
	unsigned has;
} kinds[] = {
	[BUS_HELLO] = { "hello", NUMBER | NAME | BY_HUB | BY_CLIENT },
	[BUS_SUBSCRIBE] = { "subscribe", NUMBER | NAME | BY_CLIENT },
	[BUS_PUBLISH] = { "publish", NAME | BODY | BY_CLIENT },
	[BUS_DELIVER] = { "deliver", TAG | NAME | BODY | BY_HUB },
	[BUS_ACK] = { "ack", TAG | BY_CLIENT },
	[BUS_NACK] = { "nack", TAG | BY_CLIENT },
	[BUS_PING] = { "ping", BY_HUB | BY_CLIENT },
	[BUS_PONG] = { "pong", BY_HUB | BY_CLIENT },
};
static_assert(ARRAY_LEN(kinds) == BUS_TYPE_END, "a row for each type");

fallible bus_name_check(struct str name, struct err *err)
{
	if (name.n == 0 || name.n > BUS_TOPIC_MAX)
		FAIL(err, ERR_MALFORMED, "name of %zu characters, wanted 1 to %d", name.n, BUS_TOPIC_MAX);
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
		if (!fine)
			FAIL(err, ERR_MALFORMED, "name \"%.*s\" has characters other than a-z 0-9 . -", STR_FMT(name));
	}
	return OK;
}

static fallible read_fields(unsigned has, struct cur *c, struct bus_frame *m, struct err *err)
{
	if (has & NUMBER)
		TRY(cur_u16(c, &m->number, err));
	/* A later version may lay out its hello in another way, so the version is judged first. */
	if (m->type == BUS_HELLO && m->number != BUS_VERSION)
		FAIL(err, ERR_MALFORMED, "the peer speaks bus version %u, this is version %d: run the same release",
		     (unsigned)m->number, BUS_VERSION);
	if (has & TAG)
		TRY(cur_u64(c, &m->tag, err));
	if (has & NAME) {
		uint8_t n = 0;
		TRY(cur_u8(c, &n, err));
		TRY(cur_take(c, n, &m->name, err));
		TRY(bus_name_check(m->name, err));
	}
	if (has & BODY)
		m->body = cur_rest(c);
	if (!cur_end(c))
		FAIL(err, ERR_MALFORMED, "%zu bytes too many", cur_left(c));
	if (m->body.n > BUS_BODY_MAX)
		FAIL(err, ERR_MALFORMED, "message of %zu bytes is over the limit of %d", m->body.n, BUS_BODY_MAX);
	if (m->type == BUS_SUBSCRIBE && (m->number == 0 || m->number > BUS_CREDITS_MAX))
		FAIL(err, ERR_MALFORMED, "%u credits, wanted 1 to %d", (unsigned)m->number, BUS_CREDITS_MAX);
	return OK;
}

fallible bus_frame_read(const struct frame *f, bool from_hub, struct bus_frame *ret, struct err *err)
{
	if (f->type == 0 || f->type >= BUS_TYPE_END)
		FAIL(err, ERR_MALFORMED, "frame type %u is unknown", (unsigned)f->type);
	unsigned has = kinds[f->type].has;
	if ((has & (from_hub ? BY_HUB : BY_CLIENT)) == 0)
		FAIL(err, ERR_MALFORMED, "%s is not for this side to send", kinds[f->type].name);
	struct bus_frame m = { .type = (enum bus_type)f->type };
	struct cur c = cur_of(f->body);
	struct rc rc = read_fields(has, &c, &m, err);
	if (rc.kind != ERR_NONE) {
		err_prefix(err, "%s: ", kinds[f->type].name);
		return rc;
	}
	*ret = m;
	return OK;
}

static char *put_uint(char *at, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		at[i] = (char)(uint8_t)(v >> (8 * (bytes - 1 - i)));
	return at + bytes;
}

static char *put_str(char *at, struct str s)
{
	if (s.n > 0)
		memcpy(at, s.p, s.n);
	return at + s.n;
}

fallible bus_frame_add(struct buf *out, const struct bus_frame *m, struct err *err)
{
	unsigned has = kinds[m->type].has;
	size_t n = ((has & NUMBER) ? 2u : 0u) + ((has & TAG) ? 8u : 0u) + ((has & NAME) ? 1 + m->name.n : 0u) +
		   ((has & BODY) ? m->body.n : 0u);
	char *at = NULL;
	TRY(frame_begin(out, (uint8_t)m->type, n, &at, err));
	if (has & NUMBER)
		at = put_uint(at, m->number, 2);
	if (has & TAG)
		at = put_uint(at, m->tag, 8);
	if (has & NAME)
		at = put_str(put_uint(at, m->name.n, 1), m->name);
	if (has & BODY)
		(void)put_str(at, m->body);
	return OK;
}
