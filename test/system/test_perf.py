# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The performance harness works: it moves packets and reports sane figures. No figure is judged."""

import json
import shutil
import subprocess

import pytest

from virtnet_test import TOP

HARNESS_S = 100
QUICK_S = 400  # it starts testpmd and controllers a dozen times
ROWS = ["ring tx 64", "ring rx 1518", "ring loop 64", "tap tx 64", "tap rx 1518"]


def harness(build, *options, seconds=HARNESS_S):
    done = subprocess.run(
        ["/usr/bin/python3", "-B", str(TOP / "test" / "perf" / "run.py"), "--build", str(build), "--time", "0.2",
         "--warmup", "0.05", "--nice", "0", *options],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False,
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


def sane(run):
    """Figures that can be true, whatever else ran on the machine meanwhile."""
    return run["pps"] > 0 and run["busy_cycles"] > 0 and run["device_busy"] > 0 and 0 < run["driver_busy"] <= 1


def test_the_comparison_with_testpmd_has_figures_of_all_sides(build, tmp_path):
    """--quick itself fails if a row lacks a side's figure."""
    if not shutil.which("dpdk-testpmd") or not shutil.which("iperf3"):
        pytest.skip("dpdk-testpmd or iperf3 is not installed")
    file = tmp_path / "perf.json"
    harness(build, "--quick", "--json", str(file), seconds=QUICK_S)
    result = json.loads(file.read_text())
    assert not result["errors"]
    assert {(cell["kind"], cell["size"]) for cell in result["cells"]} == {
        ("loop", "64"), ("tx", "64"), ("rx", "64"), ("rx", "imix")
    }  # fmt: skip
    for cell in result["cells"]:
        (runs,) = cell["runs"]
        assert list(sorted(runs)) == sorted(cell["compared"]) and all(map(sane, runs.values())), cell["name"]
        assert not any(run["disorder"] for run in runs.values())
    assert result["latency"] and result["tcp"]
    text = harness(build, "--rst", str(file))
    assert text.count(".. csv-table::") >= len({cell["kind"] for cell in result["cells"]})
