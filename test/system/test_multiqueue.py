# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Four queue pairs, each with traffic of its own."""

import pytest

from virtnet_test.wait import wait_until

PAIRS = 4
FAR = "192.0.2.1"


@pytest.fixture(scope="module")
def wide(lab):
    """A VM with four CPUs and the device's netdev in it."""
    guest = lab.boot("vm1", cpus=PAIRS)
    device = lab.controller.hotplug(mac="0C:C4:7A:FF:22:93", pairs=PAIRS)
    netdev, far = lab.connect(guest, device, "192.0.2")
    return guest, device, netdev, far


def channels(guest, netdev):
    """(preset maximum, current) combined channels."""
    lines = [line for line in guest.run(f"ethtool -l {netdev}").splitlines() if line.startswith("Combined:")]
    return tuple(int(line.split()[1]) for line in lines)


def descriptors(lab, device):
    """Descriptors taken so far, by virtqueue."""
    queues = lab.cli.device(device.id)["enabled-queues-info"]
    return {int(queue["index"]): int(queue["received_desc"]) for queue in queues}


def interrupts(guest, pair):
    """Interrupts of a receive queue so far, on all CPUs."""
    (line,) = [line for line in guest.run("cat /proc/interrupts").splitlines() if line.endswith(f"-input.{pair}")]
    return sum(int(word) for word in line.split()[1 : 1 + PAIRS])


def test_number_of_queues_is_the_guests_choice(lab, wide):
    guest, device, netdev, far = wide
    assert channels(guest, netdev)[0] == PAIRS
    for count in (1, 3, 2, PAIRS):
        guest.run(f"ethtool -L {netdev} combined {count}")
        assert channels(guest, netdev) == (PAIRS, count)
        assert lab.cli.device(device.id, "-b")["ctrl_mq"] == str(count)
        far.ping("192.0.2.2")


def test_each_transmit_queue_carries_its_cpus_traffic(lab, wide):
    guest, device, netdev, _ = wide
    guest.run(f"ethtool -L {netdev} combined {PAIRS}")
    for cpu in range(PAIRS):
        before = descriptors(lab, device)
        guest.run(f"taskset {1 << cpu:x} ping -c 30 -i 0.01 -W 2 {FAR}")
        after = descriptors(lab, device)
        # Virtqueues alternate: receive 0, transmit 0, receive 1, ...
        assert after[2 * cpu + 1] - before[2 * cpu + 1] >= 30, f"transmit queue {cpu}: {before} {after}"


def test_each_receive_queue_carries_traffic(lab, wide):
    guest, device, netdev, far = wide
    guest.run(f"ethtool -L {netdev} combined {PAIRS}")
    for cpu in range(PAIRS):
        before = interrupts(guest, cpu)
        server = far.start("iperf3", "-s", "-1")
        wait_until(lambda: far.listening(5201), "the iperf3 server")
        # The TAP sends a flow's packets back on the queue that the flow came on.
        guest.run(f"taskset {1 << cpu:x} iperf3 -c {FAR} -t 1 -R", seconds=30)
        server.wait(10)
        assert interrupts(guest, cpu) > before, f"receive queue {cpu}"


def test_queues_change_under_traffic(wide):
    guest, _, netdev, far = wide
    server = far.start("iperf3", "-s", "-1")
    wait_until(lambda: far.listening(5201), "the iperf3 server")
    guest.background(f"iperf3 -c {FAR} -t 4 -P 4 > /tmp/iperf.out 2>&1; echo $? > /tmp/iperf.status")
    for count in (1, 4, 2, 3, 1, 4):
        guest.run(f"ethtool -L {netdev} combined {count}; sleep 0.3")
    wait_until(lambda: guest.run("cat /tmp/iperf.status", check=False).strip().isdigit(), "iperf3's end", 30)
    assert guest.run("cat /tmp/iperf.status").strip() == "0", guest.run("cat /tmp/iperf.out")
    server.wait(10)
    guest.ping(FAR)
