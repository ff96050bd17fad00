# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A device in a VM and the representor at its other end, with what is sent between the two."""

import json
import random

from .wait import wait_until

IPERF_PORT = 5201
FILE_PORT = 8000
# Bytes a second with which datagrams flow, in an emulated CPU on a machine with other things to do; 2.5 MB are sent.
DATAGRAMS_FLOW = 100_000

# Writes of a sender: a byte, around a segment, around a page, more than a segment of 64 KiB.
ODD_SIZES = (1, 7, 535, 1447, 1448, 1449, 4095, 4097, 9001, 65483, 65537)

# On the far side: a file in pieces of random sizes to the first who connects.
SEND_IN_PIECES = """
import random, socket, sys
port, path, seed, *sizes = sys.argv[1:]
random.seed(int(seed))
server = socket.create_server(("", int(port)))
peer = server.accept()[0]
peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
data, at = open(path, "rb").read(), 0
while at < len(data):
    size = int(random.choice(sizes)) + random.randrange(3)
    peer.sendall(data[at:at + size])
    at += size
"""


class Wire:
    """Addresses are .1 on the far side and .2 in the VM, of a network of the wire's own."""

    def __init__(self, lab, guest, number=0, mtu=1500, options=(), **hotplug):
        self.lab = lab
        self.guest = guest
        self.subnet = f"198.18.{number}"
        self.far_address, self.near_address = f"{self.subnet}.1", f"{self.subnet}.2"
        hotplug = {"pairs": 1, "size": 256, **hotplug}
        self.device = lab.controller.hotplug(*options, mac=f"0C:C4:7A:FF:23:{number:02X}", mtu=mtu, **hotplug)
        self.netdev, self.far = lab.connect(guest, self.device, self.subnet, mtu=mtu)

    # ---- what the driver made of the device ----

    def query(self, *options):
        return self.lab.cli.device(self.device.id, *options)

    def offered(self):
        return int(self.query("-b")["device_feature"]["value"], 16)

    def accepted(self):
        return int(self.query("-b")["driver_feature"]["value"], 16)

    def queues(self):
        """Virtqueues as query shows them, by number."""
        return {int(queue["index"]): queue for queue in self.query()["enabled-queues-info"]}

    def check_rings(self):
        """No queue has met a descriptor or a packet that it did not like."""
        for number, queue in self.queues().items():
            for counter in ("bad_desc_errors", "invalid_buffer", "exceed_max_chain"):
                assert queue[counter] == "0", f"queue {number}: {queue}"

    # ---- traffic ----

    def ping(self, *sizes):
        """Both ways, none lost."""
        for size in sizes or (56,):
            self.guest.ping(self.far_address, f"-c 3 -i 0.05 -W 5 -s {size}")
            self.far.ping(self.near_address, f"-c 3 -i 0.05 -W 5 -s {size}")

    def serve_iperf(self):
        server = self.far.start("iperf3", "-s", "-1")
        wait_until(lambda: self.far.listening(IPERF_PORT), "the iperf3 server")
        return server

    def iperf(self, *options, seconds=1, far=None):
        """Bytes per second that a connection from the VM to the far side carried; -R: the other way."""
        server = self.serve_iperf()
        output = self.guest.run(
            f"iperf3 -c {far or self.far_address} -t {seconds} -J {' '.join(options)}", seconds=30 + seconds
        )
        server.wait(10)
        return json.loads(output)["end"]["sum_received"]["bits_per_second"] / 8

    def far_frame(self, transfer, way):
        """Bytes per frame at the representor while transfer() ran; way: "rx" from the VM, "tx" to it."""
        before = self.far.statistics(self.device.representor)[way]
        transfer()
        after = self.far.statistics(self.device.representor)[way]
        return (after["bytes"] - before["bytes"]) / max(1, after["packets"] - before["packets"])

    def near_frame(self, transfer):
        """Bytes per frame that the VM's driver received while transfer() ran."""
        before = self.guest.statistics(self.netdev)["rx"]
        transfer()
        after = self.guest.statistics(self.netdev)["rx"]
        return (after["bytes"] - before["bytes"]) / max(1, after["packets"] - before["packets"])

    def install(self, program):
        """A program of this machine, in the VM's /tmp from now on."""
        server = self.far.start("sh", "-c", f"busybox nc -l -p {FILE_PORT} < {program}")
        wait_until(lambda: self.far.listening(FILE_PORT), "the far side's nc")
        path = f"/tmp/{program.name}"
        self.guest.run(f"cat < /dev/tcp/{self.far_address}/{FILE_PORT} > {path} && chmod +x {path}")
        server.wait(10)
        return path

    # ---- files, in pieces of odd sizes ----

    def file_to_guest(self, folder, size, seed=0):
        """The file arrives as it was."""
        path = folder / "to-guest"
        path.write_bytes(random.Random(seed).randbytes(size))
        server = self.far.start("/usr/bin/python3", "-c", SEND_IN_PIECES, FILE_PORT, path, seed, *ODD_SIZES)
        wait_until(lambda: self.far.listening(FILE_PORT), "the sender of the file")
        received = self.guest.run(f"sha256sum < /dev/tcp/{self.far_address}/{FILE_PORT}", seconds=60)
        server.wait(10)
        assert received == self.far.run(f"sha256sum < {path}")

    def file_from_guest(self, folder, size):
        path = folder / "from-guest"
        server = self.far.start("sh", "-c", f"busybox nc -l -p {FILE_PORT} > {path}")
        wait_until(lambda: self.far.listening(FILE_PORT), "the far side's nc")
        pieces = "; ".join(f"dd bs={piece} count=5 2> /dev/null" for piece in ODD_SIZES)
        sent = self.guest.run(
            f"head -c {size} /dev/urandom > /tmp/file; "
            f"{{ {pieces}; cat; }} < /tmp/file > /dev/tcp/{self.far_address}/{FILE_PORT}; "
            "sha256sum < /tmp/file; rm /tmp/file", seconds=60,
        )  # fmt: skip
        server.wait(10)
        assert self.far.run(f"sha256sum < {path}") == sent
