/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_own.c - sequences of one's own; README.md has an example. */
#include "hostile.h"
