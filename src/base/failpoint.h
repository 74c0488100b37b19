/* SPDX-License-Identifier: Apache-2.0
 *
 * failpoint.h: named places where a test may kill or delay a program: CAIRN_FP="sign.after_begin:2:kill" acts at the
 * second time that place is reached. Compiled in with -Dfailpoints=true only; a release holds neither code nor names.
 */
#ifndef CAIRN_BASE_FAILPOINT_H
#define CAIRN_BASE_FAILPOINT_H

#ifdef CAIRN_FAILPOINTS
/* The action is "kill" (SIGKILL: what a power cut leaves behind, less the page cache), "exit" (status 99, no handlers
 * run) or a number: sleep so many milliseconds and go on. A wrong CAIRN_FP ends the program with a line on stderr, so
 * that a test cannot pass because its failpoint was misspelt. CAIRN_FP_ONCE=PATH: acts only if it can make that file, so
 * once in the life of a test, whatever is started again. */
void failpoint_hit(const char *name);
#define FP(name) failpoint_hit(name)
#else
#define FP(name) ((void)0)
#endif

#endif
