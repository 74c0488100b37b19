/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch.c: one HTTP exchange over a libcurl easy handle of its own. Every convenience that would reach beyond the one exchange is
 * switched off by name, because libcurl takes many of them from the environment. The pinned address is enforced twice:
 * CONNECT_TO says where to go, and the socket callback, which sees the address that is really dialled, vetoes any
 * other.
 */
#include "net/fetch.h"
#include "net/dial.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define HEADERS_COUNT_MAX 200
#define HEADERS_MAX_DEFAULT (16 * 1024)

/* Only connections live on between exchanges. An easy handle does not: in libcurl before 8.1 a pointer to the last header
 * of the exchange before outlives that header, and an answer whose first header line begins with a blank is appended
 * there (found by fuzz_fetch). */
struct fetcher {
	CURLSH *connections; /* NULL: none are kept */
};

/* What the callbacks of one exchange share. */
struct exchange {
	const struct fetch_request *rq;
	struct fetch_reply *reply;
	struct arena *mem;
	struct buf body;
	size_t headers_max, header_bytes, header_room;
	bool headers_over; /* the limit was hit */
	bool tls_began;    /* so the connection was made, which libcurl tells only when TLS is through */
	bool http1;        /* the last status line was of HTTP/1.x, to the letter */
	bool head_ended;   /* the empty line after the last status line has come */
	bool strayed;      /* an address other than the pin was about to be dialled */
	char error[CURL_ERROR_SIZE];
};

/* --- callbacks ----------------------------------------------------------------------------------------------------*/

static curl_socket_t open_socket_cb(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct exchange *x = arg;
	struct sockaddr_storage sa = { 0 };
	struct addr addr;
	uint16_t port;
	if (purpose != CURLSOCKTYPE_IPCXN || to->addrlen > sizeof sa)
		return CURL_SOCKET_BAD;
	memcpy(&sa, &to->addr, to->addrlen);
	if (!addr_of_sockaddr(&sa, &addr, &port))
		return CURL_SOCKET_BAD;
	if (x->rq->pin != NULL && (!addr_eq(&addr, x->rq->pin) || (x->rq->pin_port != 0 && port != x->rq->pin_port))) {
		x->strayed = true;
		return CURL_SOCKET_BAD;
	}
	x->reply->peer = addr;
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static CURLcode tls_begins_cb(CURL *curl, void *ssl_ctx, void *arg)
{
	struct exchange *x = arg;
	(void)curl;
	(void)ssl_ctx;
	x->tls_began = true;
	return CURLE_OK;
}

/* Up to 16 KiB come at once: keep what fits, and only then stop the transfer by returning less than was given. */
static size_t body_cb(char *p, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	size_t got = size * n; /* size is 1, says libcurl */
	size_t room = x->rq->body_max - x->body.n;
	size_t take = got < room ? got : room;
	if (FAILED(buf_add(&x->body, str_n(p, take), NULL)))
		return 0;
	if (take == got)
		return got;
	x->reply->body_cut = true;
	return 0;
}

static void header_keep(struct exchange *x, struct str line)
{
	struct fetch_reply *r = x->reply;
	size_t colon = str_find(line, ':', 0);
	if (colon == line.n)
		return;
	if (r->header_count == x->header_room) {
		size_t room = x->header_room == 0 ? 16 : 2 * x->header_room;
		struct fetch_header *wider = ARENA_ARRAY(x->mem, struct fetch_header, room);
		for (size_t i = 0; i < r->header_count; i++)
			wider[i] = r->headers[i];
		r->headers = wider;
		x->header_room = room;
	}
	struct str name = str_sub(line, 0, colon);
	char *lower = str_dupz_raw(x->mem, name);
	for (size_t i = 0; i < name.n; i++)
		if (lower[i] >= 'A' && lower[i] <= 'Z')
			lower[i] = (char)(lower[i] - 'A' + 'a');
	r->headers[r->header_count++] = (struct fetch_header){
		.name = { lower, name.n },
		.value = str_dup(x->mem, str_trim(str_sub(line, colon + 1, line.n))),
	};
}

/* Called for every line: of interim (1xx) answers and trailers too, which all count against the one limit. */
static size_t header_cb(char *p, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	struct str line = str_n(p, size * n);
	x->header_bytes += line.n;
	if (x->header_bytes > x->headers_max || x->reply->header_count >= HEADERS_COUNT_MAX) {
		x->headers_over = true;
		return 0;
	}
	while (line.n > 0 && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == '\n'))
		line.n--;
	if (str_eq_nocase(str_sub(line, 0, 5), STR("HTTP/"))) { /* libcurl takes it in any case */
		x->reply->header_count = 0; /* a new answer begins; the interim one's lines are not its */
		x->head_ended = false;
		x->http1 = str_starts(line, STR("HTTP/1.0 ")) || str_starts(line, STR("HTTP/1.1 "));
	} else if (line.n > 0)
		header_keep(x, line);
	else
		x->head_ended = true;
	return size * n;
}

