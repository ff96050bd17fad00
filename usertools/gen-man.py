#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Write virtnet(1) as roff to stdout, from the command schema: gen-man.py SCHEMA_JSON"""

import json
import sys

INTRO = """\
.B virtnet
tells the virtio-net controller,
.BR dpdk-virtnet ,
to plug, unplug, show and change virtio-net PCIe devices.
It prints the request as one line (nothing when there are no parameters) and the answer as JSON.
Every command needs a running controller, except
.B validate
and the help. A controller that recovers from a crash or gives its devices to a new process is waited
for, up to two seconds."""

COMMON = [
    ("-h, --help", "Show help; works at every level."),
    ("-v, --version", "Before the command: print the version."),
    ("--json", "Print nothing but the JSON of the answer."),
    ("--socket PATH", "Telemetry socket of the controller."),
    ("--file-prefix NAME", "The controller's EAL --file-prefix, another way to name its socket."),
    ("--timeout SECONDS", "How long to wait for an answer."),
]

EXAMPLES = [
    ("Plug a device with three queues into the only host:",
     "virtnet hotplug -i mlx5_0 -m 0C:C4:7A:FF:22:93 -t 1500 -n 3 -s 1024"),
    ("The same with four queue pairs, into the host that virtnet.conf calls vm1:",
     "virtnet hotplug -i mlx5_0 -m 0C:C4:7A:FF:22:94 -t 1500 -qp 4 -s 256 --host vm1"),
    ("Show every device; names of the representors only:",
     "virtnet list\nvirtnet list | grep sf_rep_net_device"),
    ("One device without its queues, then as pure JSON for a script:",
     "virtnet query -p 0 -b\nvirtnet query -p 0 -b --json"),
    ("Take the device away again:", "virtnet unplug -p 0"),
    ("Go over to the version that has been installed, then see how it went:",
     "virtnet version\nvirtnet update -s\nvirtnet update -t"),
    ("Replace the controller's process while its devices go on; returns when it is done:",
     "virtnet restart"),
    ("Check a configuration file before the controller is restarted:",
     "virtnet validate -f virtnet.conf"),
]

ENVIRONMENT = [
    ("VIRTNET_SOCKET", "Telemetry socket, when neither --socket nor --file-prefix is given."),
    ("VIRTNET_SCHEMA", "File with the table of commands, when it is not the installed one."),
    ("VIRTNET_CONTROLLER", "The dpdk-virtnet program that checks files for validate while no "
     "controller is running."),
]

EXIT_STATUS = [
    ("0", "Success."),
    ("1", "The controller refused the command (errno and errstr say why) or cannot be reached."),
    ("2", "The command line is wrong."),
    ("130", "Interrupted."),
]


def roff(text):
    """Text with roff's own characters taken out of its hands."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in (".", "'") else text


def definitions(items):
    lines = []
    for term, text in items:
        lines += [".TP", ".B " + roff(term), roff(text)]
    return lines


def option_term(param):
    names = []
    if param.get("short"):
        names.append("-" + param["short"])
    if param.get("long"):
        names.append("--" + param["long"])
    term = ", ".join(names)
    if param["type"] == "flag":
        return term
    if param.get("values"):
        return term + " {" + ",".join(param["values"]) + "}"
    return term + " " + param.get("metavar", param["key"].upper())


def option_text(param):
    text = param.get("help", "").rstrip(".")
    text = text[:1].upper() + text[1:] + "." if text else ""
    if param.get("max"):
        text += f" From {param.get('min', 0)} to {param['max']}."
    if param.get("required"):
        text += " One of its group is required." if param.get("exclusive") else " Required."
    if param.get("extension"):
        text += " (An extension.)"
    return text.strip() or "No further text."


def synopsis(command):
    words = []
    for param in command.get("params", []):
        name = "-" + param["short"] if param.get("short") else "--" + param["long"]
        if param["type"] != "flag":
            name += " " + param.get("metavar", param["key"].upper())
        needed = param.get("required") and not param.get("exclusive")
        words.append(name if needed else f"[{name}]")
    return " ".join(words)


def command_section(command):
    lines = [".SS " + roff(command["name"]), ".B virtnet " + roff(command["name"])]
    if command.get("params"):
        lines.append(roff(synopsis(command)))
    text = command.get("help", "")
    lines += [".PP", roff(text[:1].upper() + text[1:] + ".")]
    return lines + definitions((option_term(p), option_text(p)) for p in command.get("params", []))


def page(schema):
    lines = [
        '.\\" Generated from the command schema; do not edit.',
        f'.TH VIRTNET 1 "" "virtnet {schema["version"]}" "User Commands"',
        ".SH NAME", "virtnet \\- command line of the virtio\\-net controller",
        ".SH SYNOPSIS", ".B virtnet", "[OPTIONS] COMMAND [COMMAND OPTIONS]",
        ".SH DESCRIPTION", INTRO.replace("-", "\\-"),
        ".PP", "Numbers are decimal, or hexadecimal with 0x.",
        ".SH OPTIONS", *definitions(COMMON),
        ".SH COMMANDS",
    ]
    for command in schema["commands"]:
        lines += command_section(command)
    lines.append(".SH EXAMPLES")
    for title, text in EXAMPLES:
        lines += [roff(title), ".PP", ".RS", ".nf", *map(roff, text.split("\n")), ".fi", ".RE", ".PP"]
    lines += [".SH ENVIRONMENT", *definitions(ENVIRONMENT)]
    lines += [".SH FILES", *definitions([
        ("/var/run/dpdk/virtnet/dpdk_telemetry.v2", "The controller's default telemetry socket."),
        ("/opt/mellanox/mlnx_virtnet/virtnet.conf", "The controller's configuration.")])]
    lines += [".SH EXIT STATUS", *definitions(EXIT_STATUS)]
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        sys.stdout.write(page(json.load(file)))


if __name__ == "__main__":
    main()
