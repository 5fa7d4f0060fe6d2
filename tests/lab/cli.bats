#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # bats sets status and output
# What of the command line needs a Linux guest: files, a command's report, its ports. The rest is tests/native/daemon_cli.c.

bats_require_minimum_version 1.5.0
load helpers

setup_file() {
	id=$(casemate create)
	export id
}
teardown_file() {
	casemate kill "$id"
	clean
}

@test "cp: there and back, into directories, and what is refused" {
	cd "$BATS_TEST_TMPDIR"
	head -c 3000000 /dev/urandom >a
	chmod 750 a
	run -0 casemate cp --json a "$id:/srv/"
	[ "$(jq -r '.direction + " " + .guest + " " + (.bytes | tostring)' <<<"$output")" = "in /srv/a 3000000" ]
	[ "$(casemate exec "$id" -- stat -c '%a %s' /srv/a)" = "750 3000000" ]
	mkdir back
	run -0 casemate cp "$id:/srv/a" back
	[ -z "$output" ]
	cmp a back/a
	run -125 casemate cp "$id:/srv/missing" back
	[[ $output = "casemate: cp back/missing: "* ]]
	[ "$(ls back)" = a ]
	run -125 casemate cp back "$id:/srv/dir"
	[[ $output = *"is a directory"* ]]
	run -125 casemate cp a back
	[[ $output = *"ID:PATH"* ]]
}

@test "exec --json: how it ended, apart from what it wrote" {
	run -3 --separate-stderr casemate exec --json "$id" -- sh -c 'echo out; exit 3'
	[ "$output" = out ]
	jq -e --arg id "$id" '.id == $id and .exit_code == 3 and .signal == null and .error == null and .timings.exec_ms > 0' <<<"$stderr"
	run -124 --separate-stderr casemate exec --json --timeout 200ms "$id" -- sleep 100
	jq -e '.timed_out and .exit_code == 124' <<<"$stderr"
}

@test "port: a server in the sandbox, without a network" {
	casemate exec "$id" -- sh -c 'echo hello >/srv/index.html; cd /srv; nohup python3 -m http.server --bind 127.0.0.1 8000 >/dev/null 2>&1 &'
	casemate port "$id" 8123:8000 >"$BATS_TEST_TMPDIR/port" 3>&- 4>&- &
	pid=$!
	until_true 30 curl -sf http://127.0.0.1:8123/index.html
	[ "$(cat "$BATS_TEST_TMPDIR/port")" = 127.0.0.1:8123 ]
	[ "$(curl -s http://127.0.0.1:8123/index.html)" = hello ]
	curl -s http://127.0.0.1:8123/a | casemate exec -i "$id" -- cmp - /srv/a
	kill -INT $pid
	run wait $pid
	[ "$status" = 130 ]
}

@test "stats and top: the kernel's figures of a Linux guest" {
	casemate stats --json "$id" | jq -e '.sandboxes[0] | .memory_bytes > 10000000 and .cpu_us > 100000 and .memory_peak_bytes >= .memory_bytes'
	[ "$(casemate top | wc -l)" = 2 ]
}
