/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch.c: one HTTP exchange: fetch_plain.c's when it is as simple as nearly all of a validator's are, else over a libcurl
 * easy handle of its own. There, every convenience that would reach beyond the one exchange is switched off by name,
 * because libcurl takes many of them from the environment. The pinned address is enforced twice: CONNECT_TO says where
 * to go, and the socket callback, which sees the address that is really dialled, vetoes any other.
 */
#include "net/fetch.h"
#include "net/dial.h"
#include "net/fetch_answer.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define HEADERS_MAX_DEFAULT (16 * 1024)

/* Only connections live on between exchanges. An easy handle does not: in libcurl before 8.1 a pointer to the last header
 * of the exchange before outlives that header, and an answer whose first header line begins with a blank is appended
 * there (found by fuzz_fetch). */
struct fetcher {
	CURLSH *connections; /* NULL: none are kept */
};

/* What the callbacks of one exchange share. */
struct exchange {
	struct answer a;
	bool tls_began; /* so the connection was made, which libcurl tells only when TLS is through */
	bool strayed;   /* an address other than the pin was about to be dialled */
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
	if (x->a.rq->pin != NULL &&
	    (!addr_eq(&addr, x->a.rq->pin) || (x->a.rq->pin_port != 0 && port != x->a.rq->pin_port))) {
		x->strayed = true;
		return CURL_SOCKET_BAD;
	}
	x->a.reply->peer = addr;
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

/* Up to 16 KiB come at once: what fits was kept, and only then the transfer is stopped by returning less than was given. */
static size_t body_cb(char *p, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	return answer_body(&x->a, str_n(p, size * n)) ? size * n : 0; /* size is 1, says libcurl */
}

/* Called for every line: of interim answers and trailers too. */
static size_t header_cb(char *p, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	struct str line = str_n(p, size * n);
	bool begins = str_eq_nocase(str_sub(line, 0, 5), STR("HTTP/")); /* libcurl takes it in any case */
	bool fits = begins ? answer_status_line(&x->a, line) : answer_header_line(&x->a, line);
	return fits ? line.n : 0;
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
	const struct fetch_request *rq = x->a.rq;
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
	if (!x->a.reply->connected)
		FAIL(err, ERR_TIMEOUT, "timeout during connect (likely firewall problem)");
	if (str_starts(x->a.rq->url, STR("https:")) && tls_us == 0)
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
	if (x->a.headers_over)
		return answer_over(&x->a, err);
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
		     x->a.rq->ca_file == NULL ? "the system's store" : x->a.rq->ca_file);
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
		return answer_not_http(err);
	case CURLE_OUT_OF_MEMORY: /* also its word for a header line over 100 KiB */
		FAIL(err, ERR_CONNECTION, "response header line is too long");
	default:
		FAIL(err, ERR_CONNECTION, "the exchange failed: %.200s",
		     x->error[0] == '\0' ? curl_easy_strerror(rc) : x->error);
	}
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
	struct fetch_reply *r = x->a.reply;
	r->status = (int)status;
	/* A kept-alive connection opens no socket; what it has sent shows that it was there. */
	r->connected = connect_us > 0 || status != 0 || x->tls_began;
	if (r->connected && curl_easy_getinfo(c, CURLINFO_PRIMARY_IP, &ip) == CURLE_OK && ip != NULL && ip[0] != '\0')
		if (FAILED(addr_read(str_z(ip), &r->peer, NULL)) && x->a.rq->pin != NULL)
			r->peer = *x->a.rq->pin;
}

static fallible exchange_run(CURL *c, CURLSH *connections, struct exchange *x, struct curl_slist **to,
			     struct curl_slist **headers, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	if (connections != NULL)
		SET(c, CURLOPT_SHARE, connections);
	TRY(set_closed_world(c, connections != NULL, err));
	TRY(set_tls(c, x->a.rq, err));
	TRY(set_exchange(c, x, &mem, err));
	TRY(set_pin(c, x->a.rq, to, &mem, err));
	TRY(set_method(c, x->a.rq, headers, &mem, err));
	/* A kept connection of an earlier exchange may be of TLS, and is closed here when it has grown old. */
	CURLcode rc = perform(c, connections != NULL || !str_starts(x->a.rq->url, STR("http:")));
	reply_finish(c, x);
	if (rc == CURLE_OK || (rc == CURLE_WRITE_ERROR && x->a.reply->body_cut))
		return answer_check(&x->a, err);
	return fail_words(c, rc, x, err);
}

static fallible fetch_by_curl(struct fetcher *f, struct exchange *x, struct err *err)
{
	struct curl_slist *to = NULL, *headers = NULL;
	CURL *c = curl_easy_init();
	if (c == NULL)
		FAIL(err, ERR_INTERNAL, "the HTTP library cannot be started");
	struct rc rc = exchange_run(c, f->connections, x, &to, &headers, err);
	curl_easy_cleanup(c); /* before the lists and x go: the handle points at them */
	curl_slist_free_all(to);
	curl_slist_free_all(headers);
	return rc;
}

/* What fetch_plain can do; a URL that it cannot read libcurl refuses in its words. */
static bool is_plain(const struct fetcher *f, const struct fetch_request *rq, struct arena *mem, struct url *ret)
{
	return f->connections == NULL && rq->pin != NULL && str_eq(rq->method, STR("GET")) &&
	       !FAILED(url_read(mem, rq->url, rq->url.n, ret, NULL)) && !ret->https;
}

fallible fetch(struct fetcher *f, const struct fetch_request *rq, struct arena *mem, struct fetch_reply *ret,
	       struct err *err)
{
	*ret = (struct fetch_reply){ 0 };
	if (rq->timeout_ms <= 0)
		FAIL(err, ERR_TIMEOUT, "no time is left for this request");
	struct exchange x = { .a = {
				      .rq = rq,
				      .reply = ret,
				      .mem = mem,
				      .body = BUF_MAX(rq->body_max == 0 ? 1 : rq->body_max),
				      .headers_max = rq->headers_max == 0 ? HEADERS_MAX_DEFAULT : rq->headers_max,
			      } };
	struct url url;
	struct rc rc = is_plain(f, rq, mem, &url) ? fetch_plain(&url, &x.a, err) : fetch_by_curl(f, &x, err);
	ret->body = str_dup(mem, buf_str(&x.a.body));
	buf_done(&x.a.body);
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
