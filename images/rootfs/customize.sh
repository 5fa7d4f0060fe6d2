#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# customize.sh TREE OUT, as root, after mmdebstrap: users, nothing that changes from build to build, then EROFS.
# Nothing is mounted in TREE any more, so its /dev, /proc and /sys are plain directories: never make this a hook,
# which would run with the host's own mounted there.
set -eu
tree=${1:?} out=${2:?}
! grep -qF " $tree" /proc/self/mounts || { echo "customize.sh: something is still mounted below $tree" >&2; exit 1; }

chroot "$tree" useradd -m -u 1000 -U -s /bin/bash user
echo 'user ALL=(ALL:ALL) NOPASSWD: ALL' >"$tree/etc/sudoers.d/user"
chmod 440 "$tree/etc/sudoers.d/user"
echo casemate >"$tree/etc/hostname"
printf '127.0.0.1 localhost casemate\n::1 localhost\n' >"$tree/etc/hosts"
rm -f "$tree/etc/resolv.conf"
: >"$tree/etc/resolv.conf"
# The agent mounts on these, or they are the guest's to fill.
mkdir -p "$tree/proc" "$tree/sys" "$tree/dev" "$tree/run" "$tree/tmp" "$tree/mnt"

# What the image shall be judged by, before the package database shrinks.
chroot "$tree" dpkg-query -W >"$out/manifest"

# Byte code that does not refer to file times: every file gets the same time below, and Python would then compile its
# library anew in every sandbox, as it can not write to it.
find "$tree/usr" -name __pycache__ -prune -exec rm -rf {} +
chroot "$tree" python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3 /usr/lib/python3.11 >/dev/null
rm -rf "$tree"/usr/lib/python3.11/lib2to3/tests "$tree"/usr/lib/python3.11/test

# Caches, logs and backups of the build; nothing of the mirror it came from.
rm -rf "$tree"/var/cache/* "$tree"/var/lib/apt "$tree"/var/log/* "$tree"/var/lib/dpkg/*-old "$tree"/etc/*- \
	"$tree"/etc/apt/sources.list* "$tree"/etc/machine-id "$tree"/var/lib/dbus "$tree"/run/* "$tree"/tmp/* \
	"${tree:?}/dev" "${tree:?}/proc" "${tree:?}/sys"
mkdir -p "$tree/dev" "$tree/proc" "$tree/sys"
mkdir -p "$tree/var/lib/apt" "$tree/var/cache/apt"
: >"$tree/etc/machine-id"

# Not compressed: a guest maps the pages as they are, and all of a host's guests share them in its page cache. No file's
# tail beside its inode either, where DAX (--root pmem) can't map it: 8 % more on the disk.
mkfs.erofs -E noinline_data -T "$SOURCE_DATE_EPOCH" -U 6361736d-6174-4520-8726-6f6f74000001 "$out/root.erofs" "$tree" >/dev/null
