/* SPDX-License-Identifier: Apache-2.0
 *
 * key_list.c: keys that are sound to look at and known to others all the same (BR 6.1.1.3): those that an operator has
 * blocked by the hash of their SubjectPublicKeyInfo, and those that Debian's OpenSSL made from 2006 to 2008, of which
 * there are few enough to list. Sorted once, searched for each request.
 */
#include "crypto/crypto.h"

#include "crypto/internal.h"

#include <stdlib.h>

#define LIST_FILE_MAX (64 * 1024 * 1024)
#define BLOCKED_LEN 32 /* SHA-256 of the SubjectPublicKeyInfo */
#define WEAK_LEN 10    /* the last 80 bits of a SHA-1, as the files of openssl-blacklist have it */

struct hashes { /* n entries of len bytes, one behind the other */
	size_t len, n;
	uint8_t *b;
};

struct key_list {
	struct hashes blocked, weak;
};

struct key_list *key_list_new(void)
{
	struct key_list *l = mem_alloc(sizeof *l);
	l->blocked.len = BLOCKED_LEN;
	l->weak.len = WEAK_LEN;
	return l;
}

void key_list_free(struct key_list *l)
{
	if (l == NULL)
		return;
	free(l->blocked.b);
	free(l->weak.b);
	free(l);
}

static int compare_blocked(const void *a, const void *b)
{
	return memcmp(a, b, BLOCKED_LEN);
}

static int compare_weak(const void *a, const void *b)
{
	return memcmp(a, b, WEAK_LEN);
}

static int (*comparison(const struct hashes *h))(const void *, const void *)
{
	return h->len == BLOCKED_LEN ? compare_blocked : compare_weak;
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_hash(struct str line, uint8_t *out, size_t len)
{
	if (line.n != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = nibble(line.p[2 * i]), low = nibble(line.p[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* What stands in a line besides blanks and what follows a "#". */
static struct str line_text(struct str line)
{
	if (str_ends(line, STR("\r")))
		line.n--;
	return str_trim(str_sub(line, 0, str_find(line, '#', 0)));
}

static fallible read_lines(struct hashes *h, const char *path, struct str text, struct err *err)
{
	size_t number = 1;
	for (size_t from = 0; from < text.n; number++) {
		size_t end = str_find(text, '\n', from);
		struct str line = line_text(str_sub(text, from, end));
		from = end + 1;
		if (line.n == 0)
			continue;
		if (!read_hash(line, h->b + h->n * h->len, h->len))
			FAIL(err, ERR_CONFIG,
			     "%s:%zu: found no hash; allowed: %zu hex digits a line, and comments behind #", path,
			     number, 2 * h->len);
		h->n++;
	}
	return OK;
}

static size_t count_lines(struct str text)
{
	size_t n = 1;
	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '\n';
	return n;
}

static fallible add_file(struct hashes *h, const char *path, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(LIST_FILE_MAX);
	TRY(file_read(path, LIST_FILE_MAX, &text, err));
	struct hashes more = { .len = h->len };
	more.b = mem_alloc_n(h->len, h->n + count_lines(buf_str(&text)));
	if (h->n > 0)
		memcpy(more.b, h->b, h->n * h->len);
	more.n = h->n;
	struct rc rc = read_lines(&more, path, buf_str(&text), err);
	if (FAILED(rc)) {
		free(more.b);
		return rc;
	}
	qsort(more.b, more.n, more.len, comparison(&more));
	free(h->b);
	*h = more;
	return OK;
}

fallible key_list_add_blocked(struct key_list *l, const char *path, struct err *err)
{
	return add_file(&l->blocked, path, err);
}

fallible key_list_add_weak(struct key_list *l, const char *path, struct err *err)
{
	return add_file(&l->weak, path, err);
}

static bool has(const struct hashes *h, const uint8_t *hash)
{
	return h->n > 0 && bsearch(hash, h->b, h->n, h->len, comparison(h)) != NULL;
}

/* openssl-blacklist(1): SHA-1 over what `openssl rsa -modulus` prints. */
static fallible weak_hash(const struct key *k, uint8_t out[WEAK_LEN], struct err *err)
{
	static const char digits[] = "0123456789ABCDEF";
	AUTO(buf_done) struct buf text = BUF_MAX(4096);
	struct str n = key_part_a(k);
	uint8_t sha1[EVP_MAX_MD_SIZE];
	size_t len = 0;
	TRY(buf_add(&text, STR("Modulus="), err));
	for (size_t i = 0; i < n.n; i++) {
		TRY(buf_add_char(&text, digits[(uint8_t)n.p[i] >> 4], err));
		TRY(buf_add_char(&text, digits[(uint8_t)n.p[i] & 15], err));
	}
	TRY(buf_add_char(&text, '\n', err));
	if (EVP_Q_digest(NULL, "SHA1", NULL, text.p, text.n, sha1, &len) != 1 || len != 2 * WEAK_LEN)
		return fail_openssl(err, "SHA-1");
	memcpy(out, sha1 + WEAK_LEN, WEAK_LEN);
	return OK;
}

fallible key_list_check(const struct crypto *c, const struct key_list *l, const struct key *k, enum err_kind kind,
			struct err *err)
{
	struct sha256 spki;
	uint8_t weak[WEAK_LEN];
	if (l == NULL)
		return OK;
	if (l->blocked.n > 0) {
		TRY(key_spki_hash(c, k, &spki, err));
		if (has(&l->blocked, spki.b))
			FAIL(err, kind, "public key is forbidden: it is on this CA's block list");
	}
	if (k->kind != KEY_RSA || l->weak.n == 0)
		return OK;
	TRY(weak_hash(k, weak, err));
	if (has(&l->weak, weak))
		FAIL(err, kind,
		     "key generated by Debian's broken OpenSSL of 2006 to 2008 (CVE-2008-0166); make a new one");
	return OK;
}
