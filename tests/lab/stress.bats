#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # bats sets status and output
# Real Linux kernels on four vCPUs, without a jail, under fio, iperf3 and stress-ng: first each of them must succeed (fio
# verifies what it wrote); then, while they go on, every device is unbound and bound again, all at the same time, drive and
# nic with work in flight. No complaint may be in the guest's log. The guest's part is stress-init.sh.

bats_require_minimum_version 1.5.0
load helpers

setup_file() {
	export VMM=/usr/libexec/casemate/casemate-vmm RUN=/opt/casemate/bin/vmm-run
	export KERNELS=/var/lib/casemate/kernels WORK="$BATS_FILE_TMPDIR"
	modprobe tun
	ip netns add stressnet
	ip -n stressnet link set lo up
	ip -n stressnet tuntap add tap0 mode tap multi_queue vnet_hdr
	ip -n stressnet addr add 10.78.0.1/24 dev tap0
	ip -n stressnet link set tap0 up
	# The second takes one connection, and not for ever: a nic that goes away may take the other end with it.
	ip netns exec stressnet iperf3 -s </dev/null >/dev/null 2>&1 3>&- 4>&- &
	(while :; do timeout 10 ip netns exec stressnet iperf3 -s -1 -p 5202; sleep 0.05; done) </dev/null >/dev/null 2>&1 3>&- 4>&- &
	export SERVERS=$!
	make_guest
}

# The lab's own programs with the libraries that they need, on a disk; and busybox and a script, which come with the kernel.
make_guest() {
	local root="$WORK/root" module program
	mkdir -p "$WORK/programs" "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/usr" "$root/mod"
	ln -s usr/lib "$root/lib"
	ln -s usr/lib64 "$root/lib64"
	for program in fio iperf3 stress-ng; do
		echo "/usr/bin/$program"
		ldd "/usr/bin/$program" | sed -n 's,^[^/]*\(/[^ ]*\) (.*,\1,p' | sed 's,^/lib,/usr/lib,'
	done | xargs cp -L --parents -u -t "$WORK/programs"
	mkfs.ext4 -q -d "$WORK/programs/usr" -O ^has_journal "$WORK/programs.ext4" 192M
	cp /usr/bin/busybox "$root/bin/"
	install -m 755 "$BATS_TEST_DIRNAME/stress-init.sh" "$root/init"
	(cd "$root" && find . | busybox cpio -o -H newc >"$WORK/small.cpio")
	# Debian's kernel has the drivers as modules, which the lab, running the same one, has too.
	for module in virtio_mmio virtio_console virtio_blk virtio_net virtio_rng virtio_balloon vmw_vsock_virtio_transport nd_pmem virtio_pmem ext4; do
		modprobe --show-depends --ignore-install $module
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r module; do
		cp "$module" "$root/mod/"
		echo "${module##*/}" >>"$root/mod/load"
	done
	(cd "$root" && find . | busybox cpio -o -H newc >"$WORK/debian.cpio")
}

teardown_file() {
	kill "$SERVERS"
	ip netns pids stressnet | xargs -r kill
	ip netns del stressnet
}

# guest KERNEL INITRD: whatever it prints beyond what is expected is a complaint.
guest() {
	truncate -s 8M "$WORK/disk"
	{ echo image; dd if=/dev/zero bs=1M count=3 2>/dev/null; } >"$WORK/image"
	# The detectors of stalls measure the lab's speed: four busy vCPUs share its one CPU.
	run --separate-stderr timeout 170 ip netns exec stressnet "$RUN" --vmm "$VMM" --kernel "$1" --initrd "$WORK/$2" --timeout 160 \
		--cpus 4 --memory 512M --drive "$WORK/programs.ext4:ro" --drive "$WORK/disk:wide" --drive "$WORK/image:pmem" --tap tap0:2 --balloon \
		"console=hvc0 panic=-1 quiet nowatchdog rcupdate.rcu_cpu_stall_suppress=1"
	echo "$output"
	echo "$stderr"
	[ "$status" -eq 0 ]
	[ "$(echo "$output" | tr -d '\r')" = "guest: cpus=4 virtio_balloon virtio_blk virtio_blk virtio_console virtio_net virtio_pmem virtio_rng vmw_vsock_virtio_transport
guest: fio, iperf3 and stress-ng have succeeded
guest: all devices have been unbound and bound
guest: fio has met an unbound drive
guest: disk
guest: entropy
guest: network
guest: pmem
guest: log: virtio99: a complaint for the search to find
guest: done" ]
	# Linux's pmem driver stops its queue before it resets the device.
	[ "$(echo "$stderr" | grep 'virtio.fail' | grep -vc device=pmem)" = 0 ]
}

@test "stress: our kernel, 4 vCPUs, all devices unbound and bound under fio, iperf3 and stress-ng" {
	guest "$KERNELS/default/kernel" small.cpio
}

@test "stress: Debian's kernel, 4 vCPUs, all devices unbound and bound under fio, iperf3 and stress-ng" {
	[ -f "$KERNELS/debian/kernel" ] || skip "Debian's kernel is not in this lab"
	guest "$KERNELS/debian/kernel" debian.cpio
}
