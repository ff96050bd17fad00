# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""TCP between the kernel behind the device and one that drives the device: of this machine, or a guest's.

    iperf3 - kernel - TAP - virtnet-perf-dpdk --tap  =virtio-user=  device - TAP - kernel - iperf3
    iperf3 - guest's kernel and driver (QEMU)        =============  device - TAP - kernel - iperf3

The device has one CPU and the driver the other one; TCP runs where there is room. testpmd has no offloads here: forwarded as they are,
packets between net_vhost and net_tap lose what their header says of checksum and segmentation.
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from clients import Layout, VirtioUser
from compare import FAILURES, failed, progress, server
from machine import TOP, Watch
from servers import WIRES, Testpmd, cpus
from virtnet_test.netns import Netns
from virtnet_test.wait import wait_until
from stats import STEAL_MAX, range_of, without_outliers

DRIVER_ADDRESS, DEVICE_ADDRESS = "198.18.0.2", "198.18.0.1"
DRIVER_TAP, DEVICE_TAP = "perfdrv", "perftap"
PORTS = itertools.count(5201)  # iperf3's
CONNECT_S = 10
QUEUE_SIZE = 256  # of virtio-user, as QEMU's
GUEST_MAC = "0C:C4:7A:FF:22:93"
# Device, and whether it has offloads; the first is what the others are compared with.
VARIANTS = {
    "tcp": (("testpmd", False), ("vhost_user", False), ("vhost_user", True)),
    "guest": (("testpmd", False), ("vhost_user", False), ("vhost_user", True), ("vfio_user", True)),
}
# What QEMU's virtio-net must not offer where the device's side forwards packets as they are.
NO_OFFLOADS = ("csum", "guest_csum", "host_tso4", "host_tso6", "host_ecn", "host_ufo", "guest_tso4", "guest_tso6",
               "guest_ecn", "guest_ufo", "gso")  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """Whose kernel, and a direction: up is from the driver to the device's TAP."""

    driver: str
    direction: str

    @property
    def name(self):
        return f"{self.driver} {self.direction}"


def cells():
    return [Cell("tcp", "up"), Cell("tcp", "down")]


def guest_cells():
    """Not with the others by default: each pair boots four VMs."""
    return [Cell("guest", "up"), Cell("guest", "down")]


def quick_cells():
    return [Cell("tcp", "up")]


def variant_name(side, offloads):
    return f"{side}{' gso' if offloads else ''}"


def run(chosen, settings, errors):
    """Results of all directions."""
    runs = {cell: [] for cell in chosen}
    for driver in dict.fromkeys(cell.driver for cell in chosen):
        mine = [cell for cell in chosen if cell.driver == driver]
        wanted = [variant for variant in VARIANTS[driver] if variant[0] in settings.sides]
        for number in range(settings.pairs):
            try:
                found = one_round(wanted if number % 2 == 0 else wanted[::-1], mine, settings)
            except FAILURES as error:
                failed(errors, f"{driver}, TCP", error)
                continue
            for cell in mine:
                runs[cell].append({variant_name(*variant): by_cell[cell] for variant, by_cell in found.items()})
                words = [f"{variant_name(*variant)} {by_cell[cell]['bps'] / 1e9:.2f} Gbit/s"
                         for variant, by_cell in found.items()]  # fmt: skip
                progress(f"{number + 1}/{settings.pairs}  {cell.name:34}  {'  '.join(words)}")
    return [result(cell, runs[cell]) for cell in chosen]


def one_round(wanted, chosen, settings):
    return {variant: measure(*variant, chosen, settings) for variant in wanted}


def measure(side, offloads, chosen, settings):
    """{cell: figures} of one device and one driver."""
    seconds = max(1, round(settings.seconds * 5))
    with ExitStack() as stack:
        device, far, link = stack.enter_context(tap_device(side, settings))
        far.run(f"ip address add {DEVICE_ADDRESS}/24 dev {link} && ip link set {link} mtu 1500 up")
        make = guest if chosen[0].driver == "guest" else virtio_user
        shell = stack.enter_context(make(device, side, offloads, settings))
        wait_until(lambda: reachable(shell), "the device's TAP", CONNECT_S)
        return {cell: iperf(shell, far, cell, seconds, device) for cell in chosen}


@contextmanager
def tap_device(side, settings):
    """A device over a TAP: itself, the TAP's network namespace and name."""
    with ExitStack() as stack:
        if side == "testpmd":
            far = Netns("perf")
            stack.callback(far.delete)
            device = Testpmd(WIRES["tap"], settings.nice, netns=far)
            link = DEVICE_TAP
        else:
            device = server(side, WIRES["tap"], settings)
            far, link = device.netns, device.device.representor
        stack.callback(device.close)
        device.work()
        yield device, far, link


# ---- Who drives it: a shell on that side, as a function


