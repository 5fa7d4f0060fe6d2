# SPDX-License-Identifier: Apache-2.0
# casemate-tls: its parts, and the real program.
casemate_test(tls_pair unit SOURCES unit/tls_pair.c LINKS tls_core)
casemate_test(tls_options unit SOURCES unit/tls_options.c LINKS tls_core)
casemate_test(tls_serve unit SOURCES unit/tls_serve.c LINKS tls_core)
target_compile_definitions(tls_serve PRIVATE TLS_BINARY="$<TARGET_FILE:casemate-tls>")
add_dependencies(tls_serve casemate-tls)
