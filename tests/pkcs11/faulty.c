/* SPDX-License-Identifier: Apache-2.0
 *
 * faulty.c: a PKCS#11 module for tests: SoftHSM, with faults on request. CAIRN_FAULTY_SCRIPT names a file that each call
 * reads anew; its lines are
 *
 *     FUNCTION ACTION [NUMBER]     such as "C_Sign rv 0x30", "C_Sign hang 5000", "C_Sign flip", "C_Sign short", "C_Sign crash"
 *     token gone                   no token in any slot, and every session is lost
 *
 * and with "once" as a last word a line is taken out when it was acted upon. CAIRN_FAULTY_LOG names a file to which each
 * call of the listed functions adds its name. The calls with faults are those in the table at the end.
 */
#define CRYPTOKI_EXPORTS
#include <dlfcn.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCRIPT_MAX 4096

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list);

static CK_FUNCTION_LIST *soft; /* the real one */
static CK_FUNCTION_LIST ours;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool was_gone;

static size_t script_read(char text[SCRIPT_MAX])
{
	const char *path = getenv("CAIRN_FAULTY_SCRIPT");
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, SCRIPT_MAX - 1);
	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return n < 0 ? 0 : (size_t)n;
}

/* What the script has without its line at `from`. */
static void script_drop(const char *text, const char *from)
{
	const char *path = getenv("CAIRN_FAULTY_SCRIPT");
	const char *end = strchr(from, '\n');
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, text, (size_t)(from - text)) < 0 || (end != NULL && write(fd, end + 1, strlen(end + 1)) < 0))
		abort();
	close(fd);
}

static void note(const char *function)
{
	const char *path = getenv("CAIRN_FAULTY_LOG");
	char line[64];
	int n = snprintf(line, sizeof line, "%s\n", function);
	int fd = path == NULL ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0 && write(fd, line, (size_t)n) < 0)
		abort();
	if (fd >= 0)
		close(fd);
}

struct fault {
	char action[16];
	unsigned long number;
};

static bool fault_for(const char *function, struct fault *ret)
{
	char text[SCRIPT_MAX];
	bool found = false;
	pthread_mutex_lock(&lock);
	(void)script_read(text);
	for (char *line = text; line != NULL && *line != '\0' && !found;) {
		char name[32], number[32] = "", once[8] = "";
		int words = sscanf(line, "%31s %15s %31s %7s", name, ret->action, number, once);
		if (words >= 2 && strcmp(name, function) == 0) {
			found = true;
			ret->number = strtoul(number, NULL, 0);
			if (strcmp(number, "once") == 0 || strcmp(once, "once") == 0)
				script_drop(text, line);
		}
		line = strchr(line, '\n');
		line = line == NULL ? NULL : line + 1;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

static void close_all(void)
{
	CK_SLOT_ID slots[16];
	CK_ULONG n = 16;
	if (soft->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK)
		return;
	for (CK_ULONG i = 0; i < n; i++)
		(void)soft->C_CloseAllSessions(slots[i]);
}

static bool is_gone(void)
{
	struct fault f;
	bool gone = fault_for("token", &f) && strcmp(f.action, "gone") == 0;
	if (gone && !was_gone)
		close_all();
	was_gone = gone;
	return gone;
}

/* True: *rv is the answer. */
static bool fails(const char *function, struct fault *f, CK_RV *rv)
{
	note(function);
	if (is_gone()) {
		*rv = CKR_DEVICE_REMOVED;
		return true;
	}
	f->action[0] = '\0';
	if (!fault_for(function, f))
		return false;
	if (strcmp(f->action, "crash") == 0) {
		volatile char *volatile nowhere = NULL; /* raise() would not do where the signal is blocked */
		*nowhere = 1;
	}
	for (unsigned long ms = 0; strcmp(f->action, "hang") == 0 && ms < f->number; ms += 10)
		usleep(10000);
	*rv = f->number;
	return strcmp(f->action, "rv") == 0;
}

static CK_RV faulty_slot_list(CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count)
{
	struct fault f;
	CK_RV rv;
	if (is_gone()) {
		*count = 0;
		return CKR_OK;
	}
	return fails("C_GetSlotList", &f, &rv) ? rv : soft->C_GetSlotList(present, list, count);
}

static CK_RV faulty_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
	struct fault f;
	CK_RV rv;
	if (fails("C_GetTokenInfo", &f, &rv))
		return rv;
	rv = soft->C_GetTokenInfo(slot, info);
	if (strcmp(f.action, "flags") == 0)
		info->flags |= f.number;
	return rv;
}

static CK_RV faulty_open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify,
				 CK_SESSION_HANDLE_PTR session)
{
	struct fault f;
	CK_RV rv;
	return fails("C_OpenSession", &f, &rv) ? rv : soft->C_OpenSession(slot, flags, app, notify, session);
}

