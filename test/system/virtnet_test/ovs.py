# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Open vSwitch with its userspace datapath, in a network namespace and a folder of its own."""

import json
import re
import subprocess
from pathlib import Path

from .wait import wait_until

SECONDS = 20  # for an answer of its tools


class Switch:
    """ovsdb-server and ovs-vswitchd; they end with the namespace."""

    def __init__(self, root, netns, folder, **other_config):
        """root: what fetch-ovs.sh prints. other_config: of the table Open_vSwitch, for the start."""
        self.root = Path(root)
        self.netns = netns
        self.folder = folder
        folder.mkdir()
        self.database = f"unix:{folder}/db.sock"
        share = self.root / "usr/share/openvswitch"
        self._run("usr/bin/ovsdb-tool", "create", folder / "conf.db", share / "vswitch.ovsschema")
        self._start(
            "usr/sbin/ovsdb-server", folder / "conf.db", f"--remote=p{self.database}", f"--unixctl={folder}/db.ctl",
            log="ovsdb.log",
        )  # fmt: skip
        wait_until((folder / "db.sock").exists, "the database of the switch")
        settings = (f"other_config:{key.replace('_', '-')}={json.dumps(value)}" for key, value in other_config.items())
        self.vsctl("--no-wait", "init", "--", "set", "Open_vSwitch", ".", "other_config:flow-limit=1000", *settings)
        self._start(
            "usr/lib/openvswitch-switch/ovs-vswitchd", self.database, "--disable-system",
            f"--unixctl={folder}/vswitchd.ctl", log="vswitchd.log",
        )  # fmt: skip

    def _command(self, program, *words):
        folder = self.folder
        return self.netns.command(
            "env", f"OVS_RUNDIR={folder}", f"OVS_LOGDIR={folder}", f"OVS_DBDIR={folder}", f"OVS_SYSCONFDIR={folder}",
            f"OVS_PKGDATADIR={self.root}/usr/share/openvswitch", self.root / program, *words,
        )  # fmt: skip

    def _start(self, program, *words, log):
        command = self._command(program, *words, "-vconsole:off", f"--log-file={self.folder / log}")
        self.netns.start(*command[len(self.netns.command()):])

    def _run(self, program, *words):
        done = subprocess.run(
            self._command(program, *words), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=2 * SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{program} {words}: {done.stdout}{done.stderr}{self.log()[-2000:]}"
        return done.stdout

    def log(self):
        path = self.folder / "vswitchd.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def vsctl(self, *words):
        return self._run("usr/bin/ovs-vsctl", f"--db={self.database}", f"--timeout={SECONDS}", *words)

    def appctl(self, *words):
        return self._run("usr/bin/ovs-appctl", f"--target={self.folder}/vswitchd.ctl", *words)

    def bridge(self, name, *ports):
        """A bridge that learns addresses, of network devices of the namespace."""
        words = ["add-br", name, "--", "set", "bridge", name, "datapath_type=netdev"]
        for port in ports:
            words += ["--", "add-port", name, port]
        self.vsctl(*words)
        for port in ports:
            assert self.interface(port, "error") == "[]", self.vsctl("list", "interface", port)

    def tunnel(self, bridge, name, remote, key):
        """A VXLAN port."""
        self.vsctl(
            "add-port", bridge, name, "--", "set", "interface", name, "type=vxlan", f"options:remote_ip={remote}",
            f"options:key={key}",
        )  # fmt: skip

    def interface(self, name, column):
        return self.vsctl("get", "interface", name, column).strip()

    def packets(self, bridge, port):
        """(received, sent) of a port. The database has them as well, but seconds old."""
        text = self._run("usr/bin/ovs-ofctl", "dump-ports", f"unix:{self.folder}/{bridge}.mgmt", port)
        return tuple(int(re.search(rf"\b{way} pkts=(\d+)", text)[1]) for way in ("rx", "tx"))

    def learned(self, bridge):
        """Addresses behind the ports of a bridge."""
        rows = self.appctl("fdb/show", bridge).splitlines()[1:]
        return {row.split()[2] for row in rows}
