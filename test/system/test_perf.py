# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The performance harness works: it moves packets and reports sane figures. No figure is judged."""

import json
import subprocess

import pytest

from virtnet_test import TOP

ROWS = ["ring tx 64", "ring rx 1518", "ring loop 64", "tap tx 64", "tap rx 1518"]


def harness(build, *options):
    done = subprocess.run(
        ["/usr/bin/python3", "-B", str(TOP / "test" / "perf" / "run.py"), "--build", str(build), "--time", "0.2",
         "--warmup", "0.05", "--nice", "0", *options],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("row", ROWS)
def test_a_row_moves_packets_and_reports_what_they_cost(build, row):
    result = json.loads(harness(build, "--runs", "1", "--only", row, "--json", "-"))
    (measured,) = [found for found in result["rows"] if found["name"] == row]
    (run,) = measured["runs"]
    assert run["pps"] > 0 and run["busy_cycles"] > 0 and 0 < run["worker_busy"] <= 1
    assert (run["tx_packets"] > 0) == (run["mode"] != "rx")
    assert (run["rx_packets"] > 0) == (run["mode"] != "tx")
    assert run["disorder"] == 0
    assert result["machine"]["dpdk"] and result["command"]


def test_results_become_a_table_of_the_guide(build, tmp_path):
    file = tmp_path / "perf.json"
    harness(build, "--runs", "1", "--only", "ring tx 64", "--json", str(file))
    text = harness(build, "--rst", str(file))
    assert ".. csv-table::" in text and "ring tx 64" in text
