# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Folders that are read-only or full when a process dies or is replaced."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from fault_lab import CRASH_SECONDS
from virtnet_test.wait import wait_until

SIZE = "256k"


def run(*words):
    subprocess.run(words, check=True)


@contextlib.contextmanager
def own_file_system(path):
    """A small tmpfs at a folder of a lab, removed in any case."""
    path.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", f"size={SIZE},nr_inodes=64", "virtnet-fault", path)
    try:
        yield
    finally:
        run("umount", "-l", path)


def read_only(path):
    run("mount", "-o", "remount,ro", path)
    return lambda: run("mount", "-o", "remount,rw", path)


def full(path):
    """No byte and no inode is left."""
    made = []
    with contextlib.suppress(OSError):
        while True:
            made.append(path / f"fill{len(made)}")
            with open(made[-1], "wb", buffering=0) as file:
                with contextlib.suppress(OSError):
                    while file.write(bytes(65536)):
                        pass
    return lambda: [file.unlink(missing_ok=True) for file in made]


HOW = {"read-only": read_only, "full": full}


@pytest.mark.parametrize("how", HOW)
def test_socket_folder(new_lab, how):
    """Devices live on in a folder in which nothing can be made."""
    # Short, because a unix socket's path may have 107 characters at most.
    path = Path(f"/tmp/virtnet-fault-{os.getpid()}-sockets")
    with contextlib.ExitStack() as last:
        last.callback(path.rmdir)
        last.enter_context(own_file_system(path))
        lab = new_lab(config={"socket_dir": str(path)}, sockets=path)
        lab.start_traffic()
        lab.group.standby()
        undo = HOW[how](path)
        lab.kill_active(signal.SIGKILL)
        lab.generator.mark(2000)
        assert lab.controller.cli("restart").status == 0
        lab.settled("restart, socket folder " + how, 2000, bursts=0)
        lab.all_there()
        lab.stop_traffic()
        undo()
        lab.controller.stop()


@pytest.mark.parametrize("how", HOW)
def test_runtime_folder(new_lab, how):
    """EAL needs its folder to start; who has started before takes over all the same."""
    with contextlib.ExitStack() as last:
        def prepare(controller):
            last.enter_context(own_file_system(Path(f"/var/run/dpdk/{controller.prefix}")))

        lab = new_lab(prepare=prepare)
        lab.start_traffic()
        standby = lab.group.standby()
        undo = HOW[how](Path(f"/var/run/dpdk/{lab.controller.prefix}"))
        lab.pause_for_crash()
        lab.strike(lab.group.active(), signal.SIGKILL, 3000)
        lab.settled("kill, runtime folder " + how, 3000)
        undo()
        # Whoever comes next takes commands again.
        wait_until(lambda: len(lab.group.children()) == 2, "a new standby", 30)
        time.sleep(CRASH_SECONDS)
        lab.strike(standby, signal.SIGKILL, 5000)
        lab.settled("kill, runtime folder fine again", 5000)
        lab.all_there()
        lab.stop_traffic()
        lab.controller.stop()
