/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/dns.h"

#include <errno.h>
#include <string.h>

#include "base/bug.h"
#include "egress/cursor.h"

#define HEADER_BYTES 12U
#define HOPS_MAX     16U /* CNAMEs of a chain */
#define RECORDS_MAX  128U
#define LABELS_MAX   128U
#define TYPE_OPT     41U
#define CLASS_IN     1U

#define FLAG_QR	     0x8000U
#define FLAG_TC	     0x0200U
#define FLAG_RD	     0x0100U
#define FLAG_RA	     0x0080U
#define OPCODE_MASK  0x7800U
#define RCODE_MASK   0x000fU
#define POINTER_BITS 0xc0U

/* The largest answer: a question of the longest name and as many AAAA records as there may be. */
_Static_assert(HEADER_BYTES + DNS_WIRE_MAX + 4 + EGRESS_ADDRS_MAX * (12 + 16) <= DNS_UDP_MAX,
	       "an answer always fits a datagram, so nothing is ever truncated");

struct header {
	uint16_t id, flags, questions, answers, authorities, extras;
};

static struct header take_header(struct cursor *c)
{
	struct header h;

	h.id = cursor_u16(c);
	h.flags = cursor_u16(c);
	h.questions = cursor_u16(c);
	h.answers = cursor_u16(c);
	h.authorities = cursor_u16(c);
	h.extras = cursor_u16(c);
	return h;
}

/* "\3www\7example\0" of len bytes, checked already, as a name: "" when it isn't one of ours. */
static void wire_to_name(const uint8_t *wire, size_t len, char ret[NAME_CAP])
{
	char text[DNS_WIRE_MAX];
	size_t n = 0;

	for (size_t i = 0; i < len && wire[i] != 0; i += 1U + wire[i]) {
		if (n > 0)
			text[n++] = '.';
		/* A dot within a label would look like two labels. */
		if (memchr(wire + i + 1, '.', wire[i]) != NULL) {
			ret[0] = '\0';
			return;
		}
		memcpy(text + n, wire + i + 1, wire[i]);
		n += wire[i];
	}
	if (name_normalize(text, n, ret) < 0)
		ret[0] = '\0';
}

static size_t name_to_wire(const char *name, uint8_t wire[DNS_WIRE_MAX])
{
	size_t n = 0;

	BUG_ON(strlen(name) > EGRESS_NAME_MAX);
	for (const char *label = name;;) {
		size_t len = strcspn(label, ".");

		BUG_ON(len == 0 || len > EGRESS_LABEL_MAX);
		wire[n++] = (uint8_t)len;
		memcpy(wire + n, label, len);
		n += len;
		if (label[len] == '\0')
			break;
		label += len + 1;
	}
	wire[n++] = 0;
	return n;
}

/* An uncompressed name: its wire form into wire. */
static int take_plain_name(struct cursor *c, uint8_t wire[DNS_WIRE_MAX], size_t *ret_len)
{
	size_t n = 0;

	for (;;) {
		unsigned len = cursor_u8(c);
		struct cursor label = cursor_take(c, len);

		/* 64 and more: a pointer, or something that was never defined. */
		if (c->bad || len > EGRESS_LABEL_MAX || n + 1 + len > DNS_WIRE_MAX)
			return -EBADMSG;
		wire[n++] = (uint8_t)len;
		memcpy(wire + n, label.at, len);
		n += len;
		if (len == 0)
			break;
	}
	*ret_len = n;
	return 0;
}

/*
 * A name that may be compressed. Each pointer must lead to before the place where the last piece
 * began, so the way is finite.
 */
static int take_name(const uint8_t *msg, size_t size, struct cursor *c, uint8_t wire[DNS_WIRE_MAX],
		     size_t *ret_len)
{
	struct cursor at = *c;
	size_t n = 0, start = (size_t)(c->at - msg);
	bool jumped = false;

	for (unsigned labels = 0;; labels++) {
		unsigned len = cursor_u8(&at);
		struct cursor label;

		if (labels == LABELS_MAX)
			return -EBADMSG;
		if ((len & POINTER_BITS) == POINTER_BITS) {
			size_t to = (size_t)(len & ~POINTER_BITS) << 8 | cursor_u8(&at);

			if (at.bad || to >= start)
				return -EBADMSG;
			if (!jumped)
				*c = at;
			jumped = true;
			start = to;
			at = cursor_of(msg + to, size - to);
			continue;
		}
		label = cursor_take(&at, len);
		if (at.bad || len > EGRESS_LABEL_MAX || n + 1 + len > DNS_WIRE_MAX)
			return -EBADMSG;
		wire[n++] = (uint8_t)len;
		memcpy(wire + n, label.at, len);
		n += len;
		if (len == 0)
			break;
	}
	if (!jumped)
		*c = at;
	*ret_len = n;
	return 0;
}

