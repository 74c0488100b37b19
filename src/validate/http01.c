/* SPDX-License-Identifier: Apache-2.0
 *
 * http01.c: the HTTP challenge (RFC 8555 8.3, BR 3.2.2.4.19): fetch the key authorization from the name's own web
 * server. Every hop is looked up once, every address vetted, and the one that passed is pinned, so that neither a
 * redirect nor a second answer of DNS can lead to a place that was not looked at (THREATS A29 to A31).
 */
#include "validate/internal.h"

#define REDIRECTS_MAX 10
#define REDIRECT_PATH_MAX 2000
#define URL_MAX 8192
#define URL_SHOWN_MAX 300
#define BODY_MAX 128 /* a key authorization has 87 bytes */
#define HEADERS_MAX (16 * 1024)
#define CONNECT_MAX_MS 10000
#define LEAVE_OUT "leave /.well-known/acme-challenge/ out of the redirects"
#define USER_AGENT "cairn-validator (+RFC 8555 http-01)"

struct hop {
	unsigned number; /* 0: the name itself */
	struct url url;
	struct str shown; /* the URL for messages */
	struct targets targets;
	char peer[ADDR_TEXT_MAX]; /* who answered, or was tried last */
	const char *passed_over;  /* what to say of an address that was not asked, because this one answered */
	struct fetch_reply reply;
};

/* --- one exchange -------------------------------------------------------------------------------------------------*/

static struct fetch_request request_make(const struct probe *p, const struct hop *h, size_t target, bool another)
{
	int64_t left = probe_left_ms(p);
	/* What the second address needs must be left over by the first. */
	int64_t connect = another ? left / 2 : left;
	return (struct fetch_request){
		.method = STR("GET"),
		.url = url_show(p->mem, &h->url),
		.pin = &h->targets.addrs[target],
		.pin_port = h->url.port,
		.verify_tls =
			false, /* only redirects lead to https, and what they prove is the name's DNS, not its key */
		.user_agent = STR(USER_AGENT),
		.body_max = BODY_MAX,
		.headers_max = HEADERS_MAX,
		.connect_timeout_ms = connect < CONNECT_MAX_MS ? connect : CONNECT_MAX_MS,
		.timeout_ms = left,
	};
}

static fallible exchange_fail(const struct hop *h, enum err_kind kind, const struct err *why, const char *earlier,
			      struct err *err)
{
	const char *advice = "check the web server there";
	if (kind == ERR_CONNECTION && !h->url.https)
		advice = "check the web server there: it must speak plain HTTP on this port";
	if (kind == ERR_TLS)
		advice = "check the TLS settings there, or redirect to http";
	else if (!h->reply.connected)
		advice = "start a web server there, or let this port through the firewall";
	if (kind == ERR_TIMEOUT || kind == ERR_MALFORMED)
		kind = ERR_CONNECTION;
	if (why->cause[0] != '\0')
		err_cause(err, "%s", why->cause);
	FAIL(err, kind, "%s: GET %.*s: %s; wanted an answer on port %u; %s%s", h->peer, STR_FMT(h->shown), why->detail,
	     h->url.port, advice, earlier);
}

/* The second address is for the case that the first cannot be reached, and for the first hop only: what has accepted a
 * connection has had its chance (A38). */
