# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""virtnet and a controller that is absent, busy, slow, dying, or changing while it is listed."""

import json
import os
import pty
import signal
import subprocess
import time

import pytest

OK = {"errno": 0, "errstr": "Success"}


def failed(done, *fragments):
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for fragment in fragments:
        assert fragment in done.stderr


def pages(*replies):
    """Answers of one endpoint by the request's cursor, all of one generation."""
    table = {str(cursor): {**OK, "generation": 7, "next": following, **entries}
             for cursor, following, entries in replies}
    return lambda params: table[params.get("at", "0")]


def test_absent_controller_is_said_with_the_socket_and_how_to_start_it(virtnet_alone):
    failed(virtnet_alone("list"), virtnet_alone.env["VIRTNET_SOCKET"], "not running",
           "dpdk-virtnet", "--file-prefix")


def test_stale_socket_reads_like_an_absent_controller(virtnet, controller):
    controller.close()
    failed(virtnet("list"), "not running", controller.path)


def test_socket_option_wins_over_the_environment(virtnet_alone, controller):
    controller.answers["/virtnet/unplug"] = OK
    done = virtnet_alone("unplug", "-p", "0", "--socket", controller.path)
    assert done.returncode == 0


def test_file_prefix_names_the_socket(virtnet_alone):
    failed(virtnet_alone("--file-prefix", "nosuchprefix", "list"),
           "dpdk/nosuchprefix/dpdk_telemetry.v2")


def test_busy_telemetry_is_tried_again(virtnet, controller):
    controller.turned_away = 3
    controller.answers["/virtnet/unplug"] = OK
    assert virtnet("unplug", "-p", "0").returncode == 0
    assert controller.connections == 4


def test_telemetry_that_stays_busy_is_said_so(virtnet, controller):
    controller.turned_away = 1 << 30
    failed(virtnet("list"), "connections (ten) are in use")


def test_no_connection_is_left_open(virtnet, controller):
    controller.answers["/virtnet/unplug"] = OK
    virtnet("unplug", "-p", "0")
    deadline = time.monotonic() + 5
    while controller.open_connections and time.monotonic() < deadline:
        time.sleep(0.01)
    assert controller.open_connections == 0


def test_connection_dropped_before_the_answer(virtnet, controller):
    controller.drop_request = True
    failed(virtnet("list"), "closed the connection before it answered")


def test_time_out_is_said_and_bounded(virtnet, controller):
    controller.delay_s = 30
    start = time.monotonic()
    failed(virtnet("--timeout", "0.3", "list"), "within 0.3 s")
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("answer", [b"no json", b"[]", b'{"/virtnet/other": {}}', b"7",
                                    b'{"/virtnet/list": []}', b'{"/virtnet/list": {"a"',
                                    b"\xff\xfe"])
def test_answer_that_is_not_understood(virtnet, controller, answer):
    controller.raw_answer = answer
    failed(virtnet("list"), "/virtnet/list")


def test_greeting_of_something_else(virtnet, controller):
    controller.greeting = ["hello"]
    failed(virtnet("list"), "is not a DPDK telemetry socket")


def test_command_that_the_controller_lacks(virtnet, controller):
    controller.answers["/virtnet/list"] = None
    failed(virtnet("list"), "does not know /virtnet/list")


def test_request_that_does_not_fit_is_not_sent(virtnet, controller):
    failed(virtnet("unplug", "-u", "X" * 1100), "1023")
    assert not controller.requests


def test_pages_are_joined_and_queues_go_to_the_device_opened_last(virtnet, controller):
    controller.answers["/virtnet/query"] = pages(
        (0, 2, {"device_0": {"pf_id": 0}, "queue_0": {"index": "0"}}),
        (2, 5, {"queue_1": {"index": "1"}, "device_1": {"pf_id": 1}}),
        (5, -1, {"queue_0": {"index": "0"}}))
    assert virtnet.json("query", "-a")["devices"] == [
        {"pf_id": 0, "enabled-queues-info": [{"index": "0"}, {"index": "1"}]},
        {"pf_id": 1, "enabled-queues-info": [{"index": "0"}]}]
    assert [params.get("at") for _, params in controller.requests] == [None, "2", "5"]
    assert controller.connections == 1


