#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Measure the packet path of a controller; see doc/performance.rst.

  sudo test/perf/run.sh                        the whole matrix; table, and JSON in build/perf.json
  sudo test/perf/run.sh --only 'ring tx 64'    some rows (a part of the name; may be repeated)
  sudo test/perf/run.sh --ab BUILD_A BUILD_B   two builds in turn, and the ratio of their busy cycles
  test/perf/run.sh --rst build/perf.json       the results as a section for doc/performance.rst
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

from bench import TOP, Bench, rows

# A run is disturbed, and does not count, when more than this part of it was not ours ...
STEAL_MAX = 0.01  # ... of all CPUs, taken by the hypervisor
WAITED_MAX = 0.05  # ... of the worker or the driver, taken by another process
# Runs of a row may differ from each other by this part of the median.
SPREAD_MAX = 0.20
RUNS_MIN = 3  # fewer runs that count: the row has no result


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=str(TOP / "build"), help="build folder (build)")
    parser.add_argument("--ab", nargs=2, metavar=("BUILD_A", "BUILD_B"), help="compare two builds")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="rows whose name has it")
    parser.add_argument("--runs", type=int, default=5, help="runs of each row, or pairs of runs (5)")
    parser.add_argument("--time", type=float, default=1.0, help="seconds of a run (1)")
    parser.add_argument("--warmup", type=float, default=0.2, help="seconds before it (0.2)")
    parser.add_argument("--queue-size", type=int, default=1024, help="entries of a ring (1024)")
    parser.add_argument("--nice", type=int, default=-20, help="priority of all that runs (-20)")
    parser.add_argument("--json", metavar="FILE", help="where the results go (perf.json in the build folder); - is stdout")
    parser.add_argument("--rst", metavar="FILE", help="print the results in FILE as reStructuredText, measure nothing")
    return parser.parse_args()


def output(*command):
    """What a command prints; nothing where it is not installed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TOP)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def machine(build):
    """Where the figures are from."""
    cpu = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
           if line.startswith("model name")]
    options = Path(build, "meson-info", "intro-buildoptions.json")
    chosen = {option["name"]: option["value"] for option in json.loads(options.read_text())} if options.exists() else {}
    revision = output("git", "rev-parse", "--short", "HEAD")
    changed = " with changes" if output("git", "status", "--porcelain", "app", "drivers", "lib", "test/perf") else ""
    return {
        "cpu": cpu[0] if cpu else "unknown",
        "cpus": len(os.sched_getaffinity(0)),
        "hypervisor": output("systemd-detect-virt", "--vm") or "unknown",
        "kernel": platform.release(),
        "dpdk": output("pkg-config", "--modversion", "libdpdk"),
        "compiler": output("cc", "--version").splitlines()[0],
        "buildtype": chosen.get("buildtype", "unknown"),
        "git": revision + changed,
    }


def disturbed(run):
    """Why a run does not count, or None."""
    if run["steal"] > STEAL_MAX:
        return "steal"
    longest = max(run["waited_ms"], run["worker_waited_ms"]) / 1000
    return "waited" if longest > WAITED_MAX * run["seconds"] else None


def spread(values):
    return (max(values) - min(values)) / statistics.median(values) if values else 0


def without_outliers(runs, key):
    """The runs less those farthest from the median, until they lie close enough together."""
    runs = list(runs)
    while spread([run[key] for run in runs]) > SPREAD_MAX:
        middle = statistics.median(run[key] for run in runs)
        runs.remove(max(runs, key=lambda run: abs(run[key] - middle)))
    return runs


def range_of(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summarise(runs):
    """What a row's runs say, and how many of them do not count."""
    good = [run for run in runs if disturbed(run) is None]
    kept = without_outliers(good, "busy_cycles")
    summary = {
        "runs": len(runs),
        "steal": sum(disturbed(run) == "steal" for run in runs),
        "waited": sum(disturbed(run) == "waited" for run in runs),
        "spread": len(good) - len(kept),
        "counted": len(kept),
    }
    if len(kept) >= RUNS_MIN or len(kept) == len(runs) > 0:
        for key in ("pps", "busy_cycles", "worker_busy", "driver_busy"):
            summary[key] = range_of([run[key] for run in kept])
    return summary


def progress(text):
    print(text, file=sys.stderr, flush=True)


def run_matrix(bench, build, chosen, count):
    """Every row once, then every row again: what changes with time hits all alike."""
    runs = {row.name: [] for row in chosen}
    for number in range(count):
        for row in chosen:
            run = bench.measure(build, row)
            runs[row.name].append(run)
            progress(f"{number + 1}/{count}  {row.name:14}  {run['pps'] / 1e6:7.3f} Mpps  "
                     f"{run['busy_cycles']:7.1f} cycles  {disturbed(run) or ''}")
    return [{"name": row.name, "size": row.size, "commands": bench.commands[row.name], "runs": runs[row.name],
             "summary": summarise(runs[row.name])} for row in chosen]


