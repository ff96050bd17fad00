# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The README's first command, as a newcomer types it."""

import subprocess
from pathlib import Path

import pytest

from virtnet_test import USERTOOLS
from virtnet_test.procs import processes

NAME = "virtnet-quickstart"
RUN = Path("/run") / NAME


@pytest.fixture(autouse=True)
def qemu_can_be_had(tools):
    """Skips where the mirror cannot be reached."""
    return tools


def quickstart(*options):
    return subprocess.run(
        [USERTOOLS / "quickstart.sh", *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=240, check=False,
    )  # fmt: skip


def nothing_is_left():
    namespaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    left = [pid for pid, arguments in processes(NAME) if NAME in arguments.split()]
    return NAME not in namespaces and not left and not RUN.exists()


def test_quickstart_shows_a_vm_talking_over_a_hotplugged_device():
    done = quickstart()
    assert done.returncode == 0, done.stdout
    for sight in (
        "Ethernet controller", "Kernel driver in use: virtio-pci", "driver: virtio_net", "0c:c4:7a:ff:22:93",
        " 0% packet loss", '"sf_rep_net_device": "en3f0pf0sf2000"', "It works",
    ):  # fmt: skip
        assert sight in done.stdout, f"{sight}\n{done.stdout}"
    assert done.stdout.count(" 0% packet loss") == 2
    assert nothing_is_left()


def test_quickstart_keeps_everything_running_and_stops_it_later():
    kept = quickstart("--keep")
    try:
        assert kept.returncode == 0, kept.stdout
        vm = [USERTOOLS / "guestvm.py", "--dir", RUN / "vm", "run", "ping -c 1 192.0.2.1"]
        seen = subprocess.run(vm, capture_output=True, text=True, timeout=60, check=False).stdout
        assert " 0% packet loss" in seen
    finally:
        assert quickstart("--stop").returncode == 0
    assert nothing_is_left()
