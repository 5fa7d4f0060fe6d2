#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # bats sets status and output
# casemate run from the user's side: what it prints, what it returns, what it leaves behind (nothing).

bats_require_minimum_version 1.5.0
load helpers

setup() { cd "$BATS_TEST_TMPDIR" || return; }
teardown() { clean; }

# --- What a command sees and gives -----------------------------------------------------------------------------------

@test "python3 prints 42" {
	run casemate run -- python3 -c 'print(6*7)'
	[ "$status" = 0 ]
	[ "$output" = 42 ]
}

@test "the exit status is the command's" {
	run casemate run -- sh -c 'exit 7'
	[ "$status" = 7 ]
}

@test "a command that a signal killed gives 128 and the signal" {
	run casemate run -- sh -c 'kill -KILL $$'
	[ "$status" = 137 ]
}

@test "no such command: 127; not executable: 126" {
	run -127 casemate run -- no-such-command
	[ "$output" = "casemate: no-such-command: command not found in the sandbox" ]
	run casemate run -- /etc/passwd
	[ "$status" = 126 ]
	[ "$output" = "casemate: /etc/passwd: not executable in the sandbox" ]
}

@test "--timeout gives 124 and is kept" {
	run casemate run --json --timeout 2s -- sleep 60
	[ "$status" = 124 ]
	ms=$(echo "$output" | tail -n 1 | jq '.timings.total_ms | floor')
	[ "$ms" -ge 2000 ] && [ "$ms" -lt 20000 ] # far from 60 s, however busy the machine is
	# A guest that is not even up by then is the same to who waits.
	run casemate run --timeout 100ms -- true
	[ "$status" = 124 ]
}

@test "standard output and error stay apart" {
	casemate run -- sh -c 'echo out; echo err >&2' >out 2>err
	[ "$(cat out)" = out ]
	[ "$(cat err)" = err ]
}

@test "-i passes standard input on, and its end" {
	[ "$(echo hello | casemate run -i -- cat)" = hello ]
	head -c 3000000 /dev/urandom >in
	[ "$(casemate run -i -- sha256sum <in)" = "$(sha256sum <in)" ]
	# A reader that is slow to begin loses nothing.
	[ "$(casemate run -i -- sh -c 'sleep 1; sha256sum' <in)" = "$(sha256sum <in)" ]
}

@test "without -i standard input is empty" {
	run casemate run -- cat </dev/zero
	[ "$status" = 0 ]
	[ "$output" = "" ]
}

@test "10 MB of output arrive whole and in order" {
	casemate run -- sh -c 'seq 1 1500000 | head -c 10000000' | sha256sum >got
	seq 1 1500000 | head -c 10000000 | sha256sum >want
	cmp got want
}

@test "a reader that goes away ends the command" {
	before=$(now)
	casemate run -- yes | head -n 1 >first
	[ "$(cat first)" = y ]
	[ $(($(now) - before)) -lt 20000 ]
}

@test "--scratch: the overlay's writable half is a disk of that size, and nothing of it stays" {
	run casemate run --scratch 64M -- sh -c 'head -c 20000000 /dev/zero >/big && sync && df -m / | tail -n 1'
	[ "$status" = 0 ]
	mib=$(echo "$output" | awk '{ print $2 }')
	[ "$mib" -gt 40 ] && [ "$mib" -le 64 ]
	[ -z "$(ls -A /var/lib/casemate/scratch)" ]
}

@test "--cpus 2" {
	run casemate run --cpus 2 -- nproc
	[ "$output" = 2 ]
}

@test "--memory" {
	run casemate run --memory 256M -- awk '/MemTotal/ { print ($2 > 180000 && $2 <= 262144) }' /proc/meminfo
	[ "$output" = 1 ]
}

@test "--env, --cwd, --user" {
	run casemate run --env A='b c' --cwd /tmp --user nobody -- sh -c 'echo "$A"; pwd; id -un'
	[ "$status" = 0 ]
	[ "$output" = $'b c\n/tmp\nnobody' ]
}

