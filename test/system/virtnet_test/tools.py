# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""What a lab is made with: a build of the controller, a QEMU, a system for the guests."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

UNAVAILABLE = 77  # usertools/lib.sh: EX_UNAVAILABLE


@dataclass(frozen=True)
class Tools:
    """Where they are."""

    build: Path
    qemu: str
    guest: str


def tool_output(*command):
    """What one of usertools/*.sh prints; skips the test when what it needs cannot be had."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode == UNAVAILABLE:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
