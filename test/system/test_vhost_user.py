# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""VMs over vhost-user: QEMU's own virtio-net-pci, its rings served by the controller."""

import json
import os
import re
import signal
import time

import pytest

from virtnet_test.group import Group
from virtnet_test.guest import Guest, VMError
from virtnet_test.lab import ROOT_PORTS
from virtnet_test.netns import Netns
from virtnet_test.vhost import ConnectingController, VhostController, vhost_device
from virtnet_test.wait import wait_until

SUBNET = "192.0.2"
FAR = f"{SUBNET}.1"
NEAR = f"{SUBNET}.2"
MAC = "0C:C4:7A:FF:22:93"
FILE_SIZE = 16 << 20

# What a guest may negotiate, as properties of QEMU's device.
RINGS = {
    "split": {},
    "split, small": {"mrg_rxbuf": "off", "event_idx": "off", "indirect_desc": "off"},
    "split, no offloads": {"csum": "off", "guest_csum": "off", "gso": "off", "guest_tso4": "off", "guest_tso6": "off",
                           "host_tso4": "off", "host_tso6": "off"},
    "packed": {"packed": "on"},
    "packed, small": {"packed": "on", "mrg_rxbuf": "off", "event_idx": "off"},
}  # fmt: skip


@pytest.fixture(scope="module")
def lab(request, make_lab):
    """One controller for the VMs of this file."""
    made, close = make_lab("test_vhost_user", vms=(), controller=VhostController)
    yield made
    close()


@pytest.fixture
def own_lab(request, make_lab):
    """A controller for one test."""
    made, close = make_lab(request.node.nodeid, vms=(), controller=getattr(request, "param", VhostController))
    yield made
    close()


class Wire:
    """A VM, its netdev and the representor at the other end."""

    def __init__(self, lab, name="vm1", pairs=1, mac=MAC, listen=False, **properties):
        self.lab = lab
        self.group = Group(lab.controller)
        self.pairs = pairs
        self.device = lab.controller.hotplug(mac=mac, pairs=pairs)
        self.arguments = vhost_device(self.device.socket, mac, pairs, listen, **properties)
        try:
            self.guest = lab.boot(name, extra=self.arguments)
        except BaseException:
            self.end(name)
            raise
        self.netdev, self.far = lab.connect(self.guest, self.device, SUBNET)

    def end(self, name="vm1"):
        """The VM goes, then its device: the next test begins with neither."""
        guest = self.lab.guests.pop(name, None)
        if guest:
            guest.kill()
        self.lab.cli.good("unplug", "-p", self.device.id)

    def up(self):
        self.netdev = self.guest.netdev(self.device.mac)
        self.guest.up(self.netdev, f"{NEAR}/24")

    def iperf(self, *options, seconds=2):
        """Bytes per second that a TCP connection from the guest to the far side carried."""
        server = self.far.start("iperf3", "-s", "-1")
        wait_until(lambda: self.far.listening(5201), "the iperf3 server")
        output = self.guest.run(f"iperf3 -c {FAR} -t {seconds} -J {' '.join(options)}", seconds=60)
        server.wait(10)
        return json.loads(output)["end"]["sum_received"]["bits_per_second"] / 8

    def send_file(self, folder):
        """Checksums of a file at both ends after it has gone from the far side to the guest."""
        self.far.run(f"head -c {FILE_SIZE} /dev/urandom > {folder}/file")
        server = self.far.start("sh", "-c", f"busybox nc -l -p 8000 < {folder}/file")
        wait_until(lambda: self.far.listening(8000), "the far side's nc")
        received = self.guest.run(f"sha256sum < /dev/tcp/{FAR}/8000", seconds=120)
        server.wait(10)
        return self.far.run(f"sha256sum < {folder}/file"), received

    def disturbed(self, disturb, seconds, rate="20M"):
        """(pings asked, answered) and the report of a TCP stream from the guest while disturb() runs."""
        server = self.far.start("iperf3", "-s", "-1")
        wait_until(lambda: self.far.listening(5201), "the iperf3 server")
        self.guest.run("rm -f /tmp/stream.json /tmp/pings")
        self.guest.background(f"iperf3 -c {FAR} -t {seconds} -b {rate} -J > /tmp/stream.json")
        # A number, not a time: after a time it would not wait for the answers that are on their way.
        self.guest.background(
            f"ping -i 0.01 -c {100 * seconds} {FAR} > /tmp/pings.part; mv /tmp/pings.part /tmp/pings"
        )
        disturb()
        server.wait(seconds + 60)
        line = wait_until(
            lambda: self.guest.run("grep transmitted /tmp/pings", check=False), "the end of the pings", seconds + 60
        )
        report = wait_until(self._stream, "the end of the TCP stream", 30)
        words = line.split()
        return int(words[0]), int(words[3]), report

    def _stream(self):
        try:
            return json.loads(self.guest.run("cat /tmp/stream.json", check=False))
        except ValueError:
            return None


