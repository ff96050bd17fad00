# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""pytest plugin: one line per test in test/run.sh's form, and the same in its file of results; what each test took."""

import collections
import re
from pathlib import Path


class LineReport:
    """Prints PASS, FAIL or SKIP and the test's name as soon as it is known. Beside the results, "seconds" has a line per
    test; what tests share is on the account of the first."""

    def __init__(self, results, label, logs):
        self.results = Path(results)
        self.label = label
        self.logs = Path(logs)
        self.failed = set()
        self.called = set()
        self.seconds = collections.Counter()

    @staticmethod
    def sentence(nodeid):
        """test_traffic.py::test_ping_both_ways[8000] as "traffic: ping both ways [8000]"."""
        path, _, test = nodeid.partition("::")
        test, bracket, parameters = test.partition("[")
        words = test.replace("test_", "", 1).replace("_", " ")
        name = f"{Path(path).stem.replace('test_', '', 1)}: {words}".strip()
        return f"{name} {bracket}{parameters}" if bracket else name

    @staticmethod
    def reason(report):
        """Where (from the test down) and why, on one line: what is left of a run whose logs are not."""
        crash = getattr(report.longrepr, "reprcrash", None)
        if not crash:
            return ""
        where = [entry.reprfileloc for entry in report.longrepr.reprtraceback.reprentries if entry.reprfileloc]
        return " > ".join(f"{Path(at.path).name}:{at.lineno}" for at in where) + f": {crash.message.splitlines()[0]}"

    def line(self, verdict, nodeid, detail="", why=""):
        name = f"{self.label}: {self.sentence(nodeid)}"
        with open(self.results, "a", encoding="utf-8") as results:
            results.write(f"{verdict}\t{name}\t{detail}\n")
        print(f"{verdict.upper()}  {name}{f'  ({detail})' if detail else ''}{f'  {why}' if why else ''}", flush=True)

    def failure(self, nodeid, text, why=""):
        self.logs.mkdir(parents=True, exist_ok=True)
        path = self.logs / (re.sub(r"[^A-Za-z0-9_.-]+", "-", nodeid) + ".log")
        with open(path, "a", encoding="utf-8") as log:
            log.write(text)
        if nodeid not in self.failed:
            self.failed.add(nodeid)
            self.line("fail", nodeid, str(path), why)

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += report.duration
        if report.when == "teardown":
            with open(self.results.with_name("seconds"), "a", encoding="utf-8") as times:
                times.write(f"{self.seconds[report.nodeid]:8.2f}\t{self.label}: {self.sentence(report.nodeid)}\n")
        if report.failed:
            sections = "".join(f"\n--- {title}\n{text}" for title, text in report.sections)
            self.failure(report.nodeid, f"({report.when})\n{report.longreprtext}\n{sections}\n", self.reason(report))
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.line("skip", report.nodeid, reason.removeprefix("Skipped: ").replace("\n", " "))
        elif report.when == "teardown" and report.nodeid not in self.failed:
            # Passed once nothing can fail any more; a skipped test has no passed call.
            if report.nodeid in self.called:
                self.line("pass", report.nodeid)
        if report.when == "call" and report.passed:
            self.called.add(report.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self.failure(report.nodeid, f"{report.longreprtext}\n")
