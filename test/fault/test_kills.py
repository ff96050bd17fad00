# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The active process dies, stops or hangs at random moments; drivers and wires see a pause, nothing else."""

import random
import re
import signal
import statistics
import time

import pytest

from fault_lab import FULL_RUN, KILLS, MANY, TRANSPORTS, descriptors_of, memory_of, rings_of
from virtnet_test.wait import wait_until

# name: signal, longest pause of a device (ms). A stopped process has a second to go on, by the watchdog.
SIGNALS = {
    "kill": (signal.SIGKILL, 2000),
    "segv": (signal.SIGSEGV, 2000),
    "bus": (signal.SIGBUS, 2000),
    "abort": (signal.SIGABRT, 2000),
    "stop": (signal.SIGSTOP, 4000),
}
# Death is tried on every ring. What else befalls a process has nothing to do with rings: one shows it, but in the full
# run.
ON_EVERY_RING = "kill"
ONE_RING = "split-event-idx-indirect"
SIGNALLED = [
    (transport, ring, how)
    for transport in TRANSPORTS
    for ring in rings_of(transport)
    for how in SIGNALS
    if FULL_RUN or how == ON_EVERY_RING or ring == ONE_RING
]
# Rings of the loop of random kills, and frames a second of each stream there. CI has both at work at once: while one
# rests, the other is killed.
KILLED_RINGS = (ONE_RING, "packed-mergeable-in-order")
RATE = 2000
RATE_FULL = 4000
KEEPER_PSS_KIB = 10 * 1024
GUEST_MIB = 4096
# What a process may hold more after a loop than before: pages of stacks and libraries that had not been touched yet.
GROWTH_KIB = 2048
# Descriptors of a request that is being handled: virtnet-fault maps memory and sets interrupts all the time.
IN_FLIGHT = 2
RECOVERY = re.compile(
    r"emu process (?P<pid>\d+) (?:died|ended)[^\n]*?"
    r"taken over by (?P<cold>the newly started )?\d+ in (?P<recovery_ms>[\d.]+) ms"
    r"(?: \(start (?P<start_ms>[\d.]+)(?:, (?P<before_ms>[\d.]+) before)?"
    r"(?:: EAL (?P<eal_ms>[\d.]+), pools (?P<pools_ms>[\d.]+))?;"
    r" adoption (?P<adoption_ms>[\d.]+)\))?"
)


def recovery_of(lab, pid):
    """What the keeper says of a recovery: milliseconds from the fence to the last device, and of what in a cold one."""

    def said():
        found = [row for row in RECOVERY.finditer(lab.controller.log()) if int(row["pid"]) == pid]
        return found[-1] if found else None

    row = wait_until(said, f"the keeper's line about process {pid}", 10, pause=0.02).groupdict()
    times = {name: float(value) for name, value in row.items() if name.endswith("_ms") and value is not None}
    return {"cold": row["cold"] is not None, **times}


def kill_once(lab, sig, allow_ms, standby):
    """One kill of the active process; what it cost, and what the keeper said."""
    if standby:
        lab.pause_for_crash()
        lab.group.standby()
    pid = lab.group.active()
    lab.strike(pid, sig, allow_ms)
    event = lab.generator.settle(allow_ms + 5000)
    event["labels"] = recovery_of(lab, pid)
    kind = f"{signal.Signals(sig).name}{' (no standby)' if event['labels']['cold'] else ''}"
    lab.record.add(lab.name, kind, event, **lab.labels)
    lab.check(event)
    return event


@pytest.mark.parametrize("transport, ring, how", SIGNALLED)
def test_signal(new_lab, transport, ring, how):
    lab = new_lab(ring=ring, transport=transport)
    lab.start_traffic()
    sig, allow_ms = SIGNALS[how]
    kill_once(lab, sig, allow_ms, standby=True)
    lab.all_there()
    lab.stop_traffic()


class Victim:
    """A controller that is killed again and again, with what that costs its devices and what it comes to hold."""

    def __init__(self, lab, full_run):
        self.lab = lab
        self.kills = 0
        self.cold = 0
        self.gaps = []
        self.sizes = []
        rate, touched = (RATE_FULL, ["--populate"]) if full_run else (RATE, [])
        lab.start_traffic(options=["--rate", rate, "--memory", GUEST_MIB, *touched])

    def kill(self):
        self._kill(standby=True)
        if self.kills % 10 == 5:
            self.sizes.append(size_of(self.lab))
        if self.kills % 10 == 9:
            # At once, before the next standby is up: the recovery is cold.
            self._kill(standby=False)
            self.lab.rest()

    def _kill(self, standby):
        event = kill_once(self.lab, signal.SIGKILL, 4000, standby)
        self.kills += 1
        if event["labels"]["cold"]:
            self.cold += 1
        else:
            self.gaps += [device["gap_us"] for device in event["devices"]]

    def end(self):
        self.lab.all_there()
        summary = self.lab.stop_traffic()
        report_growth(self.lab, self.sizes)
        self.lab.record.figure(self.lab.name, "summary", **self.lab.labels, **summary)
        gaps = [gap / 1000 for gap in self.gaps]
        print(f"{self.kills} kills ({self.cold} cold), {self.lab.labels['ring']}: gap median "
              f"{statistics.median(gaps):.1f} ms, max {max(gaps):.1f} ms")  # fmt: skip
        assert self.kills < 10 or self.cold > 0, "each process had a standby: no recovery was cold"


