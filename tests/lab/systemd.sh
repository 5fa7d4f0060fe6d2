#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# systemd.sh - the units under a real systemd, by hand, on a Debian host that has systemd's files:
#
#     tests/lab/systemd.sh | ./dev lab -- bash -s
#
# prints a script with the units and systemd's own files in it, because the lab's root has no systemd. In the lab it runs one in
# namespaces of its own, below the cgroup hierarchy's root, in SELinux's init_t, and then all four units: create and exec, TLS,
# casemated restarted beside a living sandbox, reload, stop. Half a minute; it ends with "systemd: all is well", or says what isn't.
# What systemd itself labels on a host (it sees a container here) is labelled by hand: casemate-tls's state directory.
set -euo pipefail
top=$(realpath "$(dirname "$0")/../..")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/etc/systemd/system"
for unit in casemate-jailer casemated casemate-tls; do
	sed 's|@CMAKE_INSTALL_FULL_LIBEXECDIR@|/usr/libexec|g' "$top/packaging/$unit.service.in" >"$work/etc/systemd/system/$unit.service"
done
cp "$top"/packaging/*.socket "$work/etc/systemd/system/"
{
	printf '%s\n' /lib/systemd/systemd /bin/systemctl /lib/systemd/system/*.target
	ldd /lib/systemd/systemd /bin/systemctl | grep -o '/[^ ]*\.so[^ ]*' | grep -v '/libc\.\|/ld-linux'
} | sort -u >"$work/list"

echo "exec bash -s <<'SCRIPT'"
echo "base64 -d <<'DATA' | tar -C / -xz --keep-old-files 2>/dev/null"
tar -C / -chz -T "$work/list" 2>/dev/null | base64
echo DATA
echo "base64 -d <<'DATA' | tar -C / -xz"
tar -C "$work" -cz etc | base64
echo DATA
cat <<'LAB'
set -u
bad=0
# is WHAT EXPECTED FOUND
is() { if [ "$2" = "$3" ]; then echo "ok $1"; else echo "not ok $1: $3, not $2"; bad=1; fi; }
getent passwd casemate-tls >/dev/null || {
	echo 'casemate-tls:x:991:991::/nonexistent:/usr/sbin/nologin' >>/etc/passwd
	echo 'casemate-tls:x:991:' >>/etc/group
}
units='casemate-jailer.service casemated.socket casemated-net.socket casemated.service casemate-tls.socket casemate-tls.service'
for unit in casemate-jailer casemated casemate-tls; do
	mkdir -p /etc/systemd/system/$unit.service.d
	printf '[Service]\nStandardOutput=append:/var/log/%s.log\nStandardError=append:/var/log/%s.log\n' $unit $unit >/etc/systemd/system/$unit.service.d/log.conf
done
printf '[Service]\nEnvironment="OPTIONS=--domain casemate.localhost:8443 --boot-timeout 2m"\n' >/etc/systemd/system/casemated.service.d/options.conf
printf '[Unit]\nDefaultDependencies=no\nWants=%s\n' "$units" >/etc/systemd/system/casemate-test.target
install -d -o casemate-tls -g casemate-tls /var/lib/casemate-tls
restorecon -R /var/lib/casemate-tls
pkill -INT -x casemated
while pgrep -x casemated >/dev/null; do sleep 0.2; done
pkill -x casemate-jailer
while pgrep -x casemate-jailer >/dev/null; do sleep 0.2; done
rm -rf /run/casemate/*
denied=$(dmesg | grep -c 'avc.*denied.*casemate')

mkdir /sys/fs/cgroup/systemd-test
echo $$ >/sys/fs/cgroup/systemd-test/cgroup.procs
for controller in cpu memory pids io cpuset; do echo +$controller >/sys/fs/cgroup/cgroup.subtree_control; done
cat >/tmp/systemd-test <<'INNER'
mount --make-rprivate /
umount -l /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/casemate /run/systemd
restorecon -R /run
export container=lxc
exec runcon system_u:system_r:init_t:s0 /lib/systemd/systemd --system --unit=casemate-test.target --log-target=console >/var/log/systemd.log 2>&1
INNER
# A login may not become init_t, and that is all that permissive is for.
setenforce 0
unshare --cgroup --pid --mount --ipc --fork --mount-proc bash /tmp/systemd-test </dev/null &
outer=$!
sleep 2
setenforce 1
echo $outer >/sys/fs/cgroup/cgroup.procs
echo $$ >/sys/fs/cgroup/cgroup.procs
inner=$(pgrep -P $outer | head -1)
inside() { nsenter -t "$inner" -m -p -C timeout 60 "$@" </dev/null; }
tls() { inside curl -s --cacert /var/lib/casemate-tls/tls.crt --resolve casemate.localhost:8443:127.0.0.1 -o /dev/null -w '%{http_code}' https://casemate.localhost:8443/v2/sandboxes "$@"; }
for _ in $(seq 100); do [ "$(tls)" != 401 ] || break; sleep 0.3; done

is enforcing Enforcing "$(getenforce)"
for unit in $units; do is "$unit" active "$(inside systemctl is-active "$unit")"; done
for domain in casemated casemate_jailer casemate_tls; do
	ps -eo label | grep -q "system_r:${domain}_t:" && found=yes || found=no
	is "domain $domain" yes $found
done
id=$(inside casemate create)
is exec hi "$(inside casemate exec "$id" -- echo hi)"
key=$(inside casemate key create --tenant test)
is 'tls without a key' 401 "$(tls)"
is 'tls with one' 200 "$(tls -H "X-API-Key: $key")"
inside systemctl restart casemated
is 'the same sandbox after a restart' still "$(inside casemate exec "$id" -- echo still)"
is 'tls after it' 200 "$(tls -H "X-API-Key: $key")"
inside systemctl reload casemate-tls
is 'tls after a reload' 200 "$(tls -H "X-API-Key: $key")"
# shellcheck disable=SC2086 # a list of words
inside systemctl stop $units
is 'processes after a stop' 0 "$(pgrep -c casemate)"
is 'denials' "$denied" "$(dmesg | grep -c 'avc.*denied.*casemate')"
kill -9 "$inner"
if [ $bad = 0 ]; then
	echo 'systemd: all is well'
else
	dmesg | grep 'avc.*denied.*casemate' | tail -5
	tail -n 5 /var/log/systemd.log /var/log/casemate*.log
	exit 1
fi
SCRIPT
LAB
