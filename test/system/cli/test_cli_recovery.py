# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""virtnet while the controller recovers, is replaced, or gives its devices away; restart, update."""

import json
import os
import threading
import time

import pytest

from fake_controller import FakeController

OK = {"errno": 0, "errstr": "Success"}
LISTING = {**OK, "generation": 1, "next": -1, "device_0": {"pf_id": 0}}
STANDBY = {"errno": -11, "errstr": "Resource temporarily unavailable: standby"}
MIGRATING = {"errno": -1041, "errstr": "Failed - Device is migrating"}
ONGOING = {**OK, "status": "ongoing", "last_live_update_status": "none", "time_used_us": 0}
SUCCESS = {**OK, "status": "inactive", "last_live_update_status": "success",
           "time_used_us": 604150}
FAILURE = {**OK, "status": "inactive", "last_live_update_status": "failed: it did not start",
           "time_used_us": 1655439}


def in_turn(*answers):
    """Each request gets the next answer, the last one ever after."""
    rest = list(answers)
    return lambda _params: rest.pop(0) if len(rest) > 1 else rest[0]


def replace(controller, answers):
    """Another process with the socket's name, as after a crash or a hand-over."""
    os.unlink(controller.path)
    successor = FakeController(os.path.dirname(controller.path))
    successor.answers = answers
    return successor


@pytest.fixture(name="later")
def fixture_later():
    """Run a function some time after the test has gone on; what it returns is closed at the end."""
    done = []
    timers = []

    def later(seconds, function):
        timer = threading.Timer(seconds, lambda: done.append(function()))
        timer.start()
        timers.append(timer)
    yield later
    for timer in timers:
        timer.join()
    for controller in done:
        controller.close()


def test_controller_that_recovers_is_waited_for(virtnet, controller, later):
    controller.close()
    later(0.5, lambda: replace(controller, {"/virtnet/list": LISTING}))
    assert virtnet.json("list")["devices"] == [{"pf_id": 0}]


def test_socket_that_vanishes_for_a_moment_is_waited_for(virtnet, controller, later):
    controller.close()
    folder = os.path.dirname(controller.path)
    os.rename(controller.path, controller.path + ".gone")
    successor = {"/virtnet/list": LISTING}

    def appear():
        os.rename(controller.path + ".gone", os.path.join(folder, "dpdk_telemetry.v2"))
        return replace(controller, successor)
    later(0.5, appear)
    assert virtnet.json("list")["devices"] == [{"pf_id": 0}]


def test_controller_that_stays_away_is_given_up_after_two_seconds(virtnet, controller):
    controller.close()
    start = time.monotonic()
    done = virtnet("list")
    assert done.returncode == 1 and "not running" in done.stderr
    assert 2 <= time.monotonic() - start < 8


def test_nothing_is_waited_for_where_no_controller_has_ever_been(virtnet):
    start = time.monotonic()
    done = virtnet("--socket", "/nonexistent/folder/socket", "list")
    assert done.returncode == 1 and "not running" in done.stderr
    assert time.monotonic() - start < 2


def test_question_that_was_lost_with_the_process_is_asked_again(virtnet, controller):
    def die_once(_params):
        controller.drop_request = False
        return LISTING
    controller.drop_request = True
    controller.answers["/virtnet/list"] = die_once
    threading.Timer(0.3, lambda: setattr(controller, "drop_request", False)).start()
    assert virtnet.json("list")["devices"] == [{"pf_id": 0}]
    assert len(controller.requests) > 1


@pytest.mark.parametrize("words", [("unplug", "-p", "0"), ("update", "-s"), ("restart",)])
def test_act_that_was_lost_with_the_process_is_not_repeated(virtnet, controller, words):
    controller.drop_request = True
    done = virtnet(*words)
    assert done.returncode == 1
    assert "closed the connection before it answered" in done.stderr
    assert len(controller.requests) == 1


