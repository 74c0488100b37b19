/* SPDX-License-Identifier: Apache-2.0
 *
 * keystore_uri.c: "pkcs11:token=...;object=...?module-path=..." (RFC 7512). p11-kit reads it; here is what we want of it:
 * a module by its path, a token by what is written on it (slot numbers change from start to start), a key by its label
 * or id, and no PIN in plain sight.
 */
#include "sign/keystore_internal.h"

#include <stdio.h>

bool keystore_is_token(struct str where)
{
	return str_eq_nocase(str_sub(where, 0, 7), STR("pkcs11:"));
}

void token_uri_done(struct token_uri *u)
{
	if (u->kit != NULL)
		p11_kit_uri_free(u->kit);
	*u = (struct token_uri){ 0 };
}

static const char *reason(int code)
{
	switch (code) {
	case P11_KIT_URI_BAD_SCHEME:
		return "it does not begin with \"pkcs11:\"";
	case P11_KIT_URI_BAD_ENCODING:
		return "a %XX in it is not one, or its value does not go with its name";
	case P11_KIT_URI_BAD_SYNTAX:
		return "it is not NAME=VALUE;NAME=VALUE?NAME=VALUE&NAME=VALUE";
	case P11_KIT_URI_BAD_VERSION:
		return "library-version is no version";
	default:
		return "it cannot be read";
	}
}

static struct str attribute(P11KitUri *kit, CK_ATTRIBUTE_TYPE type)
{
	const CK_ATTRIBUTE *a = p11_kit_uri_get_attribute(kit, type);
	return a == NULL || a->pValue == NULL ? STR_NONE : str_n(a->pValue, a->ulValueLen);
}

/* Fields of CK_TOKEN_INFO are padded with blanks, or with zeros when p11-kit has nothing for them. */
static struct str field(const unsigned char *p, size_t n)
{
	while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == 0))
		n--;
	return str_n(p, n);
}

static fallible check_token(struct token_uri *u, struct err *err)
{
	const CK_TOKEN_INFO *info = p11_kit_uri_get_token_info(u->kit);
	struct str label = field(info->label, sizeof info->label);
	struct str serial = field(info->serialNumber, sizeof info->serialNumber);
	struct str other = field(info->model, sizeof info->model);
	if (other.n == 0)
		other = field(info->manufacturerID, sizeof info->manufacturerID);
	if (p11_kit_uri_get_slot_id(u->kit) != (CK_SLOT_ID)-1)
		FAIL(err, ERR_CONFIG,
		     "pkcs11 URI: found slot-id; allowed: token=LABEL or serial=NUMBER, because slot numbers change");
	if (label.n == 0 && serial.n == 0 && other.n == 0)
		FAIL(err, ERR_CONFIG, "pkcs11 URI: it names no token; wanted token=LABEL or serial=NUMBER");
	struct str shown = label.n > 0 ? label : serial.n > 0 ? serial : other;
	(void)snprintf(u->name, sizeof u->name, "%.*s", STR_FMT(shown));
	return OK;
}

static fallible check_object(struct token_uri *u, struct err *err)
{
	struct str class = attribute(u->kit, CKA_CLASS);
	CK_OBJECT_CLASS value = CKO_PRIVATE_KEY;
	if (class.n == sizeof value)
		memcpy(&value, class.p, sizeof value);
	if (value != CKO_PRIVATE_KEY)
		FAIL(err, ERR_CONFIG, "pkcs11 URI: found another type than private; allowed: type=private or none");
	u->object = attribute(u->kit, CKA_LABEL);
	u->id = attribute(u->kit, CKA_ID);
	if (u->object.n == 0 && u->id.n == 0)
		FAIL(err, ERR_CONFIG, "pkcs11 URI: it names no key; wanted object=LABEL or id=%%XX%%XX");
	return OK;
}

static fallible check_query(struct token_uri *u, struct err *err)
{
	u->module_path = p11_kit_uri_get_module_path(u->kit);
	u->pin_source = p11_kit_uri_get_pin_source(u->kit);
	if (p11_kit_uri_get_pin_value(u->kit) != NULL)
		FAIL(err, ERR_CONFIG,
		     "pkcs11 URI: found pin-value, for all to read; allowed: the PIN in a file of its own (pin-file)");
	if (u->module_path == NULL || u->module_path[0] != '/')
		FAIL(err, ERR_CONFIG,
		     "pkcs11 URI: it names no module; wanted module-path=/ABSOLUTE/PATH.so after the \"?\"");
	if (u->pin_source == NULL)
		return OK;
	struct str source = str_z(u->pin_source);
	if (str_skip(&source, STR("file:")) && str_starts(source, STR("///")))
		source = str_sub(source, 2, source.n);
	if (source.n < 2 || source.p[0] != '/' || source.p[1] == '/')
		FAIL(err, ERR_CONFIG, "pkcs11 URI: found a pin-source that is no file; allowed: file:/ABSOLUTE/PATH");
	u->pin_source = source.p; /* ends where the whole ends */
	return OK;
}

static fallible check_uri(struct token_uri *u, struct err *err)
{
	if (p11_kit_uri_any_unrecognized(u->kit))
		FAIL(err, ERR_CONFIG, "pkcs11 URI: it has a part that is not known; allowed: those of RFC 7512");
	TRY(check_token(u, err));
	TRY(check_object(u, err));
	return check_query(u, err);
}

fallible token_uri_read(struct str text, struct token_uri *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(token_uri_done) struct token_uri u = { 0 };
	char *z = NULL;
	if (text.n > TOKEN_URI_MAX)
		FAIL(err, ERR_CONFIG, "pkcs11 URI of %zu bytes, at most %d are read", text.n, TOKEN_URI_MAX);
	for (size_t i = 0; i < text.n; i++) /* p11-kit would pass over blanks, and name another key */
		if (text.p[i] <= ' ' || text.p[i] > '~')
			FAIL(err, ERR_CONFIG,
			     "pkcs11 URI: found a blank or what is not ASCII; allowed: %%20 and the like");
	TRY(str_dupz(&mem, text, &z, err));
	u.kit = p11_kit_uri_new();
	if (u.kit == NULL)
		FAIL(err, ERR_INTERNAL, "no memory for a URI");
	int code = p11_kit_uri_parse(z, P11_KIT_URI_FOR_ANY, u.kit);
	if (code != P11_KIT_URI_OK)
		FAIL(err, ERR_CONFIG, "pkcs11 URI: %s", reason(code));
	TRY(check_uri(&u, err));
	*ret = u;
	u = (struct token_uri){ 0 };
	return OK;
}
