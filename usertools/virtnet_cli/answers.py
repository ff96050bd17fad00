# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""What a command prints: the controller's answer, or all pages of it, put together."""

from .errors import ENODEV_VIRTNET, Failed, VirtnetError
from .shape import Shaper, errors_last

MAX_RESTARTS = 5            # a listing that keeps changing between its pages is given up after this
# Commands that answer {"Error": ...} instead of errno and errstr when the device is absent.
SHORT_ABSENT = frozenset(["list", "query", "stats"])


def check_errno(command, reply):
    errno = reply.get("errno", 0)
    if errno == 0:
        return
    if errno == ENODEV_VIRTNET and command["name"] in SHORT_ABSENT:
        raise Failed({"Error": "Device doesn't exist"})
    raise Failed({"errno": errno, "errstr": reply.get("errstr", "")}, errno)


def read_pages(request):
    """All pages of one listing, as (key, value) pairs; starts again when the set of devices changed
    between two pages, because positions of a former generation mean nothing in a newer one."""
    for _ in range(MAX_RESTARTS + 1):
        entries = []
        cursor = 0
        generation = None
        while True:
            page = request(cursor)
            if generation is not None and page.get("generation") != generation:
                break
            generation = page.get("generation")
            entries += [(key, value) for key, value in page.items()
                        if key not in ("errno", "errstr", "generation", "next")]
            following = page.get("next", -1)
            if following < 0:
                return entries
            if following == cursor:
                raise VirtnetError("the controller's listing does not advance "
                                   f"(page at {cursor})")
            cursor = following
    raise VirtnetError(f"the devices changed during each of {MAX_RESTARTS + 1} listings; "
                       "try again")


def collect_devices(entries, queues_key, shape):
    """{"controller": ..., "devices": [...]} from a listing's entries; queues_key None = brief."""
    result = {}
    devices = []
    for key, value in entries:
        if key.startswith("device_"):
            device = shape(value)
            if queues_key:
                device[queues_key] = []
            devices.append(device)
        elif key.startswith("queue_"):
            if queues_key and devices:
                devices[-1][queues_key].append(shape(value))
        else:
            result[shape.name(key)] = shape(value)
    result["devices"] = devices
    return result


def fetch_devices(schema, command, values, request):
    shape = Shaper(schema, command)

    def page(cursor):
        reply = request([("at", cursor)] if cursor else [])
        check_errno(command, reply)
        return reply

    brief = values.get("brief") == "0x1"
    queues_key = shape.name("enabled_queues_info")
    has_queues = "enabled_queues_info" in shape.rules and not brief
    return collect_devices(read_pages(page), queues_key if has_queues else None, shape)


def fetch_answer(schema, command, values, request):
    """What the command prints, as a Python value; raises Failed with what a refusal prints."""
    if command["reply"] == "devices":
        return fetch_devices(schema, command, values, request)
    reply = request([])
    if command["reply"] in ("text", "plain") and "text" in reply:
        if reply.get("errno", 0):
            raise Failed(reply["text"])
        return reply["text"]
    check_errno(command, reply)
    shape = Shaper(schema, command)
    if command["reply"] == "plain":
        return shape({key: value for key, value in reply.items()
                      if key not in ("errno", "errstr")})
    if command["reply"] == "array":
        return [shape(value) for key, value in reply.items() if key.startswith("item_")]
    return errors_last(shape(reply))
