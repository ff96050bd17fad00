# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The measuring instrument itself, on a controller without a keeper."""

import os
import signal
import time

import pytest

from fault_lab import RINGS


@pytest.fixture
def plain(new_lab):
    """One process, two devices, traffic."""
    lab = new_lab(options=["--no-ha"], devices=2)
    lab.start_traffic()
    return lab


@pytest.mark.parametrize("ring", RINGS)
def test_undisturbed_traffic_is_complete(new_lab, ring):
    lab = new_lab(options=["--no-ha"], ring=ring)
    lab.start_traffic()
    time.sleep(1)
    device = lab.stop_traffic()["devices"][0]
    assert device["tx_frames"] > 5000 and device["rx_frames"] > 5000
    assert device["requests"] > 100 and device["controls"] > 10
    for key in ("tx_twice", "tx_lost", "rx_twice", "rx_lost"):
        assert device[key] == [0, 0], key


def test_pause_is_measured_and_costs_no_frame(plain):
    pid = plain.controller.process.pid
    plain.generator.kill(pid, signal.SIGSTOP, 2000)
    time.sleep(0.3)
    os.kill(pid, signal.SIGCONT)
    event = plain.settled("pause", 2000, bursts=0)
    for device in event["devices"]:
        assert 295_000 < min(device["tx_gap_us"], device["rx_gap_us"])
        assert device["gap_us"] < 700_000
    plain.stop_traffic()


def test_stall_that_nobody_has_announced_is_a_violation(plain):
    generator = plain.generator
    pid = plain.controller.process.pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3.5)
    os.kill(pid, signal.SIGCONT)
    time.sleep(0.2)
    with pytest.raises(AssertionError, match="stalls"):
        generator.stop()
    assert {violation["device"] for violation in generator.violations} == {0, 1}


def test_end_of_the_connection_is_seen(plain):
    plain.controller.process.kill()
    plain.controller.process.wait()
    plain.generator.wait_disconnected()
