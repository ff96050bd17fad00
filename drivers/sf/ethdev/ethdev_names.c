/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Names that a port takes in the system, and whether somebody has them already: mostly a process
 * that has just died and is still being cleaned up, for an SF that is being made anew. Looked at
 * before the PMD does, because net_tap would join the dying interface, and net_memif does not
 * survive its own failure.
 */

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_kvargs.h>

#include "sf/ethdev/ethdev.h"

#define MEMIF_SOCKET_DEFAULT "/run/memif.sock"

static bool
is(const char *value, const char *wanted)
{
	return value != NULL && strcmp(value, wanted) == 0;
}

/* The interface is net_tap's to make. */
static bool
tap_taken(const struct rte_kvargs *kv, char *err, size_t err_len)
{
	const char *iface = rte_kvargs_get(kv, "iface");

	if (iface == NULL || if_nametoindex(iface) == 0)
		return false;
	snprintf(err, err_len, "%s: an interface of this name exists already", iface);
	return true;
}

/* @return process that listens at the address; 0: none; -errno */
static pid_t
listener(const struct sockaddr_un *address, socklen_t len)
{
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct ucred peer;
	socklen_t peer_len = sizeof(peer);
	pid_t pid;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, len) != 0)
		pid = errno == ECONNREFUSED ? 0 : -errno;
	else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len) != 0)
		pid = -errno;
	else
		pid = peer.pid;
	close(fd);
	return pid;
}

/* Ports of one process share a listener. */
static bool
memif_taken(const struct rte_kvargs *kv, char *err, size_t err_len)
{
	const bool abstract = !is(rte_kvargs_get(kv, "socket-abstract"), "no");
	const char *path = rte_kvargs_get(kv, "socket");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(address);
	pid_t pid;

	if (!is(rte_kvargs_get(kv, "role"), "server"))
		return false;
	if (path == NULL)
		path = MEMIF_SOCKET_DEFAULT;
	if (strlen(path) >= sizeof(address.sun_path) - 1)
		return false; /* for the PMD to say */
	memcpy(address.sun_path + abstract, path, strlen(path));
	if (abstract)
		len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(path));
	pid = listener(&address, len);
	if (pid == 0 && !abstract)
		(void)unlink(path); /* left by a process that was killed */
	if (pid <= 0 || pid == getpid())
		return false;
	snprintf(err, err_len, "%s: process %d listens there already", path, (int)pid);
	return true;
}

bool
ethdev_names_taken(const char *devargs, char *err, size_t err_len)
{
	static const struct {
		const char *pmd;
		bool (*taken)(const struct rte_kvargs *kv, char *err, size_t err_len);
	} names[] = {
		{"net_tap", tap_taken},
		{"net_memif", memif_taken},
	};
	const char *args = strchr(devargs, ',');
	struct rte_kvargs *kv = args != NULL ? rte_kvargs_parse(args + 1, NULL) : NULL;
	bool taken = false;

	for (unsigned int i = 0; kv != NULL && i < RTE_DIM(names) && !taken; i++)
		if (strncmp(devargs, names[i].pmd, strlen(names[i].pmd)) == 0)
			taken = names[i].taken(kv, err, err_len);
	rte_kvargs_free(kv);
	return taken;
}
