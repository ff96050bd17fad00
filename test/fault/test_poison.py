# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A descriptor that crashes whoever reads it costs its own device, nobody else's."""

import re

GUEST_MIB = 64
# Within the guest's memory, where nothing else lies (virtnet-fault begins at 4 GiB).
MAGIC = (1 << 32) + (GUEST_MIB << 20) - 4096
ALLOW_MS = 5000


def test_poisoned_device_is_quarantined_and_the_other_goes_on(new_lab, fault_build):
    lab = new_lab(build=fault_build, devices=2, environment={"VIRTNET_FAULT_MAGIC": hex(MAGIC)})
    lab.start_traffic(options=["--memory", GUEST_MIB])
    lab.group.standby()
    lab.generator.mark(ALLOW_MS)

    lab.generator.poison(0, MAGIC)

    assert lab.generator.wait_needs_reset() == 0
    event = lab.generator.settle(ALLOW_MS)
    event["devices"] = event["devices"][1:]
    lab.record.add(lab.name, "poison (the other device)", event, **lab.labels)
    lab.check(event, bursts=2)
    lab.all_there()
    log = lab.controller.log()
    assert len(re.findall(r"emu process \d+ died", log)) == 2, "the third process does not read it any more"


def test_quarantine_ends_with_a_reset(new_lab, fault_build):
    lab = new_lab(build=fault_build, environment={"VIRTNET_FAULT_MAGIC": hex(MAGIC)})
    lab.start_traffic(options=["--memory", GUEST_MIB])
    lab.group.standby()
    lab.generator.mark(ALLOW_MS)
    lab.generator.poison(0, MAGIC)
    lab.generator.wait_needs_reset()
    lab.generator.close()
    lab.generator = None

    lab.start_traffic(options=["--memory", GUEST_MIB])

    lab.stop_traffic()
