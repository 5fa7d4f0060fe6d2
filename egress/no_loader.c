/* SPDX-License-Identifier: Apache-2.0 */
/*
 * no_loader.c - this static program loads no code and asks no resolver of the C library's, although
 * OpenSSL has functions that would. These stand in the C library's place and say no, so that the
 * real ones aren't even linked.
 */
#include <netdb.h>
#include <stddef.h>
#include <sys/socket.h>

/* dlopen: the C library has references of its own to the real one, so the linker turns only those
 * of others here (--wrap). */
void *__wrap_dlopen(const char *name, int how);

void *__wrap_dlopen(const char *name, int how)
{
	(void)name;
	(void)how;
	return NULL;
}

int getaddrinfo(const char *restrict name, const char *restrict service,
		const struct addrinfo *restrict hints, struct addrinfo **restrict ret)
{
	(void)name;
	(void)service;
	(void)hints;
	(void)ret;
	return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo *a)
{
	(void)a;
}

struct hostent *gethostbyname(const char *name)
{
	(void)name;
	return NULL;
}

int getnameinfo(const struct sockaddr *restrict a, socklen_t len, char *restrict host,
		socklen_t host_cap, char *restrict service, socklen_t service_cap, int flags)
{
	(void)a;
	(void)len;
	(void)host;
	(void)host_cap;
	(void)service;
	(void)service_cap;
	(void)flags;
	return EAI_FAIL;
}
