# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""DPDK ports as SFs: the templates of the guide "SF over any DPDK port", each with a device that moves packets."""

import contextlib
import json
import os
import shutil
import signal
import struct
import sys
import tempfile
import time
from pathlib import Path

import pytest

from virtnet_test.controller import Controller
from virtnet_test.group import Group
from virtnet_test.procs import cpu_time
from virtnet_test.wait import wait_until

sys.path.append(str(Path(__file__).resolve().parent / "raw"))
# pylint: disable=wrong-import-position
from packet_socket import PacketSocket, frame  # noqa: E402
from vfio_user_client import Client, Disconnected, ServerError  # noqa: E402
from virtio_driver import BASIC_FEATURES, CTRL_OK, NothingCame, VirtioNet  # noqa: E402

MEMORY = 192  # MiB
REP = "en3f0pf0sf2000"  # of the first device
SF_CREATE = "Failed to create SF"
BROADCAST = "ff:ff:ff:ff:ff:ff"
CTRL_MQ = 4
PORTS_OF_DPDK = 32  # RTE_MAX_ETHPORTS of Debian's


class Nic:
    """A device over one kind of port, and a driver of our own in it."""

    def __init__(self, controller, device, pairs=1):
        self.controller = controller
        self.device = device
        self.client = self.connect()
        self.driver = VirtioNet(self.client)
        self.driver.start(BASIC_FEATURES, pairs=pairs)
        self.count = 0

    def connect(self):
        """A client; a former one may still be being cleaned up."""

        def attempt():
            with contextlib.suppress(Disconnected, ConnectionError, BlockingIOError, ServerError):
                return Client(self.device.socket)
            return None

        return wait_until(attempt, "a connection")

    def payload(self):
        self.count += 1
        return b"frame %6d " % self.count + os.urandom(64)

    def echoes(self, queue=0, tries=20):
        """What the driver sends comes back; it may take a while for a link to be there."""
        for _ in range(tries):
            data = frame(BROADCAST, self.payload())
            self.driver.send(data, 2 * queue + 1)
            with contextlib.suppress(NothingCame):
                return self.driver.receive(2 * queue, lambda got, data=data: got[:len(data)] == data, timeout_s=0.5)
        raise AssertionError("nothing comes back")

    def reaches(self, far, tries=20):
        """A frame to the far side, and one back."""
        for _ in range(tries):
            data = frame(BROADCAST, self.payload())
            self.driver.send(data)
            got = far.receive(0.5)
            while got and got[:len(data)] != data:  # an older one
                got = far.receive(0.5)
            if got:
                break
        else:
            raise AssertionError("nothing arrives at the far side")
        back = frame(self.device.mac, self.payload())
        self.driver.receives(lambda: far.send(back), lambda got: got[:len(back)] == back)

    def unplug(self):
        self.client.close()
        wait_until(lambda: self.controller.cli("unplug", "-p", self.device.id).status == 0, "the unplug")

    def close(self):
        self.client.close()
        self.driver.close()


class SharedNetns:
    """The network namespace of another controller, which deletes it."""

    def __init__(self, netns):
        self.netns = netns

    def __getattr__(self, name):
        return getattr(self.netns, name)

    def delete(self):
        pass


class Lab:
    """Controllers over ethdev SFs, their devices and what is at the ports' other ends."""

    def __init__(self, build):
        self.build = build
        self.folder = Path(tempfile.mkdtemp(prefix="virtnet-test-", dir="/tmp"))
        self.opened = contextlib.ExitStack()
        self.opened.callback(shutil.rmtree, self.folder, ignore_errors=True)

    def start(self, sf_args, *options, beside=None, **platform):
        """A controller in a folder of its own, in a network namespace of its own or that of another one."""
        folder = self.folder / str(len(list(self.folder.iterdir())))
        folder.mkdir()
        controller = Controller(self.build, folder, options=options, memory=MEMORY)
        config = controller.default_config(())
        config["platform"].update(sf="ethdev", sf_args=sf_args, **platform)
        controller.config_path.write_text(json.dumps(config, indent=4))
        if beside:
            controller.netns.delete()
            controller.netns = SharedNetns(beside.netns)
        self.opened.callback(controller.close)
        return controller.start()

    def nic(self, controller, pairs=1, **options):
        device = controller.hotplug(pairs=pairs, size=256, **options)
        nic = Nic(controller, device, pairs)
        self.opened.callback(nic.close)
        return nic

    def far(self, controller, name):
        controller.netns.run(f"ip link set {name} up")
        far = PacketSocket(controller.process.pid, name)
        self.opened.callback(far.close)
        return far


