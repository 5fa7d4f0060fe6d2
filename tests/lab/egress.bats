#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016 # bats sets status and output; $ is the guest's
# What a sandbox reaches: real guests, the jailer's gateway, casemate-egress, a server behind a veth. Refusals stand beside
# what is let through in the same sandbox.

bats_require_minimum_version 1.5.0
load helpers

setup_file() {
	pkill -INT -x casemated
	until_true 60 gone casemated
	denials | wc -l >"$BATS_FILE_TMPDIR/denied" # other files provoke some
	# The certificate of a server of ours is the only one that this host believes.
	sed -n '/BEGIN CERT/,/END CERT/p' "$BATS_TEST_DIRNAME/egress-server.pem" >/etc/lab.crt
	chcon -t cert_t /etc/lab.crt
	start_daemon --boot-timeout 2m --networks --network-allow 10.99.0.0/24 --resolver 10.99.0.2 --ca-file /etc/lab.crt
	ip netns add srv
	ip link add h0 type veth peer name s0 netns srv
	ip addr add 10.99.0.1/24 dev h0
	ip link set h0 up
	ip -n srv addr add 10.99.0.2/24 dev s0
	ip -n srv link set s0 up
	mkdir -p "$BATS_FILE_TMPDIR/www"
	echo "served" >"$BATS_FILE_TMPDIR/www/index.html"
	for port in 8080 8081; do
		ip netns exec srv python3 -m http.server -d "$BATS_FILE_TMPDIR/www" --bind 10.99.0.2 $port \
			</dev/null >/dev/null 2>&1 3>&- 4>&- &
	done
	until_true 20 answers 8080
	until_true 20 answers 8081
}

teardown_file() {
	pkill -INT -x casemated
	until_true 60 gone casemated
	start_daemon
	# shellcheck disable=SC2046 # a list of numbers
	kill $(ip netns pids srv)
	ip netns del srv
}

gone() { ! pgrep -x "$1"; }
answers() { curl -sf -m 5 "http://10.99.0.2:$1/"; }

# get ADDRESS PORT: for the guest: what a server there says, within ten seconds.
get='get() { timeout 10 bash -c "exec 3<>/dev/tcp/$1/$2 && printf \"GET / HTTP/1.0\r\n\r\n\" >&3 && cat <&3" 2>/dev/null; }'

@test "egress: what is allowed is reached, and nothing else" {
	run -0 casemate run --net allow=10.99.0.2:8080 -- bash -c "$get"'
		get 10.99.0.2 8080 | grep -q served && echo allowed
		get 10.99.0.2 8081 | grep -q served || echo "no other port"
		get 10.99.0.1 22 | grep -q SSH || echo "not the host"
		get 169.254.169.254 80 | grep -q . || echo "no metadata"
		get 10.213.0.2 8080 | grep -q . || echo "not the gateway"
		grep -q "^nameserver 10.213.0.2" /etc/resolv.conf && echo "a resolver"
		grep -c . /proc/net/route'
	echo "$output"
	[ "${lines[0]}" = allowed ]
	[ "${lines[1]}" = "no other port" ]
	[ "${lines[2]}" = "not the host" ]
	[ "${lines[3]}" = "no metadata" ]
	[ "${lines[4]}" = "not the gateway" ]
	[ "${lines[5]}" = "a resolver" ]
	clean
}

@test "egress: a policy is changed while the sandbox runs" {
	id=$(casemate create --net none)
	run casemate exec "$id" -- bash -c "$get; get 10.99.0.2 8080"
	[[ "$output" != *served* ]]
	casemate net "$id" allow=10.99.0.2:8080
	run -0 casemate exec "$id" -- bash -c "$get; get 10.99.0.2 8080"
	[[ "$output" = *served* ]]
	run casemate net "$id" allow=nonsense/99
	[ "$status" -ne 0 ]
	casemate net "$id" allow=10.99.0.2:8081
	run casemate exec "$id" -- bash -c "$get; get 10.99.0.2 8080"
	[[ "$output" != *served* ]]
	casemate rm "$id"
	clean
}

