/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/e2b_view.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/daemon/credential.h"
#include "api/daemon/profile.h"
#include "base/num.h"

#define YEAR_MAX 9999

void e2b_time(int64_t unix_ms, char text[E2B_TIME_LEN + 1])
{
	time_t s = (time_t)(unix_ms / 1000);
	struct tm tm = { 0 };

	(void)gmtime_r(&s, &tm);
	(void)snprintf(text, E2B_TIME_LEN + 1, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
		       (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
		       (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100,
		       (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100,
		       (unsigned)(unix_ms % 1000) % 1000);
}

/* `count` digits at *s, stepped over: a number of at most max, or -EINVAL. */
static int take_digits(const char **s, unsigned count, int max)
{
	int n = 0;

	for (unsigned i = 0; i < count; i++, (*s)++) {
		if (**s < '0' || **s > '9')
			return -EINVAL;
		n = n * 10 + (**s - '0');
	}
	return n <= max ? n : -EINVAL;
}

/* "Z", or "+hh:mm": in minutes. */
static int take_offset(const char *s, int *ret)
{
	const int sign = *s == '-' ? -1 : 1;
	int hours, minutes;

	*ret = 0;
	if ((*s == 'Z' || *s == 'z') && s[1] == '\0')
		return 0;
	/* '+' is a blank where a client did not escape it. */
	if (*s != '+' && *s != '-' && *s != ' ')
		return -EINVAL;
	s++;
	hours = take_digits(&s, 2, 23);
	if (hours < 0 || *s++ != ':')
		return -EINVAL;
	minutes = take_digits(&s, 2, 59);
	if (minutes < 0 || *s != '\0')
		return -EINVAL;
	*ret = sign * (hours * 60 + minutes);
	return 0;
}

int e2b_time_parse(const char *text, int64_t *ret_unix_ms)
{
	static const struct {
		unsigned digits;
		int max;
		char after; /* 0 = what it likes */
	} parts[] = { { 4, YEAR_MAX, '-' }, { 2, 12, '-' }, { 2, 31, 'T' },
		      { 2, 23, ':' },	    { 2, 59, ':' }, { 2, 60, 0 } };
	int v[ARRAY_SIZE(parts)], offset, ms = 0, scale = 100;
	const char *s = text;
	struct tm tm;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		v[i] = take_digits(&s, parts[i].digits, parts[i].max);
		if (v[i] < 0 || (parts[i].after != 0 && *s++ != parts[i].after))
			return -EINVAL;
	}
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++, scale /= 10)
			ms += (*s - '0') * scale;
	if (take_offset(s, &offset) < 0 || v[0] < 1970 || v[1] < 1 || v[2] < 1)
		return -EINVAL;
	tm = (struct tm){ .tm_year = v[0] - 1900,
			  .tm_mon = v[1] - 1,
			  .tm_mday = v[2],
			  .tm_hour = v[3],
			  .tm_min = v[4],
			  .tm_sec = v[5] };
	*ret_unix_ms = ((int64_t)timegm(&tm) - offset * 60) * 1000 + ms;
	return 0;
}

static const char *template_of(const struct sandbox *s)
{
	const struct profile *p = sandbox_profile(s);

	return p != NULL && p->template[0] != '\0' ? p->template : sandbox_spec(s)->image;
}

/* Adds value unless it is NULL. */
static void add_text(json_t *o, const char *name, const char *value)
{
	if (value != NULL)
		(void)json_object_set_new(o, name, json_string(value));
}

static void add_access(json_t *o, const struct service *sv, const struct sandbox *s)
{
	const struct profile *p = sandbox_profile(s);
	char token[CREDENTIAL_TOKEN_LEN + 1];

	if (p == NULL || p->secure) {
		credential_token(store_secret(sv->store), CREDENTIAL_ACCESS, sandbox_id(s), token);
		add_text(o, "envdAccessToken", token);
	}
	if (p == NULL || p->private_traffic) {
		credential_token(store_secret(sv->store), CREDENTIAL_TRAFFIC, sandbox_id(s), token);
		add_text(o, "trafficAccessToken", token);
	}
	explicit_bzero(token, sizeof(token));
	add_text(o, "domain", sv->domain);
}

json_t *e2b_sandbox_json(const struct service *sv, const struct sandbox *s)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "sandboxID", sandbox_id(s), "templateID",
			      template_of(s), "alias", template_of(s), "clientID", E2B_CLIENT_ID,
			      "envdVersion", E2B_ENVD_VERSION);

	if (o != NULL)
		add_access(o, sv, s);
	return o;
}

json_t *e2b_listed_json(const struct service *sv, const struct sandbox *s)
{
	const struct profile *p = sandbox_profile(s);
	const struct spec *spec = sandbox_spec(s);
	char started[E2B_TIME_LEN + 1], end[E2B_TIME_LEN + 1];
	int64_t end_ms = sandbox_end_unix_ms(s);
	json_t *o;

	(void)sv;
	e2b_time(sandbox_created_unix_ms(s), started);
	/* One without a timeout ends some day; the SDKs want a time. */
	e2b_time(end_ms != 0 ? end_ms : INT64_C(253402300799000), end);
	o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:[]}", "sandboxID",
		      sandbox_id(s), "templateID", template_of(s), "alias", template_of(s),
		      "clientID", E2B_CLIENT_ID, "envdVersion", E2B_ENVD_VERSION, "startedAt",
		      started, "endAt", end, "state", sandbox_away(s) ? "paused" : "running",
		      "cpuCount", (int)spec->vcpus, "memoryMB",
		      (json_int_t)(spec->memory_bytes / MIB), "diskSizeMB",
		      (json_int_t)(spec->scratch_bytes / MIB), "volumeMounts");
	if (o != NULL)
		(void)json_object_set_new(o, "metadata",
					  p != NULL && p->metadata != NULL
						  ? json_incref(p->metadata)
						  : json_object());
	return o;
}

/* What it may reach, less the secrets of rules and of a proxy. */
static json_t *network_json(const struct profile *p, const json_t *policy)
{
	static const char *const lists[] = { "allowOut", "denyOut" };
	json_t *o = json_pack("{s:b}", "allowPublicTraffic", p != NULL && !p->private_traffic);

	for (size_t i = 0; i < ARRAY_SIZE(lists) && o != NULL; i++) {
		json_t *list = json_object_get(policy, lists[i]);
		if (json_is_array(list))
			(void)json_object_set(o, lists[i], list);
	}
	if (p != NULL && p->mask_host[0] != '\0')
		add_text(o, "maskRequestHost", p->mask_host);
	return o;
}

static void add_network(json_t *o, const struct sandbox *s)
{
	const char *text = sandbox_spec(s)->network;
	json_t *policy = text == NULL ? NULL : json_loads(text, 0, NULL);

	(void)json_object_set_new(
		o, "allowInternetAccess",
		json_boolean(json_is_true(json_object_get(policy, "allow_internet_access"))));
	(void)json_object_set_new(o, "network", network_json(sandbox_profile(s), policy));
	json_decref(policy);
}

json_t *e2b_detail_json(const struct service *sv, const struct sandbox *s)
{
	const struct profile *p = sandbox_profile(s);
	json_t *o = e2b_listed_json(sv, s);

	if (o == NULL)
		return NULL;
	add_access(o, sv, s);
	add_network(o, s);
	(void)json_object_set_new(o, "lifecycle",
				  json_pack("{s:s, s:b}", "onTimeout",
					    sandbox_spec(s)->pause_on_timeout ? "pause" : "kill",
					    "autoResume", p != NULL && p->auto_resume));
	return o;
}
