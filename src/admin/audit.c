/* SPDX-License-Identifier: Apache-2.0
 *
 * audit.c: audit.export: what every certificate was issued upon, as the lines that `cairn audit verify` reads. The answer is
 * a piece of that text, with the place where the next one begins, so that neither side ever holds more than one line of it,
 * however many there are and however long.
 */
#include "admin/internal.h"

#define PIECE_MAX (192 * 1024) /* as JSON it may be some times as long: quotes within quotes */
#define IDS_PAGE 100

struct exporting {
	struct admin_call *c;
	struct id after, before; /* certificates between these two */
	int64_t offset;          /* in the line of the one after `after` */
	struct id *ids;
	size_t count;
	struct buf text;
	bool ended;
};

/* The first id of a millisecond: certificates have the time in theirs at which they were asked for. */
static struct id id_of_time(int64_t ms)
{
	struct id id = { 0 };
	for (size_t i = 0; i < 6; i++)
		id.b[i] = (uint8_t)(ms >> (40 - 8 * i));
	return id;
}

/* All that are below it: one less. */
static struct id id_before(struct id id)
{
	for (size_t i = sizeof id.b; i-- > 0;) {
		if (id.b[i]-- != 0)
			break;
	}
	return id;
}

static fallible range_read(struct exporting *x, struct err *err)
{
	const struct json *rq = x->c->rq;
	const int64_t last = ((int64_t)1 << 48) - 1;
	int64_t since = 0, until = last;
	struct str after = STR_NONE;
	if (json_get(rq, "since") != NULL)
		TRY(json_want_i64(rq, "since", 0, last, &since, err));
	if (json_get(rq, "until") != NULL)
		TRY(json_want_i64(rq, "until", 0, last, &until, err));
	x->after = since == 0 ? (struct id){ 0 } : id_before(id_of_time(since));
	x->before = id_of_time(until);
	TRY(json_may_str(rq, "after", ID_TEXT_LEN, &after, err));
	if (after.n > 0)
		TRY(id_read(after, &x->after, err));
	if (json_get(rq, "offset") != NULL)
		TRY(json_want_i64(rq, "offset", 0, AUDIT_LINE_MAX, &x->offset, err));
	return OK;
}

static fallible ids_read(struct store_tx *tx, void *ctx, struct err *err)
{
	struct exporting *x = ctx;
	return certificate_ids(tx, x->c->mem, x->after, x->before, IDS_PAGE, &x->ids, &x->count, err);
}

/* As much of one line as there is room for; *ret_whole: to its end. */
static fallible line_add(struct exporting *x, struct str line, bool *ret_whole, struct err *err)
{
	size_t from = (size_t)x->offset, room = PIECE_MAX - x->text.n;
	if (from > line.n)
		FAIL(err, ERR_CONFLICT, "the line of a certificate is shorter than it was; begin again");
	size_t to = line.n - from > room ? from + room : line.n;
	*ret_whole = to == line.n;
	while (to > from && to < line.n && ((uint8_t)line.p[to] & 0xc0) == 0x80)
		to--; /* no character is cut in two */
	TRY(buf_add(&x->text, str_sub(line, from, to), err));
	x->offset = (int64_t)to;
	return *ret_whole ? buf_add_char(&x->text, '\n', err) : OK;
}

static fallible lines_add(struct exporting *x, struct err *err)
{
	const struct admin_deps *d = x->c->d;
	for (size_t i = 0; i < x->count; i++) {
		AUTO(buf_done) struct buf line = BUF_MAX(AUDIT_LINE_MAX);
		bool whole = true;
		if (x->text.n >= PIECE_MAX)
			return OK;
		struct rc rc = d->evidence(d->evidence_ctx, x->ids[i], &line, err);
		if (rc.kind != ERR_NOT_FOUND) { /* removed by retention since the list was read */
			TRY(rc);
			TRY(line_add(x, buf_str(&line), &whole, err));
		}
		if (!whole)
			return OK;
		x->after = x->ids[i];
		x->offset = 0;
	}
	x->ended = x->count < IDS_PAGE;
	return OK;
}

static fallible piece_write(struct exporting *x, struct err *err)
{
	TRY(range_read(x, err));
	TRY(store_read(x->c->d->store, ids_read, x, err));
	TRY(lines_add(x, err));
	jw_kstr(x->c->out, "text", buf_str(&x->text));
	jw_kid(x->c->out, "after", x->after);
	jw_ki64(x->c->out, "offset", x->offset);
	jw_kbool(x->c->out, "more", !x->ended);
	return OK;
}

fallible admin_audit_export(struct admin_call *c, struct err *err)
{
	struct exporting x = { .c = c, .text = BUF_MAX(PIECE_MAX + 1) };
	struct rc rc = piece_write(&x, err);
	buf_done(&x.text);
	return rc;
}
