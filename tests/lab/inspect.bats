#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# casemate inspect: the live jail of a sandbox against the policy, with SELinux enforcing.

load helpers

setup_file() {
	id=$(casemate create)
	export id
	casemate inspect --json "$id" >"$BATS_FILE_TMPDIR/jail.json"
}

teardown_file() { casemate rm "$id"; }

jail() { jq -e "$@" "$BATS_FILE_TMPDIR/jail.json"; }

@test "the label is the sandbox's own, with two categories" {
	[ "$(jail -r .label)" = "$(jail_of "$id" label)" ]
	[[ "$(jail -r .label)" =~ ^system_u:system_r:casemate_vmm_t:s0:c[0-9]+,c[0-9]+$ ]]
	[ "$(jail -r .label)" = "$(tr -d '\0' <"/proc/$(jail -r .pid)/attr/current")" ]
}

@test "no capability anywhere, no new privileges" {
	jail '[.status.CapInh, .status.CapPrm, .status.CapEff, .status.CapBnd, .status.CapAmb] | all(. == "0000000000000000")'
	jail '.status.NoNewPrivs == "1"'
	jail --arg uid "$(jail_of "$id" uid)" '.status.Uid == ([$uid, $uid, $uid, $uid] | join(" "))'
}

@test "each thread has three filters: the jailer's, that of the start, its own" {
	jail '(.threads | length) >= 3'
	jail '.threads | all(.seccomp_mode == 2 and .seccomp_filters >= 3)'
}

@test "no namespace is the host's" {
	jail '(.namespaces | length) >= 7'
	jail '.namespaces | all(.inode != 0 and .inode != .host_inode)'
}

@test "limits of the control group and of the process" {
	jail '.cgroup["pids.max"] == "64"'
	jail '.cgroup["memory.max"] | tonumber > 0'
	jail '.cgroup["memory.swap.max"] == null or .cgroup["memory.swap.max"] == "0"'
	jail '.rlimits["core file size"] == "0 0 bytes"'
	jail '.rlimits["open files"] | startswith("256 256")'
}

@test "descriptors are of the kinds that a VMM has" {
	jail '.descriptors | all(.number < 256)'
	jail '[.descriptors[].kind] | unique - ["/dev/null", "socket", "pipe", "file", "kvm-vm", "[eventfd]", "[eventpoll]", "[signalfd]", "[timerfd]", "memfd", "/dev/net/tun"] - [.[] | select(startswith("kvm-vcpu"))] == []'
	jail '[.descriptors[] | select(.kind == "/dev/kvm")] == []'
}

@test "as text, and an id that is none" {
	run casemate inspect "$id"
	[ "$status" = 0 ]
	[[ "$output" = *casemate_vmm_t* ]]
	run casemate inspect i0000000000000000000
	[ "$status" != 0 ]
}
