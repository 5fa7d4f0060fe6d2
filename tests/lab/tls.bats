#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016 # bats sets status and output; $ is another shell's
# casemate-tls in front of casemated, with a Linux guest, under SELinux: the way of an SDK that takes getHost()'s names.

bats_require_minimum_version 1.5.0
load helpers

domain=casemate.localhost:8443
program=/usr/libexec/casemate/casemate-tls
state=/var/lib/casemate-tls
probe=/usr/libexec/casemate/busybox-tls

setup_file() {
	pkill -INT -x casemated
	until_true 60 gone casemated
	denials | wc -l >"$BATS_FILE_TMPDIR/denied" # other files provoke some
	start_daemon --boot-timeout 2m --listen unix:/run/casemate/net.sock --domain $domain
	$program --user nobody --name casemate.localhost </dev/null >>/var/log/casemate/tls.log 2>&1 3>&- 4>&- &
	key=$(casemate key create --tenant alice)
	export key
	until_true 60 serves
}
teardown_file() {
	pkill -TERM -o -x casemate-tls
	pkill -INT -x casemated
	until_true 60 gone casemated
	until_true 60 gone casemate-tls
	start_daemon
	rm -rf $state $probe /run/casemate/net.sock
	clean
}
gone() { ! pgrep -x "$1"; }
serves() { [ "$(code casemate.localhost /v2/sandboxes)" = 401 ]; }

# get NAME PATH [CURL OPTION...]: from the TLS port, by this host name, which the certificate must have.
get() { curl -s --cacert $state/tls.crt --resolve "$1:8443:127.0.0.1" "https://$1:8443$2" "${@:3}"; }
code() { get "$@" -o /dev/null -w '%{http_code}'; }

@test "tls: the API wants a key and a name of its own" {
	[ "$(code casemate.localhost /v2/sandboxes)" = 401 ]
	[ "$(code casemate.localhost /v2/sandboxes -H "X-API-Key: e2b_0000000000000000000000000000000000000000")" = 401 ]
	[ "$(code casemate.localhost /v2/sandboxes -H 'Host: evil.example' -H "X-API-Key: $key")" = 421 ]
	[ "$(code casemate.localhost /v2/sandboxes -H "X-API-Key: $key")" = 200 ]
	# The operator's alone, whoever asks by this way.
	[ "$(code casemate.localhost /v1/status -H "X-API-Key: $key")" = 403 ]
	[ "$(curl -s -o /dev/null -w '%{http_code}' --unix-socket /run/casemate/casemated.sock http://x/v1/status)" = 200 ]
}

@test "tls: a server in a sandbox has a name and is reached by it" {
	read -r id name < <(get casemate.localhost /v2/sandboxes -H "X-API-Key: $key" -d '{"templateID":"base","timeout":120}' |
		jq -r '.sandboxID + " " + .domain')
	[ "$name" = $domain ]
	casemate exec "$id" -- sh -c 'echo inside >/tmp/page; cd /tmp; nohup python3 -m http.server --bind 127.0.0.1 3000 >/dev/null 2>&1 &'
	page() { [ "$(get "3000-$id.casemate.localhost" /page)" = inside ]; }
	until_true 60 page
	[ "$(code "3001-$id.casemate.localhost" /page)" = 502 ]
	[ "$(code "49983-$id.casemate.localhost" /health)" = 204 ]
	[ "$(code casemate.localhost "/sandboxes/$id" -X DELETE -H "X-API-Key: $key")" = 204 ]
	clean
}

@test "tls: two processes without privilege, in a domain of their own" {
	pids=$(pgrep -x casemate-tls)
	[ "$(wc -w <<<"$pids")" = 2 ]
	for pid in $pids; do
		[[ "$(ps -o label= -p "$pid")" = system_u:*casemate_tls_t:s0* || "$(ps -o label= -p "$pid")" = unconfined_u:*casemate_tls_t:s0* ]]
		[ "$(status_of "/proc/$pid/status" CapEff)" = 0000000000000000 ]
		[ "$(status_of "/proc/$pid/status" NoNewPrivs)" = 1 ]
		[ "$(status_of "/proc/$pid/status" Seccomp)" = 2 ]
		[ "$(status_of "/proc/$pid/status" Uid)" = "$(id -u nobody)" ]
	done
	[ "$(stat -c '%a %U' $state/tls.key)" = "600 nobody" ]
	[ "$(denials | wc -l)" = "$(cat "$BATS_FILE_TMPDIR/denied")" ] || { denials; return 1; }
}

# What a taken-over casemate-tls could do if it had neither filter nor user: a shell in its domain, as root.
@test "tls: its domain reads its own certificate, not casemated's state, and executes nothing" {
	# Not in /tmp, which is mounted nosuid: nothing changes its domain there.
	cp /bin/busybox $probe
	chcon -t casemate_tls_exec_t $probe
	inside() { $probe sh -c "$1" 2>&1 | cat; }
	[ "$(inside 'read -r label </proc/self/attr/current; echo "$label"' | cut -d: -f3)" = casemate_tls_t ]
	# The control, then what is refused.
	[ "$(inside "read -r line <$state/tls.crt; echo \"\$line\"")" = "-----BEGIN CERTIFICATE-----" ]
	for file in /var/lib/casemated/state.db /etc/shadow /var/lib/casemate/images/default/root.erofs; do
		[ -e $file ]
		[[ "$(inside "read -r line <$file; echo read")" = *ermission\ denied* ]]
	done
	[[ "$(inside 'echo x >/var/lib/casemated/new; echo made')" = *ermission\ denied* ]]
	for path in /bin/true /usr/bin/casemate $program; do
		[[ "$(inside "exec $path")" = *ermission\ denied* ]]
	done
	# Not even to the jailer's socket, or to a network.
	[[ "$(inside 'nc -w 1 127.0.0.1 22 </dev/null || echo refused')" = *refused* ]]
	[[ "$(nc -w 1 127.0.0.1 22 </dev/null || busybox nc -w 1 127.0.0.1 22 </dev/null || :)" = *SSH* ]]
}

@test "tls: a certificate is changed while clients are served" {
	before=$(sha256sum <$state/tls.crt)
	rm $state/tls.crt
	pkill -HUP -o -x casemate-tls
	until_true 30 test -s $state/tls.crt
	[ "$(sha256sum <$state/tls.crt)" != "$before" ]
	until_true 30 serves
}
