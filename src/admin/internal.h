/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h: what the files of this folder share: frames with deadlines, the table of operations, what an operation
 * gets to work with.
 */
#ifndef CAIRN_ADMIN_INTERNAL_H
#define CAIRN_ADMIN_INTERNAL_H

#include "admin/admin.h"
#include "net/net.h"

/* --- wire.c: whole frames over a non-blocking socket, by a deadline -------------------------------------------------*/
/* So much room is made at once in every buffer that may come to hold a key's secret: one that grows leaves a copy of what
 * was in it behind. The longest answer with a key in it, one with 100 long names, is shorter. */
#define ADMIN_ROOM (128 * 1024)
enum admin_frame { ADMIN_REQUEST = 1, ADMIN_ANSWER = 2 };
struct wire {
	int fd;
	int stop_fd;         /* readable: give up at once; or -1 */
	int64_t deadline_ms; /* monotonic */
	const struct clock *clk;
};
/* Exactly one frame of this type with at most max bytes, which lie in `in` then. ERR_TIMEOUT, ERR_CLOSED (the peer's end
 * or ours), ERR_TOO_LARGE, ERR_MALFORMED. */
fallible wire_receive(const struct wire *w, enum admin_frame type, size_t max, struct buf *in, struct str *ret,
		      struct err *err);
fallible wire_send(const struct wire *w, enum admin_frame type, struct str body, struct err *err);
void wipe_done(struct buf *b); /* for AUTO: buf_done for what may hold a secret */

/* --- dispatch.c -----------------------------------------------------------------------------------------------------*/
struct admin_call {
	const struct admin_deps *d;
	const struct conf *conf; /* the one in force when the request came */
	const struct json *rq;
	struct arena *mem;
	struct str actor; /* "operator:0" */
	int64_t now_ms;
	struct jw *out; /* inside of the answer's object; what is written before a failure does not count */
};
struct admin_op {
	const char *name;
	const char *const *members; /* of the request, "v" and "do" among them */
	fallible (*fn)(struct admin_call *c, struct err *err);
};
const struct admin_op *admin_ops(size_t *ret_count);
/* The outer form of a request: version, operation, no member that the operation does not have. */
fallible admin_request_read(struct str text, struct json **ret, const struct admin_op **ret_op, struct err *err);

/* The whole of a request; ret is the answer when it succeeds. */
fallible admin_perform(const struct admin_deps *d, const struct conf *conf, uid_t uid, struct str request,
		       struct buf *ret, struct err *err);
void admin_refuse(const struct err *why, struct buf *ret); /* the answer instead */

/* A member of an answer: RFC 3339; none for 0. */
void admin_write_time(struct jw *w, const char *key, int64_t at_ms);

/* --- eab_request.c: what eab.add asks for, checked against the configuration ----------------------------------------*/
#define EAB_NAMES_MAX 100
#define EAB_LABEL_MAX 200
#define EAB_USES_MAX 1000000000
struct eab_wish {
	struct str realm, label;
	struct str kid; /* empty: one is made */
	struct conf_list names, profiles;
	int64_t uses_max, expires_at; /* 0: no limit, never */
	int64_t lifetime_s;           /* of its accounts' certificates; 0: no limit of its own */
};
fallible eab_wish_read(struct arena *mem, const struct json *rq, const struct conf *conf, int64_t now_ms,
		       struct eab_wish *ret, struct err *err);
/* The member "realm": one of the configuration's. */
fallible admin_realm_read(struct arena *mem, const struct json *rq, const struct conf *conf,
			  const struct conf_realm **ret, struct err *err);
fallible eab_kid_read(const struct json *rq, struct str *ret, struct err *err);
/* "90d", "2027-01-01", "2027-01-01T12:00:00Z": unix milliseconds, in the future. */
fallible eab_expiry_read(struct str text, int64_t now_ms, int64_t *ret, struct err *err);

/* --- eab.c ----------------------------------------------------------------------------------------------------------*/
fallible admin_eab_add(struct admin_call *c, struct err *err);
fallible admin_eab_list(struct admin_call *c, struct err *err);
fallible admin_eab_show(struct admin_call *c, struct err *err);
fallible admin_eab_disable(struct admin_call *c, struct err *err);

/* --- grant.c, grant_add.c -------------------------------------------------------------------------------------------*/
fallible admin_grant_keys(struct admin_call *c, struct err *err);
fallible admin_grant_add(struct admin_call *c, struct err *err);
fallible admin_grant_list(struct admin_call *c, struct err *err);
fallible admin_grant_show(struct admin_call *c, struct err *err);
fallible admin_grant_revoke(struct admin_call *c, struct err *err);
/* --- audit.c ----------------------------------------------------------------------------------------------------------*/
fallible admin_audit_export(struct admin_call *c, struct err *err);

void admin_grant_write(struct jw *w, const struct grant_row *row, const struct grant *g, int64_t now_ms);

#endif
