#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # bats sets status and output
# What a sandbox's memory costs the host: a guest that frees memory gives it back.

bats_require_minimum_version 1.5.0
load helpers

teardown() { clean; }

# rss ID: KiB of the host's memory in which the VMM and its guest live.
rss() { awk '$1 == "Rss:" { print $2 }' "/proc/$(jail_of "$1" pid)/smaps_rollup"; }

rss_below() { [ "$(rss "$1")" -lt "$2" ]; }

@test "memory that a guest has freed goes back to the host" {
	cd "$BATS_TEST_TMPDIR"
	id=$(casemate create --memory 512M)
	idle=$(rss "$id")
	casemate exec -i "$id" -- python3 -c 'import sys
x = bytearray(200 << 20)
for i in range(0, len(x), 4096): x[i] = 1
print("full", flush=True)
sys.stdin.read()' >out < <(sleep 4) 3>&- &
	python=$!
	until_true 10 grep -q full out
	full=$(rss "$id")
	wait $python
	echo "idle $idle KiB, full $full KiB, now $(rss "$id") KiB"
	[ "$full" -gt $((idle + 200 * 1024)) ]
	# Linux reports free pages two seconds after they were freed; its own caches have grown a little.
	until_true 10 rss_below "$id" $((idle + 40 * 1024))
	casemate rm "$id"
}
