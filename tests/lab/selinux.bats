#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The SELinux policy as the kernel has it, categories and constraints included; and a busy host's log.

load helpers

user=system_u:system_r
object=system_u:object_r
one=$user:casemate_vmm_t:s0:c1,c513
other=$user:casemate_vmm_t:s0:c2,c514

# allowed FROM TO CLASS: the permissions, in the kernel's order.
allowed() {
	local line
	read -r line < <(compute_av "$1" "$2" "$3")
	line=${line#allowed= }
	line=${line#\{ }
	[ "$line" = null ] || echo "${line% \}*}"
}

# each FROM TO: the classes of which anything is allowed, with what. (A process a class: this is an emulated machine.)
each() {
	for class in /sys/fs/selinux/class/*; do
		echo "class ${class##*/}"
		compute_av "$1" "$2" "${class##*/}"
	done | awk '/^class / { c = $2 } /^allowed=/ && $2 != "null" { gsub(/allowed= |[{}]/, ""); print c ":" $0 }' | sed 's/  */ /g; s/ *$//'
}

@test "enforcing, and none of our domains is permissive" {
	[ "$(getenforce)" = Enforcing ]
	# A permissive domain's decisions are flagged.
	for type in casemated_t casemate_jailer_t casemate_import_t casemate_vmm_t; do
		[ "$(compute_av $user:$type:s0 $user:$type:s0 process | grep -ci permissive)" = 0 ]
	done
}

@test "a VMM and itself: threads, its end, nothing else of a process" {
	[ "$(allowed $one $one process)" = "fork signal getsched" ]
	[ -z "$(allowed $one $one capability)$(allowed $one $one cap_userns)$(allowed $one $one process2)" ]
}

@test "a VMM and another: nothing, of any class" {
	run each $one $other
	# fork is a permission on oneself: the kernel never asks for it with another target.
	[ "$output" = "process: fork" ]
	# The control: its own scratch disk, and not the other's.
	[[ " $(allowed $one $object:casemate_scratch_t:s0:c1,c513 file) " = *\ write\ * ]]
	for type in casemate_scratch_t hugetlbfs_t; do
		what=" $(allowed $one $object:$type:s0:c2,c514 file) "
		echo "$type:$what"
		[[ "$what" != *\ @(read|write|append|open|ioctl|setattr)\ * ]]
	done
}

@test "a VMM opens, creates and executes nothing" {
	for type in casemate_image_t casemate_scratch_t casemate_run_t casemate_template_t etc_t shadow_t bin_t lib_t usr_t proc_t sysfs_t tmpfs_t \
		device_t kvm_device_t null_device_t tun_tap_device_t casemate_vmm_exec_t; do
		for class in file chr_file dir; do
			[[ " $(allowed $user:casemate_vmm_t:s0:c1,c513 $object:$type:s0 $class) " != *\ @(open|create|write_name|add_name|search|execute_no_trans|ptrace)\ * ]]
		done
	done
	for class in unix_stream_socket unix_dgram_socket tcp_socket udp_socket netlink_route_socket packet_socket vsock_socket alg_socket key bpf io_uring; do
		[[ " $(allowed $one $one $class) " != *\ @(create|connectto|connect|bind|prog_load|sqpoll|override_creds)\ * ]]
	done
}

@test "no domain of ours makes code of memory, traces, or loads modules" {
	for type in casemated_t casemate_jailer_t casemate_import_t casemate_vmm_t; do
		me=$user:$type:s0
		[[ " $(allowed $me $me process) " != *\ @(execmem|execstack|execheap|ptrace)\ * ]]
		[[ " $(allowed $me $me capability) " != *\ @(sys_module|sys_rawio|sys_boot|sys_time|sys_ptrace|mknod|mac_admin|mac_override|linux_immutable)\ * ]]
		[[ " $(allowed $me $me capability2) " != *\ @(mac_admin|mac_override|perfmon|bpf)\ * ]]
		[ -z "$(allowed $me $me system)" ]
		[[ " $(allowed $me $user:kernel_t:s0 system) " != *\ module_request\ * ]]
		[ -z "$(allowed $me $me memprotect)" ]
		for victim in casemated_t casemate_jailer_t casemate_vmm_t init_t sshd_t kernel_t; do
			[[ " $(allowed $me $user:$victim:s0 process) " != *\ ptrace\ * ]]
		done
	done
	# The control: a domain that may.
	[[ " $(allowed $user:kernel_t:s0 $user:kernel_t:s0 capability) " = *\ sys_module\ * ]]
}

@test "the daemon enters no domain, and nobody enters the VMM's but the jailer" {
	for type in casemate_jailer_t casemate_vmm_t init_t initrc_t unconfined_t; do
		[[ " $(allowed $user:casemated_t:s0 $user:$type:s0 process) " != *\ @(transition|dyntransition|sigkill)\ * ]]
	done
	for type in casemated_t init_t initrc_t unconfined_t; do
		[[ " $(allowed $user:$type:s0 $one process) " != *\ @(transition|dyntransition)\ * ]]
	done
	[[ " $(allowed $user:casemate_jailer_t:s0 $one process) " = *\ transition\ * ]]
}

@test "a service manager that sets no_new_privs still starts the daemon in its own domain, and no VMM at all" {
	[ "$(allowed $user:init_t:s0 $user:casemated_t:s0 process2)" = "nnp_transition nosuid_transition" ]
	[ -z "$(allowed $user:init_t:s0 $one process2)" ]
}

@test "a busy host: no denial in the log; one that is provoked stands there" {
	casemate doctor >/dev/null || : # its probe tries what must be denied
	before=$(denials | wc -l)
	id=$(casemate create --scratch 64M)
	casemate exec "$id" -- sh -c 'dd if=/dev/urandom of=/root/x bs=64k count=64 2>/dev/null; sync; md5sum /root/x; rm /root/x'
	echo in | casemate exec -i "$id" -- cat
	casemate inspect "$id" >/dev/null
	casemate logs "$id" >/dev/null
	pid=$(jail_of "$id" pid)
	[ "$(denials | wc -l)" = "$before" ] || { denials; return 1; }
	# Its memory asks for the right to trace it, which not even the administrator's shell has.
	run cat "/proc/$pid/mem"
	[ "$status" != 0 ]
	[ "$(denials | wc -l)" -gt "$before" ]
	casemate rm "$id"
	clean
}
