#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash # busybox ash is closest to it
# /init of the guests of stress.bats. What it writes to the console is compared with what is expected, line by line.
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin HOME=/tmp
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mount -t sysfs sys /sys
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
ip link set lo up
[ ! -f /mod/load ] || while read -r module; do insmod "/mod/$module"; done </mod/load
mount -o ro /dev/vda /usr
exec >/dev/hvc0 2>&1
drivers=/sys/bus/virtio/drivers
statistics=/sys/class/net/eth0/statistics
host=10.78.0.1

say() { echo "guest: $*"; }
# The drive that may be written to. Its name is another one for as long as somebody holds the old one open.
disk() {
	for name in "$drivers"/virtio_blk/virtio*/block/*; do
		read -r ro <"$name/ro" && [ "$ro" = 0 ] && echo "${name##*/}"
	done
} 2>/dev/null
up() {
	ip addr add 10.78.0.2/24 dev eth0
	ip link set eth0 up
} 2>/dev/null
fio_() {
	file=$1
	shift
	fio --thread --minimal --name=load --filename="$file" --allow_file_create=0 --direct=1 --ioengine=libaio --iodepth=8 "$@"
}

# within SECONDS COMMAND...: tries it until it succeeds.
within() {
	tries=$(($1 * 20))
	shift
	until "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || { say "still not: $*"; return 1; }
		sleep 0.05
	done
}
# The ninth number of its file: requests that are with the device.
drive_is_busy() { read -r _ _ _ _ _ _ _ _ requests _ <"/sys/block/$(disk)/stat" && [ "$requests" -gt 0 ]; } 2>/dev/null
nic_is_busy() {
	read -r before <$statistics/tx_packets || return
	sleep 0.02
	read -r now <$statistics/tx_packets && [ "$now" -gt "$before" ]
} 2>/dev/null

# again DRIVER DEVICE: three times, each when it has something to do.
again() {
	for _ in 1 2 3; do
		case $1 in
		virtio_blk) within 30 drive_is_busy ;;
		virtio_net) within 30 nic_is_busy ;;
		esac
		echo "$2" >"$drivers/$1/unbind" || say "$1 is not unbound"
		echo "$2" >"$drivers/$1/bind" || say "$1 is not bound"
	done
}

# What the kernel says that it should not; what is taken out is said at each start.
complaints() {
	dmesg | grep -i 'virtio\|vsock\|pmem\|tx timeout\|call trace\|warning: cpu\|bug:\|out of memory' |
		grep -iv 'virtio_blk virtio.*\(logical blocks\|queues\)\|cacheline\|renamed\|persistence of writes\|protocol family\|command line' |
		sed 's/^<[0-9]*>//; s/^\[[^]]*\] //; s/^/guest: log: /'
}

names=$(for device in "$drivers"/*/virtio*; do echo "${device%/*}"; done | sed "s,.*/,," | sort | xargs)
say "cpus=$(nproc) $names"
up

# Each alone must succeed, at the same time as the others.
stress-ng --quiet --cpu 1 --vm 1 --vm-bytes 16M --fork 1 --switch 1 --timeout 3s >/tmp/stress-ng.log 2>&1 &
stress=$!
iperf3 -c $host -t 2 -P 2 --bidir >/tmp/iperf3.log 2>&1 &
iperf=$!
fio_ "/dev/$(disk)" --numjobs=4 --size=1m --offset_increment=1m --rw=randwrite --bsrange=4k-64k --verify=crc32c --verify_fatal=1 >/tmp/fio.log 2>&1
fio=$?
wait $iperf
iperf=$?
wait $stress
stress=$?
if [ "$fio$iperf$stress" = 000 ]; then
	say "fio, iperf3 and stress-ng have succeeded"
else
	say "fio $fio, iperf3 $iperf, stress-ng $stress"
	tail -n 5 /tmp/*.log
fi

# And now without an end, and so that the devices' coming and going has its turn.
nice -n 19 stress-ng --quiet --cpu 1 --vm 1 --vm-bytes 16M --fork 1 --switch 1 --timeout 0 >/dev/null 2>&1 &
(while :; do
	fio_ "/dev/$(disk)" --numjobs=2 --size=4m --offset_increment=4m --rw=randrw --bsrange=4k-64k --time_based --runtime=600 || touch /tmp/met
	sleep 0.05
done) >/dev/null 2>&1 &
(while :; do
	up
	timeout 5 iperf3 -c $host -p 5202 --connect-timeout 1000 -t 3 -P 2 --bidir
	sleep 0.05
done) >/dev/null 2>&1 &
(while :; do head -c 4096 /dev/hwrng >/dev/null || sleep 0.05; done) 2>/dev/null &
waits=
for driver in virtio_blk virtio_net virtio_rng virtio_balloon virtio_pmem vmw_vsock_virtio_transport; do
	for device in $(cd $drivers/$driver && echo virtio*); do
		# All but the one that the programs are on.
		! grep -qs 1 $drivers/$driver/"$device"/block/*/ro || continue
		again $driver "$device" &
		waits="$waits $!"
	done
done
# shellcheck disable=SC2086 # a list of numbers
wait $waits
say "all devices have been unbound and bound"
[ -f /tmp/met ] && say "fio has met an unbound drive"

# They serve on.
[ "$(dd if="/dev/$(disk)" bs=4k count=1 iflag=direct 2>/dev/null | wc -c)" = 4096 ] && say disk
[ "$(head -c 64 /dev/hwrng | wc -c)" = 64 ] && say entropy
up
ping -c 2 -W 5 $host | grep -q '2 packets received' && say network
[ "$(dd if=/dev/pmem0 bs=4k count=1 2>/dev/null | head -c 5)" = image ] && say pmem
echo '<4>virtio99: a complaint for the search to find' >/dev/kmsg
complaints
say "done"
poweroff -f