def check_stream(report):
    assert "error" not in report, report
    assert report["end"]["sum_received"]["bytes"] > 1_000_000


@pytest.mark.parametrize("properties", RINGS.values(), ids=RINGS.keys())
def test_traffic_over_every_ring(lab, tmp_path, properties):
    wire = Wire(lab, **properties)
    try:
        for size in (1, 56, 1472, 3000, 20000):
            wire.guest.ping(FAR, f"-c 3 -i 0.05 -W 2 -s {size}")
            wire.far.ping(NEAR, f"-c 3 -i 0.05 -W 2 -s {size}")
        assert wire.iperf() > 1_000_000
        assert wire.iperf("-R") > 1_000_000
        sent, received = wire.send_file(tmp_path)
        assert sent == received
    finally:
        wire.end()


def test_guest_reboots_and_lets_go_of_its_driver(lab):
    wire = Wire(lab)
    try:
        wire.guest.ping(FAR)
        wire.guest.reboot()
        wire.up()
        wire.guest.ping(FAR)
        pci = wire.guest.pci_of(wire.netdev)
        for _ in range(3):
            driver = "/sys/bus/pci/drivers/virtio-pci"
            wire.guest.run(f"echo {pci} > {driver}/unbind")
            wait_until(lambda: wire.guest.run("ls /sys/bus/virtio/devices") == "", "the driver to let go")
            wire.guest.run(f"echo {pci} > {driver}/bind")
            wire.up()
            wire.guest.ping(FAR)
        wire.guest.reset()
        wire.up()
        wire.far.ping(NEAR)
    finally:
        wire.end()


def test_queue_pairs_follow_the_guest(lab):
    wire = Wire(lab, pairs=2)
    try:
        for pairs in (2, 1, 2):
            wire.guest.run(f"ethtool -L {wire.netdev} combined {pairs}")
            wire.guest.ping(FAR)
            wire.far.ping(NEAR)
        before = taken(lab, wire.device)
        for cpu in range(2):
            wire.guest.run(f"taskset {1 << cpu} ping -c 30 -i 0.01 -W 2 {FAR}")
        after = taken(lab, wire.device)
        assert all(after[queue] - before[queue] >= 30 for queue in (1, 3)), (before, after)
        assert wire.iperf("-P 4") > 1_000_000
    finally:
        wire.end()


def taken(lab, device):
    """Descriptors taken so far, by virtqueue."""
    queues = lab.cli.device(device.id)["enabled-queues-info"]
    return {int(queue["index"]): int(queue["received_desc"]) for queue in queues}


def test_crash_restart_and_update_go_unseen(own_lab, tmp_path):
    wire = Wire(own_lab, pairs=2)
    wire.guest.run(f"ethtool -L {wire.netdev} combined 2")
    clients = own_lab.controller.log().count("host connected")

    def disturb():
        for _ in range(3):
            wire.group.standby()
            os.kill(wire.group.active(), signal.SIGKILL)
            time.sleep(0.5)
        wire.group.standby()
        assert own_lab.cli("restart").status == 0
        own_lab.cli.good("update", "-s")

    asked, answered, report = wire.disturbed(disturb, 15)

    check_stream(report)
    assert asked > 100 and asked - answered <= 3, (asked, answered)
    sent, received = wire.send_file(tmp_path)
    assert sent == received
    log = own_lab.controller.log()
    assert log.count("host connected") == clients and "host disconnected" not in log


def test_crash_while_the_guest_boots(own_lab):
    wire = Wire(own_lab)
    for _ in range(3):
        before = wire.guest.boot_id()
        wire.guest.qmp.command("system_reset")
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            wire.group.standby()
            os.kill(wire.group.active(), signal.SIGKILL)
            time.sleep(0.2)
        wire.guest.wait_next_boot(before)
        wire.up()
        wire.guest.ping(FAR)
        wire.far.ping(NEAR)
    assert "host disconnected" not in own_lab.controller.log()


