/* SPDX-License-Identifier: Apache-2.0
 *
 * time.c: RFC 3339 timestamps. Written in UTC; read with any offset.
 */
#include "codec/codec.h"

#include <inttypes.h>
#include <stdio.h>

void time_show(int64_t unix_s, char out[TIME_TEXT_MAX])
{
	struct civil t = civil_of(unix_s);
	(void)snprintf(out, TIME_TEXT_MAX, "%04" PRId64 "-%02d-%02dT%02d:%02d:%02dZ", t.year, t.month, t.day, t.hour,
		       t.minute, t.second);
}

void time_show_ms(int64_t unix_ms, char out[TIME_TEXT_MAX])
{
	int64_t unix_s = unix_ms / 1000 - (unix_ms % 1000 < 0 ? 1 : 0);
	struct civil t = civil_of(unix_s);
	(void)snprintf(out, TIME_TEXT_MAX, "%04" PRId64 "-%02d-%02dT%02d:%02d:%02d.%03dZ", t.year, t.month, t.day,
		       t.hour, t.minute, t.second, (int)(unix_ms - unix_s * 1000));
}

/* n digits, as a number from min to max. */
static bool eat_number(struct str *s, size_t n, int min, int max, int *ret)
{
	if (s->n < n)
		return false;
	int v = 0;
	for (size_t i = 0; i < n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		v = v * 10 + (s->p[i] - '0');
	}
	*s = str_sub(*s, n, s->n);
	*ret = v;
	return v >= min && v <= max;
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return month == 2 && leap ? 29 : days[month - 1];
}

static bool eat_date(struct str *s, struct civil *t)
{
	int year = 0;
	if (!eat_number(s, 4, 0, 9999, &year) || !str_skip(s, STR("-")) || !eat_number(s, 2, 1, 12, &t->month) ||
	    !str_skip(s, STR("-")) || !eat_number(s, 2, 1, 31, &t->day))
		return false;
	t->year = year;
	return t->day <= days_in_month(year, t->month);
}

static bool eat_clock(struct str *s, struct civil *t)
{
	return eat_number(s, 2, 0, 23, &t->hour) && str_skip(s, STR(":")) && eat_number(s, 2, 0, 59, &t->minute) &&
	       str_skip(s, STR(":")) && eat_number(s, 2, 0, 60, &t->second);
}

static bool eat_fraction(struct str *s)
{
	if (!str_skip(s, STR(".")))
		return true;
	size_t digits = 0;
	while (digits < s->n && s->p[digits] >= '0' && s->p[digits] <= '9')
		digits++;
	*s = str_sub(*s, digits, s->n);
	return digits > 0;
}

static bool eat_offset(struct str *s, int *ret_seconds)
{
	if (str_skip(s, STR("Z")) || str_skip(s, STR("z"))) {
		*ret_seconds = 0;
		return true;
	}
	bool west = str_starts(*s, STR("-"));
	int hours = 0;
	int minutes = 0;
	if (!(str_skip(s, STR("-")) || str_skip(s, STR("+"))) || !eat_number(s, 2, 0, 23, &hours) ||
	    !str_skip(s, STR(":")) || !eat_number(s, 2, 0, 59, &minutes))
		return false;
	*ret_seconds = (hours * 60 + minutes) * 60 * (west ? -1 : 1);
	return true;
}

fallible time_read(struct str text, int64_t *ret_unix_s, struct err *err)
{
	struct str s = text;
	struct civil t = { 0 };
	int offset = 0;
	bool good = text.n <= 64 && eat_date(&s, &t) && (str_skip(&s, STR("T")) || str_skip(&s, STR("t"))) &&
		    eat_clock(&s, &t) && eat_fraction(&s) && eat_offset(&s, &offset) && s.n == 0;
	int64_t unix_s = good ? civil_unix(&t) - offset : 0;
	/* RFC 3339 5.7: second 60 exists only at the end of a UTC day; it reads as the second that follows. */
	if (!good || (t.second == 60 && unix_s % 86400 != 0))
		FAIL(err, ERR_MALFORMED, "\"%.*s\" is not an RFC 3339 time such as 2026-11-22T02:08:43Z",
		     STR_FMT(str_sub(text, 0, 64)));
	*ret_unix_s = unix_s;
	return OK;
}
