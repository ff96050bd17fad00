/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef NET_DRIVER_OPTIONS_H
#define NET_DRIVER_OPTIONS_H

/**
 * @file
 * The part of a command line that says how a device is to be driven; the same for every program
 * with a driver, which puts NET_OPTIONS into its getopt_long() table, NET_OPTIONS_USAGE into its
 * help, and gives options to net_option() first.
 */

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "net_dev.h"

/** Status of a program that cannot use its command line. */
#define NET_OPTION_STATUS 2

/** Options of the programs' own have values from 256 up to these. */
enum {
	NET_OPTION_QUEUE_SIZE = 4096,
	NET_OPTION_EVENT_IDX,
	NET_OPTION_INDIRECT,
	NET_OPTION_PACKED,
	NET_OPTION_IN_ORDER,
	NET_OPTION_MERGEABLE,
	NET_OPTION_NOTIFICATION_DATA,
	NET_OPTION_HASH_REPORT,
	NET_OPTION_VHOST_USER,
};

/* clang-format off */
#define NET_OPTIONS \
	{"queue-size", required_argument, NULL, NET_OPTION_QUEUE_SIZE}, \
	{"event-idx", no_argument, NULL, NET_OPTION_EVENT_IDX}, \
	{"indirect", no_argument, NULL, NET_OPTION_INDIRECT}, \
	{"packed", no_argument, NULL, NET_OPTION_PACKED}, \
	{"in-order", no_argument, NULL, NET_OPTION_IN_ORDER}, \
	{"mergeable", no_argument, NULL, NET_OPTION_MERGEABLE}, \
	{"notification-data", no_argument, NULL, NET_OPTION_NOTIFICATION_DATA}, \
	{"hash-report", no_argument, NULL, NET_OPTION_HASH_REPORT}, \
	{"vhost-user", no_argument, NULL, NET_OPTION_VHOST_USER}

/** Its one argument: the queue size that the program has by itself. */
#define NET_OPTIONS_USAGE \
	"How devices are driven (a device that lacks a feature ends the program):\n" \
	"\n" \
	"  --queue-size N       entries of a ring (%u), a power of two unless it is packed\n" \
	"  --event-idx          negotiate VIRTIO_RING_F_EVENT_IDX\n" \
	"  --indirect           negotiate VIRTIO_RING_F_INDIRECT_DESC, and send with indirect\n" \
	"                       descriptors\n" \
	"  --packed             negotiate VIRTIO_F_RING_PACKED\n" \
	"  --in-order           negotiate VIRTIO_F_IN_ORDER\n" \
	"  --mergeable          negotiate VIRTIO_NET_F_MRG_RXBUF\n" \
	"  --notification-data  negotiate VIRTIO_F_NOTIFICATION_DATA: kicks tell the position\n" \
	"  --hash-report        negotiate VIRTIO_NET_F_HASH_REPORT, and have packets hashed\n" \
	"  --vhost-user         sockets are of vhost-user devices, not of vfio-user ones\n"
/* clang-format on */

/** Take an option into params, if it is one of these. @return it is */
bool net_option(struct net_dev_params *params, int opt, const char *arg);

/** A number within limits; anything else ends the program with a message. */
uint64_t net_option_number(const char *text, const char *what, uint64_t lo, uint64_t hi);
double net_option_real(const char *text, const char *what, double lo, double hi);

#endif /* NET_DRIVER_OPTIONS_H */
