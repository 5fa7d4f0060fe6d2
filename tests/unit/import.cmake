# SPDX-License-Identifier: Apache-2.0
pkg_check_modules(LIBARCHIVE REQUIRED IMPORTED_TARGET libarchive)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
foreach(name tar oci)
  casemate_test(import_${name} unit SOURCES unit/import_${name}.c unit/import_rig.c LINKS import PkgConfig::LIBARCHIVE PkgConfig::JANSSON)
endforeach()
casemate_test(import_program unit SOURCES unit/import_program.c unit/import_rig.c LINKS import PkgConfig::LIBARCHIVE PkgConfig::JANSSON)
target_compile_definitions(import_program PRIVATE IMPORT_PROGRAM="$<TARGET_FILE:casemate-import>")
add_dependencies(import_program casemate-import)
