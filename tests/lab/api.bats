#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154 # bats sets status and output
# The public API over TCP with Linux guests, under SELinux and casemated's filter.

bats_require_minimum_version 1.5.0
load helpers

port=3900

setup_file() {
	pkill -INT -x casemated
	until_true 60 no_daemon
	start_daemon --pool 1 --boot-timeout 2m --listen 127.0.0.1:$port
	key=$(casemate key create --tenant alice --max-sandboxes 2)
	export key
}
teardown_file() {
	pkill -INT -x casemated
	until_true 60 no_daemon
	start_daemon
	clean
}
no_daemon() { ! pgrep -x casemated; }

# api METHOD PATH [CURL OPTION...]: as alice.
api() { curl -s -X "$1" -H "X-API-Key: $key" "http://127.0.0.1:$port$2" "${@:3}"; }
status() { api "$@" -o /dev/null -w '%{http_code}'; }

used_more() { [ "$(casemate metrics --json "$1" | jq '.metrics["jail.cpu_us"]')" -gt "$2" ]; }

@test "create, list, extend, use and kill" {
	id=$(api POST /v2/sandboxes -d '{"templateID":"base","timeout":120,"metadata":{"who":"alice"},"envVars":{"COLOUR":"red"}}' | jq -r .sandboxID)
	[ "$id" != null ]
	[ "$(api GET '/v2/sandboxes?metadata=who%3Dalice' | jq -r '.[0].sandboxID')" = "$id" ]
	[ "$(status POST "/sandboxes/$id/timeout" -d '{"timeout":100}')" = 204 ]
	[ "$(casemate exec "$id" -- sh -c 'echo $COLOUR; whoami')" = "red
user" ]
	# What scripts for E2B's image take for granted.
	[ "$(casemate exec "$id" -- sh -c 'sudo whoami; python -c "print(6 * 7)"')" = "root
42" ]
	api GET "/sandboxes/$id/metrics" | jq -e '.[0] | .memTotal == 536870912 and .memUsed > 1000000 and .cpuUsedPct > 0'
	before=$(casemate metrics --json "$id" | jq '.metrics["jail.cpu_us"]')
	casemate exec "$id" -- sh -c 'i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done'
	# A sample is good for a second.
	until_true 60 used_more "$id" "$before"
	[ "$(status DELETE "/sandboxes/$id")" = 204 ]
	[ "$(status GET "/sandboxes/$id")" = 404 ]
}

# Inside, without a token, there is what code interpreters ask for, and nothing that acts; the host reaches all of it.
@test "the agent's HTTP: whole for the holder of the token, health and environment inside" {
	read -r id token < <(api POST /v2/sandboxes -d '{"templateID":"base","timeout":120,"secure":true,"envVars":{"COLOUR":"red"}}' |
		jq -r '.sandboxID + " " + .envdAccessToken')
	agent() { status "$@" -H "E2b-Sandbox-Id: $id" -H 'E2b-Sandbox-Port: 49983'; }
	requests=('GET /health' 'GET /envs' 'GET /metrics' 'GET /files?path=/etc/passwd' 'POST /process.Process/List')
	from_host='' without=''
	for request in "${requests[@]}"; do
		# shellcheck disable=SC2086 # method and path
		from_host+="$(agent $request -H 'Content-Type: application/json' -d '{}' -H "X-Access-Token: $token") "
		# shellcheck disable=SC2086
		without+="$(agent $request) "
	done
	[ "$from_host" = "204 200 200 200 200 " ]
	[ "$without" = "204 401 401 401 401 " ]
	# shellcheck disable=SC2016 # for the guest's shell
	run casemate exec "$id" -- bash -c 'for request; do
		curl -s -o /dev/null -w "%{http_code} " -H "Content-Type: application/json" -X ${request% *} -d "{}" "http://127.0.0.1:49983${request#* }"
	done' bash "${requests[@]}" 'POST /init'
	[ "$output" = "204 200 404 404 404 404 " ]
	[ "$(casemate exec "$id" -- curl -s http://127.0.0.1:49983/envs | jq -r .COLOUR)" = red ]
	[ "$(casemate exec "$id" -- ss -Hltn | awk '{ print $4 }')" = 127.0.0.1:49983 ]
	[ "$(status DELETE "/sandboxes/$id")" = 204 ]
}

@test "a template that isn't there; a key that is revoked" {
	[ "$(status POST /v2/sandboxes -d '{"templateID":"nothing"}')" = 404 ]
	other=$(casemate key create --tenant alice --label other)
	[ "$(curl -s -o /dev/null -w '%{http_code}' -H "X-API-Key: $other" http://127.0.0.1:$port/v2/sandboxes)" = 200 ]
	casemate key revoke "$(casemate key list --json | jq -r '.keys[] | select(.label == "other") | .id')"
	[ "$(curl -s -o /dev/null -w '%{http_code}' -H "X-API-Key: $other" http://127.0.0.1:$port/v2/sandboxes)" = 401 ]
}

@test "the state is the daemon's alone" {
	[ "$(stat -c '%U %a' /var/lib/casemated)" = "casemate 700" ]
	[ "$(stat -c '%U %a %C' /var/lib/casemated/state.db)" = "casemate 600 system_u:object_r:casemate_state_t:s0" ]
	run ! grep -q "$key" /var/lib/casemated/state.db*
	run ! grep -q "$key" /var/log/casemate/casemated.log
}

@test "kill -9 of casemated loses nothing that it has acknowledged, and leaves nothing" {
	read -r id token < <(api POST /v2/sandboxes -d '{"templateID":"base","timeout":120}' | jq -r '.sandboxID + " " + .envdAccessToken')
	pkill -9 -x casemated
	until_true 60 no_daemon
	start_daemon --listen 127.0.0.1:$port
	[ "$(api GET "/v2/sandboxes" | jq -r '.[0].sandboxID')" = "$id" ]
	[ "$(status GET /envs -H "E2b-Sandbox-Id: $id" -H 'E2b-Sandbox-Port: 49983' -H "X-Access-Token: $token")" = 200 ]
	[ "$(status DELETE "/sandboxes/$id")" = 204 ]
	until_true 20 no_leftovers
	[ "$(status POST /v2/sandboxes -d '{"templateID":"base"}')" = 201 ]
}

@test "nothing was denied" {
	! dmesg | grep -E 'avc:.*comm="casemated"|type=1326.*comm="casemated"'
}