@pytest.fixture
def lab(build):
    made = Lab(build)
    with made.opened:
        yield made


def die(controller, how=signal.SIGKILL):
    """The process that serves dies; its successor makes the SF anew."""
    log = len(controller.log())
    os.kill(Group(controller).active(), how)
    wait_until(lambda: f"SF {REP} has been made anew" in controller.log()[log:], "the SF to be made anew", seconds=60)


# ---- net_tap


def test_net_tap_makes_the_representor(lab):
    controller = lab.start("devargs=net_tap{sf_num},iface={rep}")
    nic = lab.nic(controller)
    assert nic.device.representor == REP
    nic.reaches(lab.far(controller, REP))
    link = json.loads(controller.netns.run(f"ip -j link show {REP}"))[0]
    assert link["mtu"] == 1500
    assert link["address"].lower() != nic.device.mac.lower(), "a bridge would take the guest's frames for its own"
    nic.unplug()
    wait_until(lambda: not controller.netns.links(), "the representor to go")


def test_net_tap_spreads_packets_over_the_pairs_in_use_only(lab):
    controller = lab.start("devargs=net_tap{sf_num},iface={rep}")
    nic = lab.nic(controller, pairs=4)
    far = lab.far(controller, REP)
    for pairs in (1, 4, 2):
        assert nic.driver.control(CTRL_MQ, 0, struct.pack("<H", pairs)) == CTRL_OK
        nic.driver.proven = False  # the link has been down
        lab.far(controller, REP).close()
        if pairs == 1:
            nic.reaches(far)
        detail = json.loads(controller.netns.run(f"ip -j -d link show {REP}"))[0]["linkinfo"]["info_data"]
        assert detail["numqueues"] == pairs


SOURCE = "02:00:00:00:00:99"
NEEDS_CSUM = 1
GSO_TCPV4 = 1
F_CSUM = 1 << 0
F_HOST_TSO4 = 1 << 11


def csum(data):
    """The Internet checksum, not inverted."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data)) if len(data) % 2 == 0 else csum(data + b"\0")
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return total


def tcp_packet(payload):
    """Frame of a TCP segment whose checksum is that of the pseudo-header only, as a guest's stack leaves it."""
    addresses = bytes([192, 0, 2, 1, 192, 0, 2, 2])
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 40 + len(payload), 1, 0, 64, 6, 0) + addresses
    ip = ip[:10] + struct.pack(">H", csum(ip) ^ 0xFFFF) + ip[12:]
    pseudo = csum(addresses + struct.pack(">HH", 6, 20 + len(payload)))
    tcp = struct.pack(">HHIIBBHHH", 1, 2, 1000, 0, 0x50, 0x10, 8192, pseudo, 0)
    return frame(BROADCAST, ip + tcp + payload, source=SOURCE, ethertype=0x0800)


def tcp_payload(data):
    """Sequence number and bytes of a received frame, whose checksums must be right."""
    ip = data[14:]
    length = struct.unpack_from(">H", ip, 2)[0]
    tcp = ip[20:length]
    assert csum(ip[:20]) == 0xFFFF, "IPv4 header"
    assert csum(ip[12:20] + struct.pack(">HH", 6, len(tcp)) + tcp) == 0xFFFF, "TCP"
    return struct.unpack_from(">I", tcp, 4)[0], tcp[20:]


