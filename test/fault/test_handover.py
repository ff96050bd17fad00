# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Fast restart and live update under traffic: nothing is lost, nothing comes twice."""

import statistics
import time

import pytest

from fault_lab import MANY, RINGS
from virtnet_test.wait import wait_until

ALLOW_MS = 2000
UPDATES = 6
UPDATES_FULL = 100


def restart(lab, kind="restart"):
    """virtnet restart; the event that it was."""
    lab.generator.mark(ALLOW_MS)
    answer = lab.controller.cli("restart")
    assert answer.status == 0 and answer.stdout.strip().endswith("SUCCESS"), answer
    return lab.settled(kind, ALLOW_MS, bursts=0)


def wait_over(lab):
    """What the last hand-over was, once it is over."""

    def over():
        try:
            with lab.group.telemetry() as telemetry:
                status = telemetry.ask("/virtnet/update", status="0x1")
        except OSError:
            return None
        return status if status.get("status") == "inactive" else None

    return wait_until(over, "the end of the hand-over", 30, pause=0.02)


def update(lab, kind="update"):
    """A live update; the event and the seconds that it took."""
    before = lab.group.active()
    lab.generator.mark(ALLOW_MS)
    with lab.group.telemetry() as telemetry:
        telemetry.good("/virtnet/update", start="0x1")
    status = wait_over(lab)
    event = lab.settled(kind, ALLOW_MS, bursts=0)
    assert status["last_live_update_status"] == "success", status
    assert lab.group.active() != before
    return event, status["time_used_us"] / 1e6


@pytest.mark.parametrize("ring", RINGS)
def test_restart(new_lab, ring):
    lab = new_lab(ring=ring)
    lab.start_traffic()
    before = lab.group.active()
    restart(lab)
    assert lab.group.active() != before
    lab.all_there()
    lab.stop_traffic()


@pytest.mark.seconds(1500)
def test_updates_in_a_loop(new_lab, full_run):
    lab = new_lab(devices=2, ring="split-event-idx-indirect")
    lab.start_traffic()
    gaps, used = [], []
    for _ in range(UPDATES_FULL if full_run else UPDATES):
        event, seconds = update(lab)
        gaps += [device["gap_us"] for device in event["devices"]]
        used.append(seconds)
    lab.all_there()
    lab.stop_traffic()
    lab.record.figure(lab.name, "time_used", median_s=statistics.median(used), max_s=max(used))
    print(f"{len(used)} updates: gap median {statistics.median(gaps) / 1000:.1f} ms, max {max(gaps) / 1000:.1f} ms")
    if full_run:
        assert statistics.median(gaps) <= 10_000


def test_update_of_many_devices(new_lab, full_run):
    lab = new_lab(devices=MANY if full_run else 8, pairs=1)
    lab.start_traffic(options=["--rate", 500 if full_run else 2000])
    event, seconds = update(lab)
    gaps = [device["gap_us"] for device in event["devices"]]
    print(f"update of {len(gaps)} devices: {seconds:.3f} s, longest gap {max(gaps) / 1000:.1f} ms")
    if full_run:
        assert seconds < 1 and max(gaps) <= 25_000
    lab.stop_traffic()


def test_client_killed_in_the_middle(new_lab):
    """Devices are free again, for another client, whoever has them by then."""
    lab = new_lab(devices=4, pairs=1)
    for number in range(3):
        generator = lab.start_traffic()
        generator.mark(ALLOW_MS)
        with lab.group.telemetry() as telemetry:
            telemetry.good("/virtnet/update", start="0x1")
        time.sleep(0.15 * number)
        generator.kill_itself()
        generator.close()
        lab.generator = None
        wait_over(lab)
    lab.all_there()
    lab.start_traffic()
    lab.stop_traffic()


def test_client_killed_with_the_active_process(new_lab):
    lab = new_lab(pairs=1)
    for _ in range(2):
        generator = lab.start_traffic()
        lab.group.standby()
        lab.pause_for_crash()
        generator.kill(lab.group.active(), 9, 1000)
        generator.kill_itself()
        generator.close()
        lab.generator = None
        lab.group.active()
    lab.start_traffic()
    lab.stop_traffic()