class Bridge(VirtioUser):
    """The driver's kernel: a TAP whose packets go over virtio-user."""

    def __init__(self, build, path, settings, offloads, netns):
        self.netns, self.offloads = netns, offloads
        super().__init__(build, path, Layout(mergeable=True), QUEUE_SIZE, settings.nice)

    def adapt(self, command):
        more = ["--tap", DRIVER_TAP, *(["--gso"] if self.offloads else [])]
        return self.netns.command(*(word for word in command if word != "--commands"), *more)


@contextmanager
def virtio_user(device, side, offloads, settings):
    near = Netns("drv")
    try:
        driver = Bridge(settings.build, device.socket, settings, offloads, near)
        try:
            near.run(f"ip address add {DRIVER_ADDRESS}/24 dev {DRIVER_TAP} && ip link set {DRIVER_TAP} up")
            yield lambda command, seconds: near.run(command, seconds)
        finally:
            driver.close()
    finally:
        near.delete()


def tool(name):
    """What one of usertools/*.sh prints."""
    done = subprocess.run([TOP / "usertools" / name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{name}: {done.stderr}"
    return done.stdout.strip()


def vhost_user_device(path, offloads):
    """QEMU's words for a device at a vhost-user socket."""
    without = "" if offloads else "".join(f",{name}=off" for name in NO_OFFLOADS)
    return ["-chardev", f"socket,id=c0,path={path}", "-netdev", "vhost-user,id=n0,chardev=c0",
            "-device", f"virtio-net-pci,netdev=n0,disable-legacy=on,mac={GUEST_MAC}{without}"]  # fmt: skip


@contextmanager
def guest(device, side, offloads, settings):
    """A VM with the device, on the CPU of the others."""
    sys.path.insert(0, str(TOP / "usertools"))
    from virtnet_test.guest import Guest, VMError  # pylint: disable=import-outside-toplevel

    if side == "vfio_user":
        how = {"devices": [device.socket]}
    else:
        how = {"extra": vhost_user_device(device.socket, offloads)}
    all_cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpus()[0]})  # inherited by QEMU
    try:
        vm = Guest.start(device.folder / "vm", tool("fetch-qemu.sh"), tool("build-guest.sh"), memory=256, cpus=1,
                         root_ports=2, **how)  # fmt: skip
    except VMError as error:
        raise AssertionError(f"the guest on {side}: {error}") from error
    finally:
        os.sched_setaffinity(0, all_cpus)
    try:
        vm.wait_ready()
        vm.up(vm.netdev(GUEST_MAC), f"{DRIVER_ADDRESS}/24")
        yield lambda command, seconds: vm.run(command, seconds)
    except VMError as error:
        raise AssertionError(f"the guest on {side}: {error}") from error
    finally:
        vm.kill()


# ---- One measurement


def reachable(shell):
    try:
        return " 0% packet loss" in shell(f"ping -c 1 -W 1 {DEVICE_ADDRESS} || busybox ping -c 1 -W 1 {DEVICE_ADDRESS}", 10)
    except Exception:  # pylint: disable=broad-except; the two shells fail in two ways
        return False


def iperf(shell, far, cell, seconds, device):
    """Figures of one connection, to a server of its own: one that has just served need not be ready again."""
    port = next(PORTS)
    far.start("iperf3", "-s", "-1", "-p", port)
    wait_until(lambda: far.listening(port), "iperf3's server")
    watch = Watch(device.pid)
    reverse = " -R" if cell.direction == "down" else ""
    told = shell(f"timeout {seconds + 15} iperf3 -J -c {DEVICE_ADDRESS} -p {port} -t {seconds}{reverse}", seconds + 20)
    end = json.loads(told)["end"]
    assert "sum_received" in end, f"iperf3: {json.loads(told).get('error', told)}"
    return {"bps": end["sum_received"]["bits_per_second"], "retransmits": end["sum_sent"].get("retransmits", 0),
            "seconds": seconds, **watch.done()}  # fmt: skip


def result(cell, rounds):
    """Medians, and ratios to testpmd's, of pairs without steal."""
    made = {"name": cell.name, "runs": rounds, "bps": {}, "ratios": {}}
    for name in rounds[0] if rounds else ():
        good = [runs[name]["bps"] for runs in rounds if runs[name]["steal"] <= STEAL_MAX]
        made["bps"][name] = statistics.median(good) if good else None
        if name == "testpmd" or "testpmd" not in rounds[0]:
            continue
        pairs = [runs for runs in rounds if max(runs[name]["steal"], runs["testpmd"]["steal"]) <= STEAL_MAX]
        kept = without_outliers([{"ratio": runs[name]["bps"] / runs["testpmd"]["bps"]} for runs in pairs], "ratio")
        made["ratios"][name] = {"pairs": len(rounds), "steal": len(rounds) - len(pairs),
                                "spread": len(pairs) - len(kept), "counted": len(kept)}  # fmt: skip
        if kept:
            made["ratios"][name]["ratio"] = range_of([pair["ratio"] for pair in kept])
    return made
