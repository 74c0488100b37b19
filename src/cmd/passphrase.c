/* SPDX-License-Identifier: Apache-2.0
 *
 * passphrase.c: the passphrase of a key file, from a file or from who sits at the terminal.
 */
#include "cmd/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

static fallible ask_line(int tty, const char *prompt, char *line, size_t size, size_t *ret_n, struct err *err)
{
	struct termios old;
	TRY(fd_write_all(tty, str_z(prompt), err));
	if (tcgetattr(tty, &old) != 0)
		FAIL(err, ERR_IO, "the terminal: %s", strerrordesc_np(errno));
	struct termios quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	if (tcsetattr(tty, TCSAFLUSH, &quiet) != 0)
		FAIL(err, ERR_IO, "the terminal: %s", strerrordesc_np(errno));
	ssize_t n = read(tty, line, size); /* one line: the terminal is in its line mode */
	(void)tcsetattr(tty, TCSAFLUSH, &old);
	TRY(fd_write_all(tty, STR("\n"), err));
	if (n <= 0 || line[n - 1] != '\n')
		FAIL(err, ERR_CONFIG, "no passphrase was entered");
	*ret_n = (size_t)n - 1;
	return OK;
}

static fallible ask_twice(int tty, const char *prompt, struct secret *ret, struct err *err)
{
	char first[PASSPHRASE_MAX];
	char second[PASSPHRASE_MAX];
	size_t n = 0;
	size_t m = 0;
	struct rc rc = ask_line(tty, prompt, first, sizeof first, &n, err);
	if (!FAILED(rc))
		rc = ask_line(tty, "The same again: ", second, sizeof second, &m, err);
	if (!FAILED(rc) && !bytes_eq_ct(str_n(first, n), str_n(second, m))) {
		err_set(err, ERR_CONFIG, "the two passphrases differ; nothing was made");
		rc = (struct rc){ ERR_CONFIG };
	}
	if (!FAILED(rc))
		rc = secret_set(ret, str_n(first, n), err);
	explicit_bzero(first, sizeof first);
	explicit_bzero(second, sizeof second);
	return rc;
}

static fallible ask_once(int tty, const char *prompt, struct secret *ret, struct err *err)
{
	char line[PASSPHRASE_MAX];
	size_t n = 0;
	struct rc rc = ask_line(tty, prompt, line, sizeof line, &n, err);
	if (!FAILED(rc))
		rc = secret_set(ret, str_n(line, n), err);
	explicit_bzero(line, sizeof line);
	return rc;
}

static fallible terminal_ask(const char *prompt, const char *otherwise,
			     fallible (*how)(int tty, const char *prompt, struct secret *ret, struct err *err),
			     struct secret *ret, struct err *err)
{
	AUTO(fd_close) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (tty < 0)
		FAIL(err, ERR_CONFIG, "%s", otherwise);
	return how(tty, prompt, ret, err);
}

fallible passphrase_new(const char *file, const char *prompt, const char *otherwise, struct secret *ret,
			struct err *err)
{
	TRY(file != NULL ? secret_read_file(ret, file, PASSPHRASE_MAX, err)
			 : terminal_ask(prompt, otherwise, ask_twice, ret, err));
	if (ret->n < PASSPHRASE_MIN)
		FAIL(err, ERR_CONFIG, "found a passphrase of %zu bytes; allowed: %d and more", ret->n, PASSPHRASE_MIN);
	return OK;
}

fallible passphrase_get(const char *file, const char *prompt, const char *otherwise, struct secret *ret,
			struct err *err)
{
	return file != NULL ? secret_read_file(ret, file, PASSPHRASE_MAX, err)
			    : terminal_ask(prompt, otherwise, ask_once, ret, err);
}