@test "-t gives a terminal" {
	run script -qec "casemate run -t -- sh -c 'test -t 0 && test -t 1 && echo yes'" /dev/null </dev/null
	[ "$status" = 0 ] || skip "script(1) is not in this lab"
	[[ "$output" == *yes* ]]
}

@test "--json describes the run on standard error" {
	run casemate run --json -- sh -c 'exit 3'
	[ "$status" = 3 ]
	[ "$(echo "$output" | tail -n 1 | jq -c '[.exit_code, .signal, .timed_out, (.timings.total_ms > 0)]')" = '[3,null,false,true]' ]
}

@test "--file: a 200-line Python program with files in and out" {
	for i in $(seq 1 198); do echo "def f$i(x): return x + $i"; done >program.py
	{
		echo 'import sys; rows = [int(l) for l in open("/tmp/in.txt")]'
		echo 'open("/tmp/out.txt", "w").write("\n".join(str(f198(f1(r))) for r in rows) + "\n")'
	} >>program.py
	[ "$(wc -l <program.py)" = 200 ]
	seq 1 1000 >in.txt
	run casemate run --file program.py:/tmp/program.py --file in.txt:/tmp/in.txt --file out.txt:/tmp/out.txt -- python3 /tmp/program.py
	[ "$status" = 0 ]
	cmp out.txt <(seq 200 1199)
	[ -z "$(find . -name '.casemate-*')" ]
}

@test "--file: a large file in and out again, and its mode" {
	head -c 5000000 /dev/urandom >a
	chmod 750 a
	run casemate run --file a:/tmp/a --file b:/tmp/b -- cp -p /tmp/a /tmp/b
	[ "$status" = 0 ]
	cmp a b
	[ "$(stat -c %a b)" = 750 ]
}

@test "--file: what is not there, and directories" {
	run casemate run --file missing:/tmp/x:in -- true
	[ "$status" = 125 ]
	[[ "$output" == "casemate: --file missing: "* ]]
	run casemate run --file /tmp:/tmp/x -- true
	[ "$status" = 125 ]
	[[ "$output" == *"only regular files"* ]]
	run casemate run --file out:/tmp/never -- true
	[ "$status" = 125 ]
	[ ! -e out ]
	run casemate run --file out:/tmp/never -- sh -c 'exit 5'
	[ "$status" = 5 ]
	[ ! -e out ]
}

@test "--kernel debian: Debian's own cloud kernel, unmodified" {
	[ -e /var/lib/casemate/kernels/debian/kernel ] || skip "no debian kernel in this lab"
	run casemate run --kernel debian -- uname -r
	[ "$status" = 0 ]
	[[ "$output" == *cloud-amd64* ]]
}

# --- Sandboxes by id -------------------------------------------------------------------------------------------------

@test "--cpu-template takes features away" {
	run casemate run -- grep -cw avx /proc/cpuinfo
	[ "$output" = 1 ]
	for level in x86-64-v2 x86-64-v3; do
		run casemate run --cpu-template /opt/casemate/cpu/$level.json -- grep -m1 '^flags' /proc/cpuinfo
		[ "$status" = 0 ]
		[[ "$output" == *" sse4_2 "* ]]
		[ $level = x86-64-v3 ] || [[ "$output" != *" avx "* ]]
	done
	echo '{"cpuid":[{"leaf":0,"eax":1}]}' >wrong
	run casemate run --cpu-template wrong -- true
	[ "$status" = 125 ]
	[[ "$output" == *"not a register of features"* ]]
}

@test "--huge-pages: from the kernel as it can, from the pool or not at all" {
	id=$(casemate create --huge-pages transparent)
	grep -q 'AnonHugePages: *[1-9]' "/proc/$(jail_of "$id" pid)/smaps_rollup"
	casemate rm "$id"
	echo 0 >/proc/sys/vm/nr_hugepages
	run casemate run --huge-pages hugetlb --memory 128M -- true
	[ "$status" = 125 ]
	[[ "$output" == *"128 MiB of huge pages"* ]]
	echo 64 >/proc/sys/vm/nr_hugepages
	[ "$(cat /proc/sys/vm/nr_hugepages)" = 64 ]
	id=$(casemate create --huge-pages hugetlb --memory 128M)
	grep -q 'Private_Hugetlb: *[1-9]' "/proc/$(jail_of "$id" pid)/smaps_rollup"
	run casemate exec "$id" echo works
	[ "$output" = works ]
	casemate rm "$id"
	until_true 5 grep -q 'HugePages_Free: *64' /proc/meminfo
	echo 0 >/proc/sys/vm/nr_hugepages
}

