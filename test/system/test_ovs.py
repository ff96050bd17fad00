# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Representors at Open vSwitch's userspace datapath: two VMs on one bridge, and on two with a VXLAN between."""

import json
from pathlib import Path

import pytest

from virtnet_test.features import mask
from virtnet_test.netns import Netns
from virtnet_test.ovs import Switch
from virtnet_test.tools import tool_output
from virtnet_test.wait import wait_until
from virtnet_test.wire import ODD_SIZES

FILE_SIZE = 2 << 20
FILE_PORT = 8000
IPERF_PORT = 5201
SMALL = 1514  # bytes of the largest frame that is no large segment
LARGE = 3000  # bytes on average that large segments exceed by far
PINGS = (1, 56, 1472, 1473, 8000, 20000)
# What VXLAN over IPv4 puts in front: IP, UDP, VXLAN and the inner Ethernet header.
UNDERLAY_MTU = 1500
TUNNEL_MTU = UNDERLAY_MTU - 20 - 8 - 8 - 14
LARGEST_PING = TUNNEL_MTU - 20 - 8
TRANSMIT_OFFLOADS = ("CSUM", "HOST_TSO4", "HOST_TSO6", "HOST_ECN", "HOST_USO")


@pytest.fixture(scope="module")
def root():
    """Open vSwitch as Debian has it."""
    return tool_output(Path(__file__).resolve().parent / "fetch-ovs.sh")


@pytest.fixture(scope="module")
def lab(root, make_lab):
    made, close = make_lab("test_ovs", vms=("vm1", "vm2"), settings={"mrg_rxbuf": 1})
    yield made
    close()


@pytest.fixture(scope="module")
def guests(lab):
    return [lab.boot(name, cpus=1) for name in ("vm1", "vm2")]


class End:
    """A VM's device, its representor in a namespace with a switch."""

    numbers = iter(range(1, 255))

    def __init__(self, lab, guest, host, netns, address, mtu=1500, options=()):
        self.lab = lab
        self.guest = guest
        self.address = address
        self.device = lab.controller.hotplug(
            "--host", host, *options, mac=f"0C:C4:7A:FF:24:{next(self.numbers):02X}", mtu=mtu, size=256
        )
        self.representor = self.device.representor
        lab.controller.netns.run(f"ip link set {self.representor} netns {netns.name}")
        netns.run(f"ip link set {self.representor} mtu {mtu} up")
        self.netdev = guest.netdev(self.device.mac)
        guest.up(self.netdev, f"{address}/24")

    def offers(self):
        return int(self.lab.cli.device(self.device.id, "-b")["device_feature"]["value"], 16)

    def listening(self, port):
        """Wait for a server in the VM."""
        self.guest.run(f"for i in $(seq 100); do grep -q ':{port:04X} .* 0A ' /proc/net/tcp /proc/net/tcp6 && exit 0; "
                       "sleep 0.1; done; exit 1")  # fmt: skip


def network(lab):
    made = Netns("ovs")
    lab.networks.append(made)
    return made


def ping(sender, receiver, *sizes):
    for size in sizes:
        sender.guest.ping(receiver.address, f"-c 3 -i 0.05 -W 5 -s {size}")


def reaches(sender, receiver):
    """The first packets may be lost: an address of a tunnel's far end has to be found first."""
    command = f"ping -c 1 -W 1 {receiver.address}"
    wait_until(lambda: " 0% packet loss" in sender.guest.run(command, check=False), "the other VM to answer", 30)


def send_file(sender, receiver):
    """A file in pieces of odd sizes arrives as it was."""
    receiver.guest.run("rm -f /tmp/sum")
    receiver.guest.background(f"nc -l -p {FILE_PORT} | sha256sum > /tmp/sum.part; mv /tmp/sum.part /tmp/sum")
    receiver.listening(FILE_PORT)
    pieces = "; ".join(f"dd bs={piece} count=5 2> /dev/null" for piece in ODD_SIZES)
    sent = sender.guest.run(
        f"head -c {FILE_SIZE} /dev/urandom > /tmp/file; "
        f"{{ {pieces}; cat; }} < /tmp/file > /dev/tcp/{receiver.address}/{FILE_PORT}; "
        "sha256sum < /tmp/file; rm /tmp/file", seconds=60,
    )  # fmt: skip
    received = wait_until(lambda: receiver.guest.run("cat /tmp/sum 2> /dev/null", check=False), "the file's end", 30)
    assert received == sent


def iperf_frame(sender, receiver):
    """Bytes per frame that the receiver's driver got of a TCP connection, which must have moved something."""
    receiver.guest.background("iperf3 -s -1")
    receiver.listening(IPERF_PORT)
    before = receiver.guest.statistics(receiver.netdev)["rx"]
    output = sender.guest.run(f"iperf3 -c {receiver.address} -t 1 -J", seconds=40)
    after = receiver.guest.statistics(receiver.netdev)["rx"]
    assert json.loads(output)["end"]["sum_received"]["bytes"] > 1_000_000
    return (after["bytes"] - before["bytes"]) / max(1, after["packets"] - before["packets"])


# ---- one bridge


