/* SPDX-License-Identifier: Apache-2.0 */
/* frame.c - the frame format: headers, reassembly, the send queue, bounded message decoding. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/rpc/internal.h"
#include "base/bug.h"
#include "base/num.h"

/* What decoding `len` bytes may allocate in total; see rpc_unpack. */
#define UNPACK_BASE_BYTES 65536U
#define UNPACK_FACTOR	  8U

void frame_header_put(uint8_t out[FRAME_HEADER_BYTES], const struct frame_header *h)
{
	uint32_t len = htobe32(h->len), id = htobe32(h->id);

	memcpy(out, &len, sizeof(len));
	memcpy(out + 4, &id, sizeof(id));
	out[8] = h->type;
	out[9] = h->flags;
}

int frame_header_get(const uint8_t in[FRAME_HEADER_BYTES], struct frame_header *ret)
{
	struct frame_header h = { .type = in[8], .flags = in[9] };

	memcpy(&h.len, in, sizeof(h.len));
	memcpy(&h.id, in + 4, sizeof(h.id));
	h.len = be32toh(h.len);
	h.id = be32toh(h.id);
	if (h.len > RPC_PAYLOAD_MAX || h.id % 2 != 1)
		return -EPROTO;
	switch (h.type) {
	case FRAME_REQUEST:
		if (h.flags != 0 && h.flags != FRAME_REMOTE_CLOSED && h.flags != FRAME_REMOTE_OPEN)
			return -EPROTO;
		break;
	case FRAME_RESPONSE:
		if (h.flags != 0)
			return -EPROTO;
		break;
	case FRAME_DATA:
		if ((h.flags & ~(FRAME_REMOTE_CLOSED | FRAME_NO_DATA)) != 0)
			return -EPROTO;
		if ((h.flags & FRAME_NO_DATA) != 0 && h.len != 0)
			return -EPROTO;
		break;
	default:
		return -EPROTO;
	}
	*ret = h;
	return 0;
}

uint8_t frame_request_flags(enum rpc_kind kind)
{
	static const uint8_t flags[] = {
		[RPC_UNARY] = 0,
		[RPC_SERVER_STREAM] = FRAME_REMOTE_CLOSED,
		[RPC_CLIENT_STREAM] = FRAME_REMOTE_OPEN,
	};

	return flags[kind];
}

void frame_done(struct frame *f)
{
	free(f->body);
	for (size_t i = 0; i < f->nfds; i++)
		fd_closep(&f->fds[i]);
	*f = (struct frame){ 0 };
}

int frame_rx_want(struct frame_rx *rx, uint8_t **ret, size_t *ret_len)
{
	if (rx->head_got < FRAME_HEADER_BYTES) {
		*ret = rx->head + rx->head_got;
		*ret_len = FRAME_HEADER_BYTES - rx->head_got;
		return 0;
	}
	BUG_ON(rx->body_got >= rx->f.h.len);
	if (rx->f.body == NULL)
		rx->f.body = malloc(rx->f.h.len);
	if (rx->f.body == NULL)
		return -ENOMEM;
	*ret = rx->f.body + rx->body_got;
	*ret_len = rx->f.h.len - rx->body_got;
	return 0;
}

int frame_rx_got(struct frame_rx *rx, size_t n)
{
	if (rx->head_got < FRAME_HEADER_BYTES) {
		BUG_ON(n > FRAME_HEADER_BYTES - rx->head_got);
		rx->head_got += n;
		if (rx->head_got < FRAME_HEADER_BYTES)
			return 0;
		int r = frame_header_get(rx->head, &rx->f.h);
		if (r < 0)
			return r;
	} else {
		BUG_ON(n > rx->f.h.len - rx->body_got);
		rx->body_got += n;
	}
	return rx->body_got == rx->f.h.len ? 1 : 0;
}

void frame_rx_take(struct frame_rx *rx, struct frame *ret)
{
	*ret = rx->f;
	*rx = (struct frame_rx){ 0 };
}

void frame_tx_init(struct frame_tx *tx)
{
	*tx = (struct frame_tx){ 0 };
	buf_init(&tx->out, RPC_OUT_MAX);
}

static void fds_free(struct frame_fds *m)
{
	for (size_t i = 0; i < m->count; i++)
		fd_closep(&m->fds[i]);
	free(m);
}

void frame_tx_done(struct frame_tx *tx)
{
	while (tx->first != NULL) {
		struct frame_fds *m = tx->first;
		tx->first = m->next;
		fds_free(m);
	}
	buf_done(&tx->out);
	frame_tx_init(tx);
}

