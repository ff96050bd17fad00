/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * SF driver "loop": no wire at all. For self-tests of a device and for measuring what its rings
 * cost.
 *
 * platform.sf_args:
 *   mode=loop    what the driver transmits on a pair comes back on the same pair (the default)
 *   mode=sink    what the driver transmits is gone, nothing is received
 *   mode=source  as sink, and frames are received as fast as the driver has buffers for them
 *   size=N       bytes of such a frame without its checksum, LOOP_SIZE_MIN..LOOP_SIZE_MAX; default
 * 64
 *   caps=...     what the loop takes and delivers as it is: names of cap_names[] with + between
 *                them, all (the default) or none
 *
 * There is no representor, and no descriptor to sleep on: the queues must be polled. A pair's queue
 * belongs to its worker; the helper thread never touches it, it tells the worker to empty it.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_errno.h>
#include <rte_kvargs.h>
#include <rte_lcore.h>

#include "net/fit.h"
#include "sf/sf.h"
#include "vring/vring.h"

/** Frames that wait for the driver's buffers: four bursts. More would only hold mbufs, of which all
 * pairs share a pool. */
#define LOOP_DEPTH 128u
/** Ethernet header and its payload's minimum; one segment of any pool that fits sf_params. */
#define LOOP_SIZE_MIN	  60u
#define LOOP_SIZE_MAX	  1518u
#define LOOP_SIZE_DEFAULT 64u
/** Frames of a source that one lcore keeps between bursts. */
#define LOOP_POOL_CACHE 64u
/** IEEE 802: local experiments; no stack answers it. */
#define LOOP_ETHER_TYPE 0x88b5

enum loop_mode {
	LOOP_LOOP,
	LOOP_SINK,
	LOOP_SOURCE,
};

static const char *const mode_names[] = {
	[LOOP_LOOP] = "loop",
	[LOOP_SINK] = "sink",
	[LOOP_SOURCE] = "source",
};

/* The worker's own, but for `run` and `epoch`, which the helper writes. */
struct loop_queue {
	bool run;
	uint32_t epoch; /**< counts how often the queue was taken out of use */
	uint32_t seen;	/**< epoch that ring[] belongs to */
	uint32_t head;	/**< next to take; free-running, as tail */
	uint32_t tail;	/**< next to fill */
	struct rte_mbuf *ring[LOOP_DEPTH];
	struct sf_queue_stats stats;
} __rte_cache_aligned;

struct loop {
	struct sf sf;
	enum loop_mode mode;
	uint16_t size;
	uint32_t rx_caps; /**< what the driver wants of sf.caps */
	bool link_up;
	struct rte_mempool *pool;
	struct rte_mempool *frames; /**< of a source; each mbuf holds the frame for good */
	struct loop_queue queues[]; /**< sf.max_pairs */
};

_Static_assert((LOOP_DEPTH & (LOOP_DEPTH - 1)) == 0, "free-running indexes");

static const struct sf_ops loop_ops;

/* ---- worker ---- */

static inline void
count(uint64_t *counter, uint64_t n)
{
	/* Single writer; any thread reads. */
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static void
queue_drop(struct loop_queue *q)
{
	while (q->head != q->tail)
		rte_pktmbuf_free(q->ring[q->head++ % LOOP_DEPTH]);
}

/* Is the queue in use? Frames of a former use are dropped first. */
static inline bool
queue_runs(const struct loop *l, struct loop_queue *q)
{
	const uint32_t epoch = __atomic_load_n(&q->epoch, __ATOMIC_ACQUIRE);

	if (unlikely(epoch != q->seen)) {
		queue_drop(q);
		q->seen = epoch;
	}
	return __atomic_load_n(&q->run, __ATOMIC_RELAXED) &&
	       __atomic_load_n(&l->link_up, __ATOMIC_RELAXED);
}

static uint16_t
rx_looped(struct loop_queue *q, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t got = 0;

	while (got < n && q->head != q->tail)
		pkts[got++] = q->ring[q->head++ % LOOP_DEPTH];
	return got;
}

/* The frames are in their mbufs already; what a user of an mbuf may have changed is put right. */
static uint16_t
rx_source(const struct loop *l, struct rte_mbuf **pkts, uint16_t n)
{
	/* All or none, so that a burst asked of an almost empty pool is a small one. */
	while (n != 0 && unlikely(rte_mempool_get_bulk(l->frames, (void **)pkts, n) != 0))
		n /= 2;
	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];

		m->data_off = VRING_MBUF_DATA_OFF;
		m->refcnt = 1;
		m->nb_segs = 1;
		m->port = RTE_MBUF_PORT_INVALID;
		m->ol_flags = 0;
		m->packet_type = 0;
		m->pkt_len = l->size;
		m->data_len = l->size;
		memset(VRING_MBUF_HDR(m), 0, sizeof(struct virtio_net_hdr_mrg_rxbuf));
	}
	return n;
}

