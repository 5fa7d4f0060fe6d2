/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON codec. The first byte picks a message type. What is accepted must decode as a message,
 * and the JSON of that must decode to the same JSON again.
 */
#include <agent.pb-c.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "agent/json/codec.h"
#include "api/rpc/rpc.h"
#include "base/buf.h"
#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX (1U << 20)

/* NULL: refused. */
static ProtobufCMessage *decode(const ProtobufCMessageDescriptor *d, const void *text, size_t len)
{
	ProtobufCMessage *msg = NULL;
	struct buf wire;
	struct err err;

	buf_init(&wire, OUT_MAX);
	if (json_decode(d, text, len, &wire, &err) == 0)
		msg = rpc_unpack(d, buf_head(&wire), buf_len(&wire));
	buf_done(&wire);
	return msg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const ProtobufCMessageDescriptor *const types[] = {
		&casemate__agent__v1__start_request__descriptor,
		&casemate__agent__v1__start_response__descriptor,
		&casemate__agent__v1__send_signal_request__descriptor,
		&casemate__agent__v1__send_input_request__descriptor,
		&casemate__agent__v1__list_response__descriptor,
		&casemate__agent__v1__list_dir_response__descriptor,
		&casemate__agent__v1__watch_dir_response__descriptor,
		&casemate__agent__v1__init_request__descriptor,
	};
	const ProtobufCMessageDescriptor *d;
	ProtobufCMessage *msg, *again;
	struct buf first, second;

	if (size == 0)
		return 0;
	d = types[data[0] % ARRAY_SIZE(types)];
	msg = decode(d, data + 1, size - 1);
	if (msg == NULL)
		return 0;
	BUG_ON(!protobuf_c_message_check(msg));
	buf_init(&first, OUT_MAX);
	buf_init(&second, OUT_MAX);
	BUG_ON(json_encode(msg, &first) != 0);
	again = decode(d, buf_head(&first), buf_len(&first));
	BUG_ON(again == NULL);
	BUG_ON(json_encode(again, &second) != 0);
	BUG_ON(buf_len(&first) != buf_len(&second) ||
	       memcmp(buf_head(&first), buf_head(&second), buf_len(&first)) != 0);
	protobuf_c_message_free_unpacked(msg, NULL);
	protobuf_c_message_free_unpacked(again, NULL);
	buf_done(&first);
	buf_done(&second);
	return 0;
}
