# SPDX-License-Identifier: Apache-2.0
# casemate_watch_gmem(TARGET): each fetch of guest memory that TARGET's code makes is seen by
# tests/unit/gmem_watch.c. The names come from gmem.h: one that the watcher doesn't know does not link.
file(STRINGS ${CMAKE_SOURCE_DIR}/vmm/gmem.h gmem_lines REGEX "^MUST_USE int gmem_(read|iov)")
set(gmem_wraps "")
foreach(line IN LISTS gmem_lines)
  string(REGEX REPLACE "^MUST_USE int ([a-z0-9_]+).*" "\\1" name "${line}")
  list(APPEND gmem_wraps -Wl,--wrap=${name})
endforeach()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/vmm/gmem.h)

function(casemate_watch_gmem target)
  if(TARGET ${target})
    target_sources(${target} PRIVATE ${CMAKE_SOURCE_DIR}/tests/unit/gmem_watch.c)
    target_link_options(${target} PRIVATE ${gmem_wraps})
  endif()
endfunction()

# For fuzz targets that serve queues: the guest's side, and memory that changes (fuzz/mutate.h).
set(fuzz_driver ${CMAKE_SOURCE_DIR}/tests/unit/fake_driver.c)
set(fuzz_mutate ${CMAKE_SOURCE_DIR}/fuzz/mutate.c)
