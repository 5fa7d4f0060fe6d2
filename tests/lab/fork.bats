#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # bats sets status and output
# Forks of a running sandbox: they go on where it is, and nothing ties them to each other.

bats_require_minimum_version 1.5.0
load helpers

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
# A test that failed leaves no busy guest to the next.
teardown() { casemate ps --json | jq -r '.sandboxes[].id' | xargs -r casemate rm || true; }
no_daemon() { ! pgrep -x casemated; }

api() { curl -s --unix-socket /run/casemate/casemated.sock "http://casemate$1" "${@:2}"; }
field() { casemate ps --json --all | jq -r --arg id "$1" ".sandboxes[] | select(.id == \$id) | .$2"; }
in_it() { casemate exec "$1" -- sh -c "$2"; }

# A program with a file open, a timer that fires and a thread that is busy.
program='
import os, signal, threading, time
out = os.open("/tmp/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
spun = 0
ticks = 0
def spin():
	global spun
	while True:
		spun += 1
def tick(*_):
	global ticks
	ticks += 1
	n = ticks # a late timer interrupts even this
	os.write(out, b"%d %d\n" % (n, spun))
threading.Thread(target=spin, daemon=True).start()
signal.signal(signal.SIGALRM, tick)
signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
while True:
	time.sleep(60)
'
start_program() {
	in_it "$1" "cat >/tmp/p.py <<'P'
$program
P
setsid python3 /tmp/p.py </dev/null >/dev/null 2>&1 &"
	until_true 30 ticks_beyond "$1" 3
}
last_tick() { in_it "$1" 'tail -n 1 /tmp/log'; }
ticks_beyond() {
	local at
	at=$(last_tick "$1" 2>/dev/null) || return 1
	[ "${at%% *}" -gt "$2" ] 2>/dev/null
}

@test "a process goes on in parent and child: file, timer, busy thread" {
	id=$(casemate create)
	start_program "$id"
	child=$(casemate fork "$id")
	[ "$(field "$child" path)" = fork ]
	[ "$(field "$child" parent)" = "$id" ]
	[ "$(field "$id" state)" = running ]
	for s in "$id" "$child"; do
		read -r t spun < <(last_tick "$s")
		until_true 30 ticks_beyond "$s" $((t + 3))
		read -r _ more < <(last_tick "$s")
		[ "$more" -gt "$spun" ]
		# Each tick once: nothing was lost or done twice when it was forked.
		in_it "$s" "sort -n /tmp/log | awk '\$1 != NR { exit 1 }'"
		[ "$(in_it "$s" 'pgrep -c python3')" = 1 ]
	done
	casemate rm "$id" "$child"
}

@test "what the parent writes afterwards isn't in the child, nor the other way round" {
	id=$(casemate create)
	in_it "$id" 'echo before >/tmp/a'
	child=$(casemate fork "$id")
	in_it "$id" 'echo parent >/tmp/a; echo x >/tmp/only-parent'
	in_it "$child" 'cat /tmp/a' | grep -qx before
	in_it "$child" 'echo child >/tmp/a; test ! -e /tmp/only-parent'
	in_it "$id" 'cat /tmp/a' | grep -qx parent
	# The control: a second child has it.
	child2=$(casemate fork "$id")
	in_it "$child2" 'cat /tmp/a; cat /tmp/only-parent' | tr '\n' ' ' | grep -qx 'parent x '
	casemate rm "$id" "$child" "$child2"
}

@test "several at once, and no two are alike" {
	id=$(casemate create)
	# The parent has been told its boot id, and its kernel has random numbers of the host's in reserve.
	script='hostname; cat /etc/machine-id /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id
		od -An -tx1 -N16 /dev/urandom; od -An -tx1 -N16 /dev/hwrng'
	in_it "$id" "$script" >"$BATS_TEST_TMPDIR/all"
	mapfile -t children < <(casemate fork --count 3 "$id")
	[ "${#children[@]}" = 3 ]
	for s in "${children[@]}"; do
		in_it "$s" "$script" >>"$BATS_TEST_TMPDIR/all"
		[ "$(in_it "$s" hostname)" = "$s" ]
	done
	[ "$(wc -l <"$BATS_TEST_TMPDIR/all")" = 24 ]
	[ "$(sort -u "$BATS_TEST_TMPDIR/all" | wc -l)" = 24 ]
	casemate rm "$id"
	# The parent's end isn't theirs.
	[ "$(in_it "${children[2]}" 'echo here')" = here ]
	casemate rm "${children[@]}"
}

@test "a child of a child, and time" {
	id=$(casemate create)
	child=$(casemate fork "$id")
	grandchild=$(casemate fork "$child")
	wall=$(in_it "$grandchild" 'date +%s')
	now=$(date +%s)
	[ $((now - wall)) -ge 0 ] && [ $((now - wall)) -le 3 ]
	casemate rm "$id" "$child" "$grandchild"
}

@test "a scratch disk: a copy for each child, of the same moment as its memory" {
	before=$(denials | wc -l)
	id=$(casemate create --scratch 64M)
	in_it "$id" 'head -c 5000000 /dev/urandom >/big; sha256sum /big >/sum; sync; head -c 300000 /dev/urandom >/late; sha256sum /late >>/sum'
	mapfile -t children < <(casemate fork --count 2 "$id")
	in_it "$id" 'echo changed | tee /big >/late; sync'
	in_it "${children[0]}" 'sha256sum -c /sum && echo mine | tee /big >/late && sync'
	in_it "${children[1]}" 'sync; echo 3 >/proc/sys/vm/drop_caches; sha256sum -c /sum'
	[ "$(in_it "$id" 'sync; echo 3 >/proc/sys/vm/drop_caches; cat /big')" = changed ]
	casemate rm "$id" "${children[@]}"
	[ "$(denials | wc -l)" = "$before" ]
}

@test "what can't be forked is refused" {
	id=$(casemate create)
	casemate rm "$id"
	run -125 casemate fork "$id"
	[[ "$output" = *"not running"* ]]
	run -125 casemate fork iaaaaaaaaaaaaaaaaaaa
	[[ "$output" = *"no such sandbox"* ]]
	run -125 casemate fork --count 65 "$id"
	run -125 casemate fork
}

@test "more than there may be: none is made" {
	id=$(casemate create)
	before=$(casemate ps --json | jq '.sandboxes | length')
	run -125 casemate fork --count 64 "$id"
	[[ "$output" = *"too many"* || "$output" = *"in use"* ]]
	[ "$(casemate ps --json | jq '.sandboxes | length')" = "$before" ]
	[ "$(in_it "$id" 'echo fine')" = fine ]
	casemate rm "$id"
}

vmms() { pgrep -x -c casemate-vmm; }
second_vmm() { [ "$(vmms)" -ge 2 ]; }
one_vmm() { [ "$(vmms)" = 1 ]; }
no_vmm() { ! pgrep -x casemate-vmm; }
memfds() { find "/proc/$(pgrep -x casemated)/fd" -lname '/memfd:casemate-*' | wc -l; }

@test "a child that dies before its handshake: a clear error, and nothing is left" {
	until_true 60 no_vmm
	id=$(casemate create)
	vmm=$(pgrep -x casemate-vmm)
	[ "$(memfds)" = 0 ]
	casemate fork --count 2 "$id" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- 4>&- &
	pid=$!
	until_true 60 second_vmm
	kill -KILL "$(pgrep -x casemate-vmm | grep -vx "$vmm" | head -n 1)"
	run wait "$pid"
	cat "$BATS_TEST_TMPDIR/out"
	grep -q 'fork: child:' "$BATS_TEST_TMPDIR/out"
	until_true 60 one_vmm
	[ "$(casemate ps --json | jq '.sandboxes | length')" = 1 ]
	[ "$(memfds)" = 0 ]
	# The parent doesn't mind, and the next one works.
	child=$(casemate fork "$id")
	[ "$(in_it "$child" 'echo here')" = here ]
	casemate rm "$id" "$child"
}

@test "a parent that dies meanwhile takes the fork along" {
	until_true 60 no_vmm
	id=$(casemate create)
	vmm=$(pgrep -x casemate-vmm)
	casemate fork "$id" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- 4>&- &
	pid=$!
	kill -KILL "$vmm"
	wait "$pid" || true
	cat "$BATS_TEST_TMPDIR/out"
	grep -Eq 'ended meanwhile|not running' "$BATS_TEST_TMPDIR/out"
	until_true 60 no_vmm
	[ "$(memfds)" = 0 ]
}
