# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Shell completion of virtnet, asked as the shells ask it, and the manual page."""

import pathlib
import subprocess
import sys

import pytest

USERTOOLS = pathlib.Path(__file__).resolve().parents[3] / "usertools"
OK = {"errno": 0, "errstr": "Success"}
DEVICES = {**OK, "generation": 1, "next": -1, "controller": {},
           "device_0": {"pf_id": 0, "vuid": "MT1VNETS1D0F0"},
           "device_1": {"pf_id": 12, "vuid": "MT1VNETS2D0F0"}}


def offered(virtnet, *words):
    done = virtnet("--complete", *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize("words, expected", [
    (["un"], ["unplug"]),
    (["ver"], ["version"]),
    (["--ver"], ["--version"]),
    (["unplug", "--vu"], ["--vuid"]),
    (["hotplug", "--max_queue"], ["--max_queues", "--max_queue_pairs", "--max_queue_size"]),
    (["log", "-l", ""], ["info", "err", "debug"]),
    (["log", "-l", "d"], ["debug"]),
    (["validate", "-f", ""], [":file"]),
    (["--socket", "x"], [":file"]),
    (["hotplug", "-t", ""], []),
    (["frobnicate", "x"], []),
    (["unplug", "-p", ""], ["0", "12"]),
    (["unplug", "-p", "1"], ["12"]),
    (["query", "--vuid", "MT1VNETS2"], ["MT1VNETS2D0F0"]),
])
def test_completion_offers_what_may_follow(virtnet, controller, words, expected):
    controller.answers["/virtnet/list"] = DEVICES
    assert offered(virtnet, *words) == expected


def test_option_that_was_given_is_not_offered_again(virtnet):
    assert "-b" not in offered(virtnet, "query", "-b", "-")


@pytest.mark.parametrize("breakage", ["absent", "slow", "garbage", "no schema"])
def test_completion_is_silent_when_it_cannot_know(virtnet, controller, breakage):
    if breakage == "absent":
        controller.close()
    elif breakage == "slow":
        controller.delay_s = 20
    elif breakage == "garbage":
        controller.raw_answer = b"{"
    else:
        virtnet.env["VIRTNET_SCHEMA"] = "/nonexistent"
    assert offered(virtnet, "unplug", "-p", "") == []


def test_bash_completes_a_command_line(virtnet, controller, tmp_path):
    controller.answers["/virtnet/list"] = DEVICES
    program = tmp_path / "virtnet"
    program.symlink_to(USERTOOLS / "virtnet.py")
    script = (f"source {USERTOOLS}/completion/virtnet.bash; COMP_WORDS=({program} unplug -u MT); "
              "COMP_CWORD=3; _virtnet; echo \"${COMPREPLY[@]}\"")
    done = subprocess.run(["bash", "-c", script], env=virtnet.env, capture_output=True, text=True,
                          check=True)
    assert (done.stdout, done.stderr) == ("MT1VNETS1D0F0 MT1VNETS2D0F0\n", "")


def test_manual_page_describes_every_command_and_option(schema_path):
    page = subprocess.run([sys.executable, USERTOOLS / "gen-man.py", schema_path],
                          capture_output=True, text=True, check=True).stdout
    for text in (".SS hotplug", ".SS validate", "\\-qp, \\-\\-max_queue_pairs MAX_QUEUE_PAIRS",
                 "\\-l, \\-\\-level {info,err,debug}", ".SH EXAMPLES", ".SH EXIT STATUS"):
        assert text in page
