# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Labs whose VMs reach their devices over vhost-user, and what QEMU's command line says for it."""

from .controller import Controller

# Behind no root port: the VM has its device from the start.
SLOT = 0x10
RECONNECT_MS = 200


def vhost_device(sock, mac, pairs=1, listen=False, slot=SLOT, **properties):
    """QEMU's arguments for a virtio-net device at that vhost-user socket.

    listen: QEMU listens there, the controller connects; otherwise QEMU connects, and does so again when the
    connection has ended. properties are those of virtio-net-pci.
    """
    ident = f"vhost{slot}"
    role = "server=on" if listen else f"reconnect-ms={RECONNECT_MS}"
    words = {"netdev": ident, "bus": "pcie.0", "addr": hex(slot), "mac": mac, "disable-legacy": "on", "romfile": ""}
    if pairs > 1:
        words.update({"mq": "on", "vectors": 2 * pairs + 2})
    words.update(properties)
    return [
        "-chardev", f"socket,id=chr-{ident},path={sock},{role}",
        "-netdev", f"vhost-user,id={ident},chardev=chr-{ident},queues={pairs}",
        "-device", ",".join(["virtio-net-pci", *(f"{name}={value}" for name, value in words.items())]),
    ]  # fmt: skip


class VhostController(Controller):
    """Its devices' transport is vhost-user; VMs are none of its business."""

    mode = "server"

    def default_config(self, hosts):
        config = super().default_config(hosts)
        config["platform"].update({"emu": "vhost_user", "vhost_mode": self.mode})
        return config


class ConnectingController(VhostController):
    """It connects to sockets on which hypervisors listen."""

    mode = "client"

    def stop(self):
        """Sockets are the hypervisors': a VM that was killed leaves its own behind."""
        for sock in self.folder.glob("*VNET*.sock"):
            sock.unlink()
        super().stop()