def test_controller_stops_and_starts_again(own_lab, tmp_path):
    wire = Wire(own_lab)
    wire.guest.ping(FAR)

    own_lab.controller.stop()
    own_lab.controller.start()
    again = own_lab.controller.hotplug(mac=MAC)

    assert again.socket == wire.device.socket
    far = own_lab.network(again, f"{FAR}/24")
    wait_until(lambda: " 0% packet loss" in wire.guest.run(f"ping -c 1 -W 1 {FAR}", check=False), "traffic", 30)
    far.ping(NEAR)
    assert own_lab.controller.log().count("host connected") == 2


@pytest.mark.parametrize("own_lab", [ConnectingController], indirect=True, ids=["QEMU listens"])
def test_controller_connects_to_a_vm_that_listens(own_lab, tmp_path):
    wire = Wire(own_lab, listen=True)
    wire.guest.ping(FAR)
    wire.group.standby()
    os.kill(wire.group.active(), signal.SIGKILL)
    wire.guest.ping(FAR)
    assert own_lab.cli("restart").status == 0
    wire.guest.ping(FAR)

    # The VM goes, another listens in its place: it is found without a word from anybody.
    wire.guest.kill()
    own_lab.guests.pop("vm1")
    wire.device.socket.unlink(missing_ok=True)
    wire.guest = own_lab.boot("vm2", extra=wire.arguments)
    wire.up()
    wire.guest.ping(FAR)
    sent, received = wire.send_file(tmp_path)
    assert sent == received


# ---- hotplug


@pytest.fixture
def plug_lab(request, make_lab):
    """A controller that plugs into a VM by itself."""
    made, close = make_lab(request.node.nodeid, vms=("vm1",), controller=getattr(request, "param", VhostController))
    yield made
    close()


def ours(guest):
    """What of ours QEMU has: devices, chardevs."""
    children = guest.qmp.command("qom-list", path="/machine/peripheral")
    return [
        *(child["name"] for child in children if child["name"].startswith("virtnet")),
        *(chardev["label"] for chardev in guest.qmp.command("query-chardev") if chardev["label"].startswith("virtnet")),
    ]


@pytest.mark.parametrize(
    "plug_lab", [VhostController, ConnectingController], indirect=True, ids=["QEMU connects", "QEMU listens"]
)
def test_device_is_plugged_into_a_running_vm_and_out_again(plug_lab):
    guest = plug_lab.boot("vm1")
    for number in range(3):
        device = plug_lab.controller.hotplug(mac=MAC, pairs=2, mtu=1400, size=512)
        netdev, far = plug_lab.connect(guest, device, SUBNET)
        assert guest.pci_of(netdev) == f"0000:{device.bdf}"
        assert guest.run(f"cat /sys/class/net/{netdev}/mtu").strip() == "1400"
        assert "512" in guest.run(f"ethtool -g {netdev}")
        guest.run(f"ethtool -L {netdev} combined 2")
        guest.ping(FAR)
        far.ping(NEAR)
        assert len(ours(guest)) == 2

        plug_lab.cli.good("unplug", "-p", device.id)

        gone = f"ls /sys/class/net/{netdev}"
        wait_until(lambda: guest.run(gone, check=False).startswith("ls:"), "the netdev to go")
        assert ours(guest) == [], number
        assert not device.socket.exists()
    assert not [entry for entry in plug_lab.cli.good("list")["devices"] if entry.get("mac") == MAC]


def test_plugged_device_survives_crash_restart_and_unplug_by_the_successor(plug_lab):
    guest = plug_lab.boot("vm1")
    group = Group(plug_lab.controller)
    device = plug_lab.controller.hotplug(mac=MAC)
    _, far = plug_lab.connect(guest, device, SUBNET)
    group.standby()
    os.kill(group.active(), signal.SIGKILL)
    guest.ping(FAR)
    group.standby()
    assert plug_lab.cli("restart").status == 0
    far.ping(NEAR)
    plug_lab.cli.good("unplug", "-p", device.id)
    assert ours(guest) == []


