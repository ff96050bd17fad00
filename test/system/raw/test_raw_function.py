# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The PCI function: configuration space, BARs, MSI-X, resets, life of a connection."""

import os
import struct
import time

import pytest

import pci_config as pci
import vfio_user_client as vu
from pci_config import PciConfig
from virtio_driver import (CFG_COMMON, CFG_DEVICE, CFG_ISR, CFG_NOTIFY, CFG_PCI, F_MAC, F_VERSION_1,
                           Registers, wait_for)

QEMU_GIVES_UP_S = 5
READS_S = 1


def test_identity_is_that_of_a_modern_virtio_network_device(config):
    assert config.read16(0x00) == 0x1af4
    assert config.read16(0x02) == 0x1041
    assert config.read8(0x08) == 1
    assert config.read32(0x08) >> 8 == 0x020000
    assert config.read16(0x2c) == 0x1af4
    assert config.read16(0x2e) == 0x1041
    assert config.read8(0x0e) & 0x7f == 0


def test_capabilities_are_those_of_the_contract_of_virtio_and_pcie(config):
    kinds = [kind for kind, _ in config.capabilities()]
    assert {pci.CAP_PM, pci.CAP_EXP, pci.CAP_MSIX, pci.CAP_VENDOR} <= set(kinds)
    exp = config.capability(pci.CAP_EXP)
    assert config.read32(exp + pci.EXP_DEVCAP) & pci.DEVCAP_FLR
    config.extended_capabilities()


def test_virtio_structures_lie_in_their_bar(client):
    registers = Registers(client)
    for kind in (CFG_COMMON, CFG_NOTIFY, CFG_ISR, CFG_DEVICE):
        bar, offset, length = registers.where[kind]
        assert offset + length <= client.region_info(bar)[1]
    assert CFG_PCI in registers.where


@pytest.mark.parametrize("offset", [0x00, 0x02, 0x06, 0x08, 0x09, 0x0e, 0x2c, 0x2e, 0x34, 0x3d])
def test_read_only_registers_stay(config, offset):
    before = config.read(offset, 1)
    config.write(offset, b"\xff")
    config.write(offset, b"\x00")
    assert config.read(offset, 1) == before


def test_writing_everything_everywhere_keeps_the_identity(client, config):
    capabilities = config.capabilities()
    for offset in range(0, 4096, 64):
        config.write(offset, b"\xff" * 64)
    for offset in range(0, 4096, 64):
        config.write(offset, bytes(64))
    assert config.read32(0) == 0x10411af4
    assert config.capabilities() == capabilities
    client.reset()


@pytest.mark.parametrize("bar", range(6))
def test_bar_sizing_agrees_with_the_region(client, config, bar):
    _, size = client.region_info(bar)
    register = pci.BAR0 + 4 * bar
    config.write32(register, 0xffffffff)
    low = config.read32(register)
    if size == 0:
        return  # absent, or the upper half of the one before
    high = 0xffffffff
    if low & 0x7 == 0x4:
        config.write32(register + 4, 0xffffffff)
        high = config.read32(register + 4)
    mask = high << 32 | low & ~0xf
    assert (1 << 64) - mask == size
    config.write32(register, 0xfe000000)
    assert config.read32(register) & ~0xf == 0xfe000000


def test_msix_table_and_pba_have_a_bar_of_their_own(client, config):
    msix = config.capability(pci.CAP_MSIX)
    table, pba = config.read32(msix + 4), config.read32(msix + 8)
    count = config.msix_table_size()
    assert table & 7 == pba & 7
    assert table & 7 not in {bar for bar, _, _ in Registers(client).where.values()}
    _, size = client.region_info(table & 7)
    assert (table & ~7) + 16 * count <= size
    assert (pba & ~7) + (count + 63) // 64 * 8 <= size
    assert client.irq_info(vu.IRQ_MSIX)[1] == count