def test_standby_is_asked_until_it_is_the_controller(virtnet, controller):
    controller.answers["/virtnet/unplug"] = in_turn(STANDBY, STANDBY, OK)
    assert virtnet("unplug", "-p", "0").returncode == 0
    assert len(controller.requests) == 3


def test_standby_that_stays_one_is_said_so(virtnet, controller):
    controller.answers["/virtnet/unplug"] = STANDBY
    done = virtnet("unplug", "-p", "0")
    assert done.returncode == 1 and "only a standby answers" in done.stderr


@pytest.mark.parametrize("words", [("list",), ("query", "-a")])
def test_listing_of_all_waits_for_devices_that_are_on_their_way(virtnet, controller, words):
    controller.answers[f"/virtnet/{words[0]}"] = in_turn(MIGRATING, MIGRATING, LISTING)
    assert [d["pf_id"] for d in virtnet.json(*words)["devices"]] == [0]


def test_question_about_a_migrating_device_is_answered_so_at_once(virtnet, controller):
    controller.answers["/virtnet/query"] = MIGRATING
    done = virtnet("--json", "query", "-p", "0")
    assert (done.returncode, json.loads(done.stdout)) == (1, MIGRATING)
    assert len(controller.requests) == 1


def test_update_start_prints_the_contracts_sentence(virtnet, controller):
    text = "Update started, use 'virtnet update -t' or check logs for status"
    controller.answers["/virtnet/update"] = {**OK, "text": text}
    done = virtnet("update", "-s")
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["{'start': '0x1'}", f'"{text}"']


def test_update_status_has_three_keys_and_six_digits(virtnet, controller):
    controller.answers["/virtnet/update"] = SUCCESS
    done = virtnet("update", "-t")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "{'status': '0x1'}",
        "{",
        '  "status": "inactive",',
        '  "last live update status": "success",',
        '  "time_used (s)": 0.604150',
        "}",
    ]


def test_update_needs_one_of_start_and_status(virtnet, controller):
    assert virtnet("update").returncode == 2
    assert virtnet("update", "-s", "-t").returncode == 2
    assert not controller.requests


def test_refusal_of_an_update_is_printed_with_its_number(virtnet, controller):
    refusal = {"errno": -95, "errstr": "Operation not supported: update not supported: ..."}
    controller.answers["/virtnet/update"] = refusal
    done = virtnet("--json", "update", "-s")
    assert (done.returncode, json.loads(done.stdout)) == (1, refusal)


def test_restart_returns_when_it_is_done(virtnet, controller):
    controller.answers["/virtnet/restart"] = {**OK, "text": "SUCCESS"}
    controller.answers["/virtnet/update"] = in_turn(ONGOING, ONGOING, SUCCESS)
    done = virtnet("restart")
    assert (done.returncode, done.stdout, done.stderr) == (0, "SUCCESS\n", "")
    assert controller.requests[-1] == ("/virtnet/update", {"status": "0x1"})
    assert len(controller.requests) == 4


def test_restart_survives_the_sockets_change_of_hands(virtnet, controller, later):
    controller.answers["/virtnet/restart"] = {**OK, "text": "SUCCESS"}
    controller.answers["/virtnet/update"] = ONGOING

    def change_hands():
        controller.close()
        return replace(controller, {"/virtnet/update": in_turn(STANDBY, ONGOING, SUCCESS)})
    later(0.5, change_hands)
    done = virtnet("restart")
    assert (done.returncode, done.stdout) == (0, "SUCCESS\n")


def test_restart_that_failed_says_why(virtnet, controller):
    controller.answers["/virtnet/restart"] = {**OK, "text": "SUCCESS"}
    controller.answers["/virtnet/update"] = in_turn(ONGOING, FAILURE)
    done = virtnet("restart")
    assert (done.returncode, done.stdout) == (1, "FAILED\n")
    assert "it did not start" in done.stderr
