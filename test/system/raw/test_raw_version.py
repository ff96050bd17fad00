# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Version negotiation: what a client may say first, and how it is turned down."""

import errno
import json

import pytest

import vfio_user_client as vu
from vfio_user_client import QEMU_CAPABILITIES, VERSION, version_body


def nested(depth):
    return '{"capabilities":' + '{"a":' * depth + "1" + "}" * depth + "}"


ACCEPTED = {
    "what QEMU says": version_body(QEMU_CAPABILITIES),
    "minor version 1": version_body(QEMU_CAPABILITIES, minor=1),
    "an empty object": version_body({}),
    "no JSON at all": version_body(None),
    "an empty string": version_body(""),
    "no capabilities but something else": version_body({"other": [1, 2, {}]}),
    "capabilities that nobody knows": version_body({"capabilities": {"teleport": True}}),
    "a client that takes one descriptor": version_body({"capabilities": {"max_msg_fds": 1}}),
    "6 KiB of unknown capabilities": version_body(
        {"capabilities": {f"unknown_{n}": "x" * 40 for n in range(100)}}),
}

REFUSED = {
    "major version 1": (version_body(QEMU_CAPABILITIES, major=1), errno.ENOTSUP),
    "major version 65535": (version_body(None, major=0xffff), errno.ENOTSUP),
    "JSON without its NUL": (version_body(b"{}"), errno.EINVAL),
    "a NUL within the JSON": (version_body(b'{"a":1}\0{}\0'), errno.EINVAL),
    "broken JSON": (version_body('{"capabilities":'), errno.EINVAL),
    "no JSON but text": (version_body("hello"), errno.EINVAL),
    "an array": (version_body("[]"), errno.EINVAL),
    "a number": (version_body("7"), errno.EINVAL),
    "bytes that are no UTF-8": (version_body(b'{"\xff\xfe":1}\0'), errno.EINVAL),
    "capabilities that are a number": (version_body({"capabilities": 7}), errno.EINVAL),
    "max_msg_fds that is text": (version_body({"capabilities": {"max_msg_fds": "16"}}),
                                 errno.EINVAL),
    "max_msg_fds below zero": (version_body({"capabilities": {"max_msg_fds": -1}}), errno.EINVAL),
    "nesting without end": (version_body(nested(1000)), errno.EINVAL),
    "half a version": (b"\0\0\0", errno.EINVAL),
    "an empty body": (b"", errno.EINVAL),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_version_is_agreed_for(stranger, case):
    reply = stranger.call(VERSION, ACCEPTED[case])
    assert not reply.failed
    assert reply.body[:4] == bytes(4), "QEMU takes 0.0 only"
    assert reply.body.endswith(b"\0")
    assert stranger.info()[1] >= 8


@pytest.mark.parametrize("case", REFUSED)
def test_version_is_refused_and_the_connection_ended_for(stranger, case):
    body, code = REFUSED[case]
    assert stranger.error(VERSION, body) == code
    assert stranger.disconnected()


def test_answer_keeps_within_what_qemu_accepts(stranger):
    reply = stranger.call(VERSION, version_body(QEMU_CAPABILITIES))
    capabilities = json.loads(reply.body[4:-1])["capabilities"]
    assert 1 <= capabilities["max_msg_fds"] <= 16
    assert 4096 <= capabilities["max_data_xfer_size"] <= 64 << 20
    assert capabilities["pgsizes"] % 4096 == 0


def test_second_version_is_refused_and_harms_nothing(client):
    assert client.error(VERSION, version_body(QEMU_CAPABILITIES)) == errno.EINVAL
    assert client.info()[1] >= 8


@pytest.mark.parametrize("command", [number for number in range(0, 20) if number != VERSION])
def test_command_before_the_version_is_refused(stranger, command):
    assert stranger.error(command, bytes(32)) == errno.EINVAL
    stranger.negotiate()
    assert stranger.info()[1] >= 8


def test_version_with_a_descriptor_is_refused(stranger):
    with open("/dev/null", "rb") as file:
        assert stranger.error(VERSION, version_body({}), fds=[file.fileno()]) == errno.EINVAL


def test_version_that_is_larger_than_any_message(stranger):
    body = version_body({"capabilities": {"x": "y" * 100_000}})
    assert stranger.error(VERSION, body) == errno.EMSGSIZE
    stranger.negotiate()
    assert stranger.info()[0] & 3 == 3


def test_version_that_asks_for_no_answer(stranger):
    stranger.send(VERSION, version_body({}), flags=vu.F_NO_REPLY)
    assert stranger.info()[1] >= 8
