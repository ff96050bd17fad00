# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Which runs count, and what they say together."""

import statistics

# A run is disturbed, and does not count, when more than this part of it was not ours ...
STEAL_MAX = 0.01  # ... of all CPUs, taken by the hypervisor
WAITED_MAX = 0.05  # ... of the device's thread or the driver, taken by another process; --waited
# Runs of a row, or ratios of pairs, may differ from each other by this part of the median.
SPREAD_MAX = 0.20
RUNS_MIN = 3  # fewer runs that count: the row has no result


def disturbed(run):
    """Why a run does not count, or None. A run knows what it may have waited."""
    if run["steal"] > STEAL_MAX:
        return "steal"
    longest = max(run["waited_ms"], run["worker_waited_ms"]) / 1000
    return "waited" if longest > run.get("waited_max", WAITED_MAX) * run["seconds"] else None


def spread(values):
    return (max(values) - min(values)) / statistics.median(values) if values else 0


def without_outliers(items, key):
    """The items less those farthest from the median, until they lie close enough together."""
    items = list(items)
    while spread([item[key] for item in items]) > SPREAD_MAX:
        middle = statistics.median(item[key] for item in items)
        items.remove(max(items, key=lambda item: abs(item[key] - middle)))
    return items


def range_of(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def enough(counted, made):
    """Is there a result? Who wants fewer than RUNS_MIN runs gets what he wants."""
    return counted >= RUNS_MIN or counted == made > 0
