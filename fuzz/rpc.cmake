# SPDX-License-Identifier: Apache-2.0
casemate_fuzz(rpc_frame SOURCES rpc_frame.c LINKS rpc)
