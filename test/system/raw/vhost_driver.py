# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A minimal virtio-net driver (split rings) over a vhost-user client.

What it does with its rings is what the driver over vfio-user does; only how the device gets to know
of them is different.
"""

import os

from virtio_driver import (F_MAC, F_MQ, F_STATUS, F_VERSION_1, NET_HEADER, STATUS_ACKNOWLEDGE,
                           STATUS_DRIVER, STATUS_DRIVER_OK, STATUS_FEATURES_OK, WAIT_S, GuestMemory,
                           SplitRing, VirtioNet)
from virtnet_test import vhost_user as vh

BASIC_FEATURES = F_VERSION_1 | F_MAC | F_STATUS | F_MQ | vh.F_PROTOCOL_FEATURES


class VhostNet(VirtioNet):
    """start() runs the rings; those are in `rings` by queue. polled: queues whose rings have no eventfds."""

    def __init__(self, client, memory=None, buffers=None, polled=()):  # pylint: disable=super-init-not-called
        self.client = client
        self.memory = memory or GuestMemory(client)
        self.buffers = buffers or self.memory
        self.rings = {}
        self.polled = polled
        self.kicks = {}
        self.interrupts = {}  # by queue
        self.rx_address = {}
        self.features = 0
        self.header = NET_HEADER
        self.received_header = None
        self.proven = False

    def close(self):
        for fd in self.kicks.values():
            os.close(fd)
        self.kicks = {}
        super().close()

    def start(self, features=BASIC_FEATURES, pairs=1, queue_size=64, rx_buffers=16, log=False):
        # pylint: disable=arguments-differ
        client = self.client
        self.features = features & (client.features() | vh.F_PROTOCOL_FEATURES)
        status = STATUS_ACKNOWLEDGE | STATUS_DRIVER
        self.tell_status(status)
        client.set_features(self.features | (vh.F_LOG_ALL if log else 0))
        status |= STATUS_FEATURES_OK
        self.tell_status(status)
        self.memory.reset()
        self.buffers.reset()
        self.rx_address = {}
        self.proven = False
        for queue in range(2 * pairs):
            self.rings[queue] = SplitRing(self.memory, queue_size)
            client.set_vring_enable(queue, True)
            self.start_ring(queue)
        self.tell_status(status | STATUS_DRIVER_OK)
        for pair in range(pairs):
            self.fill(2 * pair, rx_buffers)
        return self

    def tell_status(self, status):
        if self.client.protocol & vh.P_STATUS:
            self.client.set_status(status)

    def start_ring(self, queue, base=0):
        """Start a ring that has been described, where it stands."""
        client, ring = self.client, self.rings[queue]
        for table in self.kicks, self.interrupts:
            if queue not in table:
                table[queue] = os.eventfd(0, os.EFD_NONBLOCK)
        client.set_vring_num(queue, ring.size)
        client.set_vring_base(queue, base)
        client.set_vring_addr(queue, ring.desc, ring.avail, ring.used)
        kick, call = (None, None) if queue in self.polled else (self.kicks[queue], self.interrupts[queue])
        client.set_vring_fd(vh.SET_VRING_KICK, queue, kick)
        client.set_vring_fd(vh.SET_VRING_CALL, queue, call)

    def stop_ring(self, queue):
        """Position of the ring."""
        return self.client.get_vring_base(queue)

    def stop(self):
        """As QEMU does when its guest resets the device."""
        for queue in self.rings:
            self.stop_ring(queue)
        self.tell_status(0)

    def status(self):
        return self.client.status()

    def interrupted(self, vector, timeout_s=WAIT_S):
        """The vector of a ring is its number."""
        return super().interrupted(vector, timeout_s)

    def kick(self, queue):
        os.eventfd_write(self.kicks[queue], 1)
