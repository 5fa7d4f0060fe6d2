# SPDX-License-Identifier: Apache-2.0
# How every target of the project is compiled and linked: one place for the flags, and
# four functions (casemate_library, casemate_executable, casemate_test, casemate_fuzz)
# so that no folder invents its own.

include(CheckCCompilerFlag)
find_package(PkgConfig REQUIRED)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE OFF) # -fPIE comes with our own flags
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

option(CASEMATE_WERROR "Treat warnings as errors" ON)
set(CASEMATE_SANITIZE "" CACHE STRING "Sanitizers, for example address,undefined")
set(CASEMATE_TESTS unit native CACHE STRING "Tiers whose test programs are built without being asked for")
option(CASEMATE_FUZZ "Build the fuzz targets (clang and libFuzzer)" OFF)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")

set(casemate_warnings
  -Wall -Wextra -Wpedantic -Wformat=2 -Wconversion -Wsign-conversion -Wshadow -Wvla -Walloca
  -Wundef -Wpointer-arith -Wcast-qual -Wcast-align -Wwrite-strings -Wstrict-prototypes
  -Wmissing-prototypes -Wswitch-enum -Wnull-dereference -Wdate-time -Werror=implicit
  -Werror=incompatible-pointer-types -Werror=int-conversion -Werror=return-type)
set(casemate_harden
  -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
  -fno-delete-null-pointer-checks -fno-strict-aliasing -fno-common -fvisibility=hidden -fPIE)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  list(APPEND casemate_warnings
    -Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wformat-overflow=2
    -Wformat-truncation=2 -Wstringop-overflow=4 -Warray-bounds=2 -Warith-conversion
    -Walloc-zero -Wtrampolines -Wbidi-chars=any -Wimplicit-fallthrough=5 -Wstack-usage=16384)
  list(APPEND casemate_harden -ftrivial-auto-var-init=zero -fzero-call-used-regs=used-gpr)
else()
  # -Wcast-qual is gcc's job: clang also looks into the initialisers that protobuf-c generates, which
  # cast its constant empty string.
  list(APPEND casemate_warnings -Wthread-safety -Wno-cast-qual)
  list(APPEND casemate_harden -ftrivial-auto-var-init=pattern)
endif()
if(CASEMATE_WERROR)
  list(APPEND casemate_warnings -Werror)
endif()

if(CASEMATE_SANITIZE)
  set(casemate_san -fsanitize=${CASEMATE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  # The sanitizers' own interception and FORTIFY fight each other.
  set(casemate_fortify -U_FORTIFY_SOURCE)
  if(CASEMATE_FUZZ)
    # Everything counts its edges for libFuzzer, not only the targets themselves.
    list(APPEND casemate_san -fsanitize=fuzzer-no-link)
  endif()
else()
  set(casemate_san "")
  set(casemate_fortify -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
# A function a section, so that the linker leaves out what a program doesn't use: a VMM needs neither
# the agent's messages nor the jailer's. Its text is memory, too. Not in tests: Criterion's are found
# by their section, which nothing refers to.
set(casemate_sections -ffunction-sections -fdata-sections)
set(casemate_link -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code,--as-needed,--fatal-warnings)

# Flags of our own code. Generated protobuf-c code gets casemate_generated instead.
add_library(casemate_flags INTERFACE)
target_compile_definitions(casemate_flags INTERFACE _GNU_SOURCE CASEMATE_VERSION="${PROJECT_VERSION}")
target_compile_options(casemate_flags INTERFACE ${casemate_harden} ${casemate_sections} ${casemate_fortify} ${casemate_san} ${casemate_warnings})
target_link_options(casemate_flags INTERFACE ${casemate_san} ${casemate_link})

add_library(casemate_generated INTERFACE)
target_compile_definitions(casemate_generated INTERFACE _GNU_SOURCE)
target_compile_options(casemate_generated INTERFACE ${casemate_harden} ${casemate_sections} ${casemate_fortify} ${casemate_san})

# casemate_library(NAME SOURCES ... [LINKS ...]): a folder is a static library; its headers are
# included as "folder/header.h" from the top of the tree.
function(casemate_library name)
  cmake_parse_arguments(A "" "" "SOURCES;LINKS" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE casemate_flags PUBLIC ${A_LINKS})
endfunction()

# casemate_executable(NAME [STATIC] SOURCES ... [LINKS ...]): STATIC gives a static-pie binary.
function(casemate_executable name)
  cmake_parse_arguments(A "STATIC" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE casemate_flags ${A_LINKS})
  target_link_options(${name} PRIVATE -Wl,--gc-sections)
  if(A_STATIC AND NOT CASEMATE_SANITIZE)
    target_link_options(${name} PRIVATE -static-pie)
  else()
    target_link_options(${name} PRIVATE -pie)
  endif()
endfunction()

# Criterion's macros are not clean under these. A library of its own, linked after casemate_flags,
# because a target's own options come before those of what it links.
add_library(casemate_test_flags INTERFACE)
target_compile_options(casemate_test_flags INTERFACE -Wno-pedantic -Wno-missing-prototypes
  -Wno-cast-qual -Wno-sign-conversion -Wno-conversion)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(casemate_test_flags INTERFACE -Wno-arith-conversion -Wno-stack-usage
    -Wno-duplicated-branches)
else()
  target_compile_options(casemate_test_flags INTERFACE -Wno-unknown-warning-option -Wno-gnu
    -Wno-variadic-macros)
endif()

# casemate_test(NAME TIER SOURCES ... [LINKS ...]): a Criterion executable of a tier
# (unit or native), registered with ctest under that label.
function(casemate_test name tier)
  cmake_parse_arguments(A "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE casemate_flags casemate_test_flags ${A_LINKS} criterion)
  target_link_options(${name} PRIVATE -pie)
  if(CASEMATE_SANITIZE MATCHES address)
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/lsan.c)
  endif()
  if(NOT tier IN_LIST CASEMATE_TESTS)
    set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  # A program without a test is a mistake, not a success.
  set_tests_properties(${name} PROPERTIES LABELS ${tier} TIMEOUT 300 FAIL_REGULAR_EXPRESSION "Tested: 0 ")
endfunction()

# What preset fuzz builds: no more than the targets need, for the edges are counted in all of it.
add_custom_target(fuzzers)
add_library(casemate_fuzz_flags INTERFACE)
target_compile_options(casemate_fuzz_flags INTERFACE -fsanitize=fuzzer -Wno-missing-prototypes)

# casemate_fuzz(NAME SOURCES ... [LINKS ...]): a libFuzzer target; its seeds are fuzz/seeds/NAME/.
function(casemate_fuzz name)
  if(NOT CASEMATE_FUZZ)
    return()
  endif()
  cmake_parse_arguments(A "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(fuzz_${name} ${A_SOURCES})
  target_include_directories(fuzz_${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(fuzz_${name} PRIVATE casemate_flags ${A_LINKS})
  target_link_libraries(fuzz_${name} PRIVATE casemate_fuzz_flags)
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer -pie)
  add_dependencies(fuzzers fuzz_${name})
endfunction()