@pytest.mark.parametrize("pmd", ["net_tap", "net_af_packet"])
def test_checksums_and_large_segments_are_the_same_over_any_port(lab, pmd):
    controller = lab.start(f"devargs={pmd}{{sf_num}},iface={{rep}}")
    if pmd == "net_af_packet":
        controller.netns.run(f"ip link add {REP} type veth peer name far && ip link set {REP} up")
    nic = lab.nic(controller)
    nic.driver.start(BASIC_FEATURES | F_CSUM | F_HOST_TSO4)
    far = lab.far(controller, "far" if pmd == "net_af_packet" else REP)
    nic.reaches(far)

    def arrives(payload, gso_size):
        header = struct.pack("<BBHHHHH", NEEDS_CSUM, GSO_TCPV4 if gso_size else 0, 54, gso_size, 34, 16, 0)
        nic.driver.send(tcp_packet(payload), header=header)
        got = []
        while sum(len(part) for _, part in got) < len(payload):
            data = far.sock.recv(65536)
            if data[6:14] == bytes.fromhex(SOURCE.replace(":", "")) + b"\x08\x00":
                got.append(tcp_payload(data))
        assert [start for start, _ in got] == [1000 + at for at in range(0, len(payload), gso_size or len(payload))]
        assert b"".join(part for _, part in got) == payload

    far.sock.settimeout(10)
    for length, gso_size in ((100, 0), (1, 0), (1460, 0), (3000, 1000), (30001, 1448), (500, 10)):
        arrives(os.urandom(length), gso_size)
    if pmd == "net_af_packet":
        controller.netns.run("ip link del far")


def test_net_tap_is_made_anew_after_a_crash(lab):
    controller = lab.start("devargs=net_tap{sf_num},iface={rep}")
    nic = lab.nic(controller)
    nic.reaches(lab.far(controller, REP))
    for _ in range(2):
        Group(controller).standby()
        die(controller)
        nic.driver.proven = False
        nic.reaches(lab.far(controller, REP))


def test_net_tap_goes_from_process_to_process(lab):
    controller = lab.start("devargs=net_tap{sf_num},iface={rep}")
    nic = lab.nic(controller)
    nic.reaches(lab.far(controller, REP))
    Group(controller).standby()
    log = len(controller.log())
    assert controller.cli("restart").status == 0
    wait_until(lambda: "has been made anew" in controller.log()[log:], "the SF to be made anew")
    nic.driver.proven = False
    nic.reaches(lab.far(controller, REP))


def test_a_worker_sleeps_on_net_tap(lab):
    """It has interrupts: a device without traffic costs nothing, and a packet wakes its worker."""
    controller = lab.start("devargs=net_tap{sf_num},iface={rep}")
    nic = lab.nic(controller)
    far = lab.far(controller, REP)
    nic.reaches(far)
    controller.netns.run(f"sysctl -qw net.ipv6.conf.{REP}.disable_ipv6=1")  # it talks
    active = Group(controller).active()

    def asleep():
        before = cpu_time(active)
        time.sleep(0.5)
        return cpu_time(active) - before < 100_000_000

    wait_until(asleep, "the workers to sleep")
    nic.reaches(far, tries=2)  # the second one for a machine that was busy otherwise


def test_an_mtu_that_net_tap_does_not_take_is_refused_with_its_range(lab):
    controller = lab.start("devargs=net_tap{sf_num},iface={rep}")
    answer = controller.cli("hotplug", "-i", "mlx5_0", "-m", "0C:C4:7A:FF:22:93", "-t", 9000, "-qp", 1, "-s", 256)
    assert answer.status != 0
    assert "MTU 9000 is out of range (68..1504)" in controller.log() + answer.stdout + answer.stderr
    assert not controller.netns.links()


# ---- net_af_packet


def test_net_af_packet_takes_an_interface_that_is_there(lab):
    controller = lab.start("devargs=net_af_packet{sf_num},iface={rep},qpairs={queues}")
    controller.netns.run(f"ip link add {REP} type veth peer name far && ip link set {REP} up")
    nic = lab.nic(controller)
    nic.reaches(lab.far(controller, "far"))
    Group(controller).standby()
    die(controller)
    nic.driver.proven = False
    nic.reaches(lab.far(controller, "far"))
    controller.netns.run("ip link del far")


def test_an_interface_that_is_not_there_is_named(lab):
    controller = lab.start("devargs=net_af_packet{sf_num},iface={rep}")
    answer = controller.cli("hotplug", "-i", "mlx5_0", "-m", "0C:C4:7A:FF:22:93", "-t", 1500, "-qp", 1, "-s", 256)
    assert answer.status != 0
    assert f"net_af_packet2000,iface={REP}: cannot be probed" in controller.log() + answer.stdout + answer.stderr


