/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_CONFIG_H
#define APP_CONFIG_H

/**
 * @file
 * virtnet.conf: the operator's settings, read once at start. JSON; every key is optional and has a
 * default.
 *
 * The file is either taken whole or refused: a key that is unknown, of the wrong type or out of
 * range is named with its line and what is allowed.
 */

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#define CONFIG_DEFAULT_PATH "/opt/mellanox/mlnx_virtnet/virtnet.conf"

#define CONFIG_NAME_LEN	    32
#define CONFIG_PATH_LEN	    sizeof(((struct sockaddr_un *)0)->sun_path)
#define CONFIG_MAX_PORTS    4
#define CONFIG_MAX_HOSTS    64
#define CONFIG_MAX_ROOTS    32
#define CONFIG_FILE_MAX	    (1024 * 1024) /* larger than any file with all hosts filled in */

/** Switch ports that a card has. */
#define CONFIG_SWITCH_PORTS 31u
/** With max_host_functions: each has a bus of its own, and a bus is a byte (topology.c). */
#define CONFIG_SWITCH_PORTS_MAX 235u
/** PCI functions that a card shows to one host, of all kinds. */
#define CONFIG_HOST_FUNCTIONS_MAX 256u

/** An uplink. */
struct config_port {
	char name[CONFIG_NAME_LEN];	/**< RDMA device as users name it, e.g. mlx5_0 */
	char pci_addr[CONFIG_NAME_LEN]; /**< with domain */
	uint64_t mtu;
};

/** A machine or VM that devices are plugged into. */
struct config_host {
	char name[CONFIG_NAME_LEN];
	char driver[CONFIG_NAME_LEN]; /**< of drivers/host */
	char qmp_socket[CONFIG_PATH_LEN];
	char root_port[CONFIG_MAX_ROOTS][CONFIG_NAME_LEN];
	const char *root_ports[CONFIG_MAX_ROOTS];
	unsigned int n_root_ports;
	uint64_t msix_unplug_safe;
};

struct config {
	char ib_dev_p0[CONFIG_NAME_LEN];
	uint64_t packed_vq; /**< devices may offer packed rings */
	uint64_t mrg_rxbuf; /**< devices may offer mergeable receive buffers */
	/* platform */
	char serial[CONFIG_NAME_LEN];	  /**< of the board, first part of each VUID */
	char socket_dir[CONFIG_PATH_LEN]; /**< a device listens at <socket_dir>/<VUID>.sock */
	char emu[CONFIG_NAME_LEN];	  /**< of drivers/emu; a device may be plugged with another */
	char vhost_mode[CONFIG_NAME_LEN]; /**< config_vhost_client() */
	char sf[CONFIG_NAME_LEN];	  /**< of drivers/sf */
	char sf_args[512];		  /**< key=value,... for the SF driver */
	uint64_t max_host_functions;	  /**< 0: what a card has of each kind */
	uint64_t num_switch_ports;	  /**< hotplug devices */
	uint64_t num_msix;		  /**< MSI-X vectors per function */
	uint64_t idle_us;  /**< a queue without traffic for so long is no longer polled */
	uint64_t mbufs;	   /**< packet buffers */
	uint64_t any_file; /**< accept client memory on any file system */
	struct config_port port[CONFIG_MAX_PORTS];
	unsigned int n_ports;
	struct config_host host[CONFIG_MAX_HOSTS];
	unsigned int n_hosts;
};

/**
 * Read a file over the defaults. cfg must stay where it is afterwards: hosts point into it.
 *
 * @param path NULL: the defaults alone
 * @param err  a sentence for each problem, one per line
 * @return 0; -errno when it cannot be read; -EINVAL; cfg is undefined on error
 */
int config_load(struct config *cfg, const char *path, char *err, size_t err_len);

const struct config_port *config_find_port(const struct config *cfg, const char *name);

/** vhost-user sockets are the hypervisor's: we connect to them. Otherwise we listen. */
bool config_vhost_client(const struct config *cfg);

/** Feature bits that devices may offer. */
uint64_t config_features(const struct config *cfg);

#endif /* APP_CONFIG_H */