static int take_question(struct cursor *c, struct dns_query *q)
{
	if (take_plain_name(c, q->wire, &q->wire_len) < 0)
		return -EBADMSG;
	q->type = cursor_u16(c);
	q->class = cursor_u16(c);
	if (c->bad)
		return -EBADMSG;
	q->asked = true;
	wire_to_name(q->wire, q->wire_len, q->name);
	return 0;
}

/* Nothing may follow the question but one OPT record. */
static bool tail_is_fine(struct cursor c, const struct header *h)
{
	if (h->extras == 1) {
		unsigned root = cursor_u8(&c), type = cursor_u16(&c);

		(void)cursor_u16(&c);
		(void)cursor_u32(&c);
		(void)cursor_take(&c, cursor_u16(&c));
		if (root != 0 || type != TYPE_OPT)
			return false;
	}
	return !c.bad && c.left == 0;
}

int dns_query_parse(const void *msg, size_t len, struct dns_query *ret)
{
	struct cursor c = cursor_of(msg, len);
	struct header h = take_header(&c);

	memset(ret, 0, sizeof(*ret));
	if (c.bad || (h.flags & FLAG_QR) != 0)
		return -EBADMSG;
	ret->id = h.id;
	ret->recursion = (h.flags & FLAG_RD) != 0;
	if ((h.flags & OPCODE_MASK) != 0)
		return DNS_NOTIMP;
	if ((h.flags & FLAG_TC) != 0 || h.questions != 1 || h.answers != 0 || h.authorities != 0 ||
	    h.extras > 1)
		return DNS_FORMERR;
	if (take_question(&c, ret) < 0 || !tail_is_fine(c, &h))
		return DNS_FORMERR;
	if (ret->class != CLASS_IN || ret->name[0] == '\0')
		return DNS_REFUSED;
	return 0;
}

struct writer {
	uint8_t *at;
	size_t len;
};

static void put(struct writer *w, const void *data, size_t len)
{
	BUG_ON(len > DNS_UDP_MAX - w->len);
	memcpy(w->at + w->len, data, len);
	w->len += len;
}

static void put_u16(struct writer *w, unsigned v)
{
	const uint8_t b[2] = { (uint8_t)(v >> 8), (uint8_t)v };

	put(w, b, sizeof(b));
}

static void put_header(struct writer *w, unsigned id, unsigned flags, unsigned questions,
		       size_t answers)
{
	put_u16(w, id);
	put_u16(w, flags);
	put_u16(w, questions);
	put_u16(w, (unsigned)answers);
	put_u16(w, 0);
	put_u16(w, 0);
}

static void put_address(struct writer *w, const struct addr *a, uint16_t type, uint32_t ttl)
{
	BUG_ON(addr_is_v4(a) != (type == DNS_TYPE_A));
	put_u16(w, POINTER_BITS << 8 | HEADER_BYTES); /* the question's name */
	put_u16(w, type);
	put_u16(w, CLASS_IN);
	put_u16(w, ttl >> 16);
	put_u16(w, ttl & 0xffff);
	put_u16(w, type == DNS_TYPE_A ? 4 : 16);
	put(w, type == DNS_TYPE_A ? a->b + 12 : a->b, type == DNS_TYPE_A ? 4 : 16);
}

size_t dns_answer_build(uint8_t out[DNS_UDP_MAX], const struct dns_query *q, enum dns_rcode rcode,
			const struct addr *addrs, size_t count, uint32_t ttl)
{
	struct writer w = { .at = out };

	BUG_ON(count > EGRESS_ADDRS_MAX || (count > 0 && !q->asked));
	put_header(&w, q->id, FLAG_QR | FLAG_RA | (q->recursion ? FLAG_RD : 0U) | (unsigned)rcode,
		   q->asked ? 1 : 0, count);
	if (q->asked) {
		put(&w, q->wire, q->wire_len);
		put_u16(&w, q->type);
		put_u16(&w, q->class);
	}
	for (size_t i = 0; i < count; i++)
		put_address(&w, &addrs[i], q->type, ttl);
	return w.len;
}

