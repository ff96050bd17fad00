# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Results as tables, as the section "Results" of doc/performance.rst, and as its plots."""

import contextlib
import io
import statistics

import plots
from latency import FIGURES
from stats import SPREAD_MAX

# What the design asks for: times fewer cycles than testpmd.
TARGETS = {("64", False): 1.3, ("64", True): 1.2, ("1518", False): 1.1, ("1518", True): 1.1, ("imix", False): 1.2,
           ("imix", True): 1.2}  # fmt: skip
BUSY_MAX = 0.85  # of the driver: above, packets a second say what the driver can do
KINDS = {
    "loop": "Looped (net_ring)",
    "tx": "Sent into nothing (net_null)",
    "rx": "Received from a source (net_null; imix: net_pcap)",
}


def middle(figure, form="{:.2f}"):
    """Median and range."""
    if figure is None:
        return "-"
    return f"{form.format(figure['median'])} ({form.format(figure['min'])} .. {form.format(figure['max'])})"


def side_figure(cell, side, key, form):
    value = cell["sides"].get(side, {}).get(key)
    return "-" if value is None else form.format(value)


def target_met(cell, ratio):
    """The target and whether it is reached, as a word behind the ratio."""
    target = TARGETS.get((cell["size"], cell["packed"]))
    if target is None or ratio is None:
        return ""
    return f"{target:.1f}" + ("" if ratio["median"] >= target else " missed")


def cell_headings(sides):
    """The first side is what the others are compared with."""
    words = ["Ring", "Size", *(f"{side} {what}" for side in sides for what in ("cycles", "Mpps", "driver busy"))]
    for side in sides[1:]:
        words += [f"{side}: times fewer cycles", "Target", "Times the packets", "Pairs"]
    return words


def cell_cells(cell, sides):
    words = [cell["layout"], cell["size"]]
    for side in sides:
        words += [side_figure(cell, side, "busy_cycles", "{:.0f}"), mpps(cell, side),
                  side_figure(cell, side, "driver_busy", "{:.0%}")]  # fmt: skip
    for side in sides[1:]:
        ratio = cell["ratios"].get(side, {})
        target = target_met(cell, ratio.get("cycles")) if (sides[0], side) == ("testpmd", "vhost_user") else ""
        words += [middle(ratio.get("cycles")), target, middle(ratio.get("pps")),
                  f"{ratio.get('counted', 0)} of {ratio.get('pairs', 0)}"]  # fmt: skip
    return words


def mpps(cell, side):
    value = cell["sides"].get(side, {}).get("pps")
    return "-" if value is None else f"{value / 1e6:.2f}"


LATENCY_HEADINGS = ("Row", "Load", "Side", *(f"{figure} us" for figure in FIGURES), "Runs")


def latency_lines(results):
    for cell in results:
        for row in cell["loads"]:
            for side, found in row["sides"].items():
                figures = [f"{found[figure]:.1f}" if figure in found else "-" for figure in FIGURES]
                yield (f"{cell['layout']} {cell['size']}", f"{row['load']:.0%}", side, *figures,
                       f"{found['counted']} of {found['runs']}")  # fmt: skip


TCP_HEADINGS = ("Row", "Device", "Gbit/s", "Times testpmd's", "Pairs")


def tcp_lines(results):
    for cell in results:
        for name, bps in cell["bps"].items():
            ratio = cell["ratios"].get(name, {})
            yield (cell["name"], name, "-" if bps is None else f"{bps / 1e9:.2f}", middle(ratio.get("ratio")),
                   f"{ratio['counted']} of {ratio['pairs']}" if ratio else "")  # fmt: skip


ALONE_HEADINGS = ("Row", "Mpps", "min .. max", "Cycles/packet", "min .. max", "Worker busy", "Driver busy", "Runs")


def alone_cells(row):
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


AB_HEADINGS = ("Row", "A cycles", "B cycles", "B/A", "min .. max", "Pairs")


def ab_cells(row):
    s = row["summary"]
    counted = f"{s['counted']} of {s['pairs']}"
    if "ratio" not in s:
        return (row["name"], "-", "-", "-", "", counted)
    return (row["name"], f"{s['a']['median']:.1f}", f"{s['b']['median']:.1f}", f"{s['ratio']['median']:.3f}",
            f"{s['ratio']['min']:.3f} .. {s['ratio']['max']:.3f}", counted)  # fmt: skip


def sections(result):
    """(heading, column headings, lines) of all that was measured."""
    for kind, heading in KINDS.items():
        found = [cell for cell in result.get("cells", []) if cell["kind"] == kind]
        if found:
            yield heading, cell_headings(sides_of(result)), [cell_cells(cell, sides_of(result)) for cell in found]
    if result.get("latency"):
        yield "Latency", LATENCY_HEADINGS, list(latency_lines(result["latency"]))
    if result.get("tcp"):
        yield "TCP over a TAP", TCP_HEADINGS, list(tcp_lines(result["tcp"]))
    rows = result.get("rows", [])
    if rows and "ratio" not in rows[0]["summary"] and "pairs" not in rows[0]:
        yield "Ours alone", ALONE_HEADINGS, [alone_cells(row) for row in rows]
    elif rows:
        yield "Two builds", AB_HEADINGS, [ab_cells(row) for row in rows]


