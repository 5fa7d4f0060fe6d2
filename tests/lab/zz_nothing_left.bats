#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The last file, by its name: what the whole tier has left, while the daemons run and once they have ended.

load helpers

list() { /opt/casemate/tests/leftovers.sh; }

@test "the log: no denial of a product's process but what tests provoked, no call that a filter refused" {
	# What selinux.bats and tls.bats have provoked, and the probe of casemate doctor, which has no name of its own.
	denials | grep -v 'comm="cat".*tcontext=[^ ]*casemate_vmm_t\|comm="memfd:casemate-\|comm="busybox-tls"' || :
	[ "$(denials | grep -vc 'comm="cat".*tcontext=[^ ]*casemate_vmm_t\|comm="memfd:casemate-\|comm="busybox-tls"')" = 0 ]
	[ "$(dmesg | grep 'type=1326.*sig=31' | grep -c 'comm="casemate')" = 0 ]
}

@test "with the daemons: no sandbox, no namespace, no tap, no mount" {
	clean
	[ "$(list | grep '^tap\|^netns\|^mount' | grep -vc ' /var/lib/casemate/images ')" = 0 ]
	[ "$(list | grep '^process' | grep -vc ' casemated$\| casemate-\(jailer\|spawn\|cell\)$')" = 0 ]
	[ "$(list | grep -c '^file /tmp\|^file /dev/shm')" = 0 ]
}

@test "without them: nothing at all" {
	pkill -x casemated
	pkill -x casemate-jailer
	until_true 20 no_process
	list
	[ "$(list | grep -c '^process\|^cgroup\|^tap\|^netns')" = 0 ]
	# The directory is root's, so casemated, which isn't, can't take its socket away; nobody listens there.
	[ "$(list | grep '^file /run/casemate' | grep -vc '/identities$\|/casemated.sock$')" = 0 ]
	run curl -s --unix-socket /run/casemate/casemated.sock http://casemate/v1/status
	[ "$status" = 7 ]
}
no_process() { ! pgrep '^casemate'; }