# Everything that isn't TCP, and TCP to where nothing was allowed, from a guest that is root of its kernel and has an address of
# IPv6, too. The host does the same first: the servers answer.
@test "egress: no UDP, no ICMP, no IPv6, no scan finds anything" {
	ip addr add 2001:db8:99::1/64 dev h0 nodad
	ip -n srv addr add 2001:db8:99::2/64 dev s0 nodad
	cat >"$BATS_FILE_TMPDIR/echo.py" <<-'P'
		import socket, threading
		def tcp(s):
		    while True:
		        c, _ = s.accept(); c.sendall(b"served"); c.close()
		for f, a in (socket.AF_INET, "10.99.0.2"), (socket.AF_INET6, "2001:db8:99::2"):
		    s = socket.socket(f, socket.SOCK_STREAM); s.bind((a, 7)); s.listen(); threading.Thread(target=tcp, args=(s,)).start()
		    u = socket.socket(f, socket.SOCK_DGRAM); u.bind((a, 7))
		    threading.Thread(target=lambda u=u: [u.sendto(b"served", u.recvfrom(2048)[1]) for _ in iter(int, 1)]).start()
	P
	cat >"$BATS_FILE_TMPDIR/probe.py" <<-'P'
		import fcntl, socket, struct, sys
		def tell(what, reached): print(what, "reached" if reached else "not")
		def attempt(what, family, kind, proto, to, message):
		    try:
		        with socket.socket(family, kind, proto) as s:
		            s.settimeout(2); s.connect(to)
		            if message: s.send(message)
		            return tell(what, len(s.recv(2048)) > 0)
		    except OSError: tell(what, False)
		v4, v6 = socket.AF_INET, socket.AF_INET6
		if len(sys.argv) > 1: # the guest: an address of its own choice, SIOCSIFADDR of an in6_ifreq
		    try:
		        open("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "w").write("0")
		        with socket.socket(v6, socket.SOCK_DGRAM) as s:
		            at = socket.inet_pton(v6, "2001:db8:99::9") + struct.pack("Ii", 64, socket.if_nametoindex("eth0"))
		            fcntl.ioctl(s, 0x8916, at)
		        print("has IPv6")
		    except OSError as e: print("no IPv6:", e)
		echo = lambda kind, sum: struct.pack("!BBHHH", kind, 0, sum, 7, 1)
		attempt("tcp4", v4, socket.SOCK_STREAM, 0, ("10.99.0.2", 7), b"")
		attempt("udp4", v4, socket.SOCK_DGRAM, 0, ("10.99.0.2", 7), b"x")
		attempt("large_udp4", v4, socket.SOCK_DGRAM, 0, ("10.99.0.2", 7), b"x" * 1800)
		attempt("icmp4", v4, socket.SOCK_RAW, socket.IPPROTO_ICMP, ("10.99.0.2", 0), echo(8, 0xf7f7))
		attempt("tcp6", v6, socket.SOCK_STREAM, 0, ("2001:db8:99::2", 7), b"")
		attempt("udp6", v6, socket.SOCK_DGRAM, 0, ("2001:db8:99::2", 7), b"x")
		attempt("icmp6", v6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6, ("2001:db8:99::2", 0), echo(128, 0))
		attempt("mapped", v6, socket.SOCK_DGRAM, 0, ("::ffff:10.99.0.2", 7), b"x")
		if len(sys.argv) > 1:
		    found = []
		    for host in "10.99.0.1", "10.213.0.1", "10.213.0.2", "10.213.0.3", "169.254.169.254", "127.0.0.2", "100.100.100.200":
		        for port in 22, 80, 443, 2375, 6443, 8080, 49983:
		            with socket.socket() as s:
		                s.settimeout(2)
		                try:
		                    s.connect((host, port)); s.sendall(b"GET / HTTP/1.0\r\n\r\n")
		                    if s.recv(16): found.append((host, port))
		                except OSError: pass
		    # the guest's own 49983 is its agent's, and is bound to every address of the guest's
		    print("found", sorted(set(found) - {("10.213.0.1", 49983)}))
	P
	ip netns exec srv python3 "$BATS_FILE_TMPDIR/echo.py" </dev/null >/dev/null 2>&1 3>&- 4>&- &
	until_true 20 bash -c 'grep -q served </dev/tcp/10.99.0.2/7'
	run -0 python3 "$BATS_FILE_TMPDIR/probe.py"
	echo "the host: $output"
	[ "$(grep -c reached <<<"$output")" -eq 8 ]
	id=$(casemate create --user root --net allow=10.99.0.2:7)
	casemate cp "$BATS_FILE_TMPDIR/probe.py" "$id:/tmp/probe.py"
	run -0 casemate exec "$id" -- python3 /tmp/probe.py scan
	echo "the guest: $output"
	[[ "$output" = *"has IPv6"* ]]
	[ "$(grep reached <<<"$output")" = "tcp4 reached" ]
	[ "$(grep -c ' not$' <<<"$output")" -eq 7 ]
	[[ "$output" = *"found []"* ]]
	casemate rm "$id"
	clean
}

# A server of HTTPS that keeps what it is told and answers nothing of it, and a name server that has it at two names.
secret_server() {
	cat >"$BATS_FILE_TMPDIR/https.py" <<-'P'
		import http.server, socket, ssl, sys, threading
		def names():
		    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("10.99.0.2", 53))
		    while True:
		        q, to = u.recvfrom(512); end = q.index(b"\0", 12) + 5
		        known = q[12:end - 4] in (b"\3api\3lab\4test\0", b"\5other\3lab\4test\0") and q[end - 4:end - 2] == b"\0\1"
		        head = q[:2] + b"\x81\x80\0\1" + (b"\0\1" if known else b"\0\0") + b"\0\0\0\0" + q[12:end]
		        u.sendto(head + (b"\xc0\x0c\0\1\0\1\0\0\0\x0a\0\4" + bytes([10, 99, 0, 2]) if known else b""), to)
		class H(http.server.BaseHTTPRequestHandler):
		    protocol_version = "HTTP/1.1"
		    def do_GET(self):
		        open(sys.argv[2], "a").write(self.headers.get("Host") + " " + self.headers.get("Authorization", "none") + "\n")
		        self.send_response(200); self.send_header("Content-Length", "6"); self.end_headers(); self.wfile.write(b"served")
		threading.Thread(target=names).start()
		c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain(sys.argv[1])
		s = http.server.ThreadingHTTPServer(("10.99.0.2", 443), H); s.socket = c.wrap_socket(s.socket, server_side=True); s.serve_forever()
	P
	ip netns exec srv python3 "$BATS_FILE_TMPDIR/https.py" "$BATS_TEST_DIRNAME/egress-server.pem" "$BATS_FILE_TMPDIR/told" \
		</dev/null >/dev/null 2>&1 3>&- 4>&- &
	until_true 20 curl -sf --cacert /etc/lab.crt --resolve api.lab.test:443:10.99.0.2 https://api.lab.test/
}

