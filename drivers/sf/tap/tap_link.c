/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The TAP as a network interface: namespace, MAC, MTU, and no IPv6 addresses of the kernel's. */

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>

#include "sf/tap/tap.h"

int
tap_ns_enter(int tun_fd)
{
	struct stat own_st, tap_st;
	int own, theirs;

	own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	theirs = ioctl(tun_fd, TUNGETDEVNETNS, NULL);
	/* Without an answer (kernel before 5.2) the interface is taken to be where it was made. */
	if (own < 0 || theirs < 0 || fstat(own, &own_st) != 0 || fstat(theirs, &tap_st) != 0 ||
		own_st.st_ino == tap_st.st_ino || setns(theirs, CLONE_NEWNET) != 0) {
		if (own >= 0)
			close(own);
		own = -1;
	}
	if (theirs >= 0)
		close(theirs);
	return own;
}

void
tap_ns_leave(int own_ns)
{
	if (own_ns < 0)
		return;
	/* Cannot fail: the thread was there a moment ago and holds the namespace open. */
	(void)setns(own_ns, CLONE_NEWNET);
	close(own_ns);
}

int
tap_link_index(int tun_fd)
{
	struct ifreq ifr = {0};

	if (ioctl(tun_fd, TUNGETIFF, &ifr) != 0)
		return 0;
	return (int)if_nametoindex(ifr.ifr_name);
}

static void
link_put(struct nlmsghdr *nlh, const struct tap_link *link)
{
	struct nlattr *spec, *inet6;

	if (link->mac != NULL)
		mnl_attr_put(nlh, IFLA_ADDRESS, RTE_ETHER_ADDR_LEN, link->mac);
	if (link->mtu != 0)
		mnl_attr_put_u32(nlh, IFLA_MTU, link->mtu);
	if (!link->no_ipv6)
		return;
	spec = mnl_attr_nest_start(nlh, IFLA_AF_SPEC);
	inet6 = mnl_attr_nest_start(nlh, AF_INET6);
	mnl_attr_put_u8(nlh, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(nlh, inet6);
	mnl_attr_nest_end(nlh, spec);
}

int
tap_link_set(int ifindex, const struct tap_link *link)
{
	char buf[1024]; /* a request of under 100 bytes, and its acknowledgement that repeats it */
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	struct mnl_socket *nl;
	ssize_t len;
	int ret;

	nlh->nlmsg_type = RTM_SETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = 1;
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = ifindex;
	link_put(nlh, link);

	nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (nl == NULL)
		return -errno;
	ret = -EIO;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
		mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0 ||
		(len = mnl_socket_recvfrom(nl, buf, sizeof(buf))) < 0 ||
		mnl_cb_run(buf, (size_t)len, 1, mnl_socket_get_portid(nl), NULL, NULL) < 0)
		ret = -errno;
	else
		ret = 0;
	mnl_socket_close(nl);
	return ret;
}

void
tap_link_no_ipv6(int ifindex)
{
	const struct tap_link none = {.no_ipv6 = true};
	char name[IF_NAMESIZE], path[64];
	ssize_t n;
	int fd;

	if (if_indextoname((unsigned int)ifindex, name) == NULL)
		return;
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = write(fd, "1", 1);
		close(fd);
		if (n == 1)
			return;
	}
	/* /proc/sys is read-only in most containers; netlink can at least keep addresses away. */
	(void)tap_link_set(ifindex, &none);
}
