# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Options and fixtures of the fault tests; those of the system tests hold as well.

    VIRTNET_FAULT_KILLS    random kills in the loop (40, and ten elsewhere); 1000 for the full run, which also holds the
                           figures to account
    VIRTNET_FAULT_BUILD    a build with -Dfault_injection=true, for the deterministic points (else they are skipped)
    VIRTNET_FAULT_JSON     file for the figures (BUILD/fault.json)
"""

import contextlib
import os
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))
pytest_plugins = ("conftest_system",)

from fault_lab import FaultLab  # noqa: E402  (the path comes first)
from record import Record  # noqa: E402

KILLS = int(os.environ.get("VIRTNET_FAULT_KILLS", "40"))


@pytest.fixture(scope="session")
def kills():
    return KILLS


@pytest.fixture(scope="session")
def full_run():
    """More than CI's: figures are not only printed."""
    return KILLS >= 1000


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


class SharedLabs:
    """A lab that tests share for as long as it is well, and until one asks for another ring or transport."""

    def __init__(self, make, logs):
        self.make = make
        self.logs = logs
        self.labs = {}

    @contextlib.contextmanager
    def use(self, name, **options):
        key = tuple(sorted(options.items()))
        if key not in self.labs:
            self.close()
            self.labs[key] = self.make(name, **options)
        lab = self.labs[key]
        lab.name = name
        try:
            if not lab.generator:
                lab.start_traffic()
            yield lab
        except BaseException:
            self.labs.pop(key).close(folder_of(self.logs, name))
            raise

    def close(self):
        """The traffic's own verdict, then the end."""
        try:
            for lab in self.labs.values():
                if lab.generator:
                    lab.stop_traffic()
        finally:
            while self.labs:
                lab = self.labs.popitem()[1]
                lab.close(folder_of(self.logs, lab.name))


@pytest.fixture(scope="module")
def shared_labs(request, keeper_build, record):
    def make(name, **options):
        return FaultLab(keeper_build, keeper_build / "test" / "fault" / "virtnet-fault", record, name=name, **options)

    labs = SharedLabs(make, request.config.getoption("--virtnet-logs"))
    yield labs
    labs.close()


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
