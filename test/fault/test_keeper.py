# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The keeper itself is replaced: a service manager keeps its descriptors, and drivers see a longer pause."""

import pytest

from fault_lab import RINGS, nice, raise_session
from virtnet_test.service_manager import ManagedController
from virtnet_test.wait import wait_until

# Keeper, EAL and the first process start anew.
ALLOW_MS = 10000
# Descriptors of a request that is being handled: virtnet-fault maps memory and sets interrupts all the time.
IN_FLIGHT = 2
# A keeper that crashes in the middle of a message with descriptors costs that client its connection (the guide says
# so): a manager does not keep those of which it has the like.
QUIET = ["--requests", "0"]
LOOPS = 3
LOOPS_FULL = 50


def again(lab, what):
    """The service is restarted, or crashes and is; the event that it was."""
    lab.group.standby()
    lab.generator.mark(ALLOW_MS)
    with nice():
        getattr(lab.controller, what)()
    raise_session(lab.group.keeper())
    # A keeper that crashes takes the process along that it had at work.
    event = lab.settled(f"keeper: {what}", ALLOW_MS, bursts=1 if what == "crash" else 0)
    lab.all_there()
    return event


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("what", ["restart", "crash"])
def test_service_comes_back(new_lab, what, ring):
    lab = new_lab(controller=ManagedController, devices=2, ring=ring)
    lab.start_traffic(options=QUIET if what == "crash" else [])
    again(lab, what)
    lab.stop_traffic()


@pytest.mark.seconds(1500)
def test_store_does_not_grow(new_lab, full_run):
    lab = new_lab(controller=ManagedController)
    lab.start_traffic()
    sizes = []
    for _ in range(LOOPS_FULL if full_run else LOOPS):
        again(lab, "restart")
        lab.group.standby()
        sizes.append(len(lab.controller.manager.names()))
    lab.stop_traffic()
    assert sizes[-1] <= sizes[0] + IN_FLIGHT, sizes


def test_crash_of_a_process_after_a_restart_of_the_keeper(new_lab):
    lab = new_lab(controller=ManagedController, ring="split-event-idx-indirect")
    lab.start_traffic()
    again(lab, "restart")
    lab.group.standby()
    lab.kill_active()
    lab.generator.mark(2000)
    assert lab.controller.cli("restart").status == 0
    lab.settled("restart after a restart of the keeper", 2000, bursts=0)
    lab.all_there()
    lab.stop_traffic()


def test_stop_of_the_service_ends_everything(new_lab):
    lab = new_lab(controller=ManagedController)
    generator = lab.start_traffic()
    lab.controller.stop()
    generator.wait_disconnected()
    wait_until(lambda: not lab.group.all(), "the end of all processes", 5)