@test "egress: a secret of a rule reaches its server by HTTPS, and the guest never has it" {
	secret_server
	run -0 cat "$BATS_FILE_TMPDIR/told"
	[[ "$output" = *"api.lab.test none"* ]]
	rule='[{"transform":{"headers":{"Authorization":"Bearer s3cret"}}}]'
	policy='{"allowOut":["api.lab.test","other.lab.test"],"denyOut":["0.0.0.0/0"],"rules":{"api.lab.test":'$rule',"other.lab.test":'$rule'}}'
	id=$(curl -sf --unix-socket /run/casemate/casemated.sock -d '{"user":"root","network":'"$policy"'}' http://localhost/v1/sandboxes | jq -r .id)
	# By the system's bundle, with another credential of the guest's own.
	run -0 casemate exec "$id" -- python3 -c 'import urllib.request as r; q = r.Request("https://api.lab.test/", headers={"Authorization": "Bearer mine"}); print(r.urlopen(q, timeout=20).read())'
	[[ "$output" = *served* ]]
	[ "$(tail -n 1 "$BATS_FILE_TMPDIR/told")" = "api.lab.test Bearer s3cret" ]
	told=$(wc -l <"$BATS_FILE_TMPDIR/told")
	# Its certificate isn't good for this name, however much it is the rule's.
	run casemate exec "$id" -- python3 -c 'import urllib.request as r; r.urlopen("https://other.lab.test/", timeout=20)'
	echo "$output"
	[ "$status" -ne 0 ]
	# Nor does a request inside of the connection go to another name.
	run casemate exec "$id" -- python3 -c 'import urllib.request as r; q = r.Request("https://api.lab.test/", headers={"Host": "other.lab.test"}); r.urlopen(q, timeout=20)'
	echo "$output"
	[ "$status" -ne 0 ]
	[ "$(wc -l <"$BATS_FILE_TMPDIR/told")" -eq "$told" ]
	# Nothing that the guest can read has it, environments of all processes included; and no private key came with the trust.
	run -0 casemate exec "$id" -- sh -c 'grep -rqs "s3cr[e]t" /etc /usr/local /tmp /run /root /home /proc/[0-9]*/environ /proc/cmdline || echo "no secret"
		grep -c "BEGIN CERTIFICATE" /usr/local/share/ca-certificates/casemate.crt
		grep -q "PRIVATE" /usr/local/share/ca-certificates/casemate.crt || echo "no key"; env'
	[[ "$output" = *"no secret"*1*"no key"*NODE_EXTRA_CA_CERTS=* ]]
	casemate rm "$id"
	# One that runs already learns it with the policy.
	id=$(casemate create --user root --net none)
	curl -sf --unix-socket /run/casemate/casemated.sock -X PUT -d "$policy" "http://localhost/v1/sandboxes/$id/network"
	run -0 casemate exec "$id" -- python3 -c 'import urllib.request as r; print(r.urlopen("https://api.lab.test/", timeout=20).read())'
	[[ "$output" = *served* ]]
	[ "$(tail -n 1 "$BATS_FILE_TMPDIR/told")" = "api.lab.test Bearer s3cret" ]
	casemate rm "$id"
	clean
}

@test "egress: without --net there is no card, and a bad policy makes no sandbox" {
	run -0 casemate run -- sh -c 'ls /sys/class/net'
	[ "$output" = lo ]
	run casemate run --net allow=nonsense/99 -- true
	[ "$status" -ne 0 ]
	[[ "$output" = *network* ]]
	clean
}

@test "egress: nothing of it is left, and nothing was denied" {
	run ! pgrep -f casemate-egress
	[ "$(ip netns list | wc -l)" -eq 1 ]
	run -0 tail -n +"$(($(cat "$BATS_FILE_TMPDIR/denied") + 1))" <(denials)
	[ -z "$output" ] || { echo "$output"; return 1; }
}
