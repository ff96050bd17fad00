/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * SF driver "tap": life of a multi-queue kernel TAP that is its own representor. Helper thread
 * only.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <linux/if_tun.h>

#include <rte_kvargs.h>

#include "sf/tap/tap.h"

/** Below it the kernel has no IPv6 on an interface at all, and configures it anew above. */
#define TAP_IPV6_MIN_MTU 1280u

static const struct sf_ops tap_ops;

static int
args_parse(struct tap *t, const char *args, char *err, size_t err_len)
{
	struct rte_kvargs *kv;
	int ret = 0;

	if (args == NULL || args[0] == '\0')
		return 0;
	kv = rte_kvargs_parse(args, NULL);
	if (kv == NULL) {
		snprintf(err, err_len, "platform.sf_args: '%s' is not a key=value list", args);
		return -EINVAL;
	}
	for (unsigned int i = 0; i < kv->count && ret == 0; i++) {
		const char *key = kv->pairs[i].key, *value = kv->pairs[i].value;

		if (strcmp(key, "ipv6") != 0) {
			snprintf(err, err_len,
				"platform.sf_args: %s is unknown to tap; allowed: ipv6", key);
			ret = -EINVAL;
		} else if (value == NULL || strlen(value) != 1 || strchr("01", value[0]) == NULL) {
			snprintf(err, err_len, "platform.sf_args: ipv6: '%s' is not one of 0, 1",
				value != NULL ? value : "");
			ret = -EINVAL;
		} else {
			t->kernel_ipv6 = value[0] == '1';
		}
	}
	rte_kvargs_free(kv);
	return ret;
}

static int
tap_set_link(struct sf *sf, bool up)
{
	struct tap *t = (struct tap *)sf;
	int ret = tap_carrier_set(t, up && t->pairs > 0);

	if (ret == 0)
		t->link_up = up;
	return ret;
}

static int
tap_set_mtu(struct sf *sf, uint16_t mtu)
{
	struct tap *t = (struct tap *)sf;
	const struct tap_link link = {.mtu = mtu};
	uint16_t old = t->mtu;
	int own_ns, ifindex, ret;

	if (mtu > TAP_MTU_MAX)
		return -EINVAL;
	/* Workers make room for larger frames before the kernel may send them. */
	if (mtu > old)
		__atomic_store_n(&t->mtu, mtu, __ATOMIC_RELAXED);
	own_ns = tap_ns_enter(t->queues[0].fd);
	ifindex = tap_link_index(t->queues[0].fd);
	ret = ifindex == 0 ? -ENODEV : tap_link_set(ifindex, &link);
	if (ret == 0 && old < TAP_IPV6_MIN_MTU && mtu >= TAP_IPV6_MIN_MTU && !t->kernel_ipv6)
		tap_link_no_ipv6(ifindex);
	tap_ns_leave(own_ns);
	__atomic_store_n(&t->mtu, ret == 0 ? mtu : old, __ATOMIC_RELAXED);
	return ret;
}

/*
 * Stable, and never the device's own: bridges would take the guest's frames for the representor's.
 */
static struct rte_ether_addr
rep_mac(const struct rte_ether_addr *device)
{
	struct rte_ether_addr mac = *device;

	mac.addr_bytes[0] ^= 0x40;
	mac.addr_bytes[0] |= RTE_ETHER_LOCAL_ADMIN_ADDR;
	mac.addr_bytes[0] &= (uint8_t)~RTE_ETHER_GROUP_ADDR;
	return mac;
}

static int
link_create(struct tap *t, const struct sf_params *params)
{
	const struct rte_ether_addr mac = rep_mac(&params->mac);
	const struct tap_link link = {.mac = &mac, .mtu = params->mtu};
	int fd = t->queues[0].fd, hdr_len = TAP_HDR_LEN, little_endian = 1, ret;

	if (ioctl(fd, TUNSETVNETHDRSZ, &hdr_len) != 0 ||
		ioctl(fd, TUNSETVNETLE, &little_endian) != 0)
		return -errno;
	ret = tap_carrier_set(t, false);
	if (ret == 0)
		ret = tap_offload_set(t, 0);
	if (ret != 0)
		return ret;
	t->sf.rep_ifindex = tap_link_index(fd);
	ret = tap_link_set(t->sf.rep_ifindex, &link);
	if (ret == 0 && !t->kernel_ipv6)
		tap_link_no_ipv6(t->sf.rep_ifindex);
	return ret;
}

