# SPDX-License-Identifier: Apache-2.0
casemate_fuzz(import_json SOURCES import_json.c LINKS import)
casemate_fuzz(import_archive SOURCES import_archive.c LINKS import)