def run_pairs(bench, builds, chosen, count):
    """Runs of A and B in turn, the first of a pair changing; both of a pair must be undisturbed."""
    results = []
    for row in chosen:
        pairs = []
        for number in range(count):
            order = (0, 1) if number % 2 == 0 else (1, 0)
            pair = {which: bench.measure(builds[which], row) for which in order}
            why = disturbed(pair[0]) or disturbed(pair[1])
            ratio = pair[1]["busy_cycles"] / pair[0]["busy_cycles"]
            pairs.append({"a": pair[0], "b": pair[1], "ratio": ratio, "disturbed": why})
            progress(f"{number + 1}/{count}  {row.name:14}  A {pair[0]['busy_cycles']:7.1f}  "
                     f"B {pair[1]['busy_cycles']:7.1f} cycles  B/A {ratio:.3f}  {why or ''}")
        good = [pair for pair in pairs if pair["disturbed"] is None]
        kept = without_outliers(good, "ratio")
        summary = {"pairs": count, "disturbed": count - len(good), "spread": len(good) - len(kept),
                   "counted": len(kept)}
        if kept:
            summary["ratio"] = range_of([pair["ratio"] for pair in kept])
            summary["a"] = range_of([pair["a"]["busy_cycles"] for pair in kept])
            summary["b"] = range_of([pair["b"]["busy_cycles"] for pair in kept])
        results.append({"name": row.name, "size": row.size, "pairs": pairs, "summary": summary})
    return results


HEADINGS = ("Row", "Mpps", "min .. max", "Cycles/packet", "min .. max", "Worker busy", "Driver busy", "Runs counted")


def cells(row):
    """A row of the table as text."""
    s = row["summary"]
    counted = f"{s['counted']} of {s['runs']}"
    if "pps" not in s:
        return (row["name"], "-", "", "-", "", "", "", counted)
    pps, cycles = s["pps"], s["busy_cycles"]
    return (
        row["name"], f"{pps['median'] / 1e6:.2f}", f"{pps['min'] / 1e6:.2f} .. {pps['max'] / 1e6:.2f}",
        f"{cycles['median']:.0f}", f"{cycles['min']:.0f} .. {cycles['max']:.0f}",
        f"{s['worker_busy']['median']:.0%}", f"{s['driver_busy']['median']:.0%}", counted,
    )  # fmt: skip


def ab_cells(row):
    s = row["summary"]
    counted = f"{s['counted']} of {s['pairs']}"
    if "ratio" not in s:
        return (row["name"], "-", "-", "-", "", counted)
    return (row["name"], f"{s['a']['median']:.1f}", f"{s['b']['median']:.1f}", f"{s['ratio']['median']:.3f}",
            f"{s['ratio']['min']:.3f} .. {s['ratio']['max']:.3f}", counted)  # fmt: skip


def table(headings, lines):
    widths = [max(len(line[i]) for line in [headings, *lines]) for i in range(len(headings))]
    for line in [headings, *lines]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def rst(result):
    """The section "Results" of doc/performance.rst."""
    m = result["machine"]
    print(f".. Generated by test/perf/run.py --rst; measured {result['date']}.\n")
    print("::\n\n   " + result["command"] + "\n")
    print(f"{m['cpu']}, {m['cpus']} CPUs ({m['hypervisor']}), Linux {m['kernel']}, DPDK {m['dpdk']}, "
          f"{m['compiler']}, buildtype {m['buildtype']}, revision {m['git']}; {result['date']}.\n")
    print(".. list-table::\n   :header-rows: 1\n")
    for line in [HEADINGS, *map(cells, result["rows"])]:
        print("\n".join(f"   {'*' if i == 0 else ' '} - {cell}".rstrip() for i, cell in enumerate(line)))
    total = {key: sum(row["summary"][key] for row in result["rows"])
             for key in ("runs", "steal", "waited", "spread")}
    print(f"\nOf {total['runs']} runs {total['steal']} were discarded for steal time, {total['waited']} because "
          f"another process ran on a CPU of the worker or the driver, {total['spread']} for lying more than "
          f"{SPREAD_MAX:.0%} apart.")


def command_line(args):
    """How this was called through run.sh, which hands the build folder on as an option."""
    words, build = sys.argv[1:], Path(args.build).resolve()
    if words[:1] == ["--build"]:
        words = words[2:]
    setting = "" if args.ab or build == TOP / "build" else f"VIRTNET_BUILD={build.name} "
    return f"sudo {setting}test/perf/run.sh {shlex.join(words)}"


def measure(args):
    chosen = [row for row in rows() if not args.only or any(text in row.name for text in args.only)]
    if not chosen:
        sys.exit(f"run.py: no row's name has {' or '.join(args.only)}; rows: {', '.join(r.name for r in rows())}")
    if os.geteuid() != 0:
        sys.exit("run.py: must run as root: it makes network namespaces")
    builds = [Path(path).resolve() for path in (args.ab or [args.build])]
    bench = Bench(builds[0], args.time, args.warmup, args.queue_size, args.nice)
    result = {
        "command": command_line(args),
        "date": output("date", "-u", "+%Y-%m-%d %H:%M UTC"),
        "machine": machine(builds[0]),
    }
    if args.ab:
        result["rows"] = run_pairs(bench, builds, chosen, args.runs)
    else:
        result["rows"] = run_matrix(bench, builds[0], chosen, args.runs)
    text = json.dumps(result, indent=1) + "\n"
    if args.json == "-":
        sys.stdout.write(text)
        return
    Path(args.json or builds[-1] / "perf.json").write_text(text)
    if args.ab:
        table(("Row", "A cycles", "B cycles", "B/A", "min .. max", "Pairs counted"), [*map(ab_cells, result["rows"])])
    else:
        table(HEADINGS, [*map(cells, result["rows"])])


def main():
    args = parse_args()
    if args.rst:
        rst(json.loads(Path(args.rst).read_text()))
    else:
        measure(args)


if __name__ == "__main__":
    main()
