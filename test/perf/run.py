#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Measure the packet path against testpmd's; see doc/performance.rst.

  sudo test/perf/run.sh                        all comparisons; tables, and JSON in build/perf.json
  sudo test/perf/run.sh --quick                one pair of the smallest: does the harness work?
  sudo test/perf/run.sh --only 'loop split'    some rows (a part of the name; may be repeated)
  sudo test/perf/run.sh --alone                ours alone: every SF driver of our own, our own host driver
  sudo test/perf/run.sh --ab BUILD_A BUILD_B   the same with two builds in turn, and the ratio of their busy cycles
  test/perf/run.sh --rst build/perf.json       results as a section for doc/performance.rst
  test/perf/run.sh --svg DIR build/perf.json   results as plots
  test/perf/run.sh --doc build/perf.json       both into doc/
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

import alone
import compare
import latency
import report
import tcp
from machine import TOP, machine, output, raise_group
from stats import WAITED_MAX


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=str(TOP / "build"), help="build folder (build)")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="rows whose name has it")
    parser.add_argument("--list", action="store_true", help="print the names of the rows, measure nothing")
    parser.add_argument("--quick", action="store_true", help="one short pair of the smallest rows")
    parser.add_argument("--guest", action="store_true", help="also TCP from guests (needs QEMU; 3 minutes more)")
    parser.add_argument("--alone", action="store_true", help="the rows of ours alone")
    parser.add_argument("--ab", nargs=2, metavar=("BUILD_A", "BUILD_B"), help="compare two builds of ours")
    parser.add_argument("--sides", default=",".join(compare.SIDES), metavar="LIST",
                        help=f"what is compared, with the first of them ({','.join(compare.SIDES)}); ours may have "
                             "a build folder: vhost_user@build-before,vhost_user@build-after")  # fmt: skip
    parser.add_argument("--client", default="", metavar="DEVARGS", help="more devargs for virtio-user, e.g. mrg_rxbuf=1")
    parser.add_argument("--runs", "--pairs", type=int, default=5, help="runs of each row, or pairs of runs (5)")
    parser.add_argument("--time", type=float, help="seconds of a run (0.3; alone: 1)")
    parser.add_argument("--warmup", type=float, help="seconds before it (0.05; alone: 0.2)")
    parser.add_argument("--queue-size", type=int, default=1024, help="entries of a ring (1024)")
    parser.add_argument("--waited", type=float, default=WAITED_MAX, metavar="SHARE",
                        help=f"of a run that may be taken by other processes, where a machine has those ({WAITED_MAX})")  # fmt: skip
    parser.add_argument("--nice", type=int, default=-20, help="priority of all that runs (-20)")
    parser.add_argument("--json", metavar="FILE", help="where the results go (perf.json in the build folder); - is stdout")
    parser.add_argument("--rst", metavar="FILE", help="print the results in FILE as reStructuredText, measure nothing")
    parser.add_argument("--svg", nargs=2, metavar=("DIR", "FILE"), help="draw the results in FILE, measure nothing")
    parser.add_argument("--doc", metavar="FILE", help="write the results in FILE into doc/performance.rst and doc/images")
    return parser.parse_args()


def choose(args):
    """Rows of each part. A part of a name picks rows of all parts; without one, ours alone is left out."""
    quick = args.quick
    parts = {
        "compare": compare.quick_cells() if quick else compare.cells(),
        "latency": latency.quick_cells() if quick else latency.cells(),
        "tcp": tcp.quick_cells() if quick else tcp.cells(),
        "guest": tcp.guest_cells() if args.only or args.guest else [],
        "alone": alone.rows(),
    }
    if args.only:
        return {part: [row for row in rows if any(text in row.name for text in args.only)]
                for part, rows in parts.items() if not args.alone or part == "alone"}  # fmt: skip
    return {part: rows for part, rows in parts.items() if (part == "alone") == (args.alone or bool(args.ab))}


def command_line(args):
    """How this was called through run.sh, which hands the build folder on as an option."""
    words, build = sys.argv[1:], Path(args.build).resolve()
    if words[:1] == ["--build"]:
        words = words[2:]
    setting = "" if args.ab or build == TOP / "build" else f"VIRTNET_BUILD={build.name} "
    return f"sudo {setting}test/perf/run.sh {shlex.join(words)}".rstrip()


