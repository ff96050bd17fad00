#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Compares the reference pages with the tables in the code: keys, ranges, options, error numbers;
and looks for the files that the guides name.

Run by itself it prints what disagrees; Sphinx runs it too (conf.py), as warnings.
"""

import re
import sys
from pathlib import Path

DOC = Path(__file__).resolve().parent
APP = DOC.parent / "app" / "virtnet"
GUIDE = DOC / "user_guide"

ENTRY = re.compile(r'(UINT|STRING|DRIVER)\(struct \w+, (\w+)(?:, (\w+), ([\w *]+))?\)|ARRAY\("(\w+)"')


def rows(text):
    """Rows of list-tables as {first cell without backquotes: whole row}."""
    found = {}
    for row in re.split(r"^   \* - ", text, flags=re.M)[1:]:
        for name in re.findall(r"``([^`]+)``", row.split("\n", 1)[0]):
            found[name] = found.get(name, "") + row
    return found


def number(text):
    """A product of numbers and of constants of config.h."""
    constants = dict(re.findall(r"#define (CONFIG_\w+)\s+(\d+)u?\b", (APP / "config.h").read_text(encoding="utf-8")))
    value = 1
    for factor in map(str.strip, text.split("*")):
        value *= int(constants.get(factor, factor), 0)
    return value


def config_problems():
    page = rows((GUIDE / "configuration.rst").read_text(encoding="utf-8"))
    for kind, name, low, high, array in ENTRY.findall((APP / "config.c").read_text(encoding="utf-8")):
        key = name or array
        if key in ("obj",) or low == "lo":
            continue  # the macros' own definitions
        if key not in page:
            yield f"configuration.rst: key {key} is missing"
        elif kind == "UINT" and f"{number(low)}..{number(high)}" not in page[key]:
            yield f"configuration.rst: {key} has the range {number(low)}..{number(high)}"


def defaults_problems():
    page = rows((GUIDE / "configuration.rst").read_text(encoding="utf-8"))
    text = (APP / "config.c").read_text(encoding="utf-8")
    block = re.search(r"\*cfg = \(struct config\)\{(.*?)\};", text, re.S).group(1)
    for key, value in re.findall(r"\.(\w+) = (\"[^\"]*\"|\d+)", block):
        value = value.strip('"')
        if value not in page.get(key, ""):
            yield f"configuration.rst: the default of {key} is {value}"


def command_problems():
    page = (GUIDE / "commands.rst").read_text(encoding="utf-8")
    endpoints = (GUIDE / "telemetry.rst").read_text(encoding="utf-8")
    text = (APP / "cmd_table.c").read_text(encoding="utf-8")
    params = re.findall(r'\.key = "(\w+)", (?:\.option = "(\w+)", )?(?:\.abbr|\.type)', text)
    for key, option in sorted(set(params)):
        if key not in ("level", "file") and f"``--{option or key}``" not in page:
            yield f"commands.rst: option --{option or key} is missing"
        if f"``{key}``" not in endpoints:
            yield f"telemetry.rst: parameter {key} is missing"
    for endpoint in re.findall(r'"(/virtnet/\w+)"', text):
        if f"``{endpoint}``" not in endpoints:
            yield f"telemetry.rst: {endpoint} is missing"


def error_problems():
    page = (GUIDE / "errors.rst").read_text(encoding="utf-8")
    numbers = dict(re.findall(r"(VN_ERR_\w+) = (-\d+)", (APP / "errors.h").read_text(encoding="utf-8")))
    sentences = dict(re.findall(r'\{(VN_ERR_\w+),\s*"([^"]+)"\}', (APP / "errors.c").read_text(encoding="utf-8")))
    used = set()
    for path in APP.glob("*.c"):
        if path.name != "errors.c":
            used |= set(re.findall(r"VN_ERR_\w+", path.read_text(encoding="utf-8")))
    for name in sorted(used):
        if f"* - {numbers[name]}\n     - {sentences[name]}\n" not in page:
            yield f"errors.rst: {numbers[name]} \"{sentences[name]}\" is missing"
    for code in re.findall(r"^   \* - (-1\d\d\d)$", page, re.M):
        if code not in [numbers[name] for name in used]:
            yield f"errors.rst: nothing answers {code}"


def file_problems():
    """Names with a slash begin at the top of the tree; a bare name may be anywhere below the code."""
    top = DOC.parent
    folders = ("app", "lib", "drivers", "test", "usertools", "config", "doc")
    code = {path.name for folder in folders for path in (top / folder).rglob("*")}
    for page in [top / "README.md", *sorted(DOC.rglob("*.rst"))]:
        named = re.findall(r"`(?!/)([\w./-]+\.(?:c|h|py|sh|rst|example|build))`", page.read_text(encoding="utf-8"))
        for name in sorted(set(named)):
            if not ((top / name).exists() if "/" in name else name in code):
                yield f"{page.relative_to(top)}: there is no {name}"


def problems():
    """Sentences, one for each disagreement."""
    for check in (config_problems, defaults_problems, command_problems, error_problems, file_problems):
        yield from check()


if __name__ == "__main__":
    found_any = list(problems())
    print("\n".join(found_any) or "the reference agrees with the code")
    sys.exit(bool(found_any))
