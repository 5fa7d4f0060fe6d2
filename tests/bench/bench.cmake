# SPDX-License-Identifier: Apache-2.0
casemate_executable(bench_cold_start
  SOURCES ${CMAKE_SOURCE_DIR}/tests/bench/cold_start.c ${CMAKE_SOURCE_DIR}/tests/bench/stat.c
  LINKS rpc m)
