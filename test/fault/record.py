# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The figures of a run, one JSON object per event and device, for report.py."""

import json
import os
import platform
import time


class Record:
    """A file of JSON lines; the first one describes the machine."""

    def __init__(self, path, build):
        self.path = path
        self.file = open(path, "w", encoding="utf-8")  # pylint: disable=consider-using-with
        self._write({
            "machine": {
                "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
                "cpus": os.cpu_count(),
                "kernel": platform.release(),
                "build": str(build),
            }
        })  # fmt: skip

    def _write(self, line):
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def add(self, test, kind, event, **labels):
        """One line per device of an event as virtnet-fault tells it; its labels are what the keeper says: recovery_ms,
        cold, and of a cold recovery start_ms (with before_ms, if it was begun before the crash; of both eal_ms,
        pools_ms) and adoption_ms."""
        for device in event["devices"]:
            self._write({
                "test": test, "kind": kind, "gap_us": device["gap_us"], "tx_gap_us": device["tx_gap_us"],
                "rx_gap_us": device["rx_gap_us"], "request_us": device["request_us"],
                "tx_twice": max(device["tx_twice"]), "rx_lost": max(device["rx_lost"]), "self_us": event["self_us"],
                **labels, **event.get("labels", {}),
            })  # fmt: skip

    def figure(self, test, name, **values):
        """Something that belongs to no event: memory, durations."""
        self._write({"test": test, "figure": name, **values})

    def close(self):
        self.file.close()