def discarded(result):
    """Sentences about what does not count."""
    ratios = [ratio for cell in result.get("cells", []) for ratio in cell["ratios"].values()]
    ratios += [ratio for cell in result.get("tcp", []) for ratio in cell["ratios"].values()]
    if ratios:
        total = {key: sum(ratio.get(key, 0) for ratio in ratios) for key in ("pairs", "steal", "waited", "spread")}
        yield (f"Of {total['pairs']} pairs {total['steal']} were discarded for steal time, {total['waited']} because another "
               f"process ran on a CPU of the device or the driver, {total['spread']} because their ratios lay more than "
               f"{SPREAD_MAX:.0%} apart.")  # fmt: skip
    summaries = [row["summary"] for row in result.get("rows", []) if "runs" in row["summary"]]
    if summaries:
        total = {key: sum(summary[key] for summary in summaries) for key in ("runs", "steal", "waited", "spread")}
        yield (f"Of {total['runs']} runs {total['steal']} were discarded for steal time, {total['waited']} because "
               f"another process ran on a CPU of the worker or the driver, {total['spread']} for lying more than "
               f"{SPREAD_MAX:.0%} apart.")  # fmt: skip
    for error in dict.fromkeys(result.get("errors", [])):
        yield f"Failed: {error}"


def sides_of(result):
    return result["cells"][0]["compared"] if result.get("cells") else []


def overall(result):
    """Medians over rings of the second side, by kind and size: what there is to say in one line each."""
    side = (sides_of(result) + ["", ""])[1]
    for kind in KINDS:
        for packed in (False, True):
            for size in ("64", "256", "1518", "imix"):
                found = [cell["ratios"][side] for cell in result.get("cells", [])
                         if (cell["kind"], cell["packed"], cell["size"]) == (kind, packed, size)
                         and "cycles" in cell["ratios"].get(side, {})]  # fmt: skip
                if found:
                    cycles = [ratio["cycles"]["median"] for ratio in found]
                    pps = [ratio["pps"]["median"] for ratio in found]
                    yield (kind, "packed" if packed else "split", size, f"{statistics.median(cycles):.2f}",
                           f"{min(cycles):.2f} .. {max(cycles):.2f}", f"{statistics.median(pps):.2f}",
                           f"{min(pps):.2f} .. {max(pps):.2f}")  # fmt: skip


OVERALL_HEADINGS = ("Wire", "Rings", "Size", "Times fewer cycles", "min .. max", "Times the packets", "min .. max")


def table(headings, lines):
    widths = [max(len(line[i]) for line in [headings, *lines]) for i in range(len(headings))]
    for line in [headings, *lines]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def tables(result):
    for heading, headings, lines in sections(result):
        print(f"\n{heading}\n")
        table(headings, lines)
    lines = list(overall(result))
    if lines:
        print("\nMedians over the rings\n")
        table(OVERALL_HEADINGS, lines)
    print()
    for sentence in discarded(result):
        print(sentence)


def rst_table(headings, lines):
    print(".. csv-table::\n   :header-rows: 1\n")
    for line in [headings, *lines]:
        print("   " + ", ".join(f'"{cell}"' for cell in line))
    print()


def rst(result):
    """The section "Results" of doc/performance.rst."""
    m = result["machine"]
    print(f".. Generated by test/perf/run.py --rst; measured {result['date']}.\n")
    print("::\n\n   " + result["command"] + "\n")
    print(f"{m['cpu']}, {m['cpus']} CPUs ({m['hypervisor']}), Linux {m['kernel']}, DPDK {m['dpdk']}, "
          f"{m['compiler']}, buildtype {m['buildtype']}, revision {m['git']}; {result['date']}.\n")
    lines = list(overall(result))
    if lines:
        rst_heading("Medians over the rings")
        rst_table(OVERALL_HEADINGS, lines)
    for name, _, caption in plots.drawn(result):
        print(f".. figure:: images/{name}\n   :alt: {caption}\n\n   {caption}\n")
    for heading, headings, lines in sections(result):
        rst_heading(heading)
        rst_table(headings, lines)
    print("\n".join(discarded(result)))


def rst_heading(text):
    print(f"{text}\n{'~' * len(text)}\n")


def draw(result, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text, _ in plots.drawn(result):
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)


def write_guide(result, guide):
    """Replace all from "Results" on in the guide, and the plots beside it."""
    heading = "Results\n-------\n"
    text, found, _ = guide.read_text(encoding="utf-8").partition(heading)
    assert found, f"{guide} has no section Results"
    section = io.StringIO()
    with contextlib.redirect_stdout(section):
        rst(result)
    guide.write_text(f"{text}{heading}\n{section.getvalue()}", encoding="utf-8")
    draw(result, guide.parent / "images")
