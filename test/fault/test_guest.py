# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A real guest: its TCP connections and its pings while processes die and are replaced."""

import json
import os
import signal
import time

import pytest

from fault_lab import BURST, CRASH_SECONDS
from virtnet_test.group import Group
from virtnet_test.wait import wait_until

SUBNET = "192.0.2"
FAR = f"{SUBNET}.1"
NEAR = f"{SUBNET}.2"
KILLS = 3
KILLS_FULL = 10
PING_SECONDS = 0.005
# Below what guest and TAP can carry, so that queues hold what comes during a pause: a full one drops, disturbed or not.
TCP_RATE = "20M"
TX_QUEUE_LEN = 20000


class Wire:
    """A VM's device with a TCP stream out and pings in."""

    def __init__(self, lab, guest):
        self.lab = lab
        self.guest = guest
        self.group = Group(lab.controller)
        self.device = lab.controller.hotplug("--host", "vm1", mac="0C:C4:7A:FF:22:93", pairs=1)
        self.netdev, self.far = lab.connect(guest, self.device, SUBNET)
        self.far.run(f"tc qdisc replace dev {self.device.representor} root noqueue")
        self.far.run(f"ip link set {self.device.representor} txqueuelen {TX_QUEUE_LEN}")
        self.guest.run(f"ip link set {self.netdev} txqueuelen {TX_QUEUE_LEN}")
        self.guest.ping(FAR)

    def echoes(self):
        """(asked, answered) as the guest's kernel counts them: ping itself loses answers while it does not run."""
        rows = [line.split()[1:] for line in self.guest.run("grep ^Icmp: /proc/net/snmp").splitlines()]
        counters = dict(zip(rows[0], map(int, rows[1])))
        return counters["OutEchos"], counters["InEchoReps"]

    def disturbed(self, disturb, seconds):
        """Lost pings and the TCP stream's report while disturb() runs."""
        self.guest.run("rm -f /tmp/stream.json")
        asked, answered = self.echoes()
        server = self.far.start("iperf3", "-s", "-1")
        wait_until(lambda: self.far.listening(5201), "the iperf3 server")
        self.guest.background(f"iperf3 -c {FAR} -t {seconds} -b {TCP_RATE} -J > /tmp/stream.json")
        self.guest.background(f"ping -i {PING_SECONDS} -w {seconds} {FAR} > /dev/null")
        disturb()
        server.wait(seconds + 60)
        report = wait_until(self._stream, "the end of the TCP stream", 30)
        wait_until(lambda: not self.guest.run("pidof ping", check=False).strip(), "the end of the pings", 60)
        asked, answered = self.echoes()[0] - asked, self.echoes()[1] - answered
        assert asked > 100, asked
        return asked - answered, report

    def _stream(self):
        try:
            return json.loads(self.guest.run("cat /tmp/stream.json", check=False))
        except ValueError:
            return None


@pytest.fixture(scope="module")
def wire(lab, guest):
    return Wire(lab, guest)


def check_stream(report):
    assert "error" not in report, report
    assert report["end"]["sum_received"]["bytes"] > 1_000_000
    # Every second of it carried something: the connection has never been at rest.
    longest = max(interval["sum"]["seconds"] for interval in report["intervals"])
    assert longest < 3, report["intervals"]


def test_kills_under_a_tcp_stream_and_pings(wire, record, full_run):
    before = wire.group.active()
    kills = KILLS_FULL if full_run else KILLS

    def kill():
        for _ in range(kills):
            wire.group.standby(60)
            time.sleep(CRASH_SECONDS)
            pid = wire.group.active()
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda gone=pid: wire.group.active() != gone, "the next process")

    lost, report = wire.disturbed(kill, seconds=kills * 4)
    print(f"{kills} kills: {lost} pings lost")
    record.figure("guest", "kills", kills=kills, pings_lost=lost, bytes=report["end"]["sum_received"]["bytes"])
    check_stream(report)
    assert wire.group.active() != before
    # A burst each way may be lost with each process; the stream has most of it.
    assert lost <= kills * BURST
    wire.guest.ping(FAR)
    wire.guest.check_kernel()


def test_restarts_under_a_tcp_stream_and_pings_lose_nothing(wire):
    def restart():
        for _ in range(3):
            answer = wire.lab.cli("restart")
            assert answer.status == 0, answer
            time.sleep(0.5)

    lost, report = wire.disturbed(restart, seconds=8)
    check_stream(report)
    assert lost == 0
    wire.guest.check_kernel()


def test_guest_configures_its_device_after_kills(wire):
    """Everything on the way that the driver asks for goes on to work."""
    wire.guest.run(f"ip link set {wire.netdev} down")
    wire.guest.up(wire.netdev, f"{NEAR}/24")
    wire.guest.ping(FAR)
    wire.far.ping(NEAR)
