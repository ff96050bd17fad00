# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""How the contract wants answers printed.

Telemetry knows neither every name nor every value of the contract: the schema says what to rename
and what a number means.
"""

import json
import re


def bit_object(value, names):
    """{"value": "0x5", "    0": "NAME", ...}: how the contract shows a bit mask."""
    number = value if isinstance(value, int) else int(value, 16)
    shown = {"value": value if isinstance(value, str) else hex(value)}
    for bit in range(number.bit_length()):
        if number >> bit & 1:
            shown[f"{bit:5d}"] = names.get(str(bit), "UNKNOWN FEATURE BIT")
    return shown


# A number of seconds with all of its six digits: json has no such float, so it is a string until
# the very end.
SECONDS_MARK = "@seconds:"


def seconds_of(microseconds):
    return f"{SECONDS_MARK}{microseconds // 1000000}.{microseconds % 1000000:06d}"


def to_json(answer):
    return re.sub(f'"{SECONDS_MARK}([0-9]+[.][0-9]{{6}})"', r"\1", json.dumps(answer, indent=2))


class Shaper:
    """Turns telemetry's legal names and plain values into the contract's (recursively)."""

    def __init__(self, schema, command):
        self.bits = schema.get("bits", {})
        self.rules = {rule["key"]: rule for rule in command.get("shape", [])}

    def name(self, key):
        return self.rules.get(key, {}).get("name", key)

    def __call__(self, value):
        if isinstance(value, dict):
            return {self.name(key): self._entry(key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [self(item) for item in value]
        return value

    def _entry(self, key, item):
        kind = self.rules.get(key, {}).get("as", "")
        if kind.startswith("bits:"):
            return bit_object(item, self.bits.get(kind[len("bits:"):], {}))
        if kind == "seconds" and isinstance(item, int) and item >= 0:
            return seconds_of(item)
        return self(item)


def errors_last(reply):
    """The same object with errno and errstr behind the rest, as the contract prints them."""
    shown = {key: value for key, value in reply.items() if key not in ("errno", "errstr")}
    for key in ("errno", "errstr"):
        if key in reply:
            shown[key] = reply[key]
    return shown
