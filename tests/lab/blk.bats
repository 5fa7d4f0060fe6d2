#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # bats sets status and output
# Real Linux kernels with drives, without a jail: direct I/O from several processes, discard, the driver
# unbound and bound under I/O, and no complaint in the guest's log.

bats_require_minimum_version 1.5.0
load helpers

setup_file() {
	export VMM=/usr/libexec/casemate/casemate-vmm RUN=/opt/casemate/bin/vmm-run
	export KERNELS=/var/lib/casemate/kernels WORK="$BATS_FILE_TMPDIR"
	mkdir -p "$WORK/root/bin" "$WORK/root/dev" "$WORK/root/proc" "$WORK/root/sys" "$WORK/root/tmp"
	cp /usr/bin/busybox "$WORK/root/bin/"
	cat >"$WORK/root/init" <<-'EOS'
		#!/bin/busybox sh
		/bin/busybox --install -s /bin
		export PATH=/bin
		mount -t proc proc /proc; mount -t devtmpfs dev /dev; mount -t sysfs sys /sys
		for m in virtio_ring virtio virtio_mmio virtio_console virtio_blk; do
			[ ! -f /$m.ko ] || insmod /$m.ko
		done
		exec >/dev/hvc0 2>&1
		q=/sys/block/vda/queue
		echo "guest: queues=$(ls /sys/block/vda/mq | wc -l) discard=$(cat $q/discard_max_bytes) zeroes=$(cat $q/write_zeroes_max_bytes) cache=$(cat $q/write_cache) physical=$(cat $q/physical_block_size) ro=$(cat /sys/block/vdb/ro)"
		dd if=/dev/urandom of=/tmp/blob bs=1M count=4 2>/dev/null
		write() { dd if=/tmp/blob of=/dev/vda bs=64k seek=$(($1 * 64)) oflag=direct conv=notrunc,fsync 2>/dev/null; }
		for i in 0 1 2 3; do write $i & done
		wait
		want=$(md5sum </tmp/blob)
		for i in 0 1 2 3; do
			dd if=/dev/vda bs=4k skip=$((i * 1024)) count=1024 iflag=direct 2>/dev/null | md5sum >/tmp/sum$i &
		done
		wait
		for i in 0 1 2 3; do [ "$(cat /tmp/sum$i)" = "$want" ] || echo "guest: piece $i is not what was written"; done
		blkdiscard -o 4194304 -l 4194304 /dev/vda || echo "guest: no discard"
		dd if=/dev/vda bs=1M skip=4 count=4 iflag=direct 2>/dev/null | cmp -n 4194304 - /dev/zero && echo "guest: discarded"
		dd if=/dev/vda bs=1M count=4 iflag=direct 2>/dev/null | cmp - /tmp/blob && echo "guest: neighbour kept"
		dd if=/dev/zero of=/dev/vdb bs=4k count=1 oflag=direct conv=notrunc 2>/dev/null && echo "guest: wrote to a read-only disk"
		dmesg >/tmp/quiet
		dev=$(basename "$(readlink /sys/block/vda/device)")
		for i in 1 2 3; do
			while dd if=/dev/vda of=/dev/null bs=64k iflag=direct; do :; done 2>/dev/null &
			while dd if=/tmp/blob of=/dev/vda bs=64k oflag=direct conv=notrunc,nocreat; do :; done 2>/dev/null &
			sleep 0.3
			echo "$dev" >/sys/bus/virtio/drivers/virtio_blk/unbind
			wait
			echo "$dev" >/sys/bus/virtio/drivers/virtio_blk/bind
			[ -b /dev/vda ] || echo "guest: no disk after bind"
		done
		write 0
		dd if=/dev/vda bs=1M count=4 iflag=direct 2>/dev/null | cmp - /tmp/blob && echo "guest: alive"
		grep -i 'virtio\|vd[ab]\|call trace\|I/O error' /tmp/quiet | grep -iv 'logical blocks\|virtio_blk virtio.*queues\|cacheline'
		dmesg | grep -i 'virtio\|call trace' | grep -iv 'virtio_blk virtio.*\(logical blocks\|queues\)\|cacheline'
		echo "guest: done"
		poweroff -f
	EOS
	chmod +x "$WORK/root/init"
	for m in virtio_ring virtio virtio_mmio virtio_console virtio_blk; do
		cp "$(modinfo -n -k "$(uname -r)" $m)" "$WORK/root/" 2>/dev/null || :
	done
	(cd "$WORK/root" && find . | busybox cpio -o -H newc >"$WORK/debian.cpio")
	rm -f "$WORK"/root/*.ko
	(cd "$WORK/root" && find . | busybox cpio -o -H newc >"$WORK/small.cpio")
}

# guest KERNEL INITRD: runs the script above; whatever it prints beyond what is expected is a complaint.
guest() {
	dd if=/dev/zero of="$WORK/disk" bs=1M count=16 2>/dev/null
	dd if=/dev/urandom of="$WORK/ro" bs=1M count=1 2>/dev/null
	before=$(md5sum <"$WORK/ro")
	run --separate-stderr timeout 150 "$RUN" --vmm "$VMM" --kernel "$1" --initrd "$WORK/$2" --timeout 140 --cpus 2 --memory 256M \
		--drive "$WORK/disk:wide" --drive "$WORK/ro:ro" "console=hvc0 panic=-1 quiet"
	echo "$output"
	echo "$stderr"
	[ "$status" -eq 0 ]
	[ "$(md5sum <"$WORK/ro")" = "$before" ]
	[ "$(stat -c %s "$WORK/disk")" = 16777216 ]
	[ "$(echo "$output" | tr -d '\r' | grep -v '^guest: queues=')" = "guest: discarded
guest: neighbour kept
guest: alive
guest: done" ]
	[[ "$output" == *"queues=2 discard=1073741824 zeroes=67108864 cache=write back physical=4096 ro=1"* ]]
}

@test "blk: our kernel, four queues" {
	guest "$KERNELS/default/kernel" small.cpio
}

@test "blk: Debian's kernel, four queues" {
	[ -f "$KERNELS/debian/kernel" ] || skip "Debian's kernel is not in this lab"
	guest "$KERNELS/debian/kernel" debian.cpio
}
