/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DNS messages of a guest and of a resolver. The first byte says whose. A question that was
 * understood is asked again by us and gives the same one; each can be answered, and our reader
 * reads that answer.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/bug.h"
#include "egress/dns.h"

static const struct addr four = { { [10] = 0xff, 0xff, 8, 8, 8, 8 } };
static const struct addr six = { { 0x26, 0x06 } };

static void check_name(const char *name)
{
	char again[NAME_CAP];

	BUG_ON(name_normalize(name, strlen(name), again) < 0 || strcmp(name, again) != 0);
}

static void answer(const struct dns_query *q, int rcode)
{
	uint8_t out[DNS_UDP_MAX];
	bool six_wanted = q->type == DNS_TYPE_AAAA;
	bool has = rcode == 0 && (q->type == DNS_TYPE_A || six_wanted);
	struct dns_answer a;
	size_t len = dns_answer_build(out, q, (enum dns_rcode)rcode, six_wanted ? &six : &four,
				      has ? 1 : 0, 60);

	BUG_ON(len < 12 || len > sizeof(out));
	if (rcode != 0)
		return;
	BUG_ON(dns_answer_parse(out, len, q->id, q->name, q->type, &a) < 0);
	BUG_ON(a.count != (has ? 1U : 0U));
}

static void question(const uint8_t *data, size_t size)
{
	struct dns_query q, again;
	uint8_t out[DNS_UDP_MAX];
	int r = dns_query_parse(data, size, &q);
	size_t len;

	if (r < 0) {
		BUG_ON(r != -EBADMSG);
		return;
	}
	answer(&q, r);
	if (r > 0)
		return;
	check_name(q.name);
	len = dns_query_build(out, q.id, q.name, q.type);
	BUG_ON(dns_query_parse(out, len, &again) != 0 || strcmp(q.name, again.name) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_answer a;
	uint16_t type;

	if (size < 1)
		return 0;
	if (data[0] % 3 == 0) {
		question(data + 1, size - 1);
		return 0;
	}
	type = data[0] % 3 == 1 ? DNS_TYPE_A : DNS_TYPE_AAAA;
	if (dns_answer_parse(data + 1, size - 1, 0x1234, "www.example.org", type, &a) < 0)
		return 0;
	BUG_ON(a.count > EGRESS_ADDRS_MAX);
	for (size_t i = 0; i < a.count; i++)
		BUG_ON(addr_is_v4(&a.addrs[i]) != (type == DNS_TYPE_A));
	return 0;
}