def test_msix_table_starts_masked_and_keeps_what_is_written(client, config):
    msix = config.capability(pci.CAP_MSIX)
    bar = config.read32(msix + 4) & 7
    last = 16 * (config.msix_table_size() - 1)
    assert client.read(bar, last + 12, 4) == b"\1\0\0\0"
    entry = struct.pack("<QII", 0xfee00000, 0x4041, 0)
    client.write(bar, last, entry)
    assert client.read(bar, last, 16) == entry
    client.reset()
    assert client.read(bar, last + 12, 4) == b"\1\0\0\0"


def test_function_level_reset_by_configuration_write(client, config):
    registers = Registers(client)
    config.enable()
    registers.set("device_status", 3)
    config.function_level_reset()
    assert registers.status() == 0
    assert config.read16(pci.COMMAND) & (pci.COMMAND_MASTER | pci.COMMAND_MEMORY) == 0
    exp = config.capability(pci.CAP_EXP)
    assert config.read16(exp + pci.EXP_DEVCTL) & pci.DEVCTL_FLR == 0, "reads as zero"


def test_device_reset_message(client, config):
    registers = Registers(client)
    config.enable()
    registers.set("device_status", 3)
    client.reset()
    assert registers.status() == 0
    assert config.read16(pci.COMMAND) & pci.COMMAND_MASTER == 0


def test_reset_storm(client, config):
    registers = Registers(client)
    for _ in range(50):
        registers.set("device_status", 3)
        client.reset()
        config.function_level_reset()
        registers.set("device_status", 0)
    assert registers.status() == 0


def test_new_connection_finds_a_fresh_device(client, reconnect):
    registers = Registers(client)
    registers.config.enable()
    registers.set("device_status", 3)
    registers.accept_features(F_VERSION_1 | F_MAC)
    registers.config.enable_msix()
    client.close()
    fresh = Registers(reconnect())
    assert fresh.status() == 0
    assert fresh.features("driver") == 0
    assert fresh.get("config_msix_vector") == 0xffff
    assert fresh.config.read16(pci.COMMAND) & pci.COMMAND_MASTER == 0
    msix = fresh.config.capability(pci.CAP_MSIX)
    assert fresh.config.read16(msix + 2) & pci.MSIX_ENABLE == 0


def test_forty_connections_in_a_row(client, reconnect):
    client.close()
    for _ in range(40):
        client = reconnect()
        assert PciConfig(client).read16(0) == 0x1af4
        client.close()


def test_registers_by_pci_configuration_access(client, config):
    """The way of a firmware that cannot map BARs (virtio 1.2, 4.1.4.9)."""
    registers = Registers(client)
    bar, offset, _ = registers.where[CFG_COMMON]
    config.write(registers.pci_cfg + 4, bytes([bar]))
    config.write32(registers.pci_cfg + 8, offset + 20)
    config.write32(registers.pci_cfg + 12, 1)
    config.write(registers.pci_cfg + 16, b"\1")
    assert registers.status() == 1
    assert config.read8(registers.pci_cfg + 16) == 1
    registers.reset()


@pytest.mark.parametrize("bar, offset, length", [
    (0, 2**32 - 1, 4), (0, 0x3fff, 4), (5, 0, 4), (255, 0, 4), (0, 0, 3), (0, 0, 0),
    (0, 0, 0xffffffff), (2, 0, 4), (0, 20, 4)])
def test_pci_configuration_access_to_nonsense_does_nothing(client, config, bar, offset, length):
    registers = Registers(client)
    config.write(registers.pci_cfg + 4, bytes([bar]))
    config.write32(registers.pci_cfg + 8, offset)
    config.write32(registers.pci_cfg + 12, length)
    config.write32(registers.pci_cfg + 16, 0x01010101)
    config.read32(registers.pci_cfg + 16)
    assert client.info()[1] >= 8
    registers.reset()


