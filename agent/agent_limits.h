/* SPDX-License-Identifier: Apache-2.0 */
/* agent_limits.h - every number that bounds what a client or a command can make the agent hold. */
#ifndef AGENT_AGENT_LIMITS_H
#define AGENT_AGENT_LIMITS_H

#include "base/compiler.h"

#define AGENT_SESSIONS_MAX     64
#define AGENT_PROCESSES_MAX    256
#define AGENT_FILES_MAX	       64 /* transfers at once */
#define AGENT_TOKEN_MAX	       64 /* bytes, of the identity */
#define AGENT_HTTP_CONNS_MAX   512
#define AGENT_ACCESS_TOKEN_MAX 256 /* bytes of the HTTP token and its end */

#define PROCESS_TAG_MAX	      128	      /* bytes */
#define PROCESS_READ_BYTES    (32U * 1024U)   /* largest data event */
#define PROCESS_INPUTS_MAX    16	      /* SendInput calls waiting at one process... */
#define PROCESS_INPUT_BYTES   (2048U * 1024U) /* ...and the bytes in them; one call's fit alone */
#define PROCESS_LISTENERS_MAX 32	      /* Start and Connect calls of one process */
#define PROCESS_ENDED_MAX     64	      /* processes that are remembered after their end... */
#define PROCESS_ENDED_MS      30000	      /* ...for so long */
#define PROCESS_LISTED_BYTES  4096	      /* of its command line, in List */
#define PROCESS_GRACE_MS      250	      /* for output that outlives the process */
#define FILE_CHUNK_BYTES      (64U * 1024U)   /* largest message of ReadFile */

#define AGENT_NOFILE_SOFT 4096	 /* pipes of all processes, sessions, transfers */
#define AGENT_NOFILE_HARD 524288 /* what a command may raise itself to */
#define CHILD_NOFILE_SOFT 1024

_Static_assert(AGENT_NOFILE_SOFT >= 4 * AGENT_PROCESSES_MAX + AGENT_SESSIONS_MAX +
					    2 * AGENT_FILES_MAX + 2 * AGENT_HTTP_CONNS_MAX +
					    2 * 256 /* forwards */ + 64 /* watchers */ + 64,
	       "descriptors for everything at once");

#endif
