# SPDX-License-Identifier: Apache-2.0
casemate_test(vmm_loader unit SOURCES unit/vmm_loader.c LINKS vmm_boot)
casemate_test(vmm_tables unit SOURCES unit/vmm_tables.c LINKS vmm_boot)
casemate_test(vmm_chips unit SOURCES unit/vmm_chips.c LINKS vmm_core)
casemate_test(vmm_copier unit SOURCES unit/vmm_copier.c LINKS vmm_core)
casemate_test(vmm_snapfile unit SOURCES unit/vmm_snapfile.c LINKS vmm_core)
casemate_test(vmm_snapmerge unit SOURCES unit/vmm_snapmerge.c LINKS vmm_core)
