#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016 # bats sets status and output; $ is the guest's
# What a sandbox reaches: real guests, the jailer's gateway, casemate-egress, a server behind a veth. Refusals stand beside
# what is let through in the same sandbox.

bats_require_minimum_version 1.5.0
load helpers

setup_file() {
	pkill -INT -x casemated
	until_true 60 gone casemated
	denials | wc -l >"$BATS_FILE_TMPDIR/denied" # other files provoke some
	start_daemon --boot-timeout 2m --networks --network-allow 10.99.0.0/24
	ip netns add srv
	ip link add h0 type veth peer name s0 netns srv
	ip addr add 10.99.0.1/24 dev h0
	ip link set h0 up
	ip -n srv addr add 10.99.0.2/24 dev s0
	ip -n srv link set s0 up
	mkdir -p "$BATS_FILE_TMPDIR/www"
	echo "served" >"$BATS_FILE_TMPDIR/www/index.html"
	for port in 8080 8081; do
		ip netns exec srv python3 -m http.server -d "$BATS_FILE_TMPDIR/www" --bind 10.99.0.2 $port \
			</dev/null >/dev/null 2>&1 3>&- 4>&- &
	done
	until_true 20 answers 8080
	until_true 20 answers 8081
}

teardown_file() {
	pkill -INT -x casemated
	until_true 60 gone casemated
	start_daemon
	# shellcheck disable=SC2046 # a list of numbers
	kill $(ip netns pids srv)
	ip netns del srv
}

gone() { ! pgrep -x "$1"; }
answers() { curl -sf -m 5 "http://10.99.0.2:$1/"; }

# get ADDRESS PORT: for the guest: what a server there says, within ten seconds.
get='get() { timeout 10 bash -c "exec 3<>/dev/tcp/$1/$2 && printf \"GET / HTTP/1.0\r\n\r\n\" >&3 && cat <&3" 2>/dev/null; }'

@test "egress: what is allowed is reached, and nothing else" {
	run -0 casemate run --net allow=10.99.0.2:8080 -- bash -c "$get"'
		get 10.99.0.2 8080 | grep -q served && echo allowed
		get 10.99.0.2 8081 | grep -q served || echo "no other port"
		get 10.99.0.1 22 | grep -q SSH || echo "not the host"
		get 169.254.169.254 80 | grep -q . || echo "no metadata"
		get 10.213.0.2 8080 | grep -q . || echo "not the gateway"
		grep -q "^nameserver 10.213.0.2" /etc/resolv.conf && echo "a resolver"
		grep -c . /proc/net/route'
	echo "$output"
	[ "${lines[0]}" = allowed ]
	[ "${lines[1]}" = "no other port" ]
	[ "${lines[2]}" = "not the host" ]
	[ "${lines[3]}" = "no metadata" ]
	[ "${lines[4]}" = "not the gateway" ]
	[ "${lines[5]}" = "a resolver" ]
	clean
}

@test "egress: a policy is changed while the sandbox runs" {
	id=$(casemate create --net none)
	run casemate exec "$id" -- bash -c "$get; get 10.99.0.2 8080"
	[[ "$output" != *served* ]]
	casemate net "$id" allow=10.99.0.2:8080
	run -0 casemate exec "$id" -- bash -c "$get; get 10.99.0.2 8080"
	[[ "$output" = *served* ]]
	run casemate net "$id" allow=nonsense/99
	[ "$status" -ne 0 ]
	casemate net "$id" allow=10.99.0.2:8081
	run casemate exec "$id" -- bash -c "$get; get 10.99.0.2 8080"
	[[ "$output" != *served* ]]
	casemate rm "$id"
	clean
}

@test "egress: without --net there is no card, and a bad policy makes no sandbox" {
	run -0 casemate run -- sh -c 'ls /sys/class/net'
	[ "$output" = lo ]
	run casemate run --net allow=nonsense/99 -- true
	[ "$status" -ne 0 ]
	[[ "$output" = *network* ]]
	clean
}

@test "egress: nothing of it is left, and nothing was denied" {
	run ! pgrep -f casemate-egress
	[ "$(ip netns list | wc -l)" -eq 1 ]
	run -0 tail -n +"$(($(cat "$BATS_FILE_TMPDIR/denied") + 1))" <(denials)
	[ -z "$output" ] || { echo "$output"; return 1; }
}