def test_vm_whose_memory_is_not_shared_gets_no_device(plug_lab):
    guest = plug_lab.boot("vm1")
    guest.qmp.command("object-add", qom_type="memory-backend-ram", id="private", size=1 << 20)
    answer = plug_lab.cli("hotplug", "-i", "mlx5_0", "-m", MAC, "-t", 1500, "-qp", 1, "-s", 1024)
    assert answer.status != 0
    assert "does not share its memory (private)" in answer.reply["errstr"], answer.reply
    assert "share=on" in answer.reply["errstr"]
    assert ours(guest) == []
    guest.qmp.command("object-del", id="private")
    device = plug_lab.controller.hotplug(mac=MAC)
    plug_lab.connect(guest, device, SUBNET)
    guest.ping(FAR)


def test_plug_that_fails_leaves_nothing_behind(plug_lab):
    guest = plug_lab.boot("vm1")
    words = ("hotplug", "-i", "mlx5_0", "-m", MAC, "-t", 1500, "-qp", 1, "-s")

    answer = plug_lab.cli(*words, 128)
    assert answer.status != 0 and "256 entries" in answer.reply["errstr"], answer
    assert ours(guest) == []

    # QEMU makes chardev and netdev, and then not the device: its name belongs to another.
    name = "virtnet-MT2611X00001VNETS1D0F0"
    guest.qmp.command("device_add", driver="virtio-rng-pci", id=name, bus=f"rp{ROOT_PORTS}")
    answer = plug_lab.cli(*words, 1024)
    assert answer.status != 0 and "uplicate" in answer.reply["errstr"], answer
    assert ours(guest) == [name]
    assert plug_lab.controller.alive()


def test_device_behind_a_viommu_is_refused_by_qemu(lab):
    """VIRTIO_F_ACCESS_PLATFORM needs an IOTLB, which we do not have: QEMU says so before a guest sees anything."""
    device = lab.controller.hotplug(mac=MAC)
    arguments = vhost_device(device.socket, MAC, iommu_platform="on")
    try:
        with pytest.raises(VMError, match="iommu_platform=true is not supported by the device"):
            Guest.start(lab.folder / "viommu", lab.tools.qemu, lab.tools.guest, extra=arguments).kill()
    finally:
        lab.cli.good("unplug", "-p", device.id)


def test_vm_killed_under_traffic_and_a_new_vm_takes_the_device(own_lab):
    wire = Wire(own_lab, pairs=2)
    wire.far.start("iperf3", "-s")
    wait_until(lambda: wire.far.listening(5201), "the iperf3 server")
    before = wire.far.statistics(wire.device.representor)["rx"]["packets"]
    wire.guest.background(f"iperf3 -c {FAR} -t 60 --bidir")
    wait_until(lambda: wire.far.statistics(wire.device.representor)["rx"]["packets"] > before + 1000, "traffic")

    wire.guest.kill()
    own_lab.guests.pop("vm1")

    wait_until(lambda: "host disconnected" in own_lab.controller.log(), "the controller to notice the end")
    wire.guest = own_lab.boot("vm2", extra=wire.arguments)
    wire.up()
    wire.guest.ping(FAR)
    wire.far.ping(NEAR)


# ---- live migration


class Move:
    """A VM and the empty one that it moves to, each with a device; both representors are in one bridge."""

    def __init__(self, lab, **properties):
        self.lab = lab
        self.devices = [lab.controller.hotplug(mac=mac) for mac in (MAC, "0C:C4:7A:FF:22:94")]
        arguments = [vhost_device(device.socket, MAC, **properties) for device in self.devices]
        self.far = self._bridge()
        self.guest = lab.boot("vm1", extra=arguments[0])
        self.guest.up(self.guest.netdev(MAC), f"{NEAR}/24")
        self.target_socket = lab.folder / "move.sock"
        self.target = Guest.start(
            lab.folder / "vm2", lab.tools.qemu, lab.tools.guest, memory=256, cpus=2, root_ports=ROOT_PORTS,
            extra=[*arguments[1], "-incoming", f"unix:{self.target_socket}"],
        )  # fmt: skip
        lab.guests["vm2"] = self.target

    def _bridge(self):
        far = Netns("far")
        self.lab.networks.append(far)
        far.run("ip link add br0 type bridge && ip link set br0 up")
        far.run(f"ip address add {FAR}/24 dev br0")
        for device in self.devices:
            self.lab.controller.netns.run(f"ip link set {device.representor} netns {far.name}")
            far.run(f"ip link set {device.representor} master br0 && ip link set {device.representor} up")
        return far

    def begin(self):
        self.guest.qmp.command("migrate", uri=f"unix:{self.target_socket}")

    def status(self):
        return self.guest.qmp.command("query-migrate")

    def wait(self, seconds=120):
        """QEMU's report of a migration that has ended well."""

        def ended():
            status = self.status()
            assert status["status"] not in ("failed", "cancelled"), status
            return status if status["status"] == "completed" else None

        return wait_until(ended, "the end of the migration", seconds)

    def end_source(self):
        """What is left of the VM that has moved answers nobody any more."""
        self.lab.guests.pop("vm1").kill()

    def owner_of_the_address(self):
        """The bridge's port behind which it has learned the guest's address."""
        for entry in json.loads(self.far.run("bridge -j fdb show br br0")):
            if entry["mac"] == MAC.lower() and "master" in entry and entry.get("state") != "permanent":
                return entry["ifname"]
        return None