class Bridge:
    """Both VMs at one bridge of a switch that takes large segments."""

    def __init__(self, root, lab, guests):
        self.netns = network(lab)
        self.switch = Switch(root, self.netns, lab.folder / "ovs", userspace_tso_enable="true")
        self.ends = [
            End(lab, guest, f"vm{number}", self.netns, f"198.18.1.{number}") for number, guest in enumerate(guests, 1)
        ]
        self.switch.bridge("br0", *(end.representor for end in self.ends))


@pytest.fixture(scope="module")
def bridge(root, lab, guests):
    return Bridge(root, lab, guests)


def test_bridge_learns_where_the_vms_are(bridge):
    reaches(*bridge.ends)
    assert "netdev@ovs-netdev" in bridge.switch.appctl("dpif/show")
    assert {end.device.mac.lower() for end in bridge.ends} <= bridge.switch.learned("br0")


def test_pings_across_the_bridge(bridge):
    ping(*bridge.ends, *PINGS)
    ping(*reversed(bridge.ends), *PINGS)


def test_large_segments_cross_the_bridge_whole(bridge):
    assert iperf_frame(*bridge.ends) > LARGE


def test_files_across_the_bridge(bridge):
    send_file(*bridge.ends)
    send_file(*reversed(bridge.ends))


def test_a_vm_without_offloads_talks_to_one_that_has_them(bridge):
    plain, other = bridge.ends
    plain.guest.run(f"ethtool -K {plain.netdev} tx off rx-gro-hw off")
    assert iperf_frame(plain, other) <= SMALL
    assert iperf_frame(other, plain) <= SMALL
    send_file(plain, other)
    send_file(other, plain)
    plain.guest.run(f"ethtool -K {plain.netdev} tx on tso on rx-gro-hw on")


# ---- two bridges


class Site:
    """A switch with a bridge for VMs, and one to the network between the sites."""

    def __init__(self, root, lab, number):
        self.number = number
        self.netns = network(lab)
        self.folder = lab.folder / f"site{number}"
        self.switch = Switch(root, self.netns, self.folder)
        self.ends = {}

    def underlay(self):
        """Its address is that of the bridge itself, where the switch looks for it."""
        self.switch.bridge("br-phy", "phy0")
        self.netns.run(f"ip address add 172.31.0.{self.number}/24 dev br-phy && ip link set br-phy up")
        self.switch.bridge("br-int")

    def join(self, far):
        self.switch.tunnel("br-int", "vx0", f"172.31.0.{far.number}", 7)

    def packets(self):
        """(received, sent) of the tunnel."""
        return self.switch.packets("br-int", "vx0")


@pytest.fixture(scope="module")
def sites(root, lab):
    """Joined by a cable."""
    made = [Site(root, lab, number) for number in (1, 2)]
    made[0].netns.run(
        f"ip link add phy0 mtu {UNDERLAY_MTU} type veth peer name phy0 mtu {UNDERLAY_MTU} netns {made[1].netns.name}"
    )
    for site in made:
        site.netns.run("ip link set phy0 up")
        site.underlay()
    for site, far in zip(made, reversed(made)):
        site.join(far)
    return made


def plain(site, guest, lab, default):
    """A device that does without transmit offloads, as this switch's tunnels want it."""
    features = default & ~mask(*TRANSMIT_OFFLOADS)
    end = End(lab, guest, f"vm{site.number}", site.netns, f"198.18.2.{site.number}", TUNNEL_MTU, ("-f", hex(features)))
    site.switch.vsctl("add-port", "br-int", end.representor)
    return end


def finished_by_the_kernel(site, guest, lab, _default):
    """A device with all offloads; the kernel finishes its packets on their way through a cable without any."""
    end = End(lab, guest, f"vm{site.number}", site.netns, f"198.18.3.{site.number}", TUNNEL_MTU)
    site.netns.run(
        "ip link add cable0 type veth peer name cable1 && ip link add hop type bridge && "
        f"ip link set {end.representor} master hop && ip link set cable0 master hop && "
        "ethtool -K cable0 tx off tso off gso off > /dev/null && "
        "ip link set hop up && ip link set cable0 up && ip link set cable1 up"
    )
    site.switch.vsctl("add-port", "br-int", "cable1")
    return end


@pytest.fixture(scope="module", params=[plain, finished_by_the_kernel], ids=["plain", "finished by the kernel"])
def tunnel(request, lab, guests, sites, bridge):
    """The VMs' devices at either site."""
    default = bridge.ends[0].offers()
    ends = [request.param(site, guest, lab, default) for site, guest in zip(sites, guests)]
    reaches(*ends)
    return ends


def test_pings_through_the_tunnel(sites, tunnel):
    before = [site.packets() for site in sites]
    ping(*tunnel, 1, 56, LARGEST_PING, LARGEST_PING + 1, 8000)
    ping(*reversed(tunnel), LARGEST_PING)
    for site, (received, sent) in zip(sites, before):
        assert site.packets()[0] > received and site.packets()[1] > sent


def test_tcp_through_the_tunnel(tunnel):
    assert iperf_frame(*tunnel) <= TUNNEL_MTU + 14
    assert iperf_frame(*reversed(tunnel)) <= TUNNEL_MTU + 14


def test_files_through_the_tunnel(tunnel):
    send_file(*tunnel)
    send_file(*reversed(tunnel))
