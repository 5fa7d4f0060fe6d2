# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154 # cache and others come from images/lib.sh
# Runs a lab: an emulated host that lives exactly as long as the script that sourced this file.
#
#   lab_prepare          makes $lab_dir, the files of this run; what is put there goes away with it
#   lab_start [PAYLOAD]  boots a fresh lab; PAYLOAD is a tar archive unpacked at its root
#   lab_ssh ARGS...      ssh into it as root
#   lab_stop             ends it and removes its files
#
# Every lab is new: its disks are throw-away snapshots of cached images, so there is nothing to shut down in order, and
# tests never see each other's leftovers. Its network reaches nothing (restrict=on) but sshd from 127.0.0.1.

lab_memory=${CASEMATE_LAB_MEMORY:-4096}
# One CPU: two that QEMU really emulates at the same time lose interrupts and break nested guests and their host (README.md).
lab_cpus=${CASEMATE_LAB_CPUS:-1}

lab_prepare() {
	# Files of runs that were killed before they could clean up: the name holds their process.
	for old in "${TMPDIR:-/tmp}"/casemate-lab.*; do
		pid=${old##*/casemate-lab.}
		[ ! -d "$old" ] || [ ! -O "$old" ] || [ -d "/proc/${pid%%.*}" ] || rm -rf "$old"
	done
	lab_dir=$(mktemp -d "${TMPDIR:-/tmp}/casemate-lab.$$.XXXXXX")
	lab_pid=
}

lab_start() {
	lab_image=$("$top/images/lab/build.sh")
	lab_kernel=$("$top/images/debian-kernel/build.sh")
	# shellcheck disable=SC2086 # a list of names
	lab_store=$("$top/images/lab/store.sh" "$("$top/images/rootfs/build.sh")" ${CASEMATE_IMAGES-})
	payload=${1-}
	try=0
	while :; do
		try=$((try + 1))
		lab_port=$((20000 + ($$ * 7 + try * 997 + $(date +%s)) % 12000))
		lab_qemu "$payload"
		lab_wait && break
		# The one failure that another port repairs: somebody has this one.
		grep -q 'host forwarding rule' "$lab_dir/qemu.log" && [ $try -lt 5 ] && continue
		sed 's/^/lab: /' "$lab_dir/qemu.log" >&2
		tail -20 "$lab_dir/console" 2>/dev/null | sed 's/^/lab: /' >&2
		lab_stop
		die "lab: the emulated host did not start; see the lines above"
	done
}

# setsid: the terminal's Ctrl-C is for the command in the lab. pdeathsig: no lab outlives its script, even by kill -9.
lab_qemu() {
	: >"$lab_dir/console"
	setsid setpriv --pdeathsig KILL qemu-system-x86_64 \
		-M q35 -accel tcg,thread=multi -cpu EPYC-Rome -smp "$lab_cpus" -m "$lab_memory" \
		-nodefaults -no-user-config -no-reboot -display none -monitor none -serial "file:$lab_dir/console" \
		-drive "if=none,id=d0,file=$lab_image/root.ext4,format=raw,snapshot=on,cache=unsafe" -device virtio-blk-pci,drive=d0 \
		-drive "if=none,id=d1,file=$lab_store/store.ext4,format=raw,snapshot=on,cache=unsafe" -device virtio-blk-pci,drive=d1 \
		${1:+-drive "if=none,id=d2,file=$1,format=raw,readonly=on"} ${1:+-device virtio-blk-pci,drive=d2} \
		-netdev "user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:$lab_port-:22" -device virtio-net-pci,netdev=n0 \
		-device virtio-rng-pci \
		-kernel "$lab_kernel/vmlinux" -initrd "$lab_image/initrd" \
		-append "console=ttyS0 panic=-1 quiet mitigations=off nokaslr security=selinux selinux=1 enforcing=1" \
		</dev/null >"$lab_dir/qemu.log" 2>&1 9>&- &
	lab_pid=$!
}

lab_wait() {
	i=0
	until grep -q '^lab: ready' "$lab_dir/console" 2>/dev/null; do
		kill -0 "$lab_pid" 2>/dev/null || return 1
		i=$((i + 1))
		[ $i -lt 1200 ] || { echo "no 'lab: ready' after 120 s" >>"$lab_dir/qemu.log"; return 1; }
		sleep 0.1
	done
	grep '^lab: ' "$lab_dir/console" | grep -v '^lab: ready' | tr -d '\r' >&2 || :
}

# ServerAlive: a packet every two seconds, whatever the lab does. An emulated host that has lost its timer interrupt goes on
# at the next interrupt (README.md).
lab_ssh() {
	ssh -F /dev/null -i "$lab_image/key" -p "$lab_port" -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes \
		-o UserKnownHostsFile="$lab_image/known_hosts" -o StrictHostKeyChecking=yes -o HostName=127.0.0.1 -o HostKeyAlias=lab \
		-o ControlPath="$lab_dir/ssh" -o LogLevel=ERROR -o ConnectTimeout=30 \
		-o ServerAliveInterval=2 -o ServerAliveCountMax=1000 -l root "$@"
}

lab_stop() {
	[ -n "${lab_dir-}" ] || return 0
	[ -z "$lab_pid" ] || { kill "$lab_pid" && wait "$lab_pid"; } 2>/dev/null || :
	rm -rf "$lab_dir"
	lab_dir=
}