void frame_tx_sent(struct frame_tx *tx, size_t n)
{
	struct frame_fds *m = tx->first;

	if (n > 0 && m != NULL && m->at == tx->sent) {
		tx->first = m->next;
		tx->fds_queued--;
		fds_free(m);
	}
	tx->sent += n;
	buf_consume(&tx->out, n);
}

size_t frame_tx_next(const struct frame_tx *tx, const struct frame_fds **ret)
{
	const struct frame_fds *m = tx->first;
	size_t len = buf_len(&tx->out);

	*ret = NULL;
	if (m != NULL && m->at == tx->sent) {
		*ret = m;
		m = m->next;
	}
	if (m != NULL)
		len = MIN(len, (size_t)(m->at - tx->sent));
	return len;
}

static int fds_new(const int *fds, size_t nfds, struct frame_fds **ret)
{
	struct frame_fds *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return -ENOMEM;
	BUG_ON(nfds > FD_PASS_MAX);
	for (; m->count < nfds; m->count++) {
		int fd = fd_dup(fds[m->count], 0);
		if (fd < 0) {
			fds_free(m);
			return fd;
		}
		m->fds[m->count] = fd;
	}
	*ret = m;
	return 0;
}

static void fds_append(struct frame_tx *tx, struct frame_fds *m)
{
	m->at = tx->sent + buf_len(&tx->out);
	if (tx->first == NULL)
		tx->first = m;
	else
		tx->last->next = m;
	tx->last = m;
	tx->fds_queued++;
}

int frame_put(struct frame_tx *tx, uint32_t id, enum frame_type type, uint8_t flags,
	      const ProtobufCMessage *msg, size_t max, const int *fds, size_t nfds)
{
	size_t len = msg != NULL ? protobuf_c_message_get_packed_size(msg) : 0;
	struct frame_fds *m = NULL;
	uint8_t *p;
	int r;

	BUG_ON(max > RPC_PAYLOAD_MAX);
	if (len > max)
		return -EMSGSIZE;
	if (FRAME_HEADER_BYTES + len > buf_room(&tx->out))
		return -ENOSPC;
	if (nfds > 0) {
		if (tx->fds_queued >= FRAME_FDS_QUEUE_MAX)
			return -ENOSPC;
		r = fds_new(fds, nfds, &m);
		if (r < 0)
			return r;
	}
	p = buf_reserve(&tx->out, FRAME_HEADER_BYTES + len);
	if (p == NULL) {
		if (m != NULL)
			fds_free(m);
		return -ENOMEM;
	}
	frame_header_put(
		p, &(struct frame_header){
			   .len = (uint32_t)len, .id = id, .type = (uint8_t)type, .flags = flags });
	if (msg != NULL)
		BUG_ON(protobuf_c_message_pack(msg, p + FRAME_HEADER_BYTES) != len);
	if (m != NULL)
		fds_append(tx, m);
	buf_commit(&tx->out, FRAME_HEADER_BYTES + len);
	return 0;
}

ProtobufCBinaryData frame_bytes(const void *data, size_t len)
{
	ProtobufCBinaryData b = { .len = len };

	/* Packing only reads; the type just lacks the const. */
	memcpy(&b.data, &data, sizeof(data));
	return b;
}

int frame_pack(const ProtobufCMessage *msg, size_t max, uint8_t **ret, size_t *ret_len)
{
	size_t len = msg != NULL ? protobuf_c_message_get_packed_size(msg) : 0;
	uint8_t *p = NULL;

	if (len > max)
		return -EMSGSIZE;
	if (len > 0) {
		p = malloc(len);
		if (p == NULL)
			return -ENOMEM;
		BUG_ON(protobuf_c_message_pack(msg, p) != len);
	}
	*ret = p;
	*ret_len = len;
	return 0;
}

static void *budget_alloc(void *data, size_t size)
{
	size_t *left = data;

	if (size > *left)
		return NULL;
	*left -= size;
	/* malloc(0) may be NULL, which protobuf-c would take for a failure. */
	return malloc(size > 0 ? size : 1);
}

static void budget_free(void *data, void *p)
{
	(void)data;
	free(p);
}

/* Protobuf's small repeated elements turn two bytes of wire into tens of bytes of heap. */
ProtobufCMessage *rpc_unpack(const ProtobufCMessageDescriptor *desc, const uint8_t *data,
			     size_t len)
{
	static const uint8_t none[1];
	size_t left;
	ProtobufCAllocator budget = { .alloc = budget_alloc,
				      .free = budget_free,
				      .allocator_data = &left };

	BUG_ON(len > RPC_PAYLOAD_MAX);
	left = UNPACK_BASE_BYTES + UNPACK_FACTOR * len;
	return protobuf_c_message_unpack(desc, &budget, len, data != NULL ? data : none);
}
