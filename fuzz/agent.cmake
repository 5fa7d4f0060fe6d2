# SPDX-License-Identifier: Apache-2.0
casemate_fuzz(passwd SOURCES passwd.c LINKS agent)
