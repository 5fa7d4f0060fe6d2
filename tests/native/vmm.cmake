# SPDX-License-Identifier: Apache-2.0
# The real casemate-vmm with the bare-metal guest on the machine's own KVM.
function(vmm_native_test name)
  casemate_test(${name} native SOURCES ${ARGN} native/harness.c native/spawn.c LINKS rpc)
  target_compile_definitions(${name} PRIVATE
    CASEMATE_VMM="$<TARGET_FILE:casemate-vmm>" GUEST_ELF="$<TARGET_FILE:guest.elf>")
  add_dependencies(${name} casemate-vmm guest.elf)
endfunction()

vmm_native_test(vmm_ends native/vmm_ends.c)
vmm_native_test(vmm_devices native/vmm_devices.c)
vmm_native_test(vmm_refusals native/vmm_refusals.c)
vmm_native_test(vmm_bench native/vmm_bench.c)
vmm_native_test(vmm_net native/vmm_net.c native/tap.c)
vmm_native_test(vmm_pause native/vmm_pause.c)
vmm_native_test(vmm_cpu native/vmm_cpu.c)
vmm_native_test(vmm_snapshot native/vmm_snapshot.c)
vmm_native_test(vmm_hostile native/vmm_hostile.c native/usage.c native/tap.c)

# A tool: boots any kernel in a casemate-vmm without a jail and shows its console.
casemate_executable(vmm-run STATIC SOURCES native/vmm_run.c native/spawn.c native/tap.c LINKS rpc)
target_include_directories(vmm-run PRIVATE ${CMAKE_SOURCE_DIR})
