#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the lab: the root file system of an emulated Debian host with SELinux enforcing (docs: README.md beside this).
# Prints the artefact's directory: `root.ext4`, `initrd`, `key` (ssh), `known_hosts`.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
top=${here%/images/*}
. "$top/images/lib.sh"

kernel=$("$top/images/debian-kernel/build.sh")
packages=$(sed 's/#.*//' "$here/packages" | xargs)
policy=$(find "$top/policies/selinux" \( -name '*.cil' -o -name file_contexts \) -type f 2>/dev/null | sort)
policy="$here/lab.cil $policy"
# shellcheck disable=SC2086 # lists of words
id=$({ versions $packages; echo "$kernel"; } | key "$here"/build.sh "$here"/customize.sh "$here"/init "$here"/initrd-init \
	"$here"/packages "$top/images/initramfs/newc.sh" $policy)
out=$cache/lab/$id
[ ! -e "$out" ] || { echo "$out"; exit 0; }
lock lab
[ ! -e "$out" ] || { echo "$out"; exit 0; }

scratch lab
# The packages take two minutes, our own policy and scripts ten seconds; so the tree of packages has a key of its own.
# shellcheck disable=SC2086
base_id=$(versions $packages | key "$here/build.sh" "$here/packages")
base=$cache/lab-base/$base_id/tree.tar
if [ ! -e "$base" ]; then
	say "lab: building the emulated host's root image from Debian packages (two minutes, once)"
	mkdir "$work/base"
	debian_sources >"$work/sources"
	# QEMU comes from backports, because nested guests hang in bookworm's; nothing else does unless QEMU needs it.
	printf 'Package: src:qemu src:seabios\nPin: release n=*-backports\nPin-Priority: 990\n' >"$work/pin"
	as_root mmdebstrap --mode=root --variant=minbase --format=tar \
		--include="$(echo "$packages" | tr ' ' ',')" \
		--aptopt='Apt::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/info/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--setup-hook="cp '$work/pin' \"\$1/etc/apt/preferences.d/qemu\"" \
		bookworm "$work/base/tree.tar" "$work/sources" >"$work/log" 2>&1 ||
		{ tail -30 "$work/log" >&2; die "lab: mmdebstrap failed, see above"; }
	as_root chown -R "$(id -u):$(id -g)" "$work/base"
	mkdir -p "$cache/lab-base"
	publish "$work/base" lab-base "$base_id"
fi

say "lab: adding policy, kernel modules and init"
mkdir "$work/out"
ssh-keygen -q -t ed25519 -N '' -C lab -f "$work/key"
ssh-keygen -q -t ed25519 -N '' -C lab -f "$work/host"
# shellcheck disable=SC2086
as_root sh "$here/customize.sh" "$base" "$kernel" "$work" "$here" $policy >"$work/log" 2>&1 ||
	{ tail -30 "$work/log" >&2; die "lab: customize.sh failed, see above"; }

# The initramfs: busybox, what it takes to see a disk, and a script.
{
	printf 'dir %s 755\n' dev proc sys root bin modules
	echo "char dev/console 600 5 1"
	echo "file init 755 $here/initrd-init"
	echo "file bin/busybox 755 $work/busybox"
	echo "link bin/sh busybox"
	modules "$kernel"/modules/* virtio_pci virtio_blk | while read -r path; do
		echo "${path##*/}" >>"$work/load"
		echo "file modules/${path##*/} 644 $(echo "$kernel"/modules/*)/$path"
	done
	echo "file modules/load 644 $work/load"
} >"$work/list"
sh "$top/images/initramfs/newc.sh" "$work/list" >"$work/out/initrd"
cp "$work/key" "$work/out/key"
printf 'lab %s\n' "$(cut -d' ' -f1,2 "$work/host.pub")" >"$work/out/known_hosts"
as_root chown -R "$(id -u):$(id -g)" "$work/out" "$work/busybox"
as_root rm -rf "$work/tree"
publish "$work/out" lab "$id"
chmod 600 "$out/key"
echo "$out"