static uint16_t
loop_rx_burst(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct loop *l = (struct loop *)sf;
	struct loop_queue *q = &l->queues[queue];

	if (unlikely(!queue_runs(l, q)))
		return 0;
	switch (l->mode) {
	case LOOP_LOOP:
		return rx_looped(q, pkts, n);
	case LOOP_SOURCE:
		return rx_source(l, pkts, n);
	case LOOP_SINK:
		break;
	}
	return 0;
}

static void
queue_put(void *arg, struct rte_mbuf **pkts, uint16_t n)
{
	struct loop_queue *q = arg;
	const uint16_t room = RTE_MIN(n, LOOP_DEPTH - (q->tail - q->head));

	for (uint16_t i = 0; i < room; i++)
		q->ring[q->tail++ % LOOP_DEPTH] = pkts[i];
	if (unlikely(room < n)) {
		rte_pktmbuf_free_bulk(pkts + room, n - room);
		count(&q->stats.tx_errors, n - room);
	}
}

/*
 * Headers are the sender's; what the receiver does not take is done here, as it would be on the way
 * to any wire. A large segment counts as sent when one of its parts is.
 */
static uint16_t
tx_looped(const struct loop *l, struct loop_queue *q, struct rte_mbuf **pkts, uint16_t n)
{
	struct net_fit fit = {
		.offloads = __atomic_load_n(&l->rx_caps, __ATOMIC_RELAXED),
		.pool = l->pool,
		.emit = queue_put,
		.arg = q,
		.budget = LOOP_DEPTH * NET_FIT_BURST,
	};
	const uint64_t lost = q->stats.tx_errors;

	net_fit(&fit, pkts, n);
	count(&q->stats.tx_errors, fit.bad + fit.no_mbuf + fit.excess);
	return (uint16_t)(n - RTE_MIN(q->stats.tx_errors - lost, (uint64_t)n));
}

static uint16_t
loop_tx_burst(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct loop *l = (struct loop *)sf;
	struct loop_queue *q = &l->queues[queue];

	if (unlikely(!queue_runs(l, q))) {
		rte_pktmbuf_free_bulk(pkts, n);
		count(&q->stats.tx_errors, n);
		return 0;
	}
	if (l->mode != LOOP_LOOP) {
		rte_pktmbuf_free_bulk(pkts, n);
		return n;
	}
	return tx_looped(l, q, pkts, n);
}

/* ---- helper thread ---- */

static int
arg_uint(const char *value, unsigned long lo, unsigned long hi, unsigned long *out)
{
	char *end;

	if (value == NULL || value[0] < '0' || value[0] > '9')
		return -EINVAL;
	errno = 0;
	*out = strtoul(value, &end, 10);
	return errno != 0 || *end != '\0' || *out < lo || *out > hi ? -EINVAL : 0;
}

static const struct {
	const char *name;
	uint32_t cap;
} cap_names[] = {
	{"none", 0},
	{"all", SF_CAP_RX | SF_CAP_TX},
	{"rx_csum", SF_CAP_RX_CSUM},
	{"rx_tso4", SF_CAP_RX_TSO4},
	{"rx_tso6", SF_CAP_RX_TSO6},
	{"rx_ecn", SF_CAP_RX_ECN},
	{"rx_uso4", SF_CAP_RX_USO4},
	{"rx_uso6", SF_CAP_RX_USO6},
	{"tx_csum", SF_CAP_TX_CSUM},
	{"tx_tso4", SF_CAP_TX_TSO4},
	{"tx_tso6", SF_CAP_TX_TSO6},
	{"tx_ecn", SF_CAP_TX_ECN},
	{"tx_uso4", SF_CAP_TX_USO4},
	{"tx_uso6", SF_CAP_TX_USO6},
};

