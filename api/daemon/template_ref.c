/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/template_ref.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <sys/types.h>

#include "base/bug.h"
#include "base/num.h"

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyz0123456789_-"
#define ID_CHARS   "abcdefghijklmnopqrstuvwxyz0123456789"
#define HEX_CHARS  "0123456789abcdef"

/* ---- Names and tags ------------------------------------------------------------------------ */

bool template_tag_ok(const char *tag)
{
	const size_t len = strlen(tag);

	return len > 0 && len <= TEMPLATE_TAG_MAX && strspn(tag, NAME_CHARS ".") == len;
}

/* Words that are paths of the API beside templates' names. */
static bool is_reserved(const char *name)
{
	return strcmp(name, "tags") == 0 || strcmp(name, "aliases") == 0;
}

/* Cuts text at the colon. False: a part is empty, too long, or has other characters. */
static bool cut(const char *text, struct template_ref *ret)
{
	const size_t len = strcspn(text, ":");

	*ret = (struct template_ref){ 0 };
	if (len == 0 || len > TEMPLATE_NAME_MAX || strspn(text, NAME_CHARS) != len)
		return false;
	memcpy(ret->name, text, len);
	if (text[len] == '\0')
		return true;
	if (!template_tag_ok(text + len + 1))
		return false;
	memcpy(ret->tag, text + len + 1, strlen(text + len + 1) + 1);
	return true;
}

int template_ref_parse(const char *text, struct template_ref *ret, struct err *err)
{
	if (!cut(text, ret))
		return err_set(err, -EINVAL,
			       "name: is NAME or NAME:TAG, each 1 to 64 of a-z, 0-9, '-' and '_', "
			       "a tag also '.'");
	if (template_id_ok(ret->name) || is_reserved(ret->name))
		return err_set(err, -EINVAL, "name: \"%s\" is not for templates", ret->name);
	return 0;
}

int template_ref_find(const char *text, struct template_ref *ret)
{
	return cut(text, ret) && !is_reserved(ret->name) ? 0 : -EINVAL;
}

/* ---- Ids ----------------------------------------------------------------------------------- */

static void random_bytes(void *p, size_t len)
{
	BUG_ON(getrandom(p, len, 0) != (ssize_t)len);
}

void template_id_make(char id[TEMPLATE_ID_LEN + 1])
{
	static const char chars[] = ID_CHARS;
	const size_t n = sizeof(chars) - 1;
	size_t at = 0;

	id[at++] = 't';
	while (at < TEMPLATE_ID_LEN) {
		uint8_t b;
		random_bytes(&b, 1);
		if (b < 256 / n * n) /* no character more often than another */
			id[at++] = chars[b % n];
	}
	id[at] = '\0';
}

bool template_id_ok(const char *id)
{
	return id[0] == 't' && strlen(id) == TEMPLATE_ID_LEN &&
	       strspn(id, ID_CHARS) == TEMPLATE_ID_LEN;
}

static bool is_dash(size_t i)
{
	return i == 8 || i == 13 || i == 18 || i == 23;
}

/* Version 4, variant 1 (RFC 9562). */
void build_id_make(char id[BUILD_ID_LEN + 1])
{
	static const char hex[] = HEX_CHARS;
	uint8_t b[16];
	size_t n = 0;

	random_bytes(b, sizeof(b));
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < BUILD_ID_LEN; i++) {
		if (is_dash(i)) {
			id[i] = '-';
			continue;
		}
		id[i] = hex[n % 2 == 0 ? b[n / 2] >> 4 : b[n / 2] & 15];
		n++;
	}
	id[BUILD_ID_LEN] = '\0';
}

bool build_id_ok(const char *id)
{
	if (strlen(id) != BUILD_ID_LEN)
		return false;
	for (size_t i = 0; i < BUILD_ID_LEN; i++)
		if (is_dash(i) ? id[i] != '-' : strchr(HEX_CHARS, id[i]) == NULL)
			return false;
	return true;
}

/* ---- Images -------------------------------------------------------------------------------- */

int template_image_name(const char *ref, const char *fallback, char name[SPEC_NAME_MAX + 1],
			struct err *err)
{
	const char *slash = strrchr(ref, '/');
	const char *s = slash == NULL ? ref : slash + 1;
	size_t len;

	if (strcmp(s, "base") == 0 || strcmp(s, "base:latest") == 0)
		s = fallback;
	len = strlen(s);
	if (len == 0 || len > SPEC_NAME_MAX || s[0] == '.' || strspn(s, NAME_CHARS ".:") < len)
		return err_set(err, -EINVAL, "fromImage: can't be the name of an image");
	for (size_t i = 0; i < len; i++)
		name[i] = s[i] == ':' ? '-' : s[i];
	name[len] = '\0';
	return 0;
}