static fallible exchange(struct probe *p, struct hop *h, struct err *err)
{
	const struct probe_ops *ops = p->env->ops;
	size_t tries = h->number == 0 ? h->targets.count : 1;
	const char *earlier = "";
	h->passed_over = "";
	for (size_t i = 0;; i++) {
		bool another = i + 1 < tries;
		struct fetch_request rq = request_make(p, h, i, another);
		struct err why = { 0 };
		addr_show(&h->targets.addrs[i], h->peer);
		if (rq.timeout_ms == 0)
			FAIL(err, ERR_CONNECTION,
			     "%s: GET %.*s was not tried: the %.1f s of this validation are used up; wanted the whole "
			     "answer within them%s",
			     h->peer, STR_FMT(h->shown), (double)p->allowed_ms / 1000.0, earlier);
		struct rc rc = ops->fetch(ops->ctx, &rq, p->mem, &h->reply, &why);
		if (rc.kind == ERR_NONE) {
			if (another)
				h->passed_over = targets_passed_over(p, &h->targets);
			probe_step(p, "response", "%s: GET %.*s answered %d with %s%zu bytes", h->peer,
				   STR_FMT(h->shown), h->reply.status, h->reply.body_cut ? "more than " : "",
				   h->reply.body.n);
			return OK;
		}
		probe_step(p, "connect", "%s: GET %.*s: %s", h->peer, STR_FMT(h->shown), why.detail);
		bool unreachable = !h->reply.connected && (rc.kind == ERR_CONNECTION || rc.kind == ERR_TIMEOUT);
		if (another && h->reply.connected)
			earlier = targets_passed_over(p, &h->targets);
		if (!another || !unreachable)
			return exchange_fail(h, rc.kind, &why, earlier, err);
		earlier = str_dupz_raw(p->mem, str_fmt(p->mem, " (%s was tried first: %.100s)", h->peer, why.detail));
	}
}

/* --- redirects ----------------------------------------------------------------------------------------------------*/

static bool status_is_followed(int status)
{
	return status == 301 || status == 302 || status == 307 || status == 308;
}

static fallible location_find(const struct hop *h, struct str *ret, struct err *err)
{
	struct str found = fetch_reply_header(&h->reply, "location");
	if (found.p == NULL || found.n == 0)
		FAIL(err, ERR_CONNECTION, "%s: GET %.*s answered %d without a Location; wanted one, or 200", h->peer,
		     STR_FMT(h->shown), h->reply.status);
	for (size_t i = 0; i < h->reply.header_count; i++)
		if (str_eq(h->reply.headers[i].name, STR("location")) && !str_eq(h->reply.headers[i].value, found))
			FAIL(err, ERR_CONNECTION, "%s: GET %.*s answered %d with two Locations; wanted one", h->peer,
			     STR_FMT(h->shown), h->reply.status);
	*ret = found;
	return OK;
}

static fallible redirect_check(const struct probe *p, const struct url *to, struct err *err)
{
	if (to->path.n > REDIRECT_PATH_MAX)
		FAIL(err, ERR_CONNECTION, "its path has %zu bytes; at most %d are followed", to->path.n,
		     REDIRECT_PATH_MAX);
	if (to->port != 80 && to->port != 443 && to->port != p->env->zone->http_port)
		FAIL(err, ERR_CONNECTION, "port %u is not followed; wanted 80 or 443", to->port);
	if (to->host_is_addr)
		return OK;
	if (str_ends(to->host, STR(".well-known")))
		FAIL(err, ERR_CONNECTION,
		     "the host ends in .well-known: the redirect target lacks a '/' after the host name, add it");
	struct err why = { 0 };
	if (FAILED(name_check(to->host, false, &why)))
		FAIL(err, ERR_CONNECTION, "host refused: %s", why.detail);
	return OK;
}

