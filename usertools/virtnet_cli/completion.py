# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""What the shell may offer behind half a command line."""

import argparse

from .answers import fetch_devices
from .errors import Failed, VirtnetError
from .options import NO_OPTIONS, option_strings
from .progress import Progress
from .schema import load_schema
from .telemetry import Telemetry, socket_path

COMPLETION_TIMEOUT_S = 0.5


def live_devices(schema):
    """(ids of PFs, VUIDs) of the running controller; nothing when it does not answer quickly."""
    command = next((c for c in schema["commands"] if c["name"] == "list"), None)
    if not command:
        return [], []
    nobody = argparse.Namespace(**NO_OPTIONS)
    try:
        with Telemetry(socket_path(nobody), Progress(""), COMPLETION_TIMEOUT_S, 0) as telemetry:
            devices = fetch_devices(schema, command, {}, lambda extra: telemetry.request(
                command["endpoint"], extra))["devices"]
    except (VirtnetError, Failed, OSError):
        return [], []
    ids = [str(device["pf_id"]) for device in devices if "pf_id" in device]
    return ids, [device["vuid"] for device in devices if "vuid" in device]


def option_values(schema, param):
    if param.get("values"):
        return param["values"]
    if param["type"] == "path":
        return [":file"]
    if param.get("long") == "pf":  # its request key differs between commands
        return live_devices(schema)[0]
    if param.get("long") == "vuid":
        return live_devices(schema)[1]
    return []


def completions(schema, words):
    """What may follow words[:-1] and starts like words[-1]; ":file" asks the shell for files."""
    *before, current = words or [""]
    command = next((c for w in before for c in schema["commands"] if c["name"] == w), None)
    common = ["-h", "--help", "--json", "--socket", "--file-prefix", "--timeout"]
    if before and before[-1] == "--socket":
        return [":file"]
    if before and before[-1] in ("--file-prefix", "--timeout"):
        return []
    if not command:
        found = [c["name"] for c in schema["commands"]] + ["-v", "--version"] + common
    else:
        params = command.get("params", [])
        last = next((p for p in params if before[-1] in option_strings(p)), None)
        if last and last["type"] != "flag":
            found = option_values(schema, last)
        else:
            used = set(before)
            found = [s for p in params if not used & set(option_strings(p))
                     for s in option_strings(p)] + common
    if found == [":file"]:
        return found
    return [item for item in found if item.startswith(current)
            and (current.startswith("-") or not item.startswith("-") or command)]


def complete(words):
    """Hidden entry of the shells' completion scripts: never prints an error, never fails."""
    try:
        print("\n".join(completions(load_schema(), words)))
    except Exception:  # whatever it is, a half-typed line is no place for a message
        pass
    return 0