def test_listing_starts_again_when_the_devices_changed(virtnet, controller):
    seen = []

    def answer(params):
        seen.append(params.get("at"))
        generation = 1 if len(seen) < 2 else 2
        following = -1 if "at" in params else 1
        return {**OK, "generation": generation, "next": following,
                "device_0": {"pf_id": 10 * generation + (following < 0)}}
    controller.answers["/virtnet/list"] = answer
    assert [d["pf_id"] for d in virtnet.json("list")["devices"]] == [20, 21]
    assert seen == [None, "1", None, "1"]


def test_listing_that_never_settles_is_given_up(virtnet, controller):
    controller.answers["/virtnet/list"] = lambda params: {
        **OK, "generation": len(controller.requests), "next": 1, "device_0": {"pf_id": 0}}
    failed(virtnet("list"), "changed during")
    assert len(controller.requests) == 12


def test_listing_that_does_not_advance_is_given_up(virtnet, controller):
    controller.answers["/virtnet/list"] = {**OK, "generation": 1, "next": 1}
    failed(virtnet("list"), "does not advance")


def test_device_that_disappears_between_pages(virtnet, controller):
    gone = {"errno": -1001, "errstr": "Failed to find device"}
    first = {**OK, "generation": 1, "next": 1, "device_0": {"pf_id": 0}}
    controller.answers["/virtnet/query"] = lambda params: gone if "at" in params else first
    done = virtnet("--json", "query", "-p", "0")
    assert (done.returncode, json.loads(done.stdout)) == (1, {"Error": "Device doesn't exist"})


def long_list(controller):
    controller.answers["/virtnet/list"] = lambda params: {
        **OK, "generation": 1, "next": int(params.get("at", 0)) + 1
        if int(params.get("at", 0)) < 200 else -1,
        **{f"device_{k}": {f"key_{n}": "x" * 50 for n in range(10)} for k in range(15)}}


def test_closed_pipe_is_no_error_message(virtnet, controller):
    long_list(controller)
    with subprocess.Popen(virtnet.command("list"), env=virtnet.env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        stderr = process.stderr.read()
        assert process.wait(30) != 0
    assert stderr == b""


def test_interrupt_is_quiet_and_exits_130(virtnet, controller):
    controller.delay_s = 30
    with subprocess.Popen(virtnet.command("list"), env=virtnet.env, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        while not controller.requests:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr) == (130, b"", b"")


def test_progress_is_shown_on_a_terminal_only(virtnet, controller):
    controller.answers["/virtnet/unplug"] = OK
    controller.delay_s = 1.8
    assert virtnet("unplug", "-p", "0").stderr == ""
    parent, child = pty.openpty()
    done = subprocess.run(virtnet.command("unplug", "-p", "0"), env=virtnet.env, stderr=child,
                          stdout=subprocess.PIPE, check=False, timeout=60)
    os.close(child)
    assert done.returncode == 0
    assert b"virtnet: unplug ... " in os.read(parent, 4096)
    os.close(parent)


@pytest.mark.parametrize("valid", [True, False])
def test_validate_works_without_a_controller(virtnet_alone, tmp_path, valid):
    binary = tmp_path / "dpdk-virtnet"
    binary.write_text("#!/bin/sh\necho \"$2 is " + ("valid\"" if valid else "broken\"; exit 1"))
    binary.chmod(0o755)
    virtnet_alone.env["VIRTNET_CONTROLLER"] = str(binary)
    done = virtnet_alone("validate", "-f", "some.conf", cwd=tmp_path)
    assert done.returncode == (0 if valid else 1)
    assert done.stdout.splitlines()[1] == "some.conf is " + ("valid" if valid else "broken")
