#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # bats sets status and output
# Clones of one template are machines of their own: no two have anything random in common. First what each
# mechanism does by itself, by vmm-clones, with the control that finds equal values when there is none (pool.bats has the
# whole service).

bats_require_minimum_version 1.5.0
load helpers

setup_file() {
	cat >"$BATS_FILE_TMPDIR/script" <<-'EOF2'
		read -r line </proc/$$/maps && echo "aslr ${line%% *}"
		echo "urandom $(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')"
		echo "uuid $(cat /proc/sys/kernel/random/uuid)"
		echo "boot_id $(cat /proc/sys/kernel/random/boot_id)"
	EOF2
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
