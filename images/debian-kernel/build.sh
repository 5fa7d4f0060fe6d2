#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Unpacks Debian's own cloud kernel, never installs it. The lab's host runs it, and sandboxes may (`--kernel debian`).
# Prints the artefact's directory: `vmlinuz` as packaged, `vmlinux` (the ELF inside it: boots 0.4 s sooner in
# emulation), `config`, and `modules/` holding lib/modules as packaged, with depmod's indexes.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
top=${here%/images/*}
. "$top/images/lib.sh"

id=$(versions linux-image-cloud-amd64 | key "$here/build.sh")
out=$cache/debian-kernel/$id
[ ! -e "$out" ] || { echo "$out"; exit 0; }
lock debian-kernel
[ ! -e "$out" ] || { echo "$out"; exit 0; }

scratch debian-kernel
say "debian-kernel: fetching Debian's cloud kernel"
# The meta package's dependency names the package that holds the kernel.
package=$(apt-cache show --no-all-versions linux-image-cloud-amd64 | sed -n 's/^Depends: \(linux-image-[^ ]*\).*/\1/p')
[ -n "$package" ] || die "debian-kernel: apt knows no linux-image-cloud-amd64; run apt-get update"
cd "$work"
# apt wants to download as its own user, who may not write here.
apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$package" >&2
dpkg-deb -x ./*.deb tree

mkdir out
cp tree/boot/vmlinuz-* out/vmlinuz
cp tree/boot/config-* out/config
mv tree/lib/modules out/modules
release=$(ls out/modules)
mkdir -p depmod/lib
ln -s "$work/out/modules" depmod/lib/modules
PATH=$PATH:/sbin:/usr/sbin depmod -b "$work/depmod" "$release"

# The boot header says where the compressed ELF lies: byte 0x1f1 holds the number of set-up sectors, 0x248 and 0x24c
# its offset after them and its length. The last four bytes of the payload are the unpacked size.
number() { od -An -t u"$2" -j $(($1)) -N "$2" out/vmlinuz | tr -d ' '; }
offset=$((($(number 0x1f1 1) + 1) * 512 + $(number 0x248 4)))
length=$(($(number 0x24c 4) - 4))
tail -c +$((offset + 1)) out/vmlinuz | head -c $length >payload
case $(od -An -t x1 -N 4 payload | tr -d ' ') in
02214c18) lz4 -q -d -c payload ;;
fd377a58) xz -d -c payload ;;
28b52ffd) zstd -q -d -c payload ;;
*) die "debian-kernel: the kernel is compressed in an unknown way" ;;
esac >out/vmlinux
readelf -h out/vmlinux >/dev/null || die "debian-kernel: no ELF in $package"
publish out debian-kernel "$id"
echo "$out"
