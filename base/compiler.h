/* SPDX-License-Identifier: Apache-2.0 */
/* compiler.h - attributes and macros that hide compiler spelling. */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

#include <stddef.h>

#define MUST_USE     __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))
#define NORETURN     __attribute__((noreturn))
#define CLEANUP(fn)  __attribute__((cleanup(fn)))
#define NONNULL(...) __attribute__((nonnull(__VA_ARGS__)))
#define UNUSED	     __attribute__((unused))
#define PACKED	     __attribute__((packed))
#define FALLTHROUGH  __attribute__((fallthrough))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The structure that holds *ptr as its member. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* clang's -Wthread-safety; nothing for gcc. */
#if defined(__clang__)
#define CAPABILITY(x)	__attribute__((capability(x)))
#define GUARDED_BY(x)	__attribute__((guarded_by(x)))
#define REQUIRES(...)	__attribute__((requires_capability(__VA_ARGS__)))
#define ACQUIRE(...)	__attribute__((acquire_capability(__VA_ARGS__)))
#define RELEASE(...)	__attribute__((release_capability(__VA_ARGS__)))
#define NO_THREAD_CHECK __attribute__((no_thread_safety_analysis))
#else
#define CAPABILITY(x)
#define GUARDED_BY(x)
#define REQUIRES(...)
#define ACQUIRE(...)
#define RELEASE(...)
#define NO_THREAD_CHECK
#endif

#endif
