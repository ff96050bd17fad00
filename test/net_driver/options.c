/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Options that programs with a driver share. */

#include "options.h"

#include <err.h>
#include <inttypes.h>
#include <stdlib.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#define QUEUE_SIZE_MIN 8 /* twice the longest chain that the programs make */
#define QUEUE_SIZE_MAX 32768

uint64_t
net_option_number(const char *text, const char *what, uint64_t lo, uint64_t hi)
{
	char *end;
	const unsigned long long v = strtoull(text, &end, 10);

	if (*text == '\0' || *end != '\0' || v < lo || v > hi)
		errx(NET_OPTION_STATUS, "%s: '%s' is not in %" PRIu64 "..%" PRIu64, what, text, lo,
			hi);
	return v;
}

double
net_option_real(const char *text, const char *what, double lo, double hi)
{
	char *end;
	const double v = strtod(text, &end);

	if (*text == '\0' || *end != '\0' || !(v >= lo && v <= hi))
		errx(NET_OPTION_STATUS, "%s: '%s' is not in %g..%g", what, text, lo, hi);
	return v;
}

/* What an option asks for; 0: it is none of those. */
static uint64_t
feature_of(int opt)
{
	switch (opt) {
	case NET_OPTION_EVENT_IDX:
		return UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX;
	case NET_OPTION_INDIRECT:
		return UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC;
	case NET_OPTION_PACKED:
		return UINT64_C(1) << VIRTIO_F_RING_PACKED;
	case NET_OPTION_IN_ORDER:
		return UINT64_C(1) << VIRTIO_F_IN_ORDER;
	case NET_OPTION_MERGEABLE:
		return UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF;
	case NET_OPTION_NOTIFICATION_DATA:
		return UINT64_C(1) << NET_DEV_F_NOTIFICATION_DATA;
	case NET_OPTION_HASH_REPORT:
		return UINT64_C(1) << VIRTIO_NET_F_HASH_REPORT;
	}
	return 0;
}

bool
net_option(struct net_dev_params *params, int opt, const char *arg)
{
	const uint64_t feature = feature_of(opt);

	if (opt == NET_OPTION_QUEUE_SIZE)
		params->queue_size = (uint16_t)net_option_number(
			arg, "--queue-size", QUEUE_SIZE_MIN, QUEUE_SIZE_MAX);
	if (opt == NET_OPTION_VHOST_USER)
		params->transport = &net_transport_vhost_user;
	params->features |= feature;
	params->required |= feature;
	return opt == NET_OPTION_QUEUE_SIZE || opt == NET_OPTION_VHOST_USER || feature != 0;
}
