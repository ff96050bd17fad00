# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Results as SVG: bars by ring for each side, and ratios with their range."""

import math

WIDTH = 760
LEFT, RIGHT, TOP, BOTTOM = 170, 120, 30, 40
COLORS = {"testpmd": "#8a8f98", "vhost_user": "#1b6ca8", "vfio_user": "#2e8b57", "vhost_user gso": "#c77f2c"}
SIZE_COLORS = {"64": "#1b6ca8", "256": "#2e8b57", "1518": "#d1495b", "imix": "#8e6c8a"}
BAR, GAP, STEP = 9, 8, 26


def text(x, y, words, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def line(x1, y1, x2, y2, color="#ddd", width=1):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" stroke-width="{width}"/>'


def page(height, parts):
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>', *parts, "</svg>", "",
    ])  # fmt: skip


class Axis:
    """From zero, linear, with round marks."""

    def __init__(self, most):
        raw = most / 5 or 1
        power = 10 ** math.floor(math.log10(raw))
        self.mark = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
        self.most = self.mark * math.ceil(most / self.mark)

    def x(self, value):
        return LEFT + value / self.most * (WIDTH - LEFT - RIGHT)

    def grid(self, height, label):
        for number in range(round(self.most / self.mark) + 1):
            at = self.x(number * self.mark)
            yield line(at, TOP, at, height - BOTTOM)
            yield text(at, height - BOTTOM + 16, f"{number * self.mark:g}", "middle")
        yield text((LEFT + WIDTH - RIGHT) / 2, height - 6, label, "middle")


def legend(colors):
    for number, (name, color) in enumerate(colors.items()):
        at = TOP + 14 + 20 * number
        yield f'<rect x="{WIDTH - RIGHT + 14}" y="{at - 9}" width="10" height="10" fill="{color}"/>'
        yield text(WIDTH - RIGHT + 30, at, name.replace("_", "-"))


def bars(groups, label):
    """groups: {name: {side: value}}"""
    sides = [side for side in COLORS if any(side in values for values in groups.values())]
    axis = Axis(max(value for values in groups.values() for value in values.values()))
    height = TOP + BOTTOM + len(groups) * (len(sides) * BAR + GAP)
    parts = [*axis.grid(height, label), *legend({side: COLORS[side] for side in sides})]
    for number, (name, values) in enumerate(groups.items()):
        top = TOP + GAP / 2 + number * (len(sides) * BAR + GAP)
        parts.append(text(LEFT - 8, top + len(sides) * BAR / 2 + 4, name, "end"))
        for row, side in enumerate(sides):
            if side in values:
                parts.append(f'<rect x="{LEFT}" y="{top + row * BAR:.1f}" width="{axis.x(values[side]) - LEFT:.1f}" '
                             f'height="{BAR - 1}" fill="{COLORS[side]}"/>')  # fmt: skip
    return page(height, parts)


def ranges(groups, label):
    """groups: {name: {size: {median, min, max}}}; 1 is drawn as a line."""
    sizes = [size for size in SIZE_COLORS if any(size in values for values in groups.values())]
    axis = Axis(max(value["max"] for values in groups.values() for value in values.values()))
    height = TOP + BOTTOM + len(groups) * STEP
    parts = [*axis.grid(height, label), *legend({size: SIZE_COLORS[size] for size in sizes})]
    parts.append(line(axis.x(1), TOP, axis.x(1), height - BOTTOM, "#444"))
    for number, (name, values) in enumerate(groups.items()):
        top = TOP + number * STEP
        parts.append(text(LEFT - 8, top + STEP / 2 + 4, name, "end"))
        for row, size in enumerate(sizes):
            if size in values:
                at, value = top + 5 + row * 5, values[size]
                parts.append(line(axis.x(value["min"]), at, axis.x(value["max"]), at, SIZE_COLORS[size]))
                parts.append(f'<circle cx="{axis.x(value["median"]):.1f}" cy="{at:.1f}" r="3" fill="{SIZE_COLORS[size]}"/>')
    return page(height, parts)


def cycles_by_ring(cells, kind, size):
    return {cell["layout"]: {side: found["busy_cycles"] for side, found in cell["sides"].items()}
            for cell in cells if (cell["kind"], cell["size"]) == (kind, size) and cell["sides"]}  # fmt: skip


def ratios_by_ring(cells, kind):
    groups = {}
    for cell in cells:
        ratio = cell["ratios"].get("vhost_user", {}).get("cycles")
        if cell["kind"] == kind and ratio:
            groups.setdefault(cell["layout"], {})[cell["size"]] = ratio
    return groups


def drawn(result):
    """(file name, SVG, caption) of all plots that the results allow."""
    cells = result.get("cells", [])
    groups = cycles_by_ring(cells, "loop", "64")
    if groups:
        yield ("perf-cycles.svg", bars(groups, "TSC cycles per packet and ring, looped 64 byte frames"),
               "Busy cycles per packet on the device's side, looped 64 byte frames")  # fmt: skip
    for kind, words in (("loop", "looped frames"), ("tx", "sending"), ("rx", "receiving")):
        groups = ratios_by_ring(cells, kind)
        if groups:
            yield (f"perf-ratios-{kind}.svg", ranges(groups, "testpmd's busy cycles per packet / ours, vhost-user"),
                   f"How many times fewer cycles than testpmd, {words}: median and range")  # fmt: skip
    tcp = {cell["name"]: {side: bps / 1e9 for side, bps in cell["bps"].items() if bps} for cell in result.get("tcp", [])}
    if any(tcp.values()):
        yield "perf-tcp.svg", bars(tcp, "Gbit/s"), "TCP over a TAP, one connection"
