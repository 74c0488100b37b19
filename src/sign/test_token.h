/* SPDX-License-Identifier: Apache-2.0
 *
 * test_token.h: a SoftHSM of the test's own, in a folder that goes away, with the module that makes faults in front of it
 * (tests/pkcs11/faulty.c). One at a time in a process: SoftHSM finds its folder through the environment.
 */
#ifndef CAIRN_SIGN_TEST_TOKEN_H
#define CAIRN_SIGN_TEST_TOKEN_H

#include "sign/keystore.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define TOKEN_PIN "1234"
#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"

struct soft {
	char dir[32];
	struct arena mem;
	const char *module, *script, *log, *pin_file;
};

static inline const char *soft_path(struct soft *s, const char *name)
{
	return str_fmt(&s->mem, "%s/%s%c", s->dir, name, 0).p;
}

static inline void soft_run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline void soft_run(const char *fmt, ...)
{
	char command[1024];
	va_list args;
	va_start(args, fmt);
	vsnprintf(command, sizeof command, fmt, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("%s: failed", command);
}

static inline void soft_write(const char *path, const char *text, mode_t mode)
{
	struct err err = { 0 };
	MUST(file_write_atomic(path, str_z(text), mode, &err));
}

/* The faults from now on: lines of tests/pkcs11/faulty.c. */
static inline void soft_script(struct soft *s, const char *lines)
{
	soft_write(s->script, lines, 0600);
}

/* How often the module's function was called since the last question. */
static inline size_t soft_calls(struct soft *s, const char *function)
{
	AUTO(buf_done) struct buf text = BUF_MAX(4 << 20);
	size_t count = 0;
	if (FAILED(file_read(s->log, 4 << 20, &text, NULL)))
		return 0;
	struct cur c = cur_of(buf_str(&text));
	for (struct str line; !FAILED(cur_until(&c, '\n', &line, NULL));)
		count += str_eq(line, str_z(function));
	remove(s->log);
	return count;
}

static inline struct soft *soft_new(void)
{
	struct soft *s = mem_alloc(sizeof *s);
	const char *build = getenv("CAIRN_BUILD_ROOT");
	if (build == NULL)
		fail_msg("CAIRN_BUILD_ROOT is not set: run this test by meson test");
	strcpy(s->dir, "/tmp/cairn-hsm-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	s->module = soft_path(s, "faulty.so");
	s->script = soft_path(s, "script");
	s->log = soft_path(s, "calls");
	s->pin_file = soft_path(s, "pin");
	soft_run("cp '%s/tests/faulty_pkcs11.so' '%s' && chmod 755 '%s' && mkdir '%s/tokens'", build, s->module,
		 s->module, s->dir);
	soft_write(soft_path(s, "conf"),
		   str_fmt(&s->mem,
			   "directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n%c",
			   s->dir, 0)
			   .p,
		   0600);
	soft_write(s->pin_file, TOKEN_PIN "\n", 0600);
	soft_script(s, "");
	assert_int_equal(setenv("SOFTHSM2_CONF", soft_path(s, "conf"), 1), 0);
	assert_int_equal(setenv("CAIRN_FAULTY_SCRIPT", s->script, 1), 0);
	assert_int_equal(setenv("CAIRN_FAULTY_LOG", s->log, 1), 0);
	soft_run("softhsm2-util --init-token --free --label cairn --pin " TOKEN_PIN " --so-pin 87654321 >/dev/null");
	return s;
}

static inline void soft_free(struct soft *s)
{
	soft_run("rm -rf '%s'", s->dir);
	arena_done(&s->mem);
	free(s);
}

/* The URI of a key of this label. */
static inline const char *soft_uri(struct soft *s, const char *label)
{
	return str_fmt(&s->mem, "pkcs11:token=cairn;object=%s?module-path=%s%c", label, s->module, 0).p;
}

static inline struct keystore_key soft_key(struct soft *s, const char *label)
{
	return (struct keystore_key){
		.where = soft_uri(s, label), .pin_file = s->pin_file, .sessions = 4, .timeout_ms = 20000
	};
}

/* A key that was made elsewhere, put into the token. */
static inline void soft_import(struct soft *s, const struct key *k, const char *label, const char *id)
{
	struct err err = { 0 };
	const char *pem = soft_path(s, "import.pem");
	MUST(key_write_file(k, pem, NULL, &err));
	soft_run("softhsm2-util --import '%s' --token cairn --label '%s' --id %s --pin " TOKEN_PIN " >/dev/null", pem,
		 label, id);
	remove(pem);
}

#endif
