# SPDX-License-Identifier: Apache-2.0
# The bare-metal guest: freestanding, so none of the project's usual flags apply.
set(guest_dir ${CMAKE_SOURCE_DIR}/tests/guest)
enable_language(ASM)
# A file of hostile sequences is one more of these: README.md.
file(GLOB guest_hostile CONFIGURE_DEPENDS ${guest_dir}/hostile*.c)
add_executable(guest.elf ${guest_dir}/entry.S ${guest_dir}/main.c ${guest_dir}/cpu.c
  ${guest_dir}/acpi.c ${guest_dir}/chips.c ${guest_dir}/virtio.c ${guest_dir}/console.c ${guest_dir}/blk.c
  ${guest_dir}/balloon.c ${guest_dir}/net.c ${guest_dir}/pmem.c ${guest_dir}/rng.c ${guest_dir}/vsock.c ${guest_dir}/agent.c ${guest_dir}/agent_http.c ${guest_dir}/ripple.c ${guest_dir}/touch.c ${guest_dir}/clock.c ${guest_dir}/bench.c
  ${guest_dir}/bench_queue.c ${guest_dir}/bench_blk.c ${guest_dir}/bench_net.c ${guest_dir}/bench_vsock.c
  ${guest_hostile})
target_compile_options(guest.elf PRIVATE $<$<COMPILE_LANGUAGE:C>:-std=gnu17 -Wall -Wextra>
  -O2 -ffreestanding -fno-pie -mno-red-zone -mgeneral-regs-only -fno-stack-protector
  -fcf-protection=none -fno-asynchronous-unwind-tables -mcmodel=small)
target_link_options(guest.elf PRIVATE -nostdlib -static -no-pie -Wl,-T,${guest_dir}/guest.ld
  -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=4096)
set_target_properties(guest.elf PROPERTIES LINK_DEPENDS ${guest_dir}/guest.ld)