def settings_of(args):
    sides = tuple(args.sides.split(","))
    unknown = {side.partition("@")[0] for side in sides} - set(compare.SIDES)
    if unknown:
        sys.exit(f"run.py: --sides: {', '.join(sorted(unknown))}: not one of {', '.join(compare.SIDES)}")
    return compare.Settings(
        build=str(Path(args.build).resolve()), pairs=1 if args.quick else args.runs,
        seconds=args.time or (0.1 if args.quick else 0.3), warmup=args.warmup or 0.05, queue_size=args.queue_size,
        nice=args.nice, sides=sides, waited=args.waited, client_args=args.client,
    )  # fmt: skip


def measure_parts(args, chosen):
    """Results of the chosen rows, part by part."""
    settings, made = settings_of(args), {"errors": []}
    bench = alone.Bench(Path((args.ab or [args.build])[0]).resolve(), args.time or 1.0, args.warmup or 0.2,
                        args.queue_size, args.nice)  # fmt: skip
    if args.ab:
        made["rows"] = alone.run_pairs(bench, [Path(path).resolve() for path in args.ab], chosen["alone"], args.runs)
        return made
    if chosen.get("compare"):
        comparison = compare.Comparison(settings)
        made["cells"] = comparison.run(chosen["compare"])
        made["errors"] += comparison.errors
    if chosen.get("latency"):
        made["latency"] = latency.run(chosen["latency"], settings, made["errors"])
    if chosen.get("tcp") or chosen.get("guest"):
        made["tcp"] = tcp.run([*chosen.get("tcp", []), *chosen.get("guest", [])], settings, made["errors"])
    if chosen.get("alone"):
        made["rows"] = alone.run_matrix(bench, Path(args.build).resolve(), chosen["alone"], args.runs)
    return made


def missing(result, settings):
    """What --quick has to find: a figure of each side in each row; what it is does not matter."""
    for cell in result.get("cells", []):
        for side in settings.sides:
            if not any(side in runs and runs[side]["pps"] > 0 and runs[side]["busy_cycles"] > 0 for runs in cell["runs"]):
                yield f"{cell['name']}: nothing of {side}"
    for cell in result.get("latency", []):
        for side in settings.sides:
            if not any(run["side"] == side and "latency_us" in run for run in cell["runs"]):
                yield f"{cell['name']}: nothing of {side}"
    for cell in result.get("tcp", []):
        if not cell["runs"] or not all(run["bps"] > 0 for runs in cell["runs"] for run in runs.values()):
            yield f"{cell['name']}: no traffic"


def measure(args):
    chosen = choose(args)
    if args.list:
        print("\n".join(row.name for rows in chosen.values() for row in rows))
        return
    if not any(chosen.values()):
        sys.exit(f"run.py: no row's name has {' or '.join(args.only)}; --list shows the names")
    if os.geteuid() != 0:
        sys.exit("run.py: must run as root: it makes network namespaces")
    os.setpriority(os.PRIO_PROCESS, 0, args.nice)
    raise_group(os.getpid(), args.nice)
    result = {
        "command": command_line(args),
        "date": output("date", "-u", "+%Y-%m-%d %H:%M UTC"),
        "machine": machine((args.ab or [args.build])[0]),
        **measure_parts(args, chosen),
    }
    if args.quick:
        result.setdefault("errors", []).extend(missing(result, settings_of(args)))
    text = json.dumps(result, indent=1) + "\n"
    if args.json == "-":
        sys.stdout.write(text)
    else:
        Path(args.json or Path((args.ab or [args.build])[-1], "perf.json")).write_text(text)
        report.tables(result)
    if result.get("errors"):
        sys.exit(f"run.py: {len(result['errors'])} measurements failed")


def main():
    args = parse_args()
    if args.rst:
        report.rst(json.loads(Path(args.rst).read_text()))
    elif args.doc:
        report.write_guide(json.loads(Path(args.doc).read_text()), TOP / "doc" / "performance.rst")
    elif args.svg:
        report.draw(json.loads(Path(args.svg[1]).read_text()), Path(args.svg[0]))
    else:
        measure(args)


if __name__ == "__main__":
    main()