static int
params_check(const struct sf_params *params, char *err, size_t err_len)
{
	size_t len = strnlen(params->rep, IFNAMSIZ);

	/* The kernel would take "%d" for a pattern. */
	if (len == 0 || len == IFNAMSIZ || strpbrk(params->rep, "%/: \t\n") != NULL) {
		snprintf(err, err_len,
			"'%.*s' is no name for a representor (1..%d characters without "
			"%%, /, : and blanks)",
			(int)len, params->rep, IFNAMSIZ - 1);
		return -EINVAL;
	}
	if (params->max_pairs == 0) {
		snprintf(err, err_len, "%s: no queue pairs", params->rep);
		return -EINVAL;
	}
	if (params->mtu < RTE_ETHER_MIN_MTU || params->mtu > TAP_MTU_MAX) {
		snprintf(err, err_len, "%s: MTU %u is out of range (%u..%u)", params->rep,
			params->mtu, RTE_ETHER_MIN_MTU, TAP_MTU_MAX);
		return -EINVAL;
	}
	if (!tap_pool_fits(params->pool)) {
		snprintf(err, err_len,
			"%s: mbufs of pool %s are too small for an MTU of %u in %u pieces",
			params->rep, params->pool->name, TAP_MTU_MAX, TAP_RX_SEGS);
		return -EINVAL;
	}
	return 0;
}

/*
 * Can a TAP take and deliver GSO_UDP_L4? Linux 6.2 brought it. To ask a TAP would take the kernel's
 * lock, which adopt() must not wait for.
 */
static bool
kernel_has_uso(void)
{
	unsigned int major, minor;
	struct utsname u;

	return uname(&u) == 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 2));
}

static struct tap *
tap_alloc(const struct sf_params *params)
{
	uint16_t pairs = RTE_MIN(params->max_pairs, SF_MAX_PAIRS);
	struct tap *t;
	size_t size = sizeof(*t) + pairs * sizeof(t->queues[0]);

	t = aligned_alloc(_Alignof(struct tap), size);
	if (t == NULL)
		return NULL;
	memset(t, 0, size);
	t->sf.ops = &tap_ops;
	t->sf.caps = SF_CAP_RX | SF_CAP_TX;
	if (!kernel_has_uso())
		t->sf.caps &= ~(SF_CAP_RX_USO | SF_CAP_TX_USO);
	t->sf.max_pairs = pairs;
	memcpy(t->sf.rep, params->rep, sizeof(t->sf.rep));
	t->mtu = params->mtu;
	t->link_up = true;
	for (uint16_t i = 0; i < pairs; i++) {
		t->queues[i].fd = -1;
		t->queues[i].pool = params->pool;
	}
	return t;
}

static void
tap_destroy(struct sf *sf)
{
	struct tap *t = (struct tap *)sf;

	/* The interface goes with its last descriptor, which is that of queue 0. */
	for (uint16_t i = t->sf.max_pairs; i-- > 0;) {
		tap_queue_release(&t->queues[i]);
		if (t->queues[i].fd >= 0)
			close(t->queues[i].fd);
	}
	free(t);
}