@pytest.mark.parametrize("properties", [{}, {"packed": "on"}, {"guest_announce": "off"}],
                         ids=["split", "packed", "announced by the device"])  # fmt: skip
def test_live_migration_under_traffic(own_lab, properties):
    move = Move(own_lab, **properties)
    move.guest.run(f"head -c {FILE_SIZE} /dev/urandom > /tmp/file")
    checksum = move.guest.run("sha256sum < /tmp/file")
    ping = move.far.start("sh", "-c", f"exec busybox ping -i 0.01 {NEAR} > {own_lab.folder}/pings")
    move.guest.background(f"while true; do cat /tmp/file > /dev/tcp/{FAR}/8000; sleep 0.1; done")
    # Whatever arrives is the file, as often as it was sent whole: written by the device into memory that moves.
    move.far.start("sh", "-c", f"while true; do busybox nc -l -p 8000 | sha256sum >> {own_lab.folder}/sums; done")

    move.begin()
    report = move.wait()
    move.end_source()

    print(f"downtime {report['downtime']} ms, total {report['total-time']} ms")
    target = move.devices[1].representor
    wait_until(lambda: move.owner_of_the_address() == target, "the bridge to learn where the guest is", 10)
    assert move.target.run("sha256sum < /tmp/file") == checksum
    move.far.run(f"busybox ping -i 0.01 -c 200 {NEAR}")  # meanwhile the other one goes on
    ping.send_signal(signal.SIGINT)
    ping.wait(60)
    sent, received, longest = ping_counts((own_lab.folder / "pings").read_text())
    print(f"{sent - received} of {sent} pings lost, at most {longest} in a row")
    assert longest <= report["downtime"] / 10 + 50, (sent, received, longest, report["downtime"])
    move.far.ping(NEAR)
    sums = set((own_lab.folder / "sums").read_text().splitlines())
    assert checksum.strip() in sums
    move.target.check_kernel()


def test_live_migration_while_the_controller_crashes(own_lab):
    move = Move(own_lab)
    group = Group(own_lab.controller)
    move.guest.run(f"head -c {FILE_SIZE} /dev/urandom > /tmp/file")
    checksum = move.guest.run("sha256sum < /tmp/file")
    move.guest.qmp.command("migrate-set-parameters", max_bandwidth=20 << 20)

    move.begin()
    for _ in range(3):
        group.standby()
        os.kill(group.active(), signal.SIGKILL)
        move.far.run(f"busybox ping -c 20 -i 0.01 {NEAR}", check=False)
    move.guest.qmp.command("migrate-set-parameters", max_bandwidth=1 << 30)
    move.wait()
    assert "host disconnected" not in own_lab.controller.log()
    move.end_source()

    assert move.target.run("sha256sum < /tmp/file") == checksum
    move.far.ping(NEAR)


def ping_counts(text):
    """(sent, received, the most that were lost in a row) of busybox's ping."""
    (line,) = [line for line in text.splitlines() if "packets transmitted" in line]
    words = line.split()
    seen = sorted({int(number) for number in re.findall(r"seq=(\d+)", text)} | {-1, int(words[0])})
    return int(words[0]), int(words[3]), max(b - a - 1 for a, b in zip(seen, seen[1:]))
