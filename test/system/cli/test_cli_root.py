# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The scripts that need root, for somebody who is not: by sudo, with what was asked for, or with a clear word."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

USERTOOLS = Path(__file__).resolve().parents[3] / "usertools"


@pytest.fixture(name="folder")
def fixture_folder():
    """Where anybody can run a script that reads lib.sh and needs root at once."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    folder = Path(tempfile.mkdtemp(prefix="virtnet-root-", dir="/tmp"))
    folder.chmod(0o755)
    shutil.copy(USERTOOLS / "lib.sh", folder)
    script = folder / "script.sh"
    script.write_text('#!/bin/bash\nset -euo pipefail\n. "$(dirname "$0")/lib.sh"\nshift 1\nneed_root\necho as "$(id -u)"\n')
    script.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def run(folder, user, path):
    return subprocess.run(
        [folder / "script.sh", "--keep", "two words"], user=user, env={"PATH": path, "HOME": "/tmp"}, cwd="/",
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_root_goes_on(folder):
    assert run(folder, "root", "/usr/bin:/bin").stdout == "as 0\n"


def test_sudo_is_asked_with_all_that_was_given(folder):
    sudo = folder / "sudo"
    sudo.write_text('#!/bin/bash\nprintf "<%s>" "$@"\n')
    sudo.chmod(0o755)
    done = run(folder, "nobody", f"{folder}:/usr/bin:/bin")
    assert done.stdout == f"<-E><--><{folder}/script.sh><--keep><two words>", done.stderr


def test_who_has_no_sudo_is_told(folder):
    (folder / "bin").mkdir()
    for tool in ("bash", "dirname", "id"):
        (folder / "bin" / tool).symlink_to(shutil.which(tool))
    done = run(folder, "nobody", str(folder / "bin"))
    assert done.returncode != 0
    assert "must run as root, and there is no sudo" in done.stderr
