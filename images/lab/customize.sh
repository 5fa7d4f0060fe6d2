#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# customize.sh BASE.tar KERNEL WORK HERE [POLICY...], as root: the lab's tree of packages becomes WORK/out/root.ext4.
# Nothing is mounted in the tree.
set -eu
base=${1:?} kernel=${2:?} work=${3:?} here=${4:?}
shift 4
tree=$work/tree
mkdir "$tree"
tar -C "$tree" --xattrs -xpf "$base"

cp "$tree/bin/busybox" "$work/busybox"
mkdir -p "$tree/lib/modules" "$tree/var/lib/casemate/images" "$tree/var/lib/casemate/kernels" "$tree/usr/libexec/casemate" \
	"$tree/opt/casemate" "$tree/root/.ssh" "$tree/etc/ssh"
cp -a "$kernel"/modules/* "$tree/lib/modules/"
# As in an installed system: the daemon's user, and somebody ordinary for tests.
chroot "$tree" groupadd -r kvm
chroot "$tree" useradd -r -U -u 990 -d /var/lib/casemate -s /usr/sbin/nologin casemate
chroot "$tree" useradd -m -U -u 1000 -s /bin/bash user
cp "$work/key.pub" "$tree/root/.ssh/authorized_keys"
cp "$work/host" "$tree/etc/ssh/ssh_host_ed25519_key"
chown -R 0:0 "$tree/root/.ssh" "$tree/etc/ssh"
chmod 700 "$tree/root/.ssh"
chmod 600 "$tree/root/.ssh/authorized_keys" "$tree/etc/ssh/ssh_host_ed25519_key"
rm -f "$tree"/etc/ssh/ssh_host_rsa_key* "$tree"/etc/ssh/ssh_host_ecdsa_key* "$tree/etc/ssh/ssh_host_ed25519_key.pub"
# No name lookups, many sessions over one connection, sockets forwarded for ./dev run.
cat >"$tree/etc/ssh/sshd_config" <<-'CONF'
	HostKey /etc/ssh/ssh_host_ed25519_key
	PermitRootLogin prohibit-password
	PasswordAuthentication no
	UsePAM yes
	UseDNS no
	PrintMotd no
	MaxSessions 100
	MaxStartups 100
	StreamLocalBindUnlink yes
	AcceptEnv LANG LC_* TERM
	Subsystem sftp /usr/lib/openssh/sftp-server
CONF
echo lab >"$tree/etc/hostname"
printf '127.0.0.1 localhost lab\n' >"$tree/etc/hosts"
rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/etc/apt/sources.list* "$tree"/var/log/*
install -m 755 "$here/init" "$tree/sbin/lab-init"
ln -sf /bin/busybox "$tree/sbin/poweroff"

# SELinux: Debian's policy, ours on top, every file labelled.
mkdir -p "$tree/etc/selinux"
printf 'SELINUX=enforcing\nSELINUXTYPE=default\n' >"$tree/etc/selinux/config"
contexts=$tree/etc/selinux/default/contexts/files
printf '%s\n' '/sbin/lab-init	--	system_u:object_r:init_exec_t:s0' \
	'/usr/sbin/lab-init	--	system_u:object_r:init_exec_t:s0' >"$contexts/file_contexts.local"
modules=
for file in "$@"; do
	case $file in
	*.cil) cp "$file" "$tree/tmp/"; modules="$modules -i /tmp/${file##*/}" ;;
	*) cat "$file" >>"$contexts/file_contexts.local" ;;
	esac
done
# shellcheck disable=SC2086 # a list of options
[ -z "$modules" ] || chroot "$tree" semodule -n -s default $modules
rm -rf "${tree:?}/tmp" "${tree:?}/dev" "${tree:?}/proc" "${tree:?}/sys" "${tree:?}/run"
mkdir -p "$tree/tmp" "$tree/dev" "$tree/proc" "$tree/sys" "$tree/run"
chmod 1777 "$tree/tmp"
PATH=$PATH:/sbin:/usr/sbin setfiles -F -r "$tree" "$contexts/file_contexts" "$tree"

# Room to write in is cheap: the file is sparse, and a lab writes to a throw-away snapshot of it.
truncate -s 3G "$work/out/root.ext4"
mkfs.ext4 -q -F -d "$tree" -L lab -m 0 -O ^has_journal -E lazy_itable_init=1 "$work/out/root.ext4"
