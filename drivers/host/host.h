/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef DRIVERS_HOST_HOST_H
#define DRIVERS_HOST_HOST_H

/**
 * @file
 * Host driver: who plugs a function into a host.
 *
 * A driver registers a struct host_ops under a name with HOST_DRIVER_REGISTER() and is known
 * nowhere else. All functions run on the control lcore and never block; answers come through
 * callbacks from the event loop, never from within the call itself.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "registry.h"
#include "vmm.h"

struct event_base;
struct host_ops;

#define HOST_BDF_LEN 16 /**< "ffff:ff:1f.7" and NUL */
#define HOST_ERR_LEN 256

/** One entry of platform.hosts. Strings belong to the caller and outlive the host. */
struct host_conf {
	const char *name;	/**< unique */
	const char *qmp_socket; /**< qmp: path of QEMU's QMP unix socket */
	/** qmp: ids of PCIe root ports to plug into; NULL: all free ones found */
	const char *const *root_ports;
	unsigned int n_root_ports;
	/** qmp: the operator says this QEMU survives unplug of MSI-X vfio-user devices */
	bool msix_unplug_safe;
};

/** Head of every driver's own structure. */
struct host {
	const struct host_ops *ops;
	const char *name;
};

struct host_plug {
	const char *id;	    /**< unique device id on the host, e.g. "virtnet-<VUID>" */
	const char *socket; /**< path that the host connects to, or listens at */
	struct vmm_function function;
};

enum host_result {
	HOST_OK = 0,
	HOST_ERR_UNREACHABLE, /**< no connection to the host */
	HOST_ERR_NO_SLOT,     /**< no free root port */
	HOST_ERR_REFUSED,     /**< the host refused the device: err says why */
	/** unplug: the guest did not let go in time, or is known to crash */
	HOST_ERR_NOT_READY,
	HOST_ERR_NOT_FOUND,
};

struct host_reply {
	enum host_result result;
	/** plug, query: address that the host gave, "bb:dd.f"; empty if unknown */
	char bdf[HOST_BDF_LEN];
	/** a sentence without control characters when result is not HOST_OK */
	char err[HOST_ERR_LEN];
	/**
	 * plug: the host had the function already, and nothing was done to it. With a process
	 * before this one that plugged it in and died, all is well; without, its host is connected
	 * to something that is gone.
	 */
	bool was_in;
};

typedef void (*host_done_t)(void *arg, const struct host_reply *reply);

struct host_ops {
	const char *name;
	/** @return 0; -EINVAL with a sentence in err; -errno. Needs no living host. */
	int (*create)(const struct host_conf *conf, struct event_base *base, struct host **out,
		char *err, size_t err_len);
	/** Drops what is under way without calling back. */
	void (*destroy)(struct host *host);
	/**
	 * Plug a function in. `done` is called exactly once, later. The strings are copied. HOST_OK
	 * as soon as the host is known to have the function, with or without its address; also if
	 * it has had it before (struct host_reply.was_in).
	 */
	void (*plug)(struct host *host, const struct host_plug *plug, host_done_t done, void *arg);
	/**
	 * Ask the host to let go of the function and wait for it. HOST_OK if it does not have it
	 * (any more). May be asked again for a function that is on its way out.
	 * @param force  also when the host is known to crash on it
	 */
	void (*unplug)(struct host *host, const struct host_plug *plug, bool force,
		unsigned int timeout_ms, host_done_t done, void *arg);
	/**
	 * Address of a plugged function now (firmware and guest may have renumbered buses). `done`
	 * gets bdf.
	 */
	void (*query)(struct host *host, const char *id, host_done_t done, void *arg);
};

void host_driver_register(struct driver *driver);
/** NULL if there is no driver of that name. */
const struct host_ops *host_driver_find(const char *name);
/** Names of all drivers, comma separated, for messages. */
void host_driver_names(char *buf, size_t len);

#define HOST_DRIVER_REGISTER(id, table) DRIVER_REGISTER(host, id, table, host_driver_register)

#endif /* DRIVERS_HOST_HOST_H */
