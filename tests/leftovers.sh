#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# leftovers.sh - one line for each trace of Casemate on this host: processes, control groups, mounts, network namespaces,
# taps, files. What a test makes it also takes away, so the list after a tier is the list before it.
#
#   leftovers.sh              the list
#   leftovers.sh since FILE   what is there that FILE, an earlier list, hasn't got, and stays for half a minute: tests of
#                             others may run beside; exit 1 when there is any
set -eu

list() {
	for dir in /proc/[0-9]*; do
		read -r name <"$dir/comm" || continue
		case $name in casemate* | jail_probe | attack_probe) echo "process ${dir#/proc/} $name" ;; esac
	done 2>/dev/null
	find /sys/fs/cgroup -type d \( -name 'casemate*' -o -path '*/casemate*/slot-*' \) -printf 'cgroup %p\n' 2>/dev/null || :
	grep casemate /proc/self/mounts | sed 's/^/mount /' || :
	for link in /sys/class/net/*; do
		[ ! -e "$link/tun_flags" ] || echo "tap ${link##*/}"
	done
	find /run/netns -mindepth 1 -printf 'netns %p\n' 2>/dev/null || :
	find /tmp /dev/shm -maxdepth 1 -name 'casemate*' -printf 'file %p\n' 2>/dev/null || :
	find /run/casemate /var/lib/casemate -mindepth 1 -maxdepth 1 -printf 'file %p\n' 2>/dev/null || :
}

[ "${1-}" = since ] || { list | sort; exit 0; }
left=$(mktemp)
new=$(mktemp)
trap 'rm -f "$left" "$new"' EXIT
list | sort | comm -13 "$2" - >"$left"
tries=60
while [ -s "$left" ] && [ $tries -gt 0 ]; do
	tries=$((tries - 1))
	sleep 0.5
	list | sort | comm -12 "$left" - >"$new"
	cat "$new" >"$left"
done
cat "$left"
[ ! -s "$left" ]