/* Names with + between them. */
static int
arg_caps(const char *value, uint32_t *caps)
{
	*caps = 0;
	while (value != NULL) {
		const size_t len = strcspn(value, "+");
		unsigned int i = 0;

		while (i < RTE_DIM(cap_names) && (strlen(cap_names[i].name) != len ||
							 strncmp(value, cap_names[i].name, len)))
			i++;
		if (i == RTE_DIM(cap_names))
			return -EINVAL;
		*caps |= cap_names[i].cap;
		if (value[len] == '\0')
			return 0;
		value += len + 1;
	}
	return -EINVAL;
}

static int
arg_take(struct loop *l, const char *key, const char *value, char *err, size_t err_len)
{
	unsigned long size;

	if (strcmp(key, "mode") == 0) {
		for (unsigned int m = 0; m < RTE_DIM(mode_names); m++)
			if (value != NULL && strcmp(value, mode_names[m]) == 0) {
				l->mode = (enum loop_mode)m;
				return 0;
			}
		snprintf(err, err_len,
			"platform.sf_args: mode: '%s' is not one of loop, sink, source",
			value != NULL ? value : "");
		return -EINVAL;
	}
	if (strcmp(key, "size") == 0) {
		if (arg_uint(value, LOOP_SIZE_MIN, LOOP_SIZE_MAX, &size) == 0) {
			l->size = (uint16_t)size;
			return 0;
		}
		snprintf(err, err_len, "platform.sf_args: size: '%s' is not in %u..%u",
			value != NULL ? value : "", LOOP_SIZE_MIN, LOOP_SIZE_MAX);
		return -EINVAL;
	}
	if (strcmp(key, "caps") == 0) {
		if (arg_caps(value, &l->sf.caps) == 0)
			return 0;
		snprintf(err, err_len,
			"platform.sf_args: caps: '%s' is not all, none or names like rx_csum with "
			"+ between them",
			value != NULL ? value : "");
		return -EINVAL;
	}
	snprintf(err, err_len, "platform.sf_args: %s is unknown to loop; allowed: mode, size, caps",
		key);
	return -EINVAL;
}

static int
args_parse(struct loop *l, const char *args, char *err, size_t err_len)
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
	for (unsigned int i = 0; i < kv->count && ret == 0; i++)
		ret = arg_take(l, kv->pairs[i].key, kv->pairs[i].value, err, err_len);
	rte_kvargs_free(kv);
	return ret;
}

struct frame {
	const struct sf_params *params;
	uint16_t size;
};

/* Destination is the device; the payload is zeros. */
static void
frame_write(struct rte_mempool *mp, void *arg, void *obj, unsigned int i)
{
	static const struct rte_ether_addr nobody = {{0x02, 0, 0, 0, 0, 0x01}};
	const struct frame *f = arg;
	struct rte_mbuf *m = obj;
	struct rte_ether_hdr *eth;

	(void)mp;
	(void)i;
	m->data_off = VRING_MBUF_DATA_OFF;
	eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	memset(eth, 0, f->size);
	eth->dst_addr = f->params->mac;
	eth->src_addr = nobody;
	eth->ether_type = rte_cpu_to_be_16(LOOP_ETHER_TYPE);
}

/* A pool of the source's own: its frames need to be written only once. */
static int
frames_create(struct loop *l, const struct sf_params *params)
{
	const struct frame f = {.params = params, .size = l->size};
	/* Each lcore may hold a burst, and half as much again as its cache. */
	const unsigned int n = (rte_lcore_count() + 1) * (VRING_BURST + 2 * LOOP_POOL_CACHE);
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "loop_%" PRIu32, params->sf_num);
	l->frames = rte_pktmbuf_pool_create(name, n, LOOP_POOL_CACHE, 0,
		(uint16_t)(VRING_MBUF_DATA_OFF + l->size), SOCKET_ID_ANY);
	if (l->frames == NULL)
		return -rte_errno;
	rte_mempool_obj_iter(l->frames, frame_write, (void *)(uintptr_t)&f);
	return 0;
}

static void
loop_destroy(struct sf *sf)
{
	struct loop *l = (struct loop *)sf;

	for (uint16_t i = 0; i < l->sf.max_pairs; i++)
		queue_drop(&l->queues[i]);
	rte_mempool_free(l->frames);
	free(l);
}

