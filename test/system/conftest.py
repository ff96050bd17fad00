# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Options and fixtures of the system tests.

    sudo pytest test/system                        on the build in build/
    sudo pytest test/system --virtnet-suite=forky  guests with a newer kernel
"""

import os
import re
import signal
from pathlib import Path

import pytest

from virtnet_test import TOP, USERTOOLS
from virtnet_test.lab import Lab
from virtnet_test.netns import remove_stale
from virtnet_test.report import LineReport
from virtnet_test.tools import Tools, tool_output
from virtnet_test.wait import time_limit

TEST_SECONDS = 300


def pytest_addoption(parser):
    group = parser.getgroup("virtnet")
    group.addoption("--virtnet-build", default=str(TOP / "build"), help="build folder of the controller")
    group.addoption("--virtnet-suite", default="bookworm", help="Debian release of the guests' kernel")
    group.addoption("--virtnet-logs", help="folder for the logs of controllers and guests")
    group.addoption("--virtnet-results", help="print one line per test, and add it to this file")
    group.addoption("--virtnet-label", default="system", help="first word of those lines")


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    config.addinivalue_line("markers", "seconds(n): the test may take longer than the others")
    results = config.getoption("--virtnet-results")
    if results:
        config.pluginmanager.unregister(name="terminalreporter")
        logs = config.getoption("--virtnet-logs") or Path(results).parent
        config.pluginmanager.register(LineReport(results, config.getoption("--virtnet-label"), logs))


def pytest_sessionstart():
    """What a killed run left is removed; one that is told to end stops its VMs and controllers first."""

    def end(_signal, _frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    if os.geteuid() == 0:
        remove_stale()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    own = item.get_closest_marker("seconds")
    with time_limit(own.args[0] if own else TEST_SECONDS, item.name):
        yield


@pytest.fixture(scope="session")
def build(request):
    path = Path(request.config.getoption("--virtnet-build")).resolve()
    assert (path / "app" / "dpdk-virtnet").exists(), f"build it first: ninja -C {path}"
    return path


@pytest.fixture(scope="session")
def tools(request, build):
    suite = request.config.getoption("--virtnet-suite")
    return Tools(
        build=build,
        qemu=tool_output(USERTOOLS / "fetch-qemu.sh"),
        guest=tool_output(USERTOOLS / "build-guest.sh", "--suite", suite),
    )


@pytest.fixture(scope="session")
def make_lab(request, tools):
    """Makes labs; the fixture that asks for one closes it."""
    logs = request.config.getoption("--virtnet-logs")

    def make(name, **options):
        lab = Lab(tools, **options)
        where = Path(logs) / re.sub(r"[^A-Za-z0-9_.-]+", "-", name) if logs else None
        return lab, lambda: lab.close(where)

    return make


@pytest.fixture(scope="module")
def lab(request, make_lab):
    """A lab that the tests of one file share; its controller knows the VM vm1."""
    made, close = make_lab(Path(request.node.name).stem)
    yield made
    close()


@pytest.fixture
def own_lab(request, make_lab):
    """A lab for one test that does not leave much of it."""
    made, close = make_lab(request.node.nodeid, vms=("vm1", "vm2"))
    yield made
    close()


@pytest.fixture(scope="module")
def guest(lab):
    """The running VM vm1, without a network device."""
    return lab.boot("vm1")


@pytest.fixture(scope="module")
def supported(lab):
    """Feature bits that the lab's controller supports."""
    return int(lab.cli.good("list")["controller"]["supported_features"]["value"], 16)
