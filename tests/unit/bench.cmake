# SPDX-License-Identifier: Apache-2.0
casemate_test(bench_rows unit SOURCES unit/bench_rows.c bench/vmm_rows.c bench/stat.c LINKS base m)
