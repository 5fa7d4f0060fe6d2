#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Real Linux kernels in casemate-vmm, without a jail: both of ours and Debian's, by each boot
# protocol, and the result of each way to end. The initramfs is busybox and a script.

setup_file() {
	export VMM=/usr/libexec/casemate/casemate-vmm RUN=/opt/casemate/bin/vmm-run
	export KERNELS=/var/lib/casemate/kernels
	export WORK="$BATS_FILE_TMPDIR"
	mkdir -p "$WORK/root/bin" "$WORK/root/dev" "$WORK/root/proc" "$WORK/root/sys"
	cp /usr/bin/busybox "$WORK/root/bin/"
	cat >"$WORK/root/init" <<-'EOF'
		#!/bin/busybox sh
		b=/bin/busybox
		$b mount -t proc proc /proc
		$b mount -t devtmpfs dev /dev
		for m in virtio_ring virtio virtio_mmio virtio_blk virtio_console; do
			[ ! -f /$m.ko ] || $b insmod /$m.ko
		done
		exec >/dev/hvc0 2>&1
		echo "guest: cpus=$($b nproc) disks=$($b ls /dev | $b grep -c '^vd')"
		$b dmesg | $b grep -i 'unchecked MSR'
		case "$($b cat /proc/cmdline)" in
		*pause*)
			echo 1 >/proc/sys/kernel/watchdog_thresh
			$b yes >/dev/null & $b yes >/dev/null &
			t=$($b date +%s) u=$($b cut -d. -f1 /proc/uptime)
			echo "please pause"
			$b sleep 1
			echo "guest: paused for $(($($b date +%s) - t)) s by its clock," \
				"$(($($b cut -d. -f1 /proc/uptime) - u)) s of uptime"
			$b sleep 1
			$b dmesg | $b grep -i lockup
			$b poweroff -f
			;;
		*end=panic*) echo c >/proc/sysrq-trigger ;;
		*end=reboot*) $b reboot -f ;;
		*) $b poweroff -f ;;
		esac
	EOF
	chmod +x "$WORK/root/init"
	# Debian's kernel has the drivers as modules, which the lab, running the same one, has too.
	for m in virtio_ring virtio virtio_mmio virtio_blk virtio_console; do
		cp "$(modinfo -n -k "$(uname -r)" $m)" "$WORK/root/" 2>/dev/null || :
	done
	(cd "$WORK/root" && find . | busybox cpio -o -H newc >"$WORK/debian.cpio")
	rm -f "$WORK"/root/*.ko
	(cd "$WORK/root" && find . | busybox cpio -o -H newc >"$WORK/small.cpio")
	dd if=/dev/zero of="$WORK/disk" bs=1M count=4 2>/dev/null
}

# boot STATUS KERNEL INITRD CMDLINE [OPTION...]: runs a guest to its end and checks the exit status.
boot() {
	expected=$1 kernel=$2 initrd=$3 cmdline=$4
	shift 4
	run "$RUN" --vmm "$VMM" --kernel "$kernel" --initrd "$WORK/$initrd" --timeout 150 "$@" \
		"console=hvc0 panic=-1 quiet $cmdline"
	[ "$status" -eq "$expected" ] || { echo "status $status: $output"; return 1; }
}

small() {
	boot "$1" "$KERNELS/default/kernel" small.cpio "${@:2}"
}

debian() {
	[ -f "$KERNELS/debian/kernel" ] || skip "Debian's kernel is not in this lab"
	boot "$1" "$KERNELS/debian/kernel" debian.cpio "${@:2}" --memory 256M
}

@test "vmm: our kernel by the PVH entry, 2 vCPUs, two disks" {
	small 0 "" --boot pvh --cpus 2 --drive "$WORK/disk" --drive "$WORK/disk:ro"
	[[ "$output" == *"guest: cpus=2 disks=2"* ]]
}

@test "vmm: our kernel by the 64-bit entry" {
	small 0 "" --boot linux64
	[[ "$output" == *"guest: cpus=1 disks=0"* ]]
}

@test "vmm: our kernel with 8 vCPUs" {
	small 0 "" --cpus 8
	[[ "$output" == *"guest: cpus=8"* ]]
}

@test "vmm: our kernel in 64 MiB" {
	small 0 "" --memory 64M
	[[ "$output" == *"guest: cpus=1"* ]]
}

@test "vmm: a kernel panic is status 11" {
	small 11 end=panic
}

@test "vmm: a reboot is status 10" {
	small 10 end=reboot
	[[ "$output" == *"reset through ACPI"* ]]
}

@test "vmm: a reboot through the keyboard controller is status 10" {
	small 10 "reboot=k end=reboot"
	[[ "$output" == *"port 0x64"* ]]
}

@test "vmm: a triple fault is status 12" {
	small 12 "reboot=t end=reboot"
}

@test "vmm: Debian's kernel finds its devices through ACPI" {
	debian 0 "" --cpus 2 --drive "$WORK/disk"
	[[ "$output" == *"guest: cpus=2 disks=1"* ]]
}

@test "vmm: Debian's kernel restarts without a BIOS" {
	debian 10 end=reboot
}

# guest NAME [ARGUMENT...]: a test of the bare-metal guest that a software-only KVM can't run.
guest() {
	run "$RUN" --vmm "$VMM" --kernel /opt/casemate/bin/guest.elf --timeout 60 "test=$*"
	[ "$status" -eq 0 ]
	[[ "$output" == *"ok $1"* ]]
}

@test "vmm: the guest doesn't see the host's SVM" {
	grep -q '\<svm\>' /proc/cpuinfo
	guest cpuid leaf=2147483649 reg=2 bit=2 want=0
	# KVM is seen.
	guest cpuid leaf=1 reg=2 bit=31 want=1
}

# A soft lockup would be noticed after 2 s; the guest is busy, so its watchdog has no excuse.
@test "vmm: a guest that was paused has the right time and no lockup" {
	debian 0 pause --cpus 2 --pause 4
	[[ "$output" =~ "paused for "([0-9]+)" s by its clock, "([0-9]+)" s of uptime" ]]
	wall=${BASH_REMATCH[1]} up=${BASH_REMATCH[2]} # more than the pause, on a busy machine
	[ "$wall" -ge 4 ]
	[ $((wall - up)) -ge -1 ]
	[ $((wall - up)) -le 1 ]
	[[ "$output" != *lockup* ]]
}

@test "vmm: no MSR that a kernel wants is missing" {
	small 0 ""
	[[ "$output" != *"unchecked MSR"* ]]
	debian 0 ""
	[[ "$output" != *"unchecked MSR"* ]]
}

@test "vmm: a level-triggered pin is raised until the device is acknowledged" {
	guest level
}

@test "vmm: unused ports and addresses read as ones" {
	guest ports
	guest mmio
}

@test "vmm: a truncated kernel is refused with its reason" {
	head -c 100000 "$KERNELS/default/kernel" >"$WORK/short"
	boot 125 "$WORK/short" small.cpio ""
	[[ "$output" == *"kernel: truncated"* ]]
}
