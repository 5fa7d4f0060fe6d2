# SPDX-License-Identifier: Apache-2.0
# The real casemate-vmm with the bare-metal guest on the machine's own KVM. With sanitizers it is the
# same code without its filters, which a sanitizer's runtime can't live under (no_filters.c).
set(native_vmm casemate-vmm)
if(CASEMATE_SANITIZE)
  set(native_vmm casemate-vmm-sanitized)
  casemate_executable(${native_vmm} SOURCES ${CMAKE_SOURCE_DIR}/vmm/main.c native/no_filters.c LINKS vmm_core)
  target_link_options(${native_vmm} PRIVATE -Wl,--wrap=mallopt)
endif()

function(vmm_native_test name)
  casemate_test(${name} native SOURCES ${ARGN} native/harness.c native/spawn.c LINKS rpc)
  target_compile_definitions(${name} PRIVATE
    CASEMATE_VMM="$<TARGET_FILE:${native_vmm}>" GUEST_ELF="$<TARGET_FILE:guest.elf>")
  if(CASEMATE_SANITIZE)
    target_compile_definitions(${name} PRIVATE CASEMATE_SANITIZED)
  endif()
  add_dependencies(${name} ${native_vmm} guest.elf)
endfunction()

vmm_native_test(vmm_ends native/vmm_ends.c)
vmm_native_test(vmm_devices native/vmm_devices.c)
vmm_native_test(vmm_drives native/vmm_drives.c)
vmm_native_test(vmm_refusals native/vmm_refusals.c)
vmm_native_test(vmm_bench native/vmm_bench.c)
vmm_native_test(vmm_net native/vmm_net.c native/tap.c)
vmm_native_test(vmm_pause native/vmm_pause.c)
vmm_native_test(vmm_handover native/vmm_handover.c)
vmm_native_test(vmm_cpu native/vmm_cpu.c)
vmm_native_test(vmm_snapshot native/vmm_snapshot.c native/snapshot_rig.c)
vmm_native_test(vmm_snaprefused native/vmm_snaprefused.c native/snapshot_rig.c)
vmm_native_test(vmm_live native/vmm_live.c native/snapshot_rig.c)
target_link_libraries(vmm_snapshot PRIVATE vmm_core)
target_link_libraries(vmm_snaprefused PRIVATE vmm_core)
vmm_native_test(vmm_hostile native/vmm_hostile.c native/usage.c native/tap.c)
if(CASEMATE_SANITIZE)
  # ./dev test asan runs these too: all devices, good and hostile.
  set_tests_properties(vmm_hostile vmm_devices vmm_net PROPERTIES LABELS "native;sanitized")
  set_target_properties(vmm_hostile vmm_devices vmm_net PROPERTIES EXCLUDE_FROM_ALL OFF)
endif()

# A tool: boots any kernel in a casemate-vmm without a jail and shows its console.
casemate_executable(vmm-run STATIC SOURCES native/vmm_run.c native/spawn.c native/tap.c LINKS rpc)
target_include_directories(vmm-run PRIVATE ${CMAKE_SOURCE_DIR})

# A tool: many VMs from one snapshot of a Linux, with and without what makes each another machine.
casemate_executable(vmm-clones STATIC SOURCES native/vmm_clones.c native/spawn.c LINKS rpc)
target_include_directories(vmm-clones PRIVATE ${CMAKE_SOURCE_DIR})
