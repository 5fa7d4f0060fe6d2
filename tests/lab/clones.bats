#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # bats sets status and output
# Clones of one template are machines of their own: no two have anything random in common. First what each
# mechanism does by itself, by vmm-clones, with the control that finds equal values when there is none; then the
# whole service: as many clones as CASEMATE_SECONDS (30) allow, or exactly CASEMATE_CLONES, however long it takes.

bats_require_minimum_version 1.5.0
load helpers

setup_file() {
	cat >"$BATS_FILE_TMPDIR/script" <<-'EOF2'
		read -r line </proc/$$/maps && echo "aslr ${line%% *}"
		echo "urandom $(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')"
		echo "uuid $(cat /proc/sys/kernel/random/uuid)"
		echo "boot_id $(cat /proc/sys/kernel/random/boot_id)"
	EOF2
	cat >"$BATS_FILE_TMPDIR/more" <<-'EOF2'
		echo "machine_id $(cat /etc/machine-id)"
		echo "hostname $(hostname)"
		echo "hwrng $(od -An -tx1 -N16 /dev/hwrng | tr -d ' \n')"
		echo "openssl $(openssl rand -hex 16)"
		/tmp/ssh-keygen -q -t ed25519 -N '' -C '' -f /tmp/host_key </dev/null && echo "host_key $(cut -d ' ' -f 2 /tmp/host_key.pub)"
		python3 -c '
		import os, random, secrets, socket, uuid
		print("python", random.random())
		print("python_hash", hash("casemate"))
		print("python_uuid", uuid.uuid4())
		print("python_secret", secrets.token_hex(16))
		s = socket.socket(); s.bind(("127.0.0.1", 4000)); s.listen()
		c = socket.socket(); c.bind(("127.0.0.1", 4001)); c.connect(("127.0.0.1", 4000))
		c.setsockopt(6, 19, 1); c.setsockopt(6, 20, 2) # TCP_REPAIR, TCP_REPAIR_QUEUE: what is the next number?
		print("tcp", c.getsockopt(6, 21) & 0xffffffff)'
	EOF2
	sed -i 's/^\t*//' "$BATS_FILE_TMPDIR/more"
}

# clones IDENTITY N [KERNEL]: what the script says in each.
clones() {
	timeout 200 /opt/casemate/bin/vmm-clones --vmm /usr/libexec/casemate/casemate-vmm \
		--kernel "/var/lib/casemate/kernels/${3-default}/kernel" --initrd "/var/lib/casemate/kernels/${3-default}/initrd" \
		--drive /var/lib/casemate/images/default/root.erofs --clones "$2" --identity "$1" \
		"$(cat "$BATS_FILE_TMPDIR/script")" >"$BATS_TEST_TMPDIR/values"
	cat "$BATS_TEST_TMPDIR/values"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/values")" = $((4 * $2)) ]
}
twice() { sort "$BATS_TEST_TMPDIR/values" | uniq -d; }

@test "control: clones without an identity have values in common" {
	clones none 3
	[ -n "$(twice)" ]
}

@test "the agent's identity alone sets them apart" {
	clones agent 3
	[ -z "$(twice)" ]
}

@test "the generation id alone does, in a kernel that has the driver" {
	clones generation 3
	# Nobody has waited for the kernel to handle the interrupt: what the first process got when it was made may be older.
	twice | grep -v '^aslr' >"$BATS_TEST_TMPDIR/equal" || :
	[ ! -s "$BATS_TEST_TMPDIR/equal" ]
}

@test "many clones of one template have nothing in common" {
	pkill -x casemated
	until_true 10 no_daemon
	start_daemon --pool 4
	casemate run -- true # the first of its shape boots; the others are clones
	until_true 180 has_spares 4
	end=$(($(now) + ${CASEMATE_SECONDS-30} * 1000)) n=0
	# At least eight, on however slow a host.
	while [ "$n" -lt "${CASEMATE_CLONES:-100000}" ] && { [ "$n" -lt 8 ] || [ -n "${CASEMATE_CLONES-}" ] || [ "$(now)" -lt $end ]; }; do
		pids=()
		for _ in 1 2 3 4; do
			one_clone >"$BATS_TEST_TMPDIR/one.$n" 3>&- 4>&- &
			pids+=($!)
			n=$((n + 1))
		done
		wait "${pids[@]}" # casemated is a child, too
	done
	cat "$BATS_TEST_TMPDIR"/one.* >"$BATS_TEST_TMPDIR/values"
	echo "$n clones" >&3
	wc -l "$BATS_TEST_TMPDIR/values"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/values")" = $((14 * n)) ]
	twice
	[ -z "$(twice)" ]
	casemate ps --all --json | jq -e '[.sandboxes[] | select(.path != "cold")] | length >= 8'
}
one_clone() {
	casemate run --file /usr/bin/ssh-keygen:/tmp/ssh-keygen:in -- sh -c "$(cat "$BATS_FILE_TMPDIR/script" "$BATS_FILE_TMPDIR/more")"
}
no_daemon() { ! pgrep -x casemated; }
has_spares() { [ "$(curl -s --unix-socket /run/casemate/casemated.sock http://casemate/v1/status | jq '[.pool[].spares] | add // 0')" -ge "$1" ]; }

@test "the host's clock has moved: since the template was made, and while a sandbox was on the disk" {
	until_true 180 has_spares 1
	id=$(casemate create)
	truth=$(date +%s)
	for jump in 300000 -86400; do
		casemate pause --disk "$id"
		date -s "@$((truth + jump))" >/dev/null
		read -r wall up < <(casemate run -- sh -c 'echo $(date +%s) $(cut -d. -f1 /proc/uptime)')
		casemate resume "$id"
		resumed=$(casemate exec "$id" -- date +%s)
		now=$(date +%s)
		date -s "@$((now - jump))" >/dev/null
		echo "jump $jump: guest $wall, resumed $resumed, host $now, up $up"
		[ $((now - wall)) -ge 0 ] && [ $((now - wall)) -le 20 ] && [ "$up" -lt 100 ]
		[ $((now - resumed)) -ge 0 ] && [ $((now - resumed)) -le 10 ]
	done
	casemate rm "$id"
}

teardown_file() {
	pkill -x casemated
	until_true 10 no_daemon
	start_daemon
	clean
}
