# SPDX-License-Identifier: Apache-2.0
set(bench_dir ${CMAKE_SOURCE_DIR}/tests/bench)

casemate_executable(bench_cold_start
  SOURCES ${bench_dir}/cold_start.c ${bench_dir}/stat.c ${bench_dir}/pss.c
  LINKS rpc m)

# Starts QEMU and casemate-vmm side by side; the guest is tests/guest.
casemate_executable(bench_vmm
  SOURCES ${bench_dir}/vmm.c ${bench_dir}/vmm_rows.c ${bench_dir}/vmm_process.c ${bench_dir}/vmm_casemate.c
    ${bench_dir}/vmm_qemu.c ${bench_dir}/vmm_firecracker.c ${bench_dir}/vmm_host_stream.c ${bench_dir}/vmm_host_net.c ${bench_dir}/stat.c
    ${bench_dir}/pss.c ${CMAKE_SOURCE_DIR}/tests/native/spawn.c ${CMAKE_SOURCE_DIR}/tests/native/tap.c
  LINKS rpc m)
add_dependencies(bench_vmm casemate-vmm guest.elf)

# A vsock stream to a Linux guest (in the lab: vsock.lab), whose /init is the second program.
casemate_executable(bench_vsock
  SOURCES ${bench_dir}/vsock.c ${bench_dir}/vmm_process.c ${bench_dir}/stat.c ${CMAKE_SOURCE_DIR}/tests/native/spawn.c
  LINKS rpc m)
casemate_executable(bench_vsock_guest STATIC SOURCES ${bench_dir}/vsock_guest.c LINKS base)
add_dependencies(bench_vsock casemate-vmm)

# The whole stack on this machine; the guest is tests/guest as an agent.
casemate_executable(bench_start
  SOURCES ${bench_dir}/start.c ${bench_dir}/start_alive.c ${bench_dir}/start_claims.c ${bench_dir}/start_fork.c
    ${bench_dir}/start_stack.c ${bench_dir}/stat.c
  LINKS cli_core m)
add_dependencies(bench_start casemated casemate-jailer casemate-vmm guest.elf)

# In the lab (start.lab): with a Linux guest, beside QEMU's restore from its own migration.
casemate_executable(bench_start_lab SOURCES ${bench_dir}/start_lab.c ${bench_dir}/stat.c LINKS cli_core rpc proto m)

# The same stack for the E2B SDK (api.mjs), which Node.js runs.
casemate_executable(bench_api SOURCES ${bench_dir}/api.c ${bench_dir}/start_stack.c ${bench_dir}/stat.c LINKS cli_core m)
add_dependencies(bench_api casemated casemate-jailer casemate-vmm guest.elf)

# The way to a network: casemate-egress beside nothing, and sandboxes with and without one.
casemate_executable(bench_net
  SOURCES ${bench_dir}/net.c ${bench_dir}/net_way.c ${bench_dir}/start_stack.c ${bench_dir}/stat.c
  LINKS cli_core jailer m)
add_dependencies(bench_net casemated casemate-jailer casemate-vmm casemate-egress guest.elf)

# Jails alone, beside bubblewrap's; the program in them says that it runs and no more.
casemate_executable(bench_jail_hello STATIC SOURCES ${bench_dir}/jail_hello.c)
casemate_executable(bench_jail
  SOURCES ${bench_dir}/jail.c ${bench_dir}/jail_casemate.c ${bench_dir}/jail_peer.c ${bench_dir}/stat.c
  LINKS rpc proto m)
add_dependencies(bench_jail casemate-jailer bench_jail_hello)

# /init of the Linux guest that vmm.lab boots.
casemate_executable(bench_linux_init STATIC SOURCES ${bench_dir}/linux_init.c LINKS base)
