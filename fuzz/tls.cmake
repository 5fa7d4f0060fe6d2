# SPDX-License-Identifier: Apache-2.0
casemate_fuzz(tls_pair SOURCES tls_pair.c LINKS tls_core)
