# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The controller's processes as an operator sees them: ps, kill, virtnet restart, virtnet update."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from virtnet_test.controller import Controller
from virtnet_test.procs import cpu_time, zombie
from virtnet_test.wait import wait_until

MEMORY = 192  # MiB


@pytest.fixture
def make(build):
    """Makes controllers of one device, without VMs, and stops them."""
    folder = Path(tempfile.mkdtemp(prefix="virtnet-test-", dir="/tmp"))
    made = []

    def start(*options, **more):
        controller = Controller(build, folder, options=options, memory=MEMORY, **more)
        made.append(controller)
        controller.start()
        return controller

    yield start
    try:
        for controller in made:
            controller.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def children(controller):
    """Processes that the main one has started, oldest first."""
    pid = controller.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def name_of(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()


def asleep(pid):
    before = cpu_time(pid)
    time.sleep(0.1)
    return cpu_time(pid) == before


def wait_for_standby(controller):
    """The second process, once it says that it is up."""

    def is_up():
        pids = children(controller)
        return len(pids) == 2 and f"standby process {pids[1]} is up" in controller.log()

    wait_until(is_up, "a standby", seconds=60)
    return children(controller)[1]


def vuids(controller):
    return [device["vuid"] for device in controller.cli.good("list")["devices"]]


def last_update(controller):
    return controller.cli.good("update", "-t")


def wait_for_update(controller):
    wait_until(lambda: last_update(controller)["status"] == "inactive", "the end of the update", seconds=60)
    return last_update(controller)


def test_a_keeper_one_at_work_and_one_that_sleeps(make):
    controller = make()
    standby = wait_for_standby(controller)
    active = children(controller)[0]

    assert name_of(controller.process.pid).endswith("dpdk-virtnet-keeper")
    assert [os.path.basename(name_of(pid)) for pid in (active, standby)] == ["dpdk-virtnet"] * 2
    wait_until(lambda: asleep(standby), "the standby, which has just said that it is up, to sleep")
    before = cpu_time(standby)
    controller.cli.good("list")
    assert cpu_time(standby) == before


def test_no_standby_when_it_is_not_wanted(make):
    controller = make("--no-standby")
    device = controller.hotplug()

    os.kill(children(controller)[0], signal.SIGKILL)

    wait_until(lambda: controller.cli("list").status == 0, "a process that has been started for it", seconds=30)
    assert vuids(controller) == [device.vuid]
    assert len(children(controller)) == 1


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_commands_user_sees_nothing_of_a_crash(make, deadly):
    controller = make()
    device = controller.hotplug()
    wait_for_standby(controller)

    os.kill(children(controller)[0], deadly)

    assert vuids(controller) == [device.vuid]
    assert controller.hotplug(mac="0C:C4:7A:FF:22:94").id == device.id + 1


@pytest.mark.parametrize("harmless", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_only_the_keeper_is_told_to_stop(make, harmless):
    controller = make("--no-standby")
    active = children(controller)[0]

    os.kill(active, harmless)

    controller.hotplug()
    assert children(controller) == [active]


@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_after_a_stop(make, last):
    controller = make()
    controller.hotplug()
    wait_for_standby(controller)
    pids = children(controller)

    controller.process.send_signal(last)

    assert controller.process.wait(30) == 0
    assert all(zombie(pid) for pid in pids)
    assert not list(Path(f"/var/run/dpdk/{controller.prefix}").glob("dpdk_telemetry*"))
    assert not list(controller.folder.glob("*VNET*.sock"))
    assert not controller.netns.links()


def test_a_start_removes_the_sockets_that_a_hard_stop_has_left(make):
    controller = make()
    wait_for_standby(controller)
    for pid in children(controller):
        os.kill(pid, signal.SIGSTOP)
    controller.process.send_signal(signal.SIGTERM)
    controller.process.wait(30)
    runtime = Path(f"/var/run/dpdk/{controller.prefix}")
    others = runtime / "dpdk_telemetry.v2:7"  # of one that was killed long ago
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(str(others))
    os.utime(others, (0, 0))

    controller.start()
    wait_for_standby(controller)

    assert not others.exists()
    assert len(list(runtime.glob("dpdk_telemetry*"))) == 2
    assert vuids(controller) == []


def test_nobody_outlives_the_keeper(make):
    controller = make()
    wait_for_standby(controller)
    pids = children(controller)

    controller.process.kill()
    controller.process.wait(30)

    wait_until(lambda: all(zombie(pid) for pid in pids), "the end of all processes", seconds=10)


def test_restart_replaces_the_process_and_keeps_the_devices(make):
    controller = make()
    device = controller.hotplug()
    wait_for_standby(controller)
    old = children(controller)

    done = subprocess.run([*controller.cli.words, "restart"], env=controller.cli.env, capture_output=True, text=True,
                          timeout=90, check=False)  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, "SUCCESS\n", "")
    wait_until(lambda: not set(old) & set(children(controller)), "the end of the old processes", seconds=10)
    assert vuids(controller) == [device.vuid]
    assert last_update(controller)["last live update status"] == "success"


def test_update_is_started_and_watched(make):
    controller = make()
    device = controller.hotplug()
    assert last_update(controller) == {"status": "inactive", "last live update status": "none", "time_used (s)": 0}

    started = controller.cli.good("update", "-s")

    assert started == "Update started, use 'virtnet update -t' or check logs for status"
    last = wait_for_update(controller)
    assert last["last live update status"] == "success"
    assert 0 < last["time_used (s)"] < 60
    assert vuids(controller) == [device.vuid]


def test_no_listing_lacks_a_device_while_they_change_hands(make):
    controller = make()
    devices = [controller.hotplug(mac=f"0C:C4:7A:FF:22:{n:02X}").vuid for n in range(8)]
    end = threading.Event()
    seen = []

    def watch():
        while not end.is_set():
            seen.append(vuids(controller))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(3):
            controller.cli.good("update", "-s")
            assert wait_for_update(controller)["last live update status"] == "success"
    finally:
        end.set()
        watcher.join()
    assert seen and all(listing == devices for listing in seen)


def successor_of(controller, known):
    """The process that a hand-over has just started."""
    found = []

    def look():
        found[:] = [pid for pid in children(controller) if pid not in known]
        return found

    wait_until(look, "a successor", seconds=10)
    return found[0]


def update_that_waits(controller):
    """(active process, its successor) of an update whose successor is stopped. One that was too quick for us is followed
    by another."""
    for _ in range(10):
        wait_for_standby(controller)
        known = children(controller)
        controller.cli.good("update", "-s")
        successor = successor_of(controller, known)
        os.kill(successor, signal.SIGSTOP)
        if last_update(controller)["status"] != "inactive":
            return known[0], successor
        os.kill(successor, signal.SIGCONT)
    raise AssertionError("ten updates were too quick to be stopped")


def test_a_successor_that_dies_costs_nothing(make):
    controller = make()
    device = controller.hotplug()
    active, successor = update_that_waits(controller)

    os.kill(successor, signal.SIGKILL)

    last = wait_for_update(controller)
    assert last["last live update status"].startswith("failed")
    assert children(controller)[0] == active
    assert vuids(controller) == [device.vuid]
    assert controller.cli("restart").status == 0


def test_devices_do_not_come_or_go_during_a_hand_over(make):
    controller = make()
    device = controller.hotplug()
    update_that_waits(controller)

    refused = [
        controller.cli("hotplug", "-i", "mlx5_0", "-m", "0C:C4:7A:FF:22:95", "-t", 1500, "-n", 3, "-s", 64),
        controller.cli("unplug", "-p", device.id),
        controller.cli("update", "-s"),
    ]
    for answer in refused:
        assert answer.status == 1 and answer.reply["errno"] == -16, answer
        assert "under way" in answer.reply["errstr"]
    assert vuids(controller) == [device.vuid]


def test_alone_there_is_one_process_and_no_update(make):
    controller = make("--no-ha")
    controller.hotplug()

    answers = [controller.cli("update", "-s"), controller.cli("restart")]

    assert children(controller) == []
    for answer in answers:
        assert answer.status == 1 and answer.reply["errno"] == -95
        assert "update not supported" in answer.reply["errstr"] and "--no-ha" in answer.reply["errstr"]


def start_that_fails(build, folder, *options, program=None, **environment):
    done = subprocess.run(
        [program or build / "app" / "dpdk-virtnet", "--lcores", "0@0,1@0", "--no-huge", "-m", "64", "--no-pci",
         "--iova-mode=va", "--file-prefix", f"virtnet-test-fails-{os.getpid()}", "--", *map(str, options)],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    return done.stderr + done.stdout


def test_a_bad_configuration_ends_the_start(build, tmp_path):
    bad = tmp_path / "virtnet.conf"
    bad.write_text(json.dumps({"platform": {"idle_us": "soon"}}))

    text = start_that_fails(build, tmp_path, "--config", bad)

    assert text.count("idle_us") == 1
    assert "Traceback" not in text


def test_a_missing_keeper_is_named_with_the_way_around(build, tmp_path):
    program = shutil.copy(build / "app" / "dpdk-virtnet", tmp_path)

    text = start_that_fails(build, tmp_path, program=program, PATH="/nonexistent")

    assert "dpdk-virtnet-keeper" in text and "--no-ha" in text


@pytest.mark.parametrize("option", ["--watchdog=soon", "--watchdog=-1", "--keeper-socket=x"])
def test_a_bad_option_is_named_before_anything_starts(build, tmp_path, option):
    assert option.partition("=")[0] in start_that_fails(build, tmp_path, option)
