#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # bats sets status and output
# Snapshots of a Linux guest: what runs in it, and its files, go on in as many sandboxes as one likes.

bats_require_minimum_version 1.5.0
load helpers

store=/var/lib/casemate/snapshots

setup_file() {
	pkill -INT -x casemated
	until_true 60 no_daemon
	start_daemon --boot-timeout 2m
}
teardown_file() {
	pkill -INT -x casemated
	until_true 60 no_daemon
	start_daemon
	clean
}
teardown() {
	casemate ps --json | jq -r '.sandboxes[].id' | xargs -r casemate rm || true
	casemate snapshot ls --json | jq -r '.snapshots[].id' | xargs -r casemate snapshot rm || true
}
no_daemon() { ! pgrep -x casemated; }
in_it() { casemate exec "$1" -- sh -c "$2"; }
counts() { in_it "$1" 'cat /tmp/count'; }
counts_beyond() { [ "$(counts "$1")" -gt "$2" ]; }

@test "a process and a file survive; two sandboxes of one snapshot are two machines" {
	before=$(denials | wc -l)
	id=$(casemate create)
	in_it "$id" 'echo before >/tmp/file; cat /proc/sys/kernel/random/boot_id >/tmp/boot_id
		(n=0; while :; do n=$((n + 1)); echo $n >/tmp/count.new; mv /tmp/count.new /tmp/count; sleep 0.1; done) </dev/null >/dev/null 2>&1 &'
	until_true 30 counts_beyond "$id" 3
	snapshot=$(casemate snapshot create --name warm "$id")
	[[ "$(stat -c '%U %a %C' $store/"$snapshot")" = "root 600 "*":object_r:casemate_paused_t:s0" ]]
	in_it "$id" 'echo after >/tmp/file'
	at=$(counts "$id")
	casemate rm "$id"

	a=$(casemate create --snapshot warm)
	b=$(casemate create --snapshot "$snapshot")
	[ "$(in_it "$a" 'cat /tmp/file')" = before ]
	[ "$(in_it "$b" 'cat /tmp/file')" = before ]
	for one in "$a" "$b"; do
		until_true 30 counts_beyond "$one" "$at"
		in_it "$one" 'hostname; cat /etc/machine-id /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id' >"$BATS_TEST_TMPDIR/$one"
		in_it "$one" '! cmp -s /tmp/boot_id /proc/sys/kernel/random/boot_id'
	done
	[ "$(head -n 1 "$BATS_TEST_TMPDIR/$a")" = "$a" ]
	[ -z "$(sort "$BATS_TEST_TMPDIR/$a" "$BATS_TEST_TMPDIR/$b" | uniq -d)" ]

	pkill -KILL -x casemated
	until_true 10 no_daemon
	start_daemon --boot-timeout 2m
	[ "$(casemate run --snapshot warm -- cat /tmp/file)" = before ]
	casemate snapshot rm warm
	until_true 10 no_files
	[ "$(in_it "$a" 'cat /tmp/file')" = before ]
	[ "$(denials | wc -l)" = "$before" ]
}

@test "a scratch disk goes with its snapshot, to each its own" {
	before=$(denials | wc -l)
	id=$(casemate create --scratch 64M)
	in_it "$id" 'head -c 5000000 /dev/urandom >/big; sha256sum /big >/sum'
	snapshot=$(casemate snapshot create "$id")
	in_it "$id" 'echo changed >/big'
	a=$(casemate create --snapshot "$snapshot")
	b=$(casemate create --snapshot "$snapshot")
	in_it "$a" 'sha256sum -c /sum && echo mine >/big && sync'
	in_it "$b" 'echo 3 >/proc/sys/vm/drop_caches; sha256sum -c /sum'
	[ "$(denials | wc -l)" = "$before" ]
}
no_files() { [ -z "$(ls -A $store)" ]; }