# ---- net_memif


def test_net_memif_joins_two_devices_back_to_back(lab):
    template = f"devargs=net_memif{{sf_num}},socket={lab.folder.name},id={{sf_num}},role="
    server = lab.start(template + "server")
    client = lab.start(template + "client", beside=server)
    nics = [lab.nic(server, mac="0C:C4:7A:FF:22:01"), lab.nic(client, mac="0C:C4:7A:FF:22:02")]

    def crosses(sender, receiver, tries=40):
        for _ in range(tries):
            data = frame(BROADCAST, sender.payload())
            sender.driver.send(data)
            with contextlib.suppress(NothingCame):
                return receiver.driver.receive(wanted=lambda got, data=data: got[:len(data)] == data, timeout_s=0.25)
        return None

    for _ in range(20):
        assert crosses(*nics) and crosses(*reversed(nics))
    Group(server).standby()
    die(server)

    def connected():
        nics[1].driver.start()  # DPDK's memif client connects when its port is started, and only then
        return crosses(*nics, tries=4)

    wait_until(connected, "the client's connection to the new server", seconds=60)
    assert crosses(*reversed(nics))


# ---- ports without anything outside of the process


def test_net_ring_is_a_loop_of_each_pair(lab):
    nic = lab.nic(lab.start("devargs=net_ring{sf_num}"), pairs=2)
    assert nic.driver.control(CTRL_MQ, 0, struct.pack("<H", 2)) == CTRL_OK
    for _ in range(50):
        nic.echoes(0)
        nic.echoes(1)


def test_net_ring_is_made_anew_after_a_crash(lab):
    controller = lab.start("devargs=net_ring{sf_num}")
    nic = lab.nic(controller)
    nic.echoes()
    Group(controller).standby()
    die(controller)
    nic.echoes()


def test_net_null_generates_and_swallows(lab):
    nic = lab.nic(lab.start("devargs=net_null{sf_num},size=100"))
    nic.driver.send(frame(BROADCAST, nic.payload()))
    for _ in range(100):
        assert len(nic.driver.receive()) == 100


def test_net_pcap_reads_one_file_and_writes_another(lab):
    frames = [frame("0C:C4:7A:FF:22:93", b"from a file %d" % n + bytes(60)) for n in range(5)]
    with open(lab.folder / "in.pcap", "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for data in frames:
            file.write(struct.pack("<IIII", 1, 0, len(data), len(data)) + data)
    controller = lab.start(
        f"devargs=net_pcap{{sf_num}},rx_pcap={lab.folder}/in.pcap,tx_pcap={lab.folder}/out-{{sf_num}}.pcap"
    )
    nic = lab.nic(controller)
    assert [nic.driver.receive() for _ in frames] == frames
    sent = frame(BROADCAST, nic.payload())
    nic.driver.send(sent)
    nic.unplug()
    wait_until(lambda: sent in (lab.folder / "out-2000.pcap").read_bytes(), "the frame in the file")


# ---- the limit


@pytest.mark.seconds(600)
def test_one_port_more_than_dpdk_has_is_refused_with_the_way_out(lab):
    controller = lab.start(
        "devargs=net_null{sf_num}", "--no-standby", max_host_functions=64, num_switch_ports=40
    )
    with Group(controller).telemetry() as telemetry:
        for n in range(PORTS_OF_DPDK):
            telemetry.good(
                "/virtnet/hotplug", ib_device="mlx5_0", mac=f"0C:C4:7A:FF:23:{n:02X}", mtu=1500, max_queue_pairs=1,
                max_queue_size=256,
            )  # fmt: skip
    answer = controller.cli("hotplug", "-i", "mlx5_0", "-m", "0C:C4:7A:FF:24:01", "-t", 1500, "-qp", 1, "-s", 256)
    assert answer.status != 0
    text = controller.log() + answer.stdout + answer.stderr
    assert f"no more than {PORTS_OF_DPDK} ports" in text and "-Dmax_ethports=" in text
    controller.cli.good("unplug", "-p", 0)
    wait_until(lambda: len(controller.cli.good("list")["devices"]) == PORTS_OF_DPDK - 1, "the device to go")
    controller.hotplug(mac="0C:C4:7A:FF:24:01")