static CK_RV faulty_login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG n)
{
	struct fault f;
	CK_RV rv;
	return fails("C_Login", &f, &rv) ? rv : soft->C_Login(session, user, pin, n);
}

static CK_RV faulty_find_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR want, CK_ULONG n)
{
	struct fault f;
	CK_RV rv;
	return fails("C_FindObjectsInit", &f, &rv) ? rv : soft->C_FindObjectsInit(session, want, n);
}

static CK_RV faulty_attributes(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR a, CK_ULONG n)
{
	struct fault f;
	CK_RV rv;
	if (fails("C_GetAttributeValue", &f, &rv))
		return rv;
	if (strcmp(f.action, "hide") == 0 && n == 1 && a->type == f.number) {
		a->ulValueLen = (CK_ULONG)-1;
		return CKR_ATTRIBUTE_TYPE_INVALID;
	}
	return soft->C_GetAttributeValue(session, object, a, n);
}

static CK_RV faulty_mechanisms(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR n)
{
	struct fault f;
	CK_RV rv;
	if (fails("C_GetMechanismList", &f, &rv))
		return rv;
	rv = soft->C_GetMechanismList(slot, list, n);
	for (CK_ULONG i = 0; rv == CKR_OK && list != NULL && strcmp(f.action, "without") == 0 && i < *n; i++)
		if (list[i] == f.number)
			list[i] = CKM_VENDOR_DEFINED;
	return rv;
}

static CK_RV faulty_sign_init(CK_SESSION_HANDLE session, CK_MECHANISM_PTR how, CK_OBJECT_HANDLE key)
{
	struct fault f;
	CK_RV rv;
	return fails("C_SignInit", &f, &rv) ? rv : soft->C_SignInit(session, how, key);
}

static CK_RV faulty_sign(CK_SESSION_HANDLE session, CK_BYTE_PTR in, CK_ULONG in_n, CK_BYTE_PTR out, CK_ULONG_PTR out_n)
{
	struct fault f;
	CK_RV rv;
	if (fails("C_Sign", &f, &rv))
		return rv;
	rv = soft->C_Sign(session, in, in_n, out, out_n);
	if (rv == CKR_OK && strcmp(f.action, "flip") == 0)
		out[*out_n / 2] ^= 1;
	if (rv == CKR_OK && strcmp(f.action, "short") == 0)
		*out_n -= 1;
	if (rv == CKR_OK && strcmp(f.action, "long") == 0)
		*out_n = 1 << 20;
	return rv;
}

static CK_RV faulty_list(CK_FUNCTION_LIST_PTR_PTR list)
{
	return C_GetFunctionList(list);
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	const char *path = getenv("CAIRN_FAULTY_REAL");
	void *so = dlopen(path == NULL ? "/usr/lib/softhsm/libsofthsm2.so" : path, RTLD_NOW | RTLD_LOCAL);
	CK_C_GetFunctionList get = NULL;
	if (so != NULL)
		*(void **)&get = dlsym(so, "C_GetFunctionList");
	if (get == NULL || get(&soft) != CKR_OK)
		return CKR_GENERAL_ERROR;
	ours = *soft;
	ours.C_GetFunctionList = faulty_list;
	ours.C_GetSlotList = faulty_slot_list;
	ours.C_GetTokenInfo = faulty_token_info;
	ours.C_OpenSession = faulty_open_session;
	ours.C_Login = faulty_login;
	ours.C_FindObjectsInit = faulty_find_init;
	ours.C_GetAttributeValue = faulty_attributes;
	ours.C_GetMechanismList = faulty_mechanisms;
	ours.C_SignInit = faulty_sign_init;
	ours.C_Sign = faulty_sign;
	*list = &ours;
	return CKR_OK;
}
