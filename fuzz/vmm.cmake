# SPDX-License-Identifier: Apache-2.0
casemate_fuzz(elf SOURCES elf.c LINKS vmm_boot)
casemate_fuzz(bzimage SOURCES bzimage.c LINKS vmm_boot)
if(CASEMATE_FUZZ)
  casemate_fuzz(snapshot SOURCES snapshot.c LINKS vmm_core)
endif()
casemate_fuzz(acpi SOURCES acpi.c LINKS vmm_boot)
casemate_fuzz(ioapic SOURCES ioapic.c LINKS vmm_core)
casemate_fuzz(configure SOURCES configure.c LINKS vmm_core)
