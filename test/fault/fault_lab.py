# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A controller under its keeper, devices with traffic, and the controller's processes seen from outside."""

import contextlib
import json
import os
import re
import shutil
import signal
import tempfile
import time
from pathlib import Path

from generator import Generator
from virtnet_test.controller import Controller, Device
from virtnet_test.features import mask
from virtnet_test.group import Group
from virtnet_test.procs import halted
from virtnet_test.wait import wait_until

# Frames that wait in a TAP while nobody reads it: seconds of the generator's rate, so that none is lost there.
TX_QUEUE_LEN = 100000
# Enough for the packets of a few devices; EAL touches all of it at its start.
MEMORY_MIB = 192
NICE = -10
# Frames of one burst: what a crash may send twice (TX) or lose (RX), per queue.
BURST = 32
# The keeper answers more than five crashes in ten seconds with a pause.
CRASH_SECONDS = 2.1
# As many as can be plugged.
MANY = 31
# Random kills in the loop: CI's, or those of the full run, which has all of the tables and holds figures to account.
KILLS = int(os.environ.get("VIRTNET_FAULT_KILLS", "50"))
FULL_KILLS = 1000
FULL_RUN = KILLS >= FULL_KILLS
MAC = "0C:C4:7A:FE:{:02X}:{:02X}"

# Rings and transports: a later one is one more entry. A ring is what virtnet-fault is to negotiate.
RINGS = {
    "split": (),
    "split-event-idx-indirect": ("--event-idx", "--indirect"),
    "split-mergeable-in-order": ("--mergeable", "--in-order"),
    "packed": ("--packed", "--queue-size", "250"),
    "packed-event-idx-indirect": ("--packed", "--event-idx", "--indirect"),
    "packed-mergeable-in-order": ("--packed", "--mergeable", "--in-order", "--event-idx"),
    "split-notification-data": ("--notification-data", "--event-idx"),
    "packed-notification-data": ("--packed", "--notification-data", "--indirect"),
    "packed-mergeable-hash": ("--packed", "--mergeable", "--hash-report"),
}
# What virtnet.conf must allow for it.
ALLOWED_BY = {"--packed": "packed_vq", "--mergeable": "mrg_rxbuf"}
# What a device offers only when told to, and the features that it cannot be told to offer without the above.
OFFERED_WHEN_TOLD = {"--notification-data", "--hash-report"}
NEEDS_LEAVE = {"packed_vq": "RING_PACKED", "mrg_rxbuf": "MRG_RXBUF"}
TRANSPORTS = {
    "vfio-user": {"emu": "vfio_user"},
    "vhost-user": {"emu": "vhost_user"},
}
# What virtnet-fault must know of it: a vhost-user device has no registers to ask.
TRANSPORT_OPTIONS = {"vhost-user": ("--vhost-user", "--requests", "0")}
# What a transport cannot carry: a kick of vhost-user is an eventfd's, which tells no position.
TRANSPORT_LACKS = {"vhost-user": {"--notification-data"}}


def rings_of(transport):
    """The rings that devices of a transport can have."""
    lacks = TRANSPORT_LACKS.get(transport, set())
    return [ring for ring, options in RINGS.items() if not lacks & set(options)]


def memory_of(pid):
    """(PSS, PSS of shared memory) of a process, KiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()

    def value(key):
        return int(re.search(rf"^{key}:\s+(\d+) kB", text, re.M)[1])

    return value("Pss"), value("Pss_Shmem")


def descriptors_of(pid):
    """Those that stay: the fewest of several looks, since messages with descriptors come and go."""

    def look():
        time.sleep(0.02)
        return len(os.listdir(f"/proc/{pid}/fd"))

    return min(look() for _ in range(10))


@contextlib.contextmanager
def nice():
    """Processes started here are ahead of others: what else runs on the machine is not to be measured."""
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, 0)


def raise_session(pid):
    """Where the kernel groups processes by session, a process's priority counts within its session only."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(NICE))


