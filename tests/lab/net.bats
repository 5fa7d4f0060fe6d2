#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # bats sets status and output
# Real Linux kernels with a network card, on a tap in a network namespace of its own, without a jail: ping,
# TCP both ways, the driver unbound and bound under traffic, and no complaint in the guest's log.

bats_require_minimum_version 1.5.0
load helpers

setup_file() {
	export VMM=/usr/libexec/casemate/casemate-vmm RUN=/opt/casemate/bin/vmm-run
	export KERNELS=/var/lib/casemate/kernels WORK="$BATS_FILE_TMPDIR"
	modprobe tun
	ip netns add guestnet
	ip -n guestnet tuntap add tap0 mode tap multi_queue vnet_hdr
	ip -n guestnet addr add 10.77.0.1/24 dev tap0
	ip -n guestnet link set tap0 up
	mkdir -p "$WORK/root/bin" "$WORK/root/dev" "$WORK/root/proc" "$WORK/root/sys" "$WORK/root/tmp"
	cp /usr/bin/busybox "$WORK/root/bin/"
	cat >"$WORK/root/init" <<-'EOS'
		#!/bin/busybox sh
		/bin/busybox --install -s /bin
		export PATH=/bin
		mount -t proc proc /proc; mount -t devtmpfs dev /dev; mount -t sysfs sys /sys
		for m in virtio_ring virtio virtio_mmio virtio_console failover net_failover virtio_net; do
			[ ! -f /$m.ko ] || insmod /$m.ko
		done
		exec >/dev/hvc0 2>&1
		up() { ip addr add 10.77.0.2/24 dev eth0; ip link set eth0 up; }
		up
		echo "guest: mtu=$(cat /sys/class/net/eth0/mtu) queues=$(ls -d /sys/class/net/eth0/queues/tx-* | wc -l)"
		nc -l -p 7001 | md5sum >/tmp/in &
		dd if=/dev/urandom of=/tmp/blob bs=1M count=4 2>/dev/null
		echo "guest: sum=$(md5sum </tmp/blob)"
		wait
		echo "guest: got=$(cat /tmp/in)"
		nc 10.77.0.1 7002 </tmp/blob
		dev=$(basename "$(readlink /sys/class/net/eth0/device)")
		for i in 1 2 3; do
			nc 10.77.0.1 7003 </dev/zero >/dev/null 2>&1 &
			sleep 0.3
			echo "$dev" >/sys/bus/virtio/drivers/virtio_net/unbind
			echo "$dev" >/sys/bus/virtio/drivers/virtio_net/bind
			up
			kill %% 2>/dev/null
		done
		ping -c 3 -W 5 10.77.0.1 | grep received
		dmesg | grep -i 'virtio\|eth0\|tx timeout\|call trace' | grep -iv 'renamed\|virtio_blk\|cacheline'
		echo "guest: done"
		poweroff -f
	EOS
	chmod +x "$WORK/root/init"
	for m in virtio_ring virtio virtio_mmio virtio_console failover net_failover virtio_net; do
		cp "$(modinfo -n -k "$(uname -r)" $m)" "$WORK/root/" 2>/dev/null || :
	done
	(cd "$WORK/root" && find . | busybox cpio -o -H newc >"$WORK/debian.cpio")
	rm -f "$WORK"/root/*.ko
	(cd "$WORK/root" && find . | busybox cpio -o -H newc >"$WORK/small.cpio")
	dd if=/dev/urandom of="$WORK/blob" bs=1M count=4 2>/dev/null
}

teardown_file() {
	ip netns del guestnet
}

inside() { ip netns exec guestnet "$@"; }

says() { grep -q "$1" "$WORK/out"; }

# talk KERNEL INITRD [OPTION...]: boots a guest and does the host's part.
talk() {
	kernel=$1 initrd=$2
	shift 2
	inside socat -u TCP-LISTEN:7002,reuseaddr CREATE:"$WORK/from-guest" 3>&- &
	ip netns exec guestnet socat -u TCP-LISTEN:7003,reuseaddr,fork OPEN:/dev/null 3>&- &
	sink=$!
	inside "$RUN" --vmm "$VMM" --kernel "$kernel" --initrd "$WORK/$initrd" --timeout 90 "$@" \
		"console=hvc0 panic=-1 quiet" >"$WORK/out" 2>&1 3>&- &
	vm=$!
	until_true 60 says 'guest: sum='
	inside ping -q -c 20 -i 0.05 -W 5 10.77.0.2 2>/dev/null || inside busybox ping -q -c 5 -W 5 10.77.0.2
	inside socat -u OPEN:"$WORK/blob" TCP:10.77.0.2:7001
	wait $vm || { cat "$WORK/out"; return 1; }
	kill $sink
	cat "$WORK/out"
	says "guest: got=$(md5sum <"$WORK/blob")"
	says "guest: sum=$(md5sum <"$WORK/from-guest")"
	says '3 packets received'
	says 'guest: done'
	! sed -n '/guest: got/,$p' "$WORK/out" | grep -i 'virtio.*\(error\|fail\|bad\|invalid\)\|timeout\|call trace'
}

@test "net: our kernel, one queue: ping, TCP both ways, unbind and bind under traffic" {
	talk "$KERNELS/default/kernel" small.cpio --tap tap0 --cpus 2
	says 'guest: mtu=1500 queues=1'
}

@test "net: Debian's kernel, two queues" {
	[ -f "$KERNELS/debian/kernel" ] || skip "Debian's kernel is not in this lab"
	talk "$KERNELS/debian/kernel" debian.cpio --tap tap0:2 --cpus 2 --memory 256M
	says 'guest: mtu=1500 queues=2'
}