static int
loop_create(const struct sf_params *params, struct sf **out, char *err, size_t err_len)
{
	const uint16_t pairs = RTE_MIN(params->max_pairs, SF_MAX_PAIRS);
	const size_t size = sizeof(struct loop) + pairs * sizeof(struct loop_queue);
	struct loop *l =
		aligned_alloc(_Alignof(struct loop), RTE_ALIGN_CEIL(size, _Alignof(struct loop)));
	int ret;

	if (l == NULL) {
		snprintf(err, err_len, "loop: out of memory");
		return -ENOMEM;
	}
	memset(l, 0, size);
	l->sf.ops = &loop_ops;
	l->sf.caps = SF_CAP_RX | SF_CAP_TX;
	l->pool = params->pool;
	l->sf.max_pairs = pairs;
	l->size = LOOP_SIZE_DEFAULT;
	l->link_up = true;
	ret = args_parse(l, params->args, err, err_len);
	if (ret == 0 && l->mode == LOOP_SOURCE) {
		ret = frames_create(l, params);
		if (ret != 0)
			snprintf(err, err_len, "loop: cannot make the source's frames: %s",
				strerror(-ret));
	}
	if (ret != 0) {
		loop_destroy(&l->sf);
		return ret;
	}
	*out = &l->sf;
	return 0;
}

static int
loop_set_queues(struct sf *sf, uint16_t pairs, uint32_t rx_caps)
{
	struct loop *l = (struct loop *)sf;

	if (pairs > l->sf.max_pairs)
		return -EINVAL;
	__atomic_store_n(&l->rx_caps, rx_caps & l->sf.caps & SF_CAP_RX, __ATOMIC_RELAXED);
	for (uint16_t i = 0; i < l->sf.max_pairs; i++) {
		struct loop_queue *q = &l->queues[i];

		if (q->run && i >= pairs)
			__atomic_add_fetch(&q->epoch, 1, __ATOMIC_RELEASE);
		__atomic_store_n(&q->run, i < pairs, __ATOMIC_RELAXED);
	}
	return 0;
}

/* Nothing depends on it: a frame that the driver could send fits the driver. */
static int
loop_set_mtu(struct sf *sf, uint16_t mtu)
{
	(void)sf;
	return mtu >= RTE_ETHER_MIN_MTU ? 0 : -EINVAL;
}

static int
loop_set_link(struct sf *sf, bool up)
{
	__atomic_store_n(&((struct loop *)sf)->link_up, up, __ATOMIC_RELAXED);
	return 0;
}

/* There is nothing outside the process: a new one takes the place. Frames in the loop are lost. */
static int
loop_adopt(const struct sf_params *params, const struct sf_state *state, const int *fds,
	struct sf **out, char *err, size_t err_len)
{
	struct sf *sf;
	int ret;

	(void)fds;
	ret = loop_create(params, &sf, err, err_len);
	if (ret != 0)
		return ret;
	ret = loop_set_queues(sf, state->pairs, state->rx_caps);
	if (ret != 0) {
		snprintf(err, err_len, "loop: %u queue pairs carried packets, the device has %u",
			state->pairs, sf->max_pairs);
		loop_destroy(sf);
		return ret;
	}
	(void)loop_set_link(sf, state->link_up);
	*out = sf;
	return 0;
}

static int
loop_rx_fd(struct sf *sf, uint16_t queue)
{
	(void)sf;
	(void)queue;
	return -1;
}

static void
loop_queue_stats(struct sf *sf, uint16_t queue, struct sf_queue_stats *stats)
{
	const struct sf_queue_stats *s = &((struct loop *)sf)->queues[queue].stats;

	stats->rx_errors = __atomic_load_n(&s->rx_errors, __ATOMIC_RELAXED);
	stats->rx_no_mbuf = 0;
	stats->tx_errors = __atomic_load_n(&s->tx_errors, __ATOMIC_RELAXED);
}

static const struct sf_ops loop_ops = {
	.name = "loop",
	.create = loop_create,
	.destroy = loop_destroy,
	.adopt = loop_adopt,
	.release = loop_destroy,
	.set_queues = loop_set_queues,
	.set_mtu = loop_set_mtu,
	.set_link = loop_set_link,
	.rx_burst = loop_rx_burst,
	.tx_burst = loop_tx_burst,
	.rx_fd = loop_rx_fd,
	.queue_stats = loop_queue_stats,
};

SF_DRIVER_REGISTER(loop, loop_ops)
