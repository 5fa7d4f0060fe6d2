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
	until_true 60 grep -q full out
	full=$(rss "$id")
	wait $python
	echo "idle $idle KiB, full $full KiB, now $(rss "$id") KiB"
	[ "$full" -gt $((idle + 200 * 1024)) ]
	# Linux reports free pages two seconds after they were freed; its own caches have grown a little.
	until_true 60 rss_below "$id" $((idle + 40 * 1024))
	casemate rm "$id"
}

# maps ID: the image in the VMM's address space.
maps() { grep root.erofs "/proc/$(jail_of "$1" pid)/maps"; }

@test "a root that is memory: shared by all who have it, writable for nobody" {
	id=$(casemate create --root pmem --memory 256M --scratch 64M)
	other=$(casemate create --root pmem --memory 256M)
	disk=$(casemate create --memory 256M)
	for i in "$id" "$other" "$disk"; do
		[ "$(casemate exec "$i" -- python3 -c 'import ssl, json; print(6*7)')" = 42 ]
	done
	casemate exec "$id" -- sh -c 'dmesg | grep -q "DAX enabled" && echo kept >/var/kept && cat /var/kept' | grep -qx kept
	# The VMM's only way to the file: a mapping that can't become writable. The descriptor is gone.
	maps "$id" | grep -q ' r--s '
	[ "$(maps "$id" | wc -l)" = 1 ]
	[ "$(readlink "/proc/$(jail_of "$id" pid)/fd/8")" = /dev/null ]
	run ! maps "$disk"
	# What python3 and its libraries are is in no guest's own memory, nor twice in the host's.
	cached='awk "\$1 == \"Cached:\" { print \$2 }" /proc/meminfo'
	here=$(casemate exec "$other" -- sh -c "$cached")
	there=$(casemate exec "$disk" -- sh -c "$cached")
	echo "page cache: $here KiB with pmem, $there KiB with a disk"
	[ "$here" -lt $((there / 3)) ]
	shared=$(awk '/root.erofs/ { on = 1 } on && $1 == "Shared_Clean:" { print $2; exit }' "/proc/$(jail_of "$other" pid)/smaps")
	[ "$shared" -gt 4096 ]
	# Root may write to the device; that goes nowhere.
	before=$(sha256sum </var/lib/casemate/images/default/root.erofs)
	casemate exec "$other" -- sh -c 'echo overwritten >/dev/pmem0; sync; true'
	[ "$(sha256sum </var/lib/casemate/images/default/root.erofs)" = "$before" ]
	[ "$(casemate run --root pmem -- python3 -c 'print(6*7)')" = 42 ]
	casemate rm "$id" "$other" "$disk"
}
