# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Processes and threads as /proc has them. Any of them may end while one looks."""

import contextlib
import re
import subprocess
from pathlib import Path

PF_EXITING = 0x4  # include/linux/sched.h; the flags in /proc/PID/stat

GONE = FileNotFoundError, ProcessLookupError


def processes(text):
    """(pid, arguments) of the processes whose arguments contain the text, without zombies."""
    listing = subprocess.run(["ps", "-eo", "pid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listing.splitlines()]
    return [(int(row[0]), row[2]) for row in rows if len(row) == 3 and text in row[2] and not row[1].startswith("Z")]


def zombie(pid):
    """Dead, or as good as."""
    try:
        return re.search(r"^State:\s+[ZX]", Path(f"/proc/{pid}/status").read_text(), re.M) is not None
    except GONE:
        return True


def threads(pid, name):
    """{thread: text of that file in its folder} of a process."""
    texts = {}
    with contextlib.suppress(*GONE):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(*GONE):
                texts[int(task.name)] = (task / name).read_text()
    return texts


def halted(pid):
    """No thread of it runs any more: stopped, dead, or on the way out."""
    for stat in threads(pid, "stat").values():
        # The name in front may hold anything, parentheses too.
        fields = stat.rpartition(")")[2].split()
        if fields[0] not in "TtZX" and not int(fields[6]) & PF_EXITING:
            return False
    return True


def cpu_time(pid):
    """ns that the threads of a process, as they are now, have run."""
    return sum(int(text.split()[0]) for text in threads(pid, "schedstat").values())
