#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# casemate doctor on a host with SELinux enforcing: the daemon's view in its domain, and the live probe of a jail.

load helpers

setup_file() {
	status=0
	casemate doctor --json >"$BATS_FILE_TMPDIR/doctor.json" || status=$?
	export doctor_status=$status
}

check() { jq -e --arg code "$1" ".[] | select(.code == \$code) | $2" "$BATS_FILE_TMPDIR/doctor.json"; }

@test "each check says code, level, what, why and fix" {
	jq -e 'length > 60 and all(has("code") and has("level") and has("what") and has("why") and has("fix"))' "$BATS_FILE_TMPDIR/doctor.json"
	jq -e '[.[].code] | length == (unique | length)' "$BATS_FILE_TMPDIR/doctor.json"
}

@test "no attack gets out of a live jail, nor out of one without the VMM's own filters" {
	check jail-probe '.level == "ok" and (.what | test("^0 of [1-9]"))'
	check jail-alone '.level == "ok" and (.what | test("^0 of [1-9]"))'
}

@test "what forbids untrusted tenants is the exit status" {
	check cmdline '.level == "F"'
	[ "$doctor_status" = 1 ]
}

@test "SELinux hides nothing from the daemon that it asks for" {
	check selinux '.level == "ok"'
	check tun '.what | startswith("mode")'
	check store-files '.level == "ok"'
	check store-space '.what | endswith("are free")'
	! jq -e '.[] | select(.what | startswith("unknown: Permission denied")) | select(.code != "bpf-jit-harden")' "$BATS_FILE_TMPDIR/doctor.json"
}

@test "the probe leaves nothing" {
	[ -z "$(find /run/casemate -name 'doctor*')" ]
	[ -z "$(find /sys/fs/cgroup -name 'casemate-doctor*')" ]
}
