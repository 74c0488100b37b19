/* SPDX-License-Identifier: Apache-2.0
 *
 * passphrase.h: the passphrase of a key file, from a file or from who sits at the terminal.
 */
#ifndef CAIRN_CMD_PASSPHRASE_H
#define CAIRN_CMD_PASSPHRASE_H

#include "crypto/crypto.h"

#define PASSPHRASE_MAX 1024
#define PASSPHRASE_MIN 8 /* of a new one */

/* Of a key that is to be made. file NULL: asked for twice; without a terminal, `otherwise` says what to give instead. */
fallible passphrase_new(const char *file, const char *prompt, const char *otherwise, struct secret *ret,
			struct err *err);
/* Of a key that there is: asked for once. */
fallible passphrase_get(const char *file, const char *prompt, const char *otherwise, struct secret *ret,
			struct err *err);

#endif
