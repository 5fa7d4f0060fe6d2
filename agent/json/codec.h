/* SPDX-License-Identifier: Apache-2.0 */
/*
 * codec.h - protobuf messages as proto3 JSON, from the descriptors that protobuf-c generates; no
 * code for any one message.
 *
 * Covered is what api/proto/agent.proto uses: bool, 32 and 64 bit integers, enums, strings, bytes,
 * messages, repeated, map<string, string>, oneof, and Timestamp as RFC 3339. Names go out in
 * lowerCamelCase and come in as that or as they stand in the .proto file.
 *
 * Decoding goes by way of the binary encoding, so that there is one decoder of messages with one
 * bound on memory (rpc_unpack). Pure; fuzzed by fuzz/agent_json.c.
 */
#ifndef AGENT_JSON_CODEC_H
#define AGENT_JSON_CODEC_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"

#define JSON_DEPTH_MAX 32

/* Appends the message: 0, -ENOSPC, -ENOMEM. Fields with their default value are left out. */
MUST_USE int json_encode(const ProtobufCMessage *msg, struct buf *out);

/* Appends the binary encoding of a message of type desc: 0, -EINVAL (malformed, or a value that
 * doesn't fit, err says what), -ENOSPC, -ENOMEM. Members that desc doesn't know are skipped. */
MUST_USE int json_decode(const ProtobufCMessageDescriptor *desc, const char *text, size_t len,
			 struct buf *out, struct err *err);

/* Is this message type one entry of a map<string, string>? */
bool json_is_map_entry(const ProtobufCMessageDescriptor *desc);
/* Is it our google.protobuf.Timestamp? */
bool json_is_timestamp(const ProtobufCMessageDescriptor *desc);

#endif
