# SPDX-License-Identifier: Apache-2.0
if(CASEMATE_FUZZ)
  casemate_fuzz(virtq SOURCES virtq.c LINKS virtio)
  # Guest memory changes after each of the queue's reads: see the head of virtq.c.
  target_link_options(fuzz_virtq PRIVATE
    -Wl,--wrap=gmem_read,--wrap=gmem_read_le16,--wrap=gmem_read_le16_acquire)
  foreach(name virtio_mmio vsock)
    casemate_fuzz(${name} SOURCES ${name}.c ${CMAKE_SOURCE_DIR}/tests/unit/fake_driver.c LINKS virtio)
  endforeach()
endif()
