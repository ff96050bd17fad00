/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What packets ask for against what their taker does. */

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <rte_branch_prediction.h>

#include "net/csum.h"
#include "net/fit.h"
#include "net/net_hdr.h"

/* What becomes of a packet. */
enum verdict {
	AS_IS, /* possibly changed in its place */
	CUT,
	BAD,
	EXCESS,
};

/* What a large segment needs of its taker. 0: of no kind that anybody takes */
static uint32_t
gso_needs(const struct rte_mbuf *m, const struct virtio_net_hdr *h)
{
	uint32_t needs = NET_OFFLOAD_CSUM;

	if ((h->gso_type & VIRTIO_NET_HDR_GSO_ECN) != 0)
		needs |= NET_OFFLOAD_ECN;
	switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return needs | NET_OFFLOAD_TSO4;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return needs | NET_OFFLOAD_TSO6;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		/* The header does not say which IP it is. */
		return needs | (net_gso_is_ipv6(m) ? NET_OFFLOAD_USO6 : NET_OFFLOAD_USO4);
	}
	return 0;
}

static enum verdict
look_csum(struct rte_mbuf *m, struct virtio_net_hdr *h, uint32_t offloads)
{
	h->gso_type = VIRTIO_NET_HDR_GSO_NONE;
	h->gso_size = 0;
	if ((offloads & NET_OFFLOAD_CSUM) != 0)
		return AS_IS;
	if ((h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0 &&
		net_csum_complete(m, h->csum_start, h->csum_offset) != 0)
		return BAD;
	memset(h, 0, sizeof(*h));
	return AS_IS;
}

static enum verdict
look_gso(struct rte_mbuf *m, struct virtio_net_hdr *h, uint32_t offloads, struct net_gso *gso)
{
	const uint32_t needs = gso_needs(m, h);
	int ret;

	if (needs == 0)
		return BAD;
	if ((needs & ~offloads) == 0 && (offloads & NET_OFFLOAD_HDRLEN) == 0)
		return AS_IS;
	ret = net_gso_parse(m, gso);
	if ((needs & ~offloads) == 0 && ret != -EINVAL) {
		h->hdr_len = gso->hdr_len;
		return AS_IS;
	}
	if (ret != 0)
		return ret == -E2BIG ? EXCESS : BAD;
	return gso->n > 1 ? CUT : look_csum(m, h, offloads);
}

static enum verdict
look(struct rte_mbuf *m, uint32_t offloads, struct net_gso *gso)
{
	struct virtio_net_hdr *h = &NET_MBUF_HDR(m)->hdr;

	h->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
	if (!net_hdr_sound(h, m->pkt_len))
		return BAD;
	return h->gso_type == VIRTIO_NET_HDR_GSO_NONE ? look_csum(m, h, offloads)
						      : look_gso(m, h, offloads, gso);
}

static void
emit(const struct net_fit *fit, struct rte_mbuf **pkts, uint32_t n)
{
	for (uint32_t done = 0; done < n; done += NET_FIT_BURST)
		fit->emit(fit->arg, pkts + done,
			(uint16_t)RTE_MIN(n - done, (uint32_t)NET_FIT_BURST));
}

static void
cut(struct net_fit *fit, const struct rte_mbuf *m, struct net_gso *gso)
{
	struct rte_mbuf *segs[NET_GSO_SEGS_MAX];

	if (gso->n > fit->budget) {
		fit->excess++;
		return;
	}
	fit->budget -= gso->n;
	if (net_gso_segment(m, gso, (fit->offloads & NET_OFFLOAD_CSUM) == 0, fit->pool, segs) !=
		0) {
		fit->no_mbuf++;
		return;
	}
	fit->segments += gso->n;
	emit(fit, segs, gso->n);
}

void
net_fit(struct net_fit *fit, struct rte_mbuf **pkts, uint16_t n)
{
	struct net_gso gso;
	uint16_t first = 0; /* not handed on yet */

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		enum verdict what;

		if (likely(net_hdr_is_plain(NET_MBUF_HDR(m))))
			continue;
		what = look(m, fit->offloads, &gso);
		if (what == AS_IS)
			continue;
		emit(fit, pkts + first, i - first);
		first = i + 1;
		if (what == CUT)
			cut(fit, m, &gso);
		else if (what == EXCESS)
			fit->excess++;
		else
			fit->bad++;
		rte_pktmbuf_free(m);
	}
	emit(fit, pkts + first, n - first);
}
