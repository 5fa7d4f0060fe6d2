# SPDX-License-Identifier: Apache-2.0
if(CASEMATE_FUZZ)
  casemate_fuzz(virtq SOURCES virtq.c LINKS virtio)
  casemate_watch_gmem(fuzz_virtq)
  foreach(name virtio_mmio vsock)
    casemate_fuzz(${name} SOURCES ${name}.c ${fuzz_driver} ${fuzz_mutate} LINKS virtio)
    casemate_watch_gmem(fuzz_${name})
  endforeach()
endif()
