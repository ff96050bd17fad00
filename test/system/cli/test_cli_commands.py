# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""What virtnet prints for each command: request line, key order, JSON types, exit status."""

import json

import pytest

OK = {"errno": 0, "errstr": "Success"}
HOTPLUG = ("hotplug", "-i", "mlx5_0", "-m", "0C:C4:7A:FF:22:93", "-t", "1500", "-n", "3",
           "-s", "1024")


def lines(done):
    assert done.stderr == ""
    return done.stdout.splitlines()


def body(done, echo_lines=1):
    """The JSON part of what a command printed."""
    return json.loads("\n".join(done.stdout.splitlines()[echo_lines:]))


def test_hotplug_prints_the_request_and_the_reply_with_errno_last(virtnet, controller):
    controller.answers["/virtnet/hotplug"] = {
        **OK, "bdf": "15:00.0", "vuid": "MT2151X03152VNETS1D0F0", "id": 0, "transitional": 0,
        "sf_rep_net_device": "en3f0pf0sf2000", "mac": "0C:C4:7A:FF:22:93"}
    done = virtnet(*HOTPLUG)
    assert done.returncode == 0
    assert lines(done) == [
        "{'ib_device': 'mlx5_0', 'mac': '0C:C4:7A:FF:22:93', 'mtu': '0x5dc', "
        "'max_queues': '0x3', 'max_queue_size': '0x400'}",
        "{",
        '  "bdf": "15:00.0",',
        '  "vuid": "MT2151X03152VNETS1D0F0",',
        '  "id": 0,',
        '  "transitional": 0,',
        '  "sf_rep_net_device": "en3f0pf0sf2000",',
        '  "mac": "0C:C4:7A:FF:22:93",',
        '  "errno": 0,',
        '  "errstr": "Success"',
        "}",
    ]


def test_request_carries_what_the_echo_shows(virtnet, controller):
    controller.answers["/virtnet/hotplug"] = OK
    virtnet(*HOTPLUG, "--host", "vm1", "--intx")
    assert controller.requests == [("/virtnet/hotplug", {
        "ib_device": "mlx5_0", "mac": "0C:C4:7A:FF:22:93", "mtu": "0x5dc", "max_queues": "0x3",
        "max_queue_size": "0x400", "host": "vm1", "intx": "0x1"})]


@pytest.mark.parametrize("written, sent", [
    ("4", "0x4"), ("0x4", "0x4"), ("0X10", "0x10"), ("010", "0xa"),
    (str(2**64 - 1), "0xffffffffffffffff")])
def test_numbers_are_read_as_decimal_or_hex_and_sent_as_hex(virtnet, controller, written, sent):
    controller.answers["/virtnet/unplug"] = OK
    done = virtnet("unplug", "-p", written)
    assert lines(done)[0] == f"{{'id': '{sent}'}}"
    assert controller.requests == [("/virtnet/unplug", {"id": sent})]


@pytest.mark.parametrize("words", [
    ("-qp", "4"), ("-qp=4",), ("--max_queue_pairs", "4"), ("--max_queue_pairs=4",)])
def test_multi_letter_single_dash_option_is_one_option(virtnet, controller, words):
    controller.answers["/virtnet/hotplug"] = OK
    done = virtnet("hotplug", "-i", "mlx5_0", "-m", "0C:C4:7A:FF:22:93", "-t", "1500", *words,
                   "-s", "64")
    assert "'max_queue_pairs': '0x4'" in lines(done)[0]


@pytest.mark.parametrize("words, echo", [
    (("-p", "0", "-b"), "{'all': '0x0', 'pf': '0x0', 'dbg_stats': '0x0', 'brief': '0x1', "
     "'latency_stats': '0x0', 'stats_clear': '0x0'}"),
    (("-p", "0", "-v", "0", "-b"), "{'all': '0x0', 'vf': '0x0', 'pf': '0x0', 'dbg_stats': '0x0', "
     "'brief': '0x1', 'latency_stats': '0x0', 'stats_clear': '0x0'}"),
    (("-a",), "{'all': '0x1', 'dbg_stats': '0x0', 'brief': '0x0', 'latency_stats': '0x0', "
     "'stats_clear': '0x0'}"),
    (("-u", "MT1VNETS1D0F0", "-q", "2"), "{'all': '0x0', 'vuid': 'MT1VNETS1D0F0', "
     "'queue_id': '0x2', 'dbg_stats': '0x0', 'brief': '0x0', 'latency_stats': '0x0', "
     "'stats_clear': '0x0'}"),
])
def test_query_echoes_its_flags_even_when_they_are_not_given(virtnet, controller, words, echo):
    controller.answers["/virtnet/query"] = {**OK, "generation": 1, "next": -1}
    assert lines(virtnet("query", *words))[0] == echo


