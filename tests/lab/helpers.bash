# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the lab's tests share. They run as root in the lab (images/lab/README.md).

cgroups=/sys/fs/cgroup/casemate

# now: milliseconds.
now() { echo $(($(date +%s%N) / 1000000)); }

# until_true SECONDS COMMAND...: tries the command until it succeeds.
until_true() {
	local end=$(($(now) + $1 * 1000))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(now)" -lt $end ] || { echo "still not: $*"; return 1; }
		sleep 0.3 # asking costs the one processor that what is waited for needs
	done
}

# Nothing of any sandbox is left on the host: no VMM, no cgroup, no namespaces, nothing that ps knows.
no_leftovers() {
	! pgrep -x casemate-vmm || return 1
	only_ready_jails || return 1
	[ "$(casemate ps --json | jq '.sandboxes | length')" = 0 ] || return 1
	! grep -v " /var/lib/casemate/images " /proc/self/mounts | grep -q casemate
}

# Every jail's group belongs to one that lies ready: a process of the jailer's in it, and nothing else.
only_ready_jails() {
	for group in $cgroups/slot-*; do
		[ -d "$group" ] || continue
		# shellcheck disable=SC2046 # a list of numbers
		[ "$(cat $(sed 's,.*,/proc/&/comm,' "$group/cgroup.procs"))" = casemate-cell ] || return 1
	done
}

# clean: fails the test when something is left after a moment.
clean() {
	until_true 60 no_leftovers && return
	ps -eZ | grep casemate
	find $cgroups -mindepth 1 -maxdepth 1 -type d
	casemate ps
	return 1
}

# jail_of ID FIELD: what the daemon says about a sandbox's jail (pid, uid, cgroup, label).
jail_of() { casemate ps --json | jq -r --arg id "$1" --arg f "$2" '.sandboxes[] | select(.id == $id) | .jail[$f]'; }

# status_of FILE FIELD: a line of a /proc/PID/status.
status_of() { awk -v f="$2:" '$1 == f { print $2 }' "$1"; }

# start_daemon [OPTION...]: the daemons again, after a test has ended one. Without bats' own descriptors, or bats would wait for them.
start_daemon() {
	/usr/libexec/casemate/casemated --user casemate "$@" </dev/null >>/var/log/casemate/casemated.log 2>&1 3>&- 4>&- &
	until_true 60 casemate ps
}
start_jailer() {
	/usr/libexec/casemate/casemate-jailer </dev/null >>/var/log/casemate/jailer.log 2>&1 3>&- 4>&- &
	until_true 60 jailer_reachable
}
jailer_reachable() { casemate doctor --json | jq -e '.[] | select(.code == "jailer") | .level == "ok"'; }

# denials: what the kernel has told of that it denied to our domains, or to others about them. Not what a test's own shell and
# pipes made of it: a program started from one inherits those.
denials() { dmesg | grep 'avc: *denied.*casemate' | grep -v 'bats-run\|sshd_t\|semanage_t' || :; }
