# SPDX-License-Identifier: Apache-2.0
casemate_fuzz(num SOURCES num.c LINKS base)