/* The URL of the next hop, or why there is none. visited has the URLs so far, this hop's too. */
static fallible redirect_read(struct probe *p, const struct hop *h, const struct str *visited, struct url *ret,
			      struct err *err)
{
	struct str location;
	struct err why = { 0 };
	p->final = true; /* a server does not mend its redirects within seconds */
	TRY(location_find(h, &location, err));
	struct str shown = peer_text(p->mem, location, PEER_TEXT_MAX);
	struct rc rc = url_resolve(p->mem, &h->url, location, URL_MAX, ret, &why);
	if (rc.kind == ERR_NONE)
		rc = redirect_check(p, ret, &why);
	if (rc.kind != ERR_NONE)
		FAIL(err, ERR_CONNECTION, "%s: GET %.*s answered %d to \"%.*s\", which is not followed: %s; " LEAVE_OUT,
		     h->peer, STR_FMT(h->shown), h->reply.status, STR_FMT(shown), why.detail);
	struct str next = url_show(p->mem, ret);
	for (unsigned i = 0; i <= h->number; i++)
		if (str_eq(visited[i], next))
			FAIL(err, ERR_CONNECTION,
			     "%s: GET %.*s answered %d to \"%.*s\": redirect loop; wanted 200 with the key "
			     "authorization; " LEAVE_OUT,
			     h->peer, STR_FMT(h->shown), h->reply.status, STR_FMT(shown));
	if (h->number == REDIRECTS_MAX)
		FAIL(err, ERR_CONNECTION,
		     "%s: GET %.*s answered %d to \"%.*s\": more than %d redirects; wanted 200 with the key "
		     "authorization; " LEAVE_OUT,
		     h->peer, STR_FMT(h->shown), h->reply.status, STR_FMT(shown), REDIRECTS_MAX);
	p->final = false;
	probe_step(p, "redirect", "%d to %.*s", h->reply.status, STR_FMT(peer_text(p->mem, next, URL_SHOWN_MAX)));
	return OK;
}

/* --- the answer ---------------------------------------------------------------------------------------------------*/

static struct str trim_end(struct str s)
{
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || (s.p[s.n - 1] >= '\t' && s.p[s.n - 1] <= '\r')))
		s.n--;
	return s;
}

static bool contains(struct str s, struct str part)
{
	for (size_t i = 0; i + part.n <= s.n; i++)
		if (str_eq(str_sub(s, i, i + part.n), part))
			return true;
	return false;
}

/* What is in the file instead, and what to do about it. */
static const char *advice_for(const struct validate_job *job, struct str body, struct str wanted, bool cut)
{
	if (str_starts(body, STR("\xff\xfe")) || str_starts(body, STR("\xfe\xff")))
		return "the file is UTF-16 text: write it as plain ASCII";
	if (cut)
		return "serve the challenge file itself, not a page";
	if (str_starts(body, STR("\xef\xbb\xbf")))
		return "the file begins with a byte order mark: write it without";
	if (contains(body, wanted))
		return "put the challenge file of this order there, with nothing before or after the key authorization";
	if (str_eq(body, job->token))
		return "the file has the token alone: write the whole key authorization into it";
	if (str_starts(body, job->token) && body.p[job->token.n] == '.')
		return "the challenge file belongs to another account key";
	if (body.n == wanted.n && str_ends(body, job->thumbprint))
		return "that is the file of another order: put the challenge file of this order there";
	return "put the challenge file of this order there";
}

static fallible body_judge(const struct probe *p, const struct hop *h, struct err *err)
{
	const struct validate_job *job = p->job;
	const struct fetch_reply *r = &h->reply;
	struct str wanted = key_authorization(p);
	struct str shortened = str_fmt(p->mem, "%.*s....%.*s...", STR_FMT(str_sub(job->token, 0, 8)),
				       STR_FMT(str_sub(job->thumbprint, 0, 8)));
	struct str shown = peer_text(p->mem, r->body, PEER_TEXT_MAX);
	/* RFC 8555 8.3 (5) lets a server end the body with blanks. */
	struct str body = trim_end(r->body);
	bool cut = r->body_cut || r->body.n >= BODY_MAX;
	if (!cut && str_eq(body, wanted))
		return OK;
	const char *advice = advice_for(job, body, wanted, cut);
	if (cut)
		FAIL(err, ERR_INCORRECT_RESPONSE,
		     "%s: GET %.*s answered 200 with %d bytes or more, beginning \"%.*s\"; wanted nothing but the key "
		     "authorization \"%.*s\", %zu bytes; %s%s",
		     h->peer, STR_FMT(h->shown), BODY_MAX, STR_FMT(shown), STR_FMT(shortened), wanted.n, advice,
		     h->passed_over);
	if (body.n == 0)
		FAIL(err, ERR_UNAUTHORIZED,
		     "%s: GET %.*s answered 200 with an empty body; wanted the key authorization \"%.*s\"; write it "
		     "into the challenge file%s",
		     h->peer, STR_FMT(h->shown), STR_FMT(shortened), h->passed_over);
	FAIL(err, ERR_UNAUTHORIZED,
	     "%s: GET %.*s answered 200 with \"%.*s\"; wanted the key authorization \"%.*s\"; %s%s", h->peer,
	     STR_FMT(h->shown), STR_FMT(shown), STR_FMT(shortened), advice, h->passed_over);
}

