# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Options and fixtures of the fault tests; those of the system tests hold as well.

    VIRTNET_FAULT_KILLS    random kills in the loop (50); 1000 for the full run, which has every signal on every ring,
                           more updates and devices, and holds the figures to account
    VIRTNET_FAULT_BUILD    a build with -Dfault_injection=true, for the deterministic points (else they are skipped)
    VIRTNET_FAULT_JSON     file for the figures (BUILD/fault.json)
"""

import os
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))
pytest_plugins = ("conftest_system",)

from fault_lab import FULL_RUN, FaultLab  # noqa: E402  (the path comes first)
from record import Record  # noqa: E402


@pytest.fixture(scope="session")
def full_run():
    """More than CI's: figures are not only printed."""
    return FULL_RUN


@pytest.fixture(scope="session")
def record(build):
    made = Record(os.environ.get("VIRTNET_FAULT_JSON") or build / "fault.json", build)
    yield made
    made.close()


@pytest.fixture(scope="session")
def keeper_build(build):
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and TAP devices")
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("needs /dev/net/tun")
    assert (build / "app" / "dpdk-virtnet-keeper").exists(), f"build it first: ninja -C {build}"
    return build


@pytest.fixture(scope="session")
def fault_build(keeper_build):
    """A build in which processes can be made to die at named places."""
    path = os.environ.get("VIRTNET_FAULT_BUILD")
    if not path:
        pytest.skip("VIRTNET_FAULT_BUILD names no build with -Dfault_injection=true")
    return Path(path).resolve()


def folder_of(logs, name):
    """Where a test's logs go; None: nowhere."""
    return Path(logs) / re.sub(r"[^A-Za-z0-9_.-]+", "-", name) if logs else None


@pytest.fixture
def new_lab(request, keeper_build, record):
    """Makes labs with this build or another; all end with the test."""
    logs = request.config.getoption("--virtnet-logs")
    made = []

    def make(build=None, **options):
        program = keeper_build / "test" / "fault" / "virtnet-fault"
        lab = FaultLab(build or keeper_build, program, record, name=request.node.name, **options)
        made.append(lab)
        return lab

    yield make
    for lab in reversed(made):
        lab.close(folder_of(logs, request.node.name))
