# SPDX-License-Identifier: Apache-2.0
casemate_test(gmem unit SOURCES unit/gmem.c LINKS virtio)
casemate_test(gmem_split unit SOURCES unit/gmem_split.c LINKS virtio)
casemate_test(virtio_limiter unit SOURCES unit/virtio_limiter.c LINKS virtio)
foreach(name queue mmio balloon misc pmem state)
  casemate_test(virtio_${name} unit
    SOURCES unit/virtio_${name}.c unit/fake_driver.c
    LINKS virtio)
endforeach()
target_link_options(virtio_balloon PRIVATE -Wl,--wrap=madvise)
casemate_test(virtio_blk unit
  SOURCES unit/virtio_blk.c unit/virtio_blk_pace.c unit/virtio_blk_life.c unit/blk_rig.c unit/fake_driver.c
  LINKS virtio)
casemate_test(virtio_vsock unit
  SOURCES unit/virtio_vsock.c unit/virtio_vsock_bulk.c unit/virtio_vsock_attack.c
    unit/vsock_guest.c unit/fake_driver.c
  LINKS virtio)
target_link_options(virtio_vsock PRIVATE -Wl,--wrap=readv)
casemate_test(virtio_net unit
  SOURCES unit/virtio_net.c unit/virtio_net_hdr.c unit/virtio_net_ctl.c unit/net_rig.c
    unit/fake_driver.c
  LINKS virtio)
casemate_test(virtio_fetch unit
  SOURCES unit/virtio_fetch.c unit/any_device.c unit/fake_driver.c ${fuzz_mutate}
  LINKS virtio)
casemate_watch_gmem(virtio_fetch)
target_link_options(virtio_fetch PRIVATE -Wl,--wrap=virtq_unpop)
casemate_test(gmem_loads unit SOURCES unit/gmem_loads.c LINKS virtio)