@test "guests of the same kernel share what they don't change of it" {
	id=$(casemate create)
	grep -q '/kernel$' "/proc/$(jail_of "$id" pid)/maps"
	casemate rm "$id"
}

@test "--cpuset-cpus: it runs there and nowhere else, or not at all" {
	last=$(($(nproc) - 1)) # the lab may have but one CPU: then only the group's own file shows a difference
	id=$(casemate create --cpuset-cpus $last --cpuset-mems 0 --cpus 2)
	[ "$(cat "$cgroups$(jail_of "$id" cgroup | sed 's,.*casemate,,')/cpuset.cpus")" = $last ]
	for status in /proc/"$(jail_of "$id" pid)"/task/*/status; do
		[ "$(status_of "$status" Cpus_allowed_list)" = $last ] || grep '^Name:.*kvm' "$status"
	done
	casemate rm "$id"
	id=$(casemate create)
	[ -z "$(cat "$cgroups$(jail_of "$id" cgroup | sed 's,.*casemate,,')/cpuset.cpus")" ]
	[ "$(status_of "/proc/$(jail_of "$id" pid)/status" Cpus_allowed_list)" = "$(status_of /proc/self/status Cpus_allowed_list)" ]
	casemate rm "$id"
	run casemate run --cpuset-cpus 7 -- true
	[ "$status" = 125 ]
	[[ "$output" == *cpuset* ]]
	run casemate run --cpuset-mems 1 -- true
	[ "$status" = 125 ]
}

@test "metrics" {
	id=$(casemate create)
	casemate metrics --json "$id" | jq -e '.metrics | .["vm.vcpus"] == 1 and .["vcpu.exit.mmio"] > 0 and .["drive0.kicks"] > 0'
	before=$(casemate metrics --json "$id" | jq '.metrics["vsock.kicks"]')
	casemate exec "$id" true
	[ "$(casemate metrics --json "$id" | jq '.metrics["vsock.kicks"]')" -gt "$before" ]
	casemate metrics "$id" | grep -q '^vcpu.exit.mmio  *[1-9]'
	casemate rm "$id"
	run casemate metrics "$id"
	[ "$status" = 125 ]
}

@test "create, exec, ps, logs, rm" {
	id=$(casemate create --env GREETING=hello)
	[[ "$id" =~ ^i[a-z0-9]{19}$ ]]
	run casemate exec "$id" -- sh -c 'echo $GREETING; hostname; echo x >/tmp/kept'
	[ "$output" = "hello"$'\n'"$id" ]
	[ "$(casemate exec "$id" cat /tmp/kept)" = x ]
	[ "$(echo in | casemate exec -i "$id" cat)" = in ]
	[ "$(casemate ps --json | jq -r '.sandboxes[0].state')" = running ]
	run casemate logs --vmm "$id"
	[[ "$output" == *running* ]]
	casemate rm "$id"
	run casemate exec "$id" true
	[ "$status" = 125 ]
	[[ "$output" == *"not running"* ]]
}

@test "create --timeout ends the sandbox" {
	id=$(casemate create --timeout 1s)
	until_true 5 no_leftovers
	[ "$(casemate ps --all --json | jq -r --arg id "$id" '.sandboxes[] | select(.id == $id) | .end.reason')" = timeout ]
}

@test "commands at once in one sandbox" {
	id=$(casemate create)
	for i in 1 2 3 4; do casemate exec "$id" sh -c "sleep 1; echo $i" >"$i" 3>&- & done
	wait
	[ "$(cat 1 2 3 4)" = $'1\n2\n3\n4' ]
	casemate rm "$id"
}

# --- The jail --------------------------------------------------------------------------------------------------------

@test "two sandboxes at once differ in uid, label, cgroup and every namespace" {
	a=$(casemate create)
	b=$(casemate create)
	for field in pid uid cgroup label; do
		[ -n "$(jail_of "$a" $field)" ]
		[ "$(jail_of "$a" $field)" != "$(jail_of "$b" $field)" ]
	done
	pa=$(jail_of "$a" pid) pb=$(jail_of "$b" pid)
	for ns in mnt pid net ipc uts cgroup; do
		[ "$(readlink "/proc/$pa/ns/$ns")" != "$(readlink "/proc/$pb/ns/$ns")" ]
		[ "$(readlink "/proc/$pa/ns/$ns")" != "$(readlink "/proc/self/ns/$ns")" ]
	done
	[ "$(status_of "/proc/$pa/status" Uid)" = "$(jail_of "$a" uid)" ]
	[ "$(cat "/proc/$pa/cgroup")" != "$(cat "/proc/$pb/cgroup")" ]
	casemate rm "$a" "$b"
}

@test "ps -eZ: each VMM in its own domain and MCS pair" {
	a=$(casemate create)
	b=$(casemate create)
	labels=$(ps -eo label,comm | awk '$2 == "casemate-vmm" { print $1 }')
	[ "$(echo "$labels" | wc -l)" = 2 ]
	[ "$(echo "$labels" | sort -u | wc -l)" = 2 ]
	[ "$(echo "$labels" | grep -Ec '^system_u:system_r:casemate_vmm_t:s0:c[0-9]+,c[0-9]+$')" = 2 ]
	casemate rm "$a" "$b"
}

@test "every thread of a VMM: seccomp filter, no capability, no new privileges" {
	id=$(casemate create --cpus 2)
	pid=$(jail_of "$id" pid)
	[ "$(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 | wc -l)" -ge 3 ]
	for thread in "/proc/$pid/task"/*; do
		[ "$(status_of "$thread/status" Seccomp)" = 2 ]
		[ "$(status_of "$thread/status" NoNewPrivs)" = 1 ]
		for set in CapInh CapPrm CapEff CapBnd CapAmb; do
			[ "$(status_of "$thread/status" $set)" = 0000000000000000 ]
		done
	done
	casemate rm "$id"
}

@test "casemated has no privilege" {
	pid=$(pgrep -x casemated)
	[ "$(status_of "/proc/$pid/status" Uid)" != 0 ]
	for set in CapInh CapPrm CapEff CapBnd CapAmb; do
		[ "$(status_of "/proc/$pid/status" $set)" = 0000000000000000 ]
	done
}

# --- The end, however it comes ---------------------------------------------------------------------------------------

@test "Ctrl-C ends the guest and returns 130 promptly" {
	casemate run -- sleep 100 3>&- &
	pid=$!
	until_true 20 sh -c 'casemate ps --json | jq -e ".sandboxes[0].state == \"running\""'
	sleep 0.5
	before=$(now)
	kill -INT $pid
	status=0
	wait $pid || status=$?
	[ $status = 130 ]
	[ $(($(now) - before)) -lt 20000 ]
}

@test "Ctrl-C while the guest boots" {
	casemate run -- sleep 100 3>&- &
	pid=$!
	sleep 0.4
	kill -INT $pid
	status=0
	wait $pid || status=$?
	[ $status = 130 ]
}

@test "kill -9 of casemate leaves nothing behind" {
	casemate run -- sleep 100 3>&- &
	pid=$!
	until_true 20 sh -c 'casemate ps --json | jq -e ".sandboxes[0].state == \"running\""'
	kill -KILL $pid
	wait $pid || :
	clean
}

@test "kill -9 of the VMM: casemate says so, and nothing is left behind" {
	casemate run -- sleep 100 >out 2>&1 3>&- &
	pid=$!
	until_true 20 sh -c 'casemate ps --json | jq -e ".sandboxes[0].state == \"running\""'
	sleep 0.5
	pkill -KILL -x casemate-vmm
	status=0
	wait $pid || status=$?
	[ $status = 125 ]
	grep '^casemate: guest: ended: killed' out
	clean
}

@test "kill -9 of casemated: the next one has its sandboxes, and nothing else is left behind" {
	id=$(casemate create)
	casemate exec "$id" -- sh -c 'echo before >/tmp/mark'
	pid=$(jail_of "$id" pid)
	pkill -KILL -x casemated
	start_daemon
	[ "$(jail_of "$id" pid)" = "$pid" ]
	[ "$(casemate exec "$id" -- cat /tmp/mark)" = before ]
	casemate pause "$id"
	pkill -KILL -x casemated
	start_daemon
	casemate resume "$id"
	[ "$(casemate exec "$id" -- cat /tmp/mark)" = before ]
	casemate rm "$id"
	clean
	run casemate run -- true
	[ "$status" = 0 ]
}

@test "kill -9 of the jailer: nothing is left behind once it is back" {
	casemate create
	pkill -KILL -x casemate-jailer
	start_jailer
	clean
	run casemate run -- true
	[ "$status" = 0 ]
}

@test "SIGINT to casemated destroys its sandboxes" {
	casemate create
	pid=$(pgrep -x casemated)
	kill -INT "$pid"
	until_true 60 sh -c "! kill -0 $pid"
	[ -z "$(pgrep -x casemate-vmm)" ]
	start_daemon
}

@test "a guest that panics: 125, one line, nothing left" {
	run casemate run -- sh -c 'echo c >/proc/sysrq-trigger; sleep 5'
	[ "$status" = 125 ]
	[[ "$output" == *"guest: ended: panic"* ]]
}

# --- Bad input: one line that names the thing, exit 125, nothing left ------------------------------------------------

# refused PATTERN ARGUMENT...
refused() {
	local pattern=$1
	shift
	run casemate "$@"
	echo "$output"
	[ "$status" = 125 ]
	[ "$(echo "$output" | wc -l)" = 1 ]
	[[ "$output" == "casemate: "*"$pattern"* ]]
}

@test "bad options" {
	refused --frobnicate run --frobnicate -- true
	refused --memory run --memory 0 -- true
	refused "more than this host has" run --memory 1T -- true
	refused --cpus run --cpus 0 -- true
	refused --timeout run --timeout soon -- true
	refused "no command" run
	refused "unknown verb" frobnicate
	refused "not a terminal" run -t -- true </dev/null
	refused "start casemated or pass --socket" --socket /nonexistent run -- true
}

@test "bad kernels and images" {
	refused nonexistent run --image nonexistent -- true
	refused nonexistent run --kernel nonexistent -- true
	refused image run --image ../../etc -- true
	dir=/var/lib/casemate/kernels/bad
	mkdir -p $dir
	head -c 100000 /var/lib/casemate/kernels/default/kernel >$dir/kernel
	restorecon -R $dir
	run casemate run --kernel bad -- true
	rm -r $dir
	[ "$status" = 125 ]
	[[ "$output" == "casemate: "*kernel* ]]
}

@test "a 0-byte image" {
	dir=/var/lib/casemate/images/empty
	mkdir -p $dir
	: >$dir/root.erofs
	restorecon -R $dir
	run casemate run --image empty -- true
	rm -r $dir
	echo "$output"
	[ "$status" = 125 ]
	[[ "$output" == "casemate: "* ]]
}

@test "no such user or directory in the guest" {
	run casemate run --user nobody-like-this -- true
	[ "$status" = 125 ]
	[[ "$output" == *nobody-like-this* ]]
	run casemate run --cwd /no/such/dir -- true
	[ "$status" = 125 ]
	[[ "$output" == *"/no/such/dir"* ]]
}

@test "no permission on /dev/kvm" {
	mode=$(stat -c %a /dev/kvm)
	mv /dev/kvm /dev/kvm.away
	run casemate run -- true
	mv /dev/kvm.away /dev/kvm
	restorecon /dev/kvm
	chmod "$mode" /dev/kvm
	echo "$output"
	[ "$status" = 125 ]
	[[ "$output" == *kvm* ]]
}
