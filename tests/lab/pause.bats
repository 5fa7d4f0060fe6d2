#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # bats sets status and output
# A sandbox that is paused on the disk: nothing but a file is left of it, and its programs go on.

bats_require_minimum_version 1.5.0
load helpers

teardown() { casemate ps --json | jq -r '.sandboxes[].id' | xargs -r casemate rm || true; }

store=/var/lib/casemate/paused
in_it() { casemate exec "$1" -- sh -c "$2"; }
count() { in_it "$1" 'cat /tmp/count'; }
counts_beyond() { [ "$(count "$1")" -gt "$2" ] 2>/dev/null; }
no_file() { [ -z "$(ls -A $store)" ]; }

@test "a python that counts goes on counting after pause --disk and resume, under the same id" {
	id=$(casemate create)
	in_it "$id" 'setsid python3 -c "
import time, os
n = 0
while True:
	n += 1
	open(\"/tmp/new\", \"w\").write(str(n))
	os.rename(\"/tmp/new\", \"/tmp/count\")
	time.sleep(0.05)
" </dev/null >/dev/null 2>&1 & echo $! >/tmp/pid'
	until_true 30 counts_beyond "$id" 5
	random=$(in_it "$id" 'cat /proc/sys/kernel/random/uuid')
	who=$(in_it "$id" 'hostname; cat /etc/machine-id /etc/hosts /proc/sys/kernel/random/boot_id')
	before=$(count "$id")
	vmm=$(jail_of "$id" pid)
	run --separate-stderr casemate pause --disk "$id"
	[ "$status" -eq 0 ]
	[[ "$(casemate ps)" = *"$id"*"paused (disk)"* ]]
	# The user before the type is who started the jailer, which another file's tests may have done again.
	[[ "$(stat -c '%U %a %C' $store/"$id")" = "root 600 "*":object_r:casemate_paused_t:s0" ]]
	[ "$(du -B 1 $store/"$id" | cut -f 1)" -lt "$(stat -c %s $store/"$id")" ]
	[ ! -d "/proc/$vmm" ]
	run casemate exec "$id" -- true
	[ "$status" -eq 125 ]

	run --separate-stderr casemate resume "$id"
	[ "$status" -eq 0 ]
	[[ "$(casemate ps)" = *"$id"*running* ]]
	until_true 30 counts_beyond "$id" "$before"
	in_it "$id" 'kill -0 $(cat /tmp/pid)'
	[ "$(in_it "$id" 'cat /proc/sys/kernel/random/uuid')" != "$random" ]
	[ "$(in_it "$id" 'hostname; cat /etc/machine-id /etc/hosts /proc/sys/kernel/random/boot_id')" = "$who" ]
	# Its clock is the host's.
	skew=$(($(in_it "$id" 'date +%s') - $(date +%s)))
	[ "${skew#-}" -le 5 ]
	until_true 60 no_file
}

@test "a scratch disk is kept with it" {
	before=$(denials | wc -l)
	id=$(casemate create --scratch 64M)
	in_it "$id" 'head -c 20000000 /dev/urandom >/big; sync; sha256sum /big >/sum'
	casemate pause --disk "$id"
	[[ "$(stat -c '%U %a %C' $store/"$id".disk)" = "root 600 "*":object_r:casemate_paused_t:s0" ]]
	[ -z "$(jail_of "$id" cgroup)" ]
	casemate resume "$id"
	in_it "$id" 'echo 3 >/proc/sys/vm/drop_caches; sha256sum -c /sum && head -c 20000000 /dev/zero >/more && sync'
	until_true 60 no_file
	casemate rm "$id"
	[ "$(denials | wc -l)" = "$before" ]
}

writes() { in_it "$1" 'cat /proc/[0-9]*/cmdline | grep -q "writer-[l]oop"'; }
boot_id() { in_it "$1" 'cat /proc/sys/kernel/random/boot_id'; }

@test "without its memory a sandbox keeps its files, and none of its processes" {
	before=$(denials | wc -l)
	id=$(casemate create --scratch 256M --env WHO=me)
	boot=$(boot_id "$id")
	in_it "$id" 'id -u >/uid; echo kept >/root/file; head -c 20000000 /dev/urandom >/big; sha256sum /big >/sum; echo lost >/tmp/file'
	# It writes until the end; nothing is synchronised.
	in_it "$id" 'setsid sh -c "while :; do date >>/root/log; done" writer-loop </dev/null >/dev/null 2>&1 &'
	until_true 30 writes "$id"
	casemate pause --files "$id"
	[ "$(ls $store)" = "$id.disk" ]
	[[ "$(stat -c '%U %a %C' $store/"$id".disk)" = "root 600 "*":object_r:casemate_paused_t:s0" ]]
	[ -z "$(jail_of "$id" cgroup)" ]
	casemate resume "$id"
	[ "$(casemate ps --json | jq -r --arg id "$id" '.sandboxes[] | select(.id == $id) | .path')" = reboot ]
	[ "$(boot_id "$id")" != "$boot" ]
	[ "$(in_it "$id" 'echo $WHO; cat /root/file; sha256sum -c /sum >/dev/null && echo whole; ls /tmp')" = "$(printf 'me\nkept\nwhole')" ]
	run ! writes "$id"
	in_it "$id" 'test -s /root/log && rm /big && echo more >>/root/log'
	until_true 60 no_file
	# Once more, with what has changed.
	casemate pause --files "$id"
	casemate resume "$id"
	[ "$(in_it "$id" 'cat /root/file; ls /big 2>&1 | wc -l')" = "$(printf 'kept\n1')" ]
	casemate rm "$id"
	[ "$(denials | wc -l)" = "$before" ]
}

@test "what has its files in its memory isn't paused without it, and goes on" {
	id=$(casemate create)
	in_it "$id" 'echo here >/root/file'
	run casemate pause --files "$id"
	[ "$status" -ne 0 ]
	[[ "$output" = *"scratch disk"* ]]
	[ "$(in_it "$id" 'cat /root/file')" = here ]
}

api() { curl -s --unix-socket /run/casemate/casemated.sock "http://casemate$1" "${@:2}"; }
field() { casemate ps --json | jq -r --arg id "$1" ".sandboxes[] | select(.id == \$id) | .$2"; }
is_on_disk() { [ "$(field "$1" paused)" = disk ]; }

@test "a time limit that pauses, and connect, by the E2B API and by ours" {
	e2b=$(api /sandboxes -d '{"templateID":"base","timeout":6,"autoPause":true}' | jq -r .sandboxID)
	ours=$(casemate create --timeout 6s --on-timeout pause)
	for id in "$e2b" "$ours"; do
		in_it "$id" "echo $id >/tmp/mine; setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo \$! >/tmp/pid"
	done
	for id in "$e2b" "$ours"; do
		until_true 40 is_on_disk "$id"
		[ -f "$store/$id" ]
		[ -z "$(jail_of "$id" cgroup)" ]
	done
	[ "$(api "/sandboxes/$e2b" | jq -r '.state, .lifecycle.onTimeout' | tr '\n' ' ')" = "paused pause " ]
	[ "$(api "/sandboxes/$e2b/connect" -o /dev/null -w '%{http_code}' -d '{"timeout":60}')" = 201 ]
	[ "$(api "/sandboxes/$ours/connect" -o /dev/null -w '%{http_code}' -d '{"timeout":60}')" = 201 ]
	for id in "$e2b" "$ours"; do
		[ "$(in_it "$id" 'cat /tmp/mine; kill -0 $(cat /tmp/pid) && echo lives' | tr '\n' ' ')" = "$id lives " ]
		[ "$(field "$id" path)" = disk ]
	done
	# The control: without it a time limit ends a sandbox.
	id=$(casemate create --timeout 1s)
	until_true 20 ended "$id"
	[ "$(api "/sandboxes/$id/connect" -o /dev/null -w '%{http_code}' -d '{}')" = 404 ]
}
ended() { [ "$(casemate ps --json --all | jq -r --arg id "$1" '.sandboxes[] | select(.id == $id) | .end.reason')" = timeout ]; }
