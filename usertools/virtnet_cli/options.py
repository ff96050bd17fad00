# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The command line: options, help and values of every command, as the schema describes them."""

import argparse
import os

from . import PROG
from .telemetry import DEFAULT_FILE_PREFIX, TELEMETRY_SOCKET

BANNER = "Nvidia virtio-net-controller command line interface"


def number(text):
    """A number as users write it: decimal, or hexadecimal with 0x."""
    try:
        value = int(text, 16) if text.lower().startswith("0x") else int(text, 10)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number (decimal, or hexadecimal with 0x)") from None
    if not 0 <= value < 1 << 64:
        raise argparse.ArgumentTypeError(f"{text} is not within 0..2^64-1")
    return hex(value)


def word(text):
    """A string that survives telemetry's key=value list."""
    if not text or any(char in ",\0\n" for char in text):
        raise argparse.ArgumentTypeError(f"{text!r} is empty or contains a comma or a line break")
    return text


def mac(text):
    # Only the length is checked here; the controller judges the address.
    if len(text) != len("00:00:00:00:00:00"):
        raise argparse.ArgumentTypeError(f"{text!r}: a MAC address has 17 characters")
    return word(text)


def seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


PARSERS = {"uint": number, "hex": number, "mac": mac, "string": word, "path": word, "enum": word}


def option_strings(param):
    strings = []
    if param.get("short"):
        strings.append("-" + param["short"])
    if param.get("long"):
        strings.append("--" + param["long"])
    return strings


def add_param(container, param, in_group):
    options = {"dest": "param_" + param["key"], "help": param.get("help", "").replace("%", "%%")}
    if param["type"] == "flag":
        options.update(action="store_const", const="0x1")
    else:
        options["type"] = PARSERS.get(param["type"], word)
        options["metavar"] = param.get("metavar") or param["key"].upper()
        if param.get("values"):
            options["choices"] = param["values"]
            del options["metavar"]
    if param.get("required") and not in_group:
        options["required"] = True
    container.add_argument(*option_strings(param), **options)


def exclusive_groups(params):
    """{group name: its members}. A parameter that only refines another (--vf, "with" --pf) excludes
    nothing by itself."""
    groups = {}
    for param in params:
        if param.get("exclusive") and not param.get("with"):
            groups.setdefault(param["exclusive"], []).append(param)
    return groups


def add_command(subparsers, command):
    parser = subparsers.add_parser(command["name"], help=command.get("help"),
                                   description=command.get("help"))
    params = command.get("params", [])
    groups = exclusive_groups(params)
    containers = {}
    for param in params:
        group = None if param.get("with") else param.get("exclusive")
        if group and group not in containers:
            needed = any(member.get("required") for member in groups[group])
            containers[group] = parser.add_mutually_exclusive_group(required=needed)
        add_param(containers[group] if group else parser, param, bool(group))
    add_common_options(parser)
    parser.set_defaults(command=command, command_parser=parser)


def add_common_options(parser):
    """Options of ours that the contract does not know; accepted before and after the command."""
    extra = parser.add_argument_group("connection and output")
    nothing = argparse.SUPPRESS  # an option given before the command must survive the command's own
    extra.add_argument("--json", action="store_true", default=nothing,
                       help="print nothing but the JSON of the answer (no request line)")
    extra.add_argument("--socket", metavar="PATH", default=nothing,
                       help="telemetry socket of the controller (default: $VIRTNET_SOCKET, then "
                       f"/var/run/dpdk/{DEFAULT_FILE_PREFIX}/{TELEMETRY_SOCKET})")
    extra.add_argument("--file-prefix", metavar="NAME", default=nothing,
                       help="the controller's EAL --file-prefix; another way to name its socket")
    extra.add_argument("--timeout", metavar="SECONDS", type=seconds, default=nothing,
                       help="how long to wait for an answer (default: by command)")


def build_parser(schema):
    version = "v" + schema["version"]
    parser = argparse.ArgumentParser(prog=PROG, description=f"{BANNER} {version}")
    parser.add_argument("-v", "--version", action="version", version=version)
    subparsers = parser.add_subparsers(metavar="{" + ",".join(
        command["name"] for command in schema["commands"]) + "}")
    for command in schema["commands"]:
        add_command(subparsers, command)
    add_common_options(parser)
    return parser


NO_OPTIONS = {"command": None, "json": False, "socket": None, "file_prefix": None, "timeout": None}


def request_values(args):
    """{key: value} in the schema's order, as sent and as echoed."""
    values = {}
    for param in args.command.get("params", []):
        value = getattr(args, "param_" + param["key"])
        if value is None and param["type"] == "flag" and param.get("echo_always"):
            value = "0x0"
        if value is not None:
            values[param["key"]] = value
    for param in args.command.get("params", []):
        needed = param.get("with")
        if param["key"] in values and needed and needed not in values:
            args.command_parser.error(f"argument {'/'.join(option_strings(param))}: "
                                      f"only together with --{needed}")
    return values


def wire_values(command, values):
    """The values as the controller needs them: it has another working folder than the user."""
    paths = {param["key"] for param in command.get("params", []) if param["type"] == "path"}
    return {key: os.path.abspath(value) if key in paths else value
            for key, value in values.items()}