/* --- setting up ---------------------------------------------------------------------------------------------------*/

#define SET(curl, option, value)                                                          \
	do {                                                                              \
		CURLcode set_rc_ = curl_easy_setopt((curl), (option), (value));           \
		if (set_rc_ != CURLE_OK) {                                                \
			err_cause(err, "%s", #option);                                    \
			FAIL(err, ERR_INTERNAL, "the HTTP library refused a setting: %s", \
			     curl_easy_strerror(set_rc_));                                \
		}                                                                         \
	} while (0)

static fallible set_closed_world(CURL *c, bool keep_alive, struct err *err)
{
	SET(c, CURLOPT_PROTOCOLS_STR, "http,https");
	SET(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	SET(c, CURLOPT_FOLLOWLOCATION, 0L);
	SET(c, CURLOPT_PROXY, ""); /* not even the environment's */
	SET(c, CURLOPT_NOPROXY, "*");
	SET(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(c, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(c, CURLOPT_NOSIGNAL, 1L);
	SET(c, CURLOPT_BUFFERSIZE, 4096L); /* not 16 KiB for each of hundreds of probes */
	SET(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(c, CURLOPT_HTTP09_ALLOWED, 0L);
	SET(c, CURLOPT_PATH_AS_IS, 1L);
	SET(c, CURLOPT_FRESH_CONNECT, keep_alive ? 0L : 1L);
	SET(c, CURLOPT_FORBID_REUSE, keep_alive ? 0L : 1L);
	SET(c, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
	SET(c, CURLOPT_MAXCONNECTS, 4L);
	return OK;
}

static fallible set_tls(CURL *c, const struct fetch_request *rq, struct err *err)
{
	SET(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(c, CURLOPT_SSL_VERIFYPEER, rq->verify_tls ? 1L : 0L);
	SET(c, CURLOPT_SSL_VERIFYHOST, rq->verify_tls ? 2L : 0L);
	if (rq->ca_file != NULL) {
		SET(c, CURLOPT_CAINFO, rq->ca_file);
		SET(c, CURLOPT_CAPATH, NULL); /* instead of the system's, not beside it */
	}
	return OK;
}

static fallible set_pin(CURL *c, const struct fetch_request *rq, struct curl_slist **list, struct arena *mem,
			struct err *err)
{
	if (rq->pin == NULL)
		return OK;
	char addr[ADDR_TEXT_MAX];
	addr_show(rq->pin, addr);
	/* An empty host and port match whatever the URL has; an empty port of the target keeps the URL's. */
	struct str entry = rq->pin->family == AF_INET6 ? str_fmt(mem, "::[%s]:", addr) : str_fmt(mem, "::%s:", addr);
	if (rq->pin_port != 0)
		entry = str_fmt(mem, "%.*s%u", STR_FMT(entry), rq->pin_port);
	*list = curl_slist_append(NULL, str_dupz_raw(mem, entry));
	if (*list == NULL)
		FAIL(err, ERR_INTERNAL, "out of memory");
	SET(c, CURLOPT_CONNECT_TO, *list);
	return OK;
}

static fallible set_method(CURL *c, const struct fetch_request *rq, struct curl_slist **headers, struct arena *mem,
			   struct err *err)
{
	if (str_eq(rq->method, STR("HEAD"))) {
		SET(c, CURLOPT_NOBODY, 1L);
		return OK;
	}
	if (str_eq(rq->method, STR("GET"))) {
		SET(c, CURLOPT_HTTPGET, 1L);
		return OK;
	}
	if (!str_eq(rq->method, STR("POST")))
		FAIL(err, ERR_INTERNAL, "method %.*s is not served; wanted GET, HEAD or POST", STR_FMT(rq->method));
	SET(c, CURLOPT_POST, 1L);
	SET(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body.n);
	SET(c, CURLOPT_POSTFIELDS, rq->body.p == NULL ? "" : rq->body.p);
	char *type;
	TRY(str_dupz(mem, str_fmt(mem, "Content-Type: %.*s", STR_FMT(rq->content_type)), &type, err));
	const char *const lines[] = { type, "Expect:" /* no "100-continue" of libcurl's own */ };
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct curl_slist *longer = curl_slist_append(*headers, lines[i]);
		if (longer == NULL)
			FAIL(err, ERR_INTERNAL, "out of memory");
		*headers = longer;
	}
	SET(c, CURLOPT_HTTPHEADER, *headers);
	return OK;
}

static fallible set_exchange(CURL *c, struct exchange *x, struct arena *mem, struct err *err)
{
	const struct fetch_request *rq = x->rq;
	char *url, *agent;
	TRY(str_dupz(mem, rq->url, &url, err));
	TRY(str_dupz(mem, rq->user_agent, &agent, err));
	int64_t connect_ms = rq->connect_timeout_ms > 0 && rq->connect_timeout_ms < rq->timeout_ms
				     ? rq->connect_timeout_ms
				     : rq->timeout_ms;
	SET(c, CURLOPT_URL, url);
	SET(c, CURLOPT_USERAGENT, agent);
	SET(c, CURLOPT_TIMEOUT_MS, (long)rq->timeout_ms);
	SET(c, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
	SET(c, CURLOPT_ERRORBUFFER, x->error);
	SET(c, CURLOPT_OPENSOCKETFUNCTION, open_socket_cb);
	SET(c, CURLOPT_OPENSOCKETDATA, x);
	SET(c, CURLOPT_SSL_CTX_FUNCTION, tls_begins_cb);
	SET(c, CURLOPT_SSL_CTX_DATA, x);
	SET(c, CURLOPT_WRITEFUNCTION, body_cb);
	SET(c, CURLOPT_WRITEDATA, x);
	SET(c, CURLOPT_HEADERFUNCTION, header_cb);
	SET(c, CURLOPT_HEADERDATA, x);
	return OK;
}

/* --- what went wrong, in plain words ----------------------------------------------------------------------------*/

static fallible fail_timeout(CURL *c, const struct exchange *x, struct err *err)
{
	curl_off_t tls_us = 0;
	(void)curl_easy_getinfo(c, CURLINFO_APPCONNECT_TIME_T, &tls_us);
	if (!x->reply->connected)
		FAIL(err, ERR_TIMEOUT, "timeout during connect (likely firewall problem)");
	if (str_starts(x->rq->url, STR("https:")) && tls_us == 0)
		FAIL(err, ERR_TIMEOUT, "timeout during the TLS handshake (does this port speak TLS?)");
	FAIL(err, ERR_TIMEOUT, "timeout after connect (your server may be slow or overloaded)");
}

static fallible fail_tls(const struct exchange *x, struct err *err)
{
	/* OpenSSL reads an HTTP answer as a TLS record of an absurd version or length. */
	static const char *const plain[] = { "wrong version number", "http request", "packet length too long",
					     "record too small" };
	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (strstr(x->error, plain[i]) != NULL)
			FAIL(err, ERR_TLS, "server only speaks HTTP, not TLS");
	FAIL(err, ERR_TLS, "TLS handshake failed: %.200s", x->error[0] == '\0' ? "no reason given" : x->error);
}

static fallible fail_words(CURL *c, CURLcode rc, const struct exchange *x, struct err *err)
{
	long os_error = 0;
	(void)curl_easy_getinfo(c, CURLINFO_OS_ERRNO, &os_error);
	err_cause(err, "libcurl %d: %s", (int)rc, x->error[0] == '\0' ? curl_easy_strerror(rc) : x->error);
	if (x->strayed)
		FAIL(err, ERR_CONNECTION, "refused to dial an address other than the one that was checked");
	if (x->headers_over)
		FAIL(err, ERR_CONNECTION, "response header is larger than %zu bytes or %d lines", x->headers_max,
		     HEADERS_COUNT_MAX);
	switch ((int)rc) { /* int: the enum has a hundred members, and grows */
	case CURLE_OPERATION_TIMEDOUT:
		return fail_timeout(c, x, err);
	case CURLE_COULDNT_CONNECT:
		FAIL(err, ERR_CONNECTION, "%s", dial_words(os_error));
	case CURLE_COULDNT_RESOLVE_HOST:
		FAIL(err, ERR_DNS, "the host name cannot be looked up");
	case CURLE_URL_MALFORMAT:
	case CURLE_LOGIN_DENIED: /* a user name in the URL */
		FAIL(err, ERR_MALFORMED, "the URL cannot be used: wanted http or https, and no user name");
	case CURLE_SSL_CONNECT_ERROR:
		return fail_tls(x, err);
	case CURLE_PEER_FAILED_VERIFICATION:
		FAIL(err, ERR_TLS, "the server's certificate is not trusted: %.200s", x->error);
	case CURLE_SSL_CACERT_BADFILE:
		FAIL(err, ERR_CONFIG, "trusted certificates cannot be read from %s",
		     x->rq->ca_file == NULL ? "the system's store" : x->rq->ca_file);
	case CURLE_GOT_NOTHING:
		FAIL(err, ERR_CONNECTION, "the server closed the connection without an answer");
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
		FAIL(err, ERR_CONNECTION, "connection %s after connect",
		     os_error == ECONNRESET || strstr(x->error, "reset") != NULL ? "reset" : "broken");
	case CURLE_PARTIAL_FILE:
		FAIL(err, ERR_CONNECTION, "the server closed the connection in the middle of the body");
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
		FAIL(err, ERR_CONNECTION, "the answer is not HTTP/1.x (does this port speak TLS or HTTP/2?)");
	case CURLE_OUT_OF_MEMORY: /* also its word for a header line over 100 KiB */
		FAIL(err, ERR_CONNECTION, "response header line is too long");
	default:
		FAIL(err, ERR_CONNECTION, "the exchange failed: %.200s",
		     x->error[0] == '\0' ? curl_easy_strerror(rc) : x->error);
	}
}

/* --- one answer, read in one way ----------------------------------------------------------------------------------*/

#define LENGTH_DIGITS_MAX 18

static bool is_length(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0 && s.n <= LENGTH_DIGITS_MAX;
}

/* libcurl reads more than RFC 9112 allows: where the body ends must not depend on the reader (THREATS A35). */
static fallible framing_check(const struct exchange *x, struct err *err)
{
	const struct fetch_reply *r = x->reply;
	struct str length = STR_NONE, coding = STR_NONE;
	if (!x->http1)
		FAIL(err, ERR_CONNECTION, "the answer is not HTTP/1.x (does this port speak TLS or HTTP/2?)");
	/* Both are answers to libcurl: half a header, and an interim one that nothing followed. */
	if (!x->head_ended || r->status < 200)
		FAIL(err, ERR_CONNECTION, "the server closed the connection in the middle of the header");
	for (size_t i = 0; i < r->header_count; i++) {
		struct str name = r->headers[i].name, value = r->headers[i].value;
		if (str_eq(name, STR("content-length"))) {
			if (!is_length(value) || (length.p != NULL && !str_eq(length, value)))
				FAIL(err, ERR_CONNECTION,
				     "the answer's Content-Length is no number, or there are several");
			length = value;
		} else if (str_eq(name, STR("transfer-encoding"))) {
			if (!str_eq_nocase(value, STR("chunked")) || coding.p != NULL)
				FAIL(err, ERR_CONNECTION, "the answer's Transfer-Encoding is not \"chunked\"");
			coding = value;
		}
	}
	if (length.p != NULL && coding.p != NULL)
		FAIL(err, ERR_CONNECTION, "the answer has both Content-Length and Transfer-Encoding");
	return OK;
}

/* --- the exchange -------------------------------------------------------------------------------------------------*/

/* OpenSSL writes without MSG_NOSIGNAL, and a program that embeds us may not ignore SIGPIPE: hold it back, and eat the
 * one that we caused. */
static CURLcode perform(CURL *c, bool may_use_tls)
{
	sigset_t pipe_set, old, pending;
	if (!may_use_tls) /* libcurl's own writes have the flag */
		return curl_easy_perform(c);
	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	sigpending(&pending);
	bool was_pending = sigismember(&pending, SIGPIPE) == 1;
	pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
	CURLcode rc = curl_easy_perform(c);
	const struct timespec now = { 0 };
	if (!was_pending)
		while (sigtimedwait(&pipe_set, NULL, &now) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

static void reply_finish(CURL *c, struct exchange *x)
{
	long status = 0, fresh = 0;
	curl_off_t connect_us = 0;
	char *ip = NULL;
	(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(c, CURLINFO_NUM_CONNECTS, &fresh);
	(void)curl_easy_getinfo(c, CURLINFO_CONNECT_TIME_T, &connect_us);
	struct fetch_reply *r = x->reply;
	r->status = (int)status;
	/* A kept-alive connection opens no socket; what it has sent shows that it was there. */
	r->connected = connect_us > 0 || status != 0 || x->tls_began;
	if (r->connected && curl_easy_getinfo(c, CURLINFO_PRIMARY_IP, &ip) == CURLE_OK && ip != NULL && ip[0] != '\0')
		if (FAILED(addr_read(str_z(ip), &r->peer, NULL)) && x->rq->pin != NULL)
			r->peer = *x->rq->pin;
	r->body = str_dup(x->mem, buf_str(&x->body));
}

static fallible exchange_run(CURL *c, CURLSH *connections, struct exchange *x, struct curl_slist **to,
			     struct curl_slist **headers, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	if (connections != NULL)
		SET(c, CURLOPT_SHARE, connections);
	TRY(set_closed_world(c, connections != NULL, err));
	TRY(set_tls(c, x->rq, err));
	TRY(set_exchange(c, x, &mem, err));
	TRY(set_pin(c, x->rq, to, &mem, err));
	TRY(set_method(c, x->rq, headers, &mem, err));
	/* A kept connection of an earlier exchange may be of TLS, and is closed here when it has grown old. */
	CURLcode rc = perform(c, connections != NULL || !str_starts(x->rq->url, STR("http:")));
	reply_finish(c, x);
	if (rc == CURLE_OK || (rc == CURLE_WRITE_ERROR && x->reply->body_cut))
		return framing_check(x, err);
	return fail_words(c, rc, x, err);
}

fallible fetch(struct fetcher *f, const struct fetch_request *rq, struct arena *mem, struct fetch_reply *ret,
	       struct err *err)
{
	*ret = (struct fetch_reply){ 0 };
	if (rq->timeout_ms <= 0)
		FAIL(err, ERR_TIMEOUT, "no time is left for this request");
	struct exchange x = {
		.rq = rq,
		.reply = ret,
		.mem = mem,
		.body = BUF_MAX(rq->body_max == 0 ? 1 : rq->body_max),
		.headers_max = rq->headers_max == 0 ? HEADERS_MAX_DEFAULT : rq->headers_max,
	};
	struct curl_slist *to = NULL, *headers = NULL;
	CURL *c = curl_easy_init();
	if (c == NULL) {
		buf_done(&x.body);
		FAIL(err, ERR_INTERNAL, "the HTTP library cannot be started");
	}
	struct rc rc = exchange_run(c, f->connections, &x, &to, &headers, err);
	curl_easy_cleanup(c); /* before the lists and x go: the handle points at them */
	curl_slist_free_all(to);
	curl_slist_free_all(headers);
	buf_done(&x.body);
	return rc;
}

struct str fetch_reply_header(const struct fetch_reply *r, const char *lower_name)
{
	for (size_t i = 0; i < r->header_count; i++)
		if (str_eq(r->headers[i].name, str_z(lower_name)))
			return r->headers[i].value.p == NULL ? STR("") : r->headers[i].value;
	return STR_NONE;
}

/* libcurl counts its initialisations and, since 7.84, does so safely from several threads. */
fallible fetcher_new(bool keep_alive, struct fetcher **ret, struct err *err)
{
	CURLcode rc = curl_global_init(CURL_GLOBAL_DEFAULT);
	if (rc != CURLE_OK)
		FAIL(err, ERR_INTERNAL, "the HTTP library cannot be started: %s", curl_easy_strerror(rc));
	CURLSH *connections = keep_alive ? curl_share_init() : NULL;
	if (keep_alive && (connections == NULL ||
			   curl_share_setopt(connections, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT) != CURLSHE_OK)) {
		curl_share_cleanup(connections);
		curl_global_cleanup();
		FAIL(err, ERR_INTERNAL, "the HTTP library cannot be started");
	}
	struct fetcher *f = mem_alloc(sizeof *f);
	f->connections = connections;
	*ret = f;
	return OK;
}

void fetcher_free(struct fetcher *f)
{
	if (f == NULL)
		return;
	curl_share_cleanup(f->connections); /* accepts NULL */
	curl_global_cleanup();
	free(f);
}