def kill_in_turn(victims, kills, chance):
    """As many kills as that at least."""
    while sum(victim.kills for victim in victims) < kills:
        for victim in victims:
            time.sleep(chance.uniform(0, 0.2))
            victim.kill()
    for victim in victims:
        victim.end()


@pytest.mark.seconds(4000)
def test_random_kills(new_lab, full_run):
    chance = random.Random(20261120)
    if not full_run:
        kill_in_turn([Victim(new_lab(devices=2, ring=ring), full_run) for ring in KILLED_RINGS], KILLS, chance)
        return
    for ring in KILLED_RINGS:
        victim = Victim(new_lab(devices=2, ring=ring), full_run)
        kill_in_turn([victim], KILLS // len(KILLED_RINGS), chance)
        assert statistics.median(victim.gaps) <= 20_000
        victim.lab.controller.stop()


def size_of(lab):
    """Memory and descriptors of keeper and active process, the standby being up."""
    lab.group.standby()
    made = {}
    for role, pid in (("keeper", lab.group.keeper()), ("emu", lab.group.active())):
        pss, shared = memory_of(pid)
        made[role] = {"pss_kib": pss, "private_kib": pss - shared, "fds": descriptors_of(pid)}
    return made


def report_growth(lab, sizes):
    lab.record.figure(lab.name, "sizes", **lab.labels, first=sizes[0], last=sizes[-1])
    keeper = [size["keeper"] for size in sizes]
    print(f"keeper: PSS {keeper[-1]['pss_kib']} KiB, {keeper[-1]['fds']} descriptors")
    assert keeper[-1]["pss_kib"] < KEEPER_PSS_KIB
    for role in ("keeper", "emu"):
        first, last = sizes[0][role], sizes[-1][role]
        assert last["fds"] <= first["fds"] + IN_FLIGHT, f"descriptors of the {role} process grow: {sizes}"
        assert last["private_kib"] <= first["private_kib"] + GROWTH_KIB, f"the {role} process grows: {sizes}"


def test_without_standby(new_lab):
    lab = new_lab(options=["--no-standby"])
    lab.start_traffic()
    event = kill_once(lab, signal.SIGKILL, 4000, standby=False)
    told = event["labels"]
    assert told["cold"]
    assert 0 < told["eal_ms"] + told["pools_ms"] <= told["start_ms"]
    assert told["start_ms"] + told["adoption_ms"] <= told["recovery_ms"] + 1
    lab.stop_traffic()


def test_standby_killed(new_lab):
    """Nobody notices, and there is a new one."""
    lab = new_lab()
    lab.start_traffic()
    standby = lab.group.standby()
    lab.strike(standby, signal.SIGKILL, 1000)
    event = lab.settled("standby killed", 1000, bursts=0)
    assert event["devices"][0]["gap_us"] < 500_000
    wait_until(lambda: standby not in lab.group.children(), "the end of the standby")
    assert lab.group.standby() != standby
    lab.stop_traffic()


def test_active_and_standby_killed_at_once(new_lab):
    lab = new_lab()
    lab.start_traffic()
    standby, active = lab.group.standby(), lab.group.active()
    lab.strike(standby, signal.SIGKILL, 5000)
    lab.strike(active, signal.SIGKILL, 5000)
    lab.settled("both killed", 5000)
    lab.all_there()
    lab.stop_traffic()


def test_many_devices_are_taken_over_together(new_lab, full_run):
    lab = new_lab(devices=MANY if full_run else 8, pairs=1)
    lab.start_traffic(options=["--rate", 500 if full_run else 2000])
    kill_once(lab, signal.SIGKILL, 4000, standby=True)
    lab.all_there()
    lab.stop_traffic()


def test_idle_device_without_a_client_survives(new_lab):
    lab = new_lab(devices=2)
    lab.start_traffic(devices=lab.devices[:1])
    kill_once(lab, signal.SIGKILL, 2000, standby=True)
    lab.all_there()
    lab.stop_traffic()
    # Its socket still takes a client.
    lab.start_traffic(devices=lab.devices[1:])
    lab.stop_traffic()


def test_killed_keeper_takes_everything_along(new_lab):
    lab = new_lab()
    generator = lab.start_traffic()
    lab.group.standby()
    assert len(lab.group.all()) == 3

    lab.controller.process.kill()
    lab.controller.process.wait()

    generator.wait_disconnected()
    wait_until(lambda: not lab.group.all(), "the end of all processes", 5)
    wait_until(lambda: not lab.controller.netns.links(), "the representors to go", 5)


@pytest.mark.parametrize("when", ["parked standby", "no standby yet"])
def test_stop_leaves_nothing(new_lab, when):
    lab = new_lab(options=["--no-standby"] if when == "no standby yet" else [])
    generator = lab.start_traffic()
    if when == "parked standby":
        lab.group.standby()
    lab.controller.stop()
    generator.wait_disconnected()
    assert not lab.group.all()


def test_stopped_keeper_process_group_by_a_second_sigterm(new_lab):
    """A stuck emu process does not keep the group from ending."""
    lab = new_lab(options=["--watchdog=0"])
    lab.start_traffic()
    lab.controller.process.send_signal(signal.SIGTERM)
    lab.controller.process.send_signal(signal.SIGTERM)
    lab.controller.process.wait(10)
    wait_until(lambda: not lab.group.all(), "the end of all processes", 5)