def test_list_prints_controller_and_devices_without_a_request_line(virtnet, controller):
    controller.answers["/virtnet/list"] = {
        **OK, "generation": 1, "next": -1,
        "controller": {"emulation_manager": "mlx5_0", "max_hotplug_devices": "31",
                       "supported_features": "0x100000021",
                       "supported_virt_queue_types": "0x1", "supported_event_modes": "0x5"},
        "device_0": {"pf_id": 0, "function_type": "hotplug PF", "sf_num": 2000, "mtu": "1500"}}
    done = virtnet("list")
    assert lines(done)[:13] == [
        "{", '  "controller": {', '    "emulation_manager": "mlx5_0",',
        '    "max_hotplug_devices": "31",', '    "supported_features": {',
        '      "value": "0x100000021",', '      "    0": "VIRTIO_NET_F_CSUM",',
        '      "    5": "VIRTIO_NET_F_MAC",', '      "   32": "VIRTIO_F_VERSION_1"', "    },",
        '    "supported_virt_queue_types": {', '      "value": "0x1",', '      "    0": "SPLIT"']
    assert body(done, 0)["devices"] == [
        {"pf_id": 0, "function_type": "hotplug PF", "sf_num": 2000, "mtu": "1500"}]


def test_unknown_feature_bit_is_named_as_such(virtnet, controller):
    controller.answers["/virtnet/query"] = {
        **OK, "generation": 1, "next": -1, "device_0": {"pf_id": 0, "device_feature": "0x41"}}
    device = virtnet.json("query", "-p", "0")["devices"][0]
    assert device["device_feature"] == {
        "value": "0x41", "    0": "VIRTIO_NET_F_CSUM", "    6": "UNKNOWN FEATURE BIT"}


def query_reply(_params):
    return {**OK, "generation": 1, "next": -1,
            "device_0": {"pf_id": 0, "status": "0xf", "dim": "disabled"},
            "queue_0": {"index": "0", "size": "256"}, "queue_1": {"index": "1", "size": "256"},
            "device_1": {"pf_id": 1, "status": "0x0", "dim": "disabled"}}


def test_query_appends_queue_info_to_each_device(virtnet, controller):
    controller.answers["/virtnet/query"] = query_reply
    first, second = virtnet.json("query", "-a")["devices"]
    assert list(first) == ["pf_id", "status", "dim", "enabled-queues-info"]
    assert [queue["index"] for queue in first["enabled-queues-info"]] == ["0", "1"]
    assert second["enabled-queues-info"] == []


def test_brief_query_has_no_queue_section(virtnet, controller):
    controller.answers["/virtnet/query"] = query_reply
    assert "enabled-queues-info" not in virtnet("query", "-a", "-b").stdout


def test_version_is_an_array_of_two_objects(virtnet, controller):
    controller.answers["/virtnet/version"] = {
        **OK, "item_0": {"original_controller": "v26.11.0"},
        "item_1": {"destination_controller": "v26.11.0"}}
    assert body(virtnet("version"), 0) == [
        {"Original Controller": "v26.11.0"}, {"Destination Controller": "v26.11.0"}]


def test_log_prints_a_json_string(virtnet, controller):
    controller.answers["/virtnet/log"] = {**OK, "text": "Success"}
    assert lines(virtnet("log", "-l", "info")) == ["{'level': 'info'}", '"Success"']


def test_log_refusal_is_the_text_and_a_non_zero_exit(virtnet, controller):
    controller.answers["/virtnet/log"] = {"errno": -22, "errstr": "Invalid argument",
                                          "text": "Failed to set log level"}
    done = virtnet("log", "-l", "info")
    assert (done.returncode, lines(done)[1]) == (1, '"Failed to set log level"')


def test_validate_sends_an_absolute_path_and_prints_the_given_one(virtnet, controller, tmp_path):
    controller.answers["/virtnet/validate"] = \
        lambda params: {**OK, "text": f"{params['file']} is valid"}
    done = virtnet("validate", "-f", "virtnet.conf", cwd=tmp_path)
    assert lines(done) == ["{'file': 'virtnet.conf'}", "virtnet.conf is valid"]
    assert controller.requests[0][1]["file"] == str(tmp_path / "virtnet.conf")


@pytest.mark.parametrize("command", [("list",), ("query", "-p", "7")])
def test_absent_device_is_an_error_object_and_a_non_zero_exit(virtnet, controller, command):
    controller.answers["/virtnet/" + command[0]] = {"errno": -1001,
                                                    "errstr": "Failed to find device"}
    done = virtnet("--json", *command)
    assert (done.returncode, body(done, 0)) == (1, {"Error": "Device doesn't exist"})


def test_other_refusals_print_errno_and_errstr_and_exit_1(virtnet, controller):
    controller.answers["/virtnet/unplug"] = {"errno": -1001, "errstr": "Failed to find device"}
    done = virtnet("unplug", "-p", "7")
    assert (done.returncode, body(done)) == (
        1, {"errno": -1001, "errstr": "Failed to find device"})


def test_json_option_drops_the_request_line_wherever_it_stands(virtnet, controller):
    controller.answers["/virtnet/unplug"] = OK
    for words in (("--json", "unplug", "-p", "0"), ("unplug", "-p", "0", "--json")):
        assert body(virtnet(*words), 0) == OK


def test_sentence_longer_than_telemetrys_strings_is_joined(virtnet, controller):
    controller.answers["/virtnet/unplug"] = {"errno": -1065, "errstr": "first ",
                                             "errstr_1": "second ", "errstr_2": "third"}
    assert body(virtnet("unplug", "-p", "0")) == {"errno": -1065, "errstr": "first second third"}