static const char *advice_for_status(int status)
{
	switch (status) {
	case 400:
		return "the web server did not understand the request: it must speak plain HTTP on this port, not TLS";
	case 401:
	case 407:
		return "serve /.well-known/acme-challenge/ without a login";
	case 403:
		return "let everybody read the challenge file: access rules or the file's mode forbid it";
	default:
		return status >= 500 ? "see the log of the web server, or of the proxy in front of it"
				     : "put the challenge file under the web root that serves this name";
	}
}

static fallible answer_judge(const struct probe *p, const struct hop *h, struct err *err)
{
	int status = h->reply.status;
	if (status == 200)
		return body_judge(p, h, err);
	if (status >= 300 && status < 400)
		FAIL(err, ERR_CONNECTION,
		     "%s: GET %.*s answered %d, which is not followed; wanted 200, or a redirect by 301, 302, 307 or "
		     "308",
		     h->peer, STR_FMT(h->shown), status);
	FAIL(err, ERR_UNAUTHORIZED, "%s: GET %.*s answered %d; wanted 200 with the key authorization; %s%s", h->peer,
	     STR_FMT(h->shown), status, advice_for_status(status), h->passed_over);
}

static fallible first_url(struct probe *p, struct url *ret, struct err *err)
{
	const struct validate_job *job = p->job;
	bool v6 = job->ident.type == IDENT_IP && str_find(job->ident.value, ':', 0) < job->ident.value.n;
	struct str text = str_fmt(p->mem, "http://%s%.*s%s:%u/.well-known/acme-challenge/%.*s", v6 ? "[" : "",
				  STR_FMT(job->ident.value), v6 ? "]" : "", (unsigned)p->env->zone->http_port,
				  STR_FMT(job->token));
	struct err why = { 0 };
	if (FAILED(url_read(p->mem, text, URL_MAX, ret, &why)))
		FAIL(err, ERR_INTERNAL, "the job's identifier makes no URL: %s", why.detail);
	return OK;
}

static fallible hops_run(struct probe *p, struct hop *h, struct str *visited, struct err *err)
{
	for (;; h->number++) {
		visited[h->number] = url_show(p->mem, &h->url);
		h->shown = peer_text(p->mem, visited[h->number], URL_SHOWN_MAX);
		h->reply = (struct fetch_reply){ 0 };
		const struct addr *literal = h->url.host_is_addr ? &h->url.addr : NULL;
		TRY(targets_find(p, h->url.host, literal, &h->targets, err));
		TRY(exchange(p, h, err));
		if (!status_is_followed(h->reply.status))
			return answer_judge(p, h, err);
		struct url next;
		TRY(redirect_read(p, h, visited, &next, err));
		h->url = next;
	}
}

fallible http01(struct probe *p, struct err *err)
{
	struct str visited[REDIRECTS_MAX + 1];
	struct hop h = { 0 };
	TRY(first_url(p, &h.url, err));
	struct rc rc = hops_run(p, &h, visited, err);
	/* The reader knows the name's own server: say that it was the one that led there. */
	if (FAILED(rc) && h.number > 0)
		err_prefix(err, "redirected by %.*s: ",
			   STR_FMT(peer_text(p->mem, visited[h.number - 1], URL_SHOWN_MAX / 2)));
	return rc;
}