def test_device_configuration_shows_what_was_hotplugged(client, device):
    registers = Registers(client)
    assert registers.device_config(0, 6).hex(":").upper() == device.mac
    assert struct.unpack("<H", registers.device_config(8, 2))[0] == 2, "queue pairs"
    assert struct.unpack("<H", registers.device_config(10, 2))[0] == 1500, "MTU"
    assert registers.get("num_queues") == 5
    assert registers.features() & F_VERSION_1


@pytest.mark.parametrize("queue", [5, 6, 255, 0xffff])
def test_queue_that_is_not_there_has_size_zero(client, queue):
    registers = Registers(client)
    registers.set("queue_select", queue)
    assert registers.get("queue_size") == 0
    registers.set("queue_size", 64)
    registers.set("queue_enable", 1)
    assert registers.get("queue_enable") == 0


@pytest.mark.parametrize("size", [0, 3, 100, 512, 0x8000, 0xffff])
def test_queue_of_a_size_that_is_not_allowed_cannot_be_enabled(client, size):
    registers = Registers(client)
    registers.set("device_status", 3)
    registers.accept_features(F_VERSION_1)
    registers.set("device_status", 11)
    registers.set("queue_select", 0)
    registers.set("queue_size", size)
    for number, area in enumerate(("queue_desc", "queue_driver", "queue_device"), 1):
        registers.set(area, number << 20)
    registers.set("queue_enable", 1)
    assert registers.get("queue_enable") == 0
    registers.set("queue_size", 64)
    registers.set("queue_enable", 1)
    assert registers.get("queue_enable") == 1
    registers.reset()


@pytest.mark.parametrize("vector", [0x100, 0x7ff, 0xfffe])
def test_vector_that_is_not_there_is_refused_by_reading_back_no_vector(client, vector):
    registers = Registers(client)
    registers.set("config_msix_vector", vector)
    assert registers.get("config_msix_vector") == 0xffff
    registers.set("queue_select", 0)
    registers.set("queue_msix_vector", vector)
    assert registers.get("queue_msix_vector") == 0xffff


def test_doorbells_before_anything_is_set_up(client, lab):
    registers = Registers(client)
    bar, offset, length = registers.where[CFG_NOTIFY]
    for place in range(0, min(length, 64), 2):
        client.post(bar, offset + place, b"\0\0")
        client.post(bar, offset + place, b"\xff\xff")
    client.post(bar, offset + length - 4, bytes(4))
    assert client.info()[1] >= 8


def test_registers_are_answered_in_qemus_time_while_other_devices_come_and_go(client, config, lab):
    """QEMU gives a device up whose answer takes 5 s."""
    client.sock.settimeout(QEMU_GIVES_UP_S)
    end = time.monotonic() + READS_S
    with lab.others_come_and_go():
        while time.monotonic() < end:
            assert config.read16(0x00) == 0x1af4
            client.reset()
    client.sock.settimeout(vu.REPLY_TIMEOUT_S)


def test_client_that_goes_in_the_middle_of_a_reset(client, reconnect):
    registers = Registers(client)
    registers.set("device_status", 3)
    client.send(vu.DEVICE_RESET)
    client.close()
    assert Registers(reconnect()).status() == 0


def test_controller_shows_whether_a_driver_is_there(client, device, lab):
    registers = Registers(client)
    registers.config.enable()
    registers.set("device_status", 3)
    assert lab.controller.cli.device(device.id)["status"]["value"] == "0x3"
    registers.reset()
    assert lab.controller.cli.device(device.id)["status"]["value"] == "0x0"


def test_descriptors_of_a_connection_are_closed_with_it(client, reconnect, lab):
    client.close()
    reconnect().close()
    before = lab.descriptors()
    client = reconnect()
    memory = os.memfd_create("guest")
    os.ftruncate(memory, 1 << 20)
    client.dma_map(0, 1 << 20, memory)
    vector = os.eventfd(0)
    client.set_eventfds(vu.IRQ_MSIX, 0, [vector, vector])
    client.close()
    os.close(memory)
    os.close(vector)
    wait_for(lambda: lab.descriptors() <= before, "end of the descriptors")
