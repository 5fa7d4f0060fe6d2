#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # bats sets status and output
# Templates and the pool: sandboxes that didn't boot, and that nothing ties to each other.

bats_require_minimum_version 1.5.0
load helpers

setup_file() {
	pkill -INT -x casemated
	until_true 60 no_daemon
	start_daemon --pool 2
}
teardown_file() {
	pkill -INT -x casemated
	until_true 60 no_daemon
	start_daemon
	clean
}
no_daemon() { ! pgrep -x casemated; }

# spares: how many VMs lie ready.
spares() { api /v1/status | jq '[.pool[].spares] | add // 0'; }
api() { curl -s --unix-socket /run/casemate/casemated.sock "http://casemate$1"; }
has_spares() { [ "$(spares)" -ge "$1" ]; }
path_of() { casemate ps --json --all | jq -r --arg id "$1" '.sandboxes[] | select(.id == $id) | .path'; }

@test "the first boots, the next one was ready" {
	id=$(casemate create)
	[ "$(path_of "$id")" = cold ]
	casemate rm "$id"
	until_true 60 has_spares 2
	id=$(casemate create)
	[ "$(path_of "$id")" = pool ]
	[ "$(casemate exec "$id" -- python3 -c 'print(6*7)')" = 42 ]
	casemate rm "$id"
	until_true 60 has_spares 2
}

@test "more at once than lie ready are restored" {
	until_true 60 has_spares 2
	for i in 1 2 3 4 5; do
		casemate create >"$BATS_TEST_TMPDIR/id$i" 3>&- 4>&- &
	done
	wait
	paths=
	for i in 1 2 3 4 5; do
		id=$(cat "$BATS_TEST_TMPDIR/id$i")
		paths="$paths $(path_of "$id")"
		[ "$(casemate exec "$id" -- echo here)" = here ]
		casemate rm "$id"
	done
	echo "$paths"
	[[ "$paths" = *pool* && "$paths" = *restore* && "$paths" != *cold* ]]
	until_true 60 has_spares 2
}

@test "no two are alike" {
	script='cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id /etc/machine-id; hostname
		od -An -tx1 -N16 /dev/urandom | tr -d " "
		python3 -c "import random, uuid, secrets; print(random.random()); print(uuid.uuid4()); print(secrets.token_hex(8))"
		python3 -c "import socket; s = socket.socket(); s.bind((\"127.0.0.1\", 0)); s.listen(); print(s.getsockname()[1])" >/dev/null'
	for _ in 1 2 3 4 5 6 7 8; do
		casemate run -- sh -c "$script" >>"$BATS_TEST_TMPDIR/all"
	done
	[ "$(wc -l <"$BATS_TEST_TMPDIR/all")" = 64 ]
	[ "$(sort -u "$BATS_TEST_TMPDIR/all" | wc -l)" = 64 ]
}

@test "time: the wall clock is the host's, and no time has passed in the pool" {
	until_true 60 has_spares 2
	sleep 5
	read -r wall up _ < <(casemate run -- sh -c 'echo $(date +%s) $(cut -d. -f1 /proc/uptime)')
	now=$(date +%s)
	[ $((now - wall)) -ge 0 ] && [ $((now - wall)) -le 2 ]
	echo "up $up"
	[ "$up" -lt 15 ]
}

@test "a spare that dies is replaced, and nobody gets it" {
	until_true 60 has_spares 2
	kill -KILL "$(pgrep -x casemate-vmm | head -n 1)"
	[ "$(casemate run -- echo fine)" = fine ]
	until_true 60 has_spares 2
}

@test "what can't be pooled boots" {
	until_true 60 has_spares 2
	for option in --scratch=64M --huge-pages=transparent --cpuset-cpus=0 --cpuset-mems=0; do
		id=$(casemate create $option)
		[ "$(path_of "$id")" = cold ] || { echo "$option: $(path_of "$id")"; return 1; }
		casemate rm "$id"
	done
}

@test "a root that is memory comes from a template of its own" {
	id=$(casemate create --root pmem --memory 256M)
	[ "$(path_of "$id")" = cold ]
	casemate rm "$id"
	until_true 60 has_spares 4
	id=$(casemate create --root pmem --memory 256M)
	[ "$(path_of "$id")" = pool ]
	grep -q 'r--s .*root.erofs' "/proc/$(jail_of "$id" pid)/maps"
	[ "$(casemate exec "$id" -- python3 -c 'import ssl, json; print(6*7)')" = 42 ]
	casemate exec "$id" -- sh -c 'sha256sum /usr/bin/python3.11' >"$BATS_TEST_TMPDIR/restored"
	casemate run -- sha256sum /usr/bin/python3.11 | diff - "$BATS_TEST_TMPDIR/restored"
	casemate rm "$id"
}

@test "the daemon's end takes the spares along" {
	until_true 60 has_spares 2
	pkill -INT -x casemated
	until_true 20 no_daemon
	until_true 20 no_vmm
	start_daemon --pool 2
	[ "$(casemate run -- echo again)" = again ]
}
no_vmm() { ! pgrep -x casemate-vmm; }
