# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Frames in and out of a network device in another process's network namespace."""

import ctypes
import os
import socket
import struct
import threading
import time

ETH_P_ALL = 3
# "Local experimental" EtherType: nothing but these tests sends it.
ETHERTYPE = 0x88b5
CLONE_NEWNET = 0x40000000


def in_network_of(pid, function):
    """Run a function in a process's network namespace (on a thread of its own, which stays there).
    """
    result = {}

    def work():
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            with open(f"/proc/{pid}/ns/net", "rb") as namespace:
                if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            result["value"] = function()
        except OSError as error:
            result["error"] = error

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if "error" in result:
        raise result["error"]
    return result["value"]


def frame(destination, payload, source="02:00:00:00:00:99", ethertype=ETHERTYPE):
    def raw(text):
        return bytes.fromhex(text.replace(":", ""))
    return raw(destination) + raw(source) + struct.pack(">H", ethertype) + payload


def is_ours(data):
    return data[12:14] == struct.pack(">H", ETHERTYPE)


class PacketSocket:
    """AF_PACKET on one device, for frames of ETHERTYPE only."""

    def __init__(self, pid, device):
        def make():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            sock.bind((device, ETH_P_ALL))
            return sock
        self.sock = in_network_of(pid, make)

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.send(data)

    def receive(self, timeout_s=10):
        """The next frame that a device has sent; None when there is none in time."""
        give_up = time.monotonic() + timeout_s
        while True:
            left = give_up - time.monotonic()
            if left <= 0:
                return None
            self.sock.settimeout(left)
            try:
                data, address = self.sock.recvfrom(65600)
            except TimeoutError:
                return None
            if is_ours(data) and address[2] != socket.PACKET_OUTGOING:
                return data

    def drain(self):
        while self.receive(0.01):
            pass
