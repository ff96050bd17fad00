# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Options, help and usage errors of virtnet; none of these needs a controller."""

import pytest

HOTPLUG = ["hotplug", "-i", "mlx5_0", "-m", "0C:C4:7A:FF:22:93", "-t", "1500", "-s", "64"]


@pytest.mark.parametrize("option", ["-v", "--version"])
def test_version_before_the_command_prints_the_version(virtnet_alone, option):
    done = virtnet_alone(option)
    assert (done.returncode, done.stdout) == (0, "v26.11.0\n")


def test_help_shows_the_banner_and_every_command(virtnet_alone):
    done = virtnet_alone("-h")
    assert done.returncode == 0
    assert "virtio-net-controller command line interface v26.11.0" in done.stdout
    assert "{hotplug,unplug,list,query,version,update,restart,log,validate}" in done.stdout
    assert "list all virtnet devices" in done.stdout


@pytest.mark.parametrize("command", ["hotplug", "unplug", "list", "query", "version", "log",
                                     "validate"])
def test_every_command_has_help(virtnet_alone, command):
    done = virtnet_alone(command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: virtnet {command} [-h]")


def test_without_a_command_the_help_goes_to_stderr(virtnet_alone):
    done = virtnet_alone()
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: virtnet" in done.stderr


@pytest.mark.parametrize("words, complaint", [
    (["frobnicate"], "invalid choice: 'frobnicate'"),
    (["unplug"], "one of the arguments -p/--pf -u/--vuid is required"),
    (["unplug", "-p", "0", "-u", "X"], "not allowed with argument"),
    (["unplug", "-p", "zero"], "is not a number"),
    (["unplug", "-p", "-1"], "is not within"),
    (["unplug", "-p", str(2**64)], "is not within"),
    (["unplug", "-u", "a,b=c"], "contains a comma"),
    (["query", "-p", "0", "-a"], "not allowed with argument"),
    (["query", "-u", "X", "-v", "1"], "only together with --pf"),
    (["query"], "is required"),
    (["log"], "the following arguments are required: -l/--level"),
    (["log", "-l", "loud"], "invalid choice: 'loud'"),
    (HOTPLUG, "one of the arguments -n/--max_queues -qp/--max_queue_pairs is required"),
    (HOTPLUG + ["-n", "3", "-qp", "1"], "not allowed with argument"),
    (["hotplug", "-m", "0C:C4"], "a MAC address has 17 characters"),
    (["list", "--timeout", "0"], "is not a number of seconds"),
])
def test_usage_errors_name_the_argument_and_exit_2(virtnet_alone, words, complaint):
    done = virtnet_alone(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


def test_mac_of_the_right_length_is_the_controllers_business(virtnet, controller):
    controller.answers["/virtnet/hotplug"] = {"errno": -1008, "errstr": "Failed - MAC is invalid"}
    words = ["zz:zz:zz:zz:zz:zz" if word.startswith("0C") else word for word in HOTPLUG]
    done = virtnet(*words, "-n", "3")
    assert done.returncode == 1
    assert '"errno": -1008' in done.stdout


def test_schema_that_does_not_exist_is_named(virtnet_alone):
    virtnet_alone.env["VIRTNET_SCHEMA"] = "/nonexistent/schema.json"
    done = virtnet_alone("list")
    assert done.returncode == 1
    assert "/nonexistent/schema.json" in done.stderr
    assert "Traceback" not in done.stderr