size_t dns_query_build(uint8_t out[DNS_UDP_MAX], uint16_t id, const char *name, uint16_t type)
{
	struct writer w = { .at = out };
	uint8_t wire[DNS_WIRE_MAX];
	size_t len = name_to_wire(name, wire);

	put_header(&w, id, FLAG_RD, 1, 0);
	put(&w, wire, len);
	put_u16(&w, type);
	put_u16(&w, CLASS_IN);
	return w.len;
}

struct record {
	uint8_t owner[DNS_WIRE_MAX];
	size_t owner_len;
	uint16_t type, class;
	uint32_t ttl;
	struct cursor data;
};

static int take_record(const uint8_t *msg, size_t size, struct cursor *c, struct record *r)
{
	if (take_name(msg, size, c, r->owner, &r->owner_len) < 0)
		return -EBADMSG;
	r->type = cursor_u16(c);
	r->class = cursor_u16(c);
	r->ttl = cursor_u32(c);
	if (r->ttl > INT32_MAX) /* RFC 2181 §8 */
		r->ttl = 0;
	r->data = cursor_take(c, cursor_u16(c));
	return c->bad ? -EBADMSG : 0;
}

static int take_address(const struct record *r, struct dns_answer *a)
{
	size_t want = r->type == DNS_TYPE_A ? 4 : 16;

	if (r->data.left != want)
		return -EBADMSG;
	if (a->count == EGRESS_ADDRS_MAX)
		return 0;
	a->addrs[a->count] = want == 4 ? addr_from_v4(r->data.at) : addr_from_v6(r->data.at);
	/* An AAAA record with an IPv4 address in it is a trick, and no place. */
	if (want == 16 && addr_is_v4(&a->addrs[a->count]))
		return 0;
	a->count++;
	return 0;
}

/* The answers' section: from `target` by CNAMEs to addresses. */
static int take_answers(const uint8_t *msg, size_t size, struct cursor *c, unsigned records,
			char target[NAME_CAP], uint16_t type, struct dns_answer *a)
{
	uint32_t ttl = INT32_MAX;
	unsigned hops = 0;

	if (records > RECORDS_MAX)
		return -EBADMSG;
	for (unsigned i = 0; i < records; i++) {
		struct record r;
		char owner[NAME_CAP];
		int e = take_record(msg, size, c, &r);

		if (e < 0)
			return e;
		wire_to_name(r.owner, r.owner_len, owner);
		if (r.class != CLASS_IN || owner[0] == '\0' || strcmp(owner, target) != 0)
			continue;
		if (r.type == DNS_TYPE_CNAME) {
			uint8_t wire[DNS_WIRE_MAX];
			size_t len;

			if (++hops > HOPS_MAX || take_name(msg, size, &r.data, wire, &len) < 0 ||
			    r.data.left != 0)
				return -EBADMSG;
			wire_to_name(wire, len, target);
		} else if (r.type == type) {
			if (take_address(&r, a) < 0)
				return -EBADMSG;
		} else {
			continue;
		}
		ttl = r.ttl < ttl ? r.ttl : ttl;
	}
	a->ttl = a->count > 0 ? ttl : 0;
	return 0;
}

int dns_answer_parse(const void *msg, size_t len, uint16_t id, const char *name, uint16_t type,
		     struct dns_answer *ret)
{
	struct cursor c = cursor_of(msg, len);
	struct header h = take_header(&c);
	struct dns_answer a = { 0 };
	struct dns_query q = { 0 };
	char target[NAME_CAP];

	if (c.bad || h.id != id || (h.flags & FLAG_QR) == 0 || (h.flags & OPCODE_MASK) != 0 ||
	    h.questions != 1 || take_question(&c, &q) < 0)
		return -EBADMSG;
	if (q.type != type || q.class != CLASS_IN || strcmp(q.name, name) != 0)
		return -EBADMSG;
	a.rcode = (enum dns_rcode)(h.flags & RCODE_MASK);
	a.truncated = (h.flags & FLAG_TC) != 0;
	memcpy(target, q.name, sizeof(target));
	if (!a.truncated && a.rcode == DNS_NOERROR &&
	    take_answers(msg, len, &c, h.answers, target, type, &a) < 0)
		return -EBADMSG;
	*ret = a;
	return 0;
}