class FaultLab:
    """Controller, devices, generator."""

    def __init__(
        self, build, program, record, *, name, devices=1, pairs=2, ring="split", transport="vfio-user", config=None,
        options=(), environment=None, traffic=(), sockets=None, prepare=None, controller=Controller,
    ):  # fmt: skip
        """config: what platform says beyond the usual. sockets: the folder of the devices' sockets, if it says one.
        prepare: called with the controller before its start. controller: its class."""
        self.build = Path(build)
        self.program = program  # virtnet-fault
        self.record = record
        self.name = name
        self.pairs = pairs
        self.labels = {"ring": ring, "transport": transport}
        self.allowed = {key for option, key in ALLOWED_BY.items() if option in RINGS[ring]}
        self.traffic = [*RINGS[ring], *TRANSPORT_OPTIONS.get(transport, ()), *map(str, traffic)]
        self.folder = Path(tempfile.mkdtemp(prefix="virtnet-fault-", dir="/tmp"))
        self.generator = None
        self.generators = []
        self.devices = []
        self.last_crash = 0.0
        self.controller = controller(
            self.build, self.folder, options=options, environment=environment, memory=MEMORY_MIB
        )
        platform = {"num_switch_ports": max(8, devices), **TRANSPORTS[transport], **(config or {})}
        self.group = Group(self.controller)
        made = self.controller.default_config(())
        made["platform"].update(platform)
        made.update({key: 1 for key in self.allowed})
        self.controller.config_path.write_text(json.dumps(made))
        self.sockets = sockets
        try:
            if prepare:
                prepare(self.controller)
            with nice():
                self.controller.start()
            raise_session(self.group.keeper())
            for _ in range(devices):
                self.plug()
        except BaseException:
            self.close()
            raise

    # --- set-up -----------------------------------------------------------------------------------

    def features(self):
        """What hotplug is to say of features: nothing, unless the ring needs one that is not offered by itself."""
        if not OFFERED_WHEN_TOLD & set(RINGS[self.labels["ring"]]):
            return {}
        supported = int(self.controller.cli.good("list")["controller"]["supported_features"]["value"], 16)
        forbidden = mask(*(name for key, name in NEEDS_LEAVE.items() if key not in self.allowed))
        return {"features": hex(supported & ~forbidden)}

    def plug(self, pairs=None):
        number = len(self.devices)
        with self.group.telemetry() as telemetry:
            reply = telemetry.good(
                "/virtnet/hotplug", ib_device="mlx5_0", mac=MAC.format(number // 256, number % 256), mtu="0x5dc",
                max_queue_pairs=hex(pairs or self.pairs), max_queue_size="0x100", **self.features(),
            )  # fmt: skip
        device = Device(reply, self.controller)
        if self.sockets:
            device.socket = self.sockets / device.socket.name
        wait_until(lambda: device.representor in self.controller.netns.links(), "the representor")
        # Without a queueing discipline, or each of its many queues would be made that long, too.
        self.controller.netns.run(
            f"tc qdisc replace dev {device.representor} root noqueue && "
            f"ip link set {device.representor} txqueuelen {TX_QUEUE_LEN} up"
        )
        self.devices.append(device)
        return device

    def traffic_on(self, devices, options=()):
        """A generator beside that of start_traffic(), which the caller ends."""
        with nice():
            made = Generator(
                self.controller, self.program, devices, self.pairs, [*self.traffic, *map(str, options)]
            )
        raise_session(made.process.pid)
        self.generators.append(made)
        return made

    def start_traffic(self, devices=None, options=()):
        """Numbered frames both ways; returns when all streams flow."""
        self.generator = self.traffic_on(devices or self.devices, options)
        return self.generator

    # --- events -----------------------------------------------------------------------------------

    def pause_for_crash(self):
        """Not so often that the keeper's pauses are measured."""
        left = self.last_crash + CRASH_SECONDS - time.monotonic()
        if left > 0:
            time.sleep(left)
        self.last_crash = time.monotonic()

    def rest(self):
        """After a crash without a pause: the next pause is longer."""
        self.last_crash = time.monotonic() + CRASH_SECONDS

    def strike(self, pid, sig, allow_ms):
        """An event begins with a signal that has had its effect when this returns."""
        self.generator.kill(pid, sig, allow_ms)
        wait_until(lambda: halted(pid), f"the effect of signal {sig}", 5, pause=0.001)

    def kill_active(self, sig=signal.SIGKILL, allow_ms=3000):
        """A signal to the active process; what it cost."""
        self.pause_for_crash()
        self.strike(self.group.active(), sig, allow_ms)
        return self.settled(f"signal {signal.Signals(sig).name}", allow_ms)

    def settled(self, kind, allow_ms, bursts=1):
        """The event ends: check what must hold for every device, keep the figures."""
        event = self.generator.settle(allow_ms + 5000)
        self.record.add(self.name, kind, event, **self.labels)
        self.check(event, bursts)
        return event

    def check(self, event, bursts=1):
        """bursts: processes that died during the event."""
        assert not self.generator.violations, self.generator.trouble()
        for device in event["devices"]:
            assert max(device["tx_twice"]) <= bursts * BURST, f"sent twice: {event}"
            assert max(device["rx_lost"]) <= bursts * BURST, f"received frames lost: {event}"
            assert max(device["tx_lost"]) == 0, f"sent frames lost: {event}"
            assert max(device["rx_twice"]) == 0, f"received twice: {event}"

    def all_there(self):
        """No device has vanished."""
        listed = {entry["vuid"] for entry in self.controller.cli.good("list")["devices"]}
        missing = {device.vuid for device in self.devices} - listed
        assert not missing, f"{missing} of {listed}"

    def stop_traffic(self):
        generator, self.generator = self.generator, None
        try:
            summary = generator.stop()
        finally:
            generator.close()
        for index, device in enumerate(summary["devices"]):
            if index in generator.exempted:
                continue
            # A frame that the TAP refused to the sender's face was sent again; another one would count as lost.
            assert device["tap_drops"] <= device["wire_full"], f"the test overfilled a TAP: {summary}"
            assert device["socket_drops"] == 0, f"the test did not read its packet socket in time: {summary}"
        return summary

    # --- end --------------------------------------------------------------------------------------

    def keep_logs(self, where):
        where.mkdir(parents=True, exist_ok=True)
        for path in [*self.folder.glob("*.log"), *self.folder.glob("*.conf")]:
            shutil.copy(path, where / path.name)

    def close(self, logs=None):
        with contextlib.ExitStack() as last:
            last.callback(shutil.rmtree, self.folder, ignore_errors=True)
            if logs:
                last.callback(self.keep_logs, logs)
            last.callback(self.nothing_left)
            last.callback(self.controller.close)
            for generator in self.generators:
                generator.close()

    def nothing_left(self):
        """No process outlives its keeper, however that has ended."""
        deadline = time.monotonic() + 5
        while self.group.all() and time.monotonic() < deadline:
            time.sleep(0.05)
        left = self.group.all()
        for pid, _ in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left, f"processes are left: {left}"
