#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the guest kernel from Debian's linux-source package and the fragment beside this script; nothing is patched.
# Prints the artefact's directory, which holds `vmlinux` (an ELF with PVH entry, no symbols) and `config`.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
top=${here%/images/*}
. "$top/images/lib.sh"

version=$(dpkg-query -W -f '${Version}' linux-source-6.1)
compiler=$(gcc -dumpfullversion)
id=$(printf '%s\n' "$version" "$compiler" | key "$here/config" "$here/build.sh")
out=$cache/kernel/$id
[ ! -e "$out" ] || { echo "$out"; exit 0; }
lock kernel
[ ! -e "$out" ] || { echo "$out"; exit 0; }

scratch kernel
say "kernel: building the guest kernel (Linux $version, some ten minutes on two cores, once)"
# A third of its 78,000 files: on a slow disk writing and removing all of them takes longer than compiling. Of subsystems that our
# config has nothing of, kconfig and make want no more than Kconfig and Makefile.
set -- --exclude='*/Documentation/*/*' --exclude='*/arch/[a-wyz]*/*.*' --exclude='*/arch/xtensa/*.*' --exclude='*/include/dt-bindings' \
	--exclude='*/tools/perf' --exclude='*/tools/testing'
for unused in clk crypto gpu hwmon iio infiniband input media mfd mtd net/ethernet net/wireless pinctrl scsi staging usb video; do
	set -- "$@" --exclude="*/drivers/$unused/*.[ch]"
done
tar -C "$work" "$@" --exclude='*/sound/*.[ch]' -xf /usr/src/linux-source-6.1.tar.xz
cd "$work"/linux-source-*

# Same input, same bytes: the kernel would otherwise record who built it, where and when.
KBUILD_BUILD_TIMESTAMP=$(tar -tvf /usr/src/linux-source-6.1.tar.xz --full-time 2>/dev/null | awk 'NR==1 { print $4; exit }')
KBUILD_BUILD_USER=casemate
KBUILD_BUILD_HOST=casemate
KBUILD_BUILD_VERSION=1
export KBUILD_BUILD_TIMESTAMP KBUILD_BUILD_USER KBUILD_BUILD_HOST KBUILD_BUILD_VERSION
export KCFLAGS="-ffile-prefix-map=$PWD=linux" LC_ALL=C

make -s KCONFIG_ALLCONFIG="$here/config" allnoconfig >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
lost=$(grep -E '^(CONFIG_|# CONFIG_.* is not set$)' "$here/config" | while read -r line; do
	case $line in
	'#'*) name=${line#\# }; name=${name% is not set}; if grep -q "^$name=" .config; then echo "  $line"; fi ;;
	*) if ! grep -qxF -- "$line" .config; then echo "  $line"; fi ;;
	esac
done)
[ -z "$lost" ] || die "kernel: kconfig dropped options of images/kernel/config (renamed, or a dependency is missing):
$lost"

# `lines` holds how many lines make printed last time: stable enough for a percentage, and no part of the key.
{ nice make -j"$(nproc)" vmlinux 2>&1 || echo 'dev-build-failed'; } | tee "$work/log" | steps "$(cat "$here/lines")" kernel
! grep -q '^dev-build-failed' "$work/log" || { tail -40 "$work/log" >&2; die "kernel: the build failed, see above"; }

mkdir "$work/out"
strip --strip-all -R .comment -o "$work/out/vmlinux" vmlinux
cp .config "$work/out/config"
readelf -n "$work/out/vmlinux" | grep -q Xen || die "kernel: vmlinux has no PVH entry note"
publish "$work/out" kernel "$id"
echo "$out"