static int
tap_create(const struct sf_params *params, struct sf **out, char *err, size_t err_len)
{
	struct tap *t;
	int ret;

	ret = params_check(params, err, err_len);
	if (ret != 0)
		return ret;
	t = tap_alloc(params);
	if (t == NULL) {
		snprintf(err, err_len, "%s: out of memory", params->rep);
		return -ENOMEM;
	}
	ret = args_parse(t, params->args, err, err_len);
	if (ret != 0)
		goto fail;
	t->queues[0].fd = ret = tap_queue_open(params->rep, true);
	if (ret >= 0)
		ret = link_create(t, params);
	if (ret == -EEXIST)
		snprintf(err, err_len, "%s: an interface of this name exists already", params->rep);
	else if (ret != 0)
		snprintf(err, err_len, "%s: cannot make a TAP with %s: %s", params->rep, TAP_DEVICE,
			strerror(-ret));
	if (ret != 0)
		goto fail;
	t->queues[0].attached = true;
	*out = &t->sf;
	return 0;
fail:
	tap_destroy(&t->sf);
	return ret;
}

static int
tap_descriptor(struct sf *sf, unsigned int index)
{
	return index < sf->max_pairs ? ((struct tap *)sf)->queues[index].fd : -1;
}

static int
state_check(const struct sf_params *params, const struct sf_state *state, const int *fds, char *err,
	size_t err_len)
{
	if (state->pairs > RTE_MIN(params->max_pairs, SF_MAX_PAIRS)) {
		snprintf(err, err_len, "%s: %u queue pairs carried packets, the device has %u",
			params->rep, state->pairs, params->max_pairs);
		return -EINVAL;
	}
	/* The others can be opened anew, but the interface went with this one. */
	if (fds == NULL || fds[0] < 0) {
		snprintf(err, err_len, "%s: the descriptor of the TAP's first queue is missing",
			params->rep);
		return -EINVAL;
	}
	return 0;
}

static int
tap_adopt(const struct sf_params *params, const struct sf_state *state, const int *fds,
	struct sf **out, char *err, size_t err_len)
{
	struct tap *t;
	int ret;

	ret = params_check(params, err, err_len);
	if (ret == 0)
		ret = state_check(params, state, fds, err, err_len);
	if (ret != 0)
		return ret;
	t = tap_alloc(params);
	if (t == NULL) {
		snprintf(err, err_len, "%s: out of memory", params->rep);
		return -ENOMEM;
	}
	ret = args_parse(t, params->args, err, err_len);
	if (ret != 0) {
		tap_destroy(&t->sf);
		return ret;
	}
	t->sf.rep_ifindex = state->rep_ifindex;
	t->pairs = state->pairs;
	t->rx_caps = state->rx_caps;
	t->link_up = state->link_up;
	t->adopted = true;
	for (uint16_t i = 0; i < params->max_pairs; i++) {
		if (i < t->sf.max_pairs)
			t->queues[i].fd = fds[i];
		else if (fds[i] >= 0)
			close(fds[i]);
	}
	for (uint16_t i = 0; i < t->pairs; i++)
		tap_queue_caps(&t->queues[i], t->rx_caps);
	*out = &t->sf;
	return 0;
}

static int
tap_rx_fd(struct sf *sf, uint16_t queue)
{
	return ((struct tap *)sf)->queues[queue].fd;
}

static void
tap_queue_stats(struct sf *sf, uint16_t queue, struct sf_queue_stats *stats)
{
	const struct sf_queue_stats *s = &((struct tap *)sf)->queues[queue].stats;

	stats->rx_errors = __atomic_load_n(&s->rx_errors, __ATOMIC_RELAXED);
	stats->rx_no_mbuf = __atomic_load_n(&s->rx_no_mbuf, __ATOMIC_RELAXED);
	stats->tx_errors = __atomic_load_n(&s->tx_errors, __ATOMIC_RELAXED);
}

static const struct sf_ops tap_ops = {
	.name = "tap",
	.create = tap_create,
	.destroy = tap_destroy,
	.descriptor = tap_descriptor,
	.adopt = tap_adopt,
	.release = tap_destroy, /* the interface stays with whoever holds the descriptors */
	.set_queues = tap_set_queues,
	.set_mtu = tap_set_mtu,
	.set_link = tap_set_link,
	.rx_burst = tap_rx_burst,
	.rx_wait = tap_rx_wait,
	.tx_burst = tap_tx_burst,
	.rx_fd = tap_rx_fd,
	.queue_stats = tap_queue_stats,
};

SF_DRIVER_REGISTER(tap, tap_ops)
