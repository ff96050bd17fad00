# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A device over vhost-user, message by message: what a client may ask, and what no client may."""

import errno
import mmap
import os
import random
import socket
import struct
import time

import pytest

from packet_socket import PacketSocket, frame
from vhost_driver import BASIC_FEATURES, VhostNet
from virtio_driver import GuestMemory, NothingCame, wait_for
from virtnet_test import vhost_user as vh
from virtnet_test.vhost_user import Client, Disconnected, Refused

MAC = "0C:C4:7A:FF:22:0A"
PAIRS = 2
BROADCAST = "ff:ff:ff:ff:ff:ff"
MIB = 1 << 20
CONNECT_TIMEOUT_S = 10


@pytest.fixture(name="vhost", scope="session")
def fixture_vhost():
    """The device by the controller that made it: one for all tests, as long as that lives."""
    return {}


@pytest.fixture(name="vdevice")
def fixture_vdevice(lab, vhost):
    if vhost.get("controller") is not lab.controller:
        vhost["device"] = lab.plug(MAC, "--transport", "vhost_user")
        vhost["controller"] = lab.controller
    return vhost["device"]


def connect(device, **options):
    """A client. While a former one is being cleaned up, a new one is turned away: try again."""
    give_up = time.monotonic() + CONNECT_TIMEOUT_S
    while True:
        client = Client(device.socket)
        try:
            return client.negotiate(**options)
        except (Disconnected, ConnectionError):
            client.close()
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)


@pytest.fixture(name="vclient")
def fixture_vclient(vdevice):
    client = connect(vdevice)
    yield client
    client.close()


@pytest.fixture(name="vdriver")
def fixture_vdriver(vclient):
    """Rings and buffers lie in two regions."""
    driver = VhostNet(vclient, GuestMemory(vclient), GuestMemory(vclient, iova=0x80000000))
    yield driver
    driver.close()


@pytest.fixture(name="vfar")
def fixture_vfar(lab, vdevice):
    far = PacketSocket(lab.controller.process.pid, vdevice.representor)
    far.drain()
    yield far
    far.close()


@pytest.fixture(name="memory")
def fixture_memory():
    fd = os.memfd_create("memory")
    os.ftruncate(fd, MIB)
    yield fd
    os.close(fd)


def serves(client):
    """The connection still works."""
    assert client.queue_pairs() == PAIRS


def both_ways(driver, far, device, tag=b"frame"):
    """A frame each way."""
    payload = tag + bytes(64)
    driver.send(frame(BROADCAST, payload))
    wait_for(lambda: (far.receive() or b"")[14:14 + len(payload)] == payload, "sent frame")
    driver.receives(lambda: far.send(frame(device.mac, payload)),
                    lambda data: data[14:14 + len(payload)] == payload)


# --- what a client may ask ------------------------------------------------------------------------


def test_features_are_those_of_the_device(vclient):
    features = vclient.features()
    assert features & BASIC_FEATURES == BASIC_FEATURES
    assert features & vh.F_LOG_ALL
    assert not features & 1 << 33, "there is no IOTLB"


def test_queues_are_counted_in_pairs(vclient):
    assert vclient.queue_pairs() == PAIRS


def test_configuration_is_the_devices(vclient, vdevice):
    assert vclient.config(0, 6) == bytes.fromhex(vdevice.mac.replace(":", ""))
    assert vclient.config(10, 2) == struct.pack("<H", 1500)
    assert vclient.config(200, 100) is None


def test_packets_go_both_ways(vdriver, vfar, vdevice):
    vdriver.start()
    both_ways(vdriver, vfar, vdevice)


@pytest.mark.parametrize("protocol", [
    0,
    vh.P_MQ | vh.P_REPLY_ACK,
    vh.P_MQ | vh.P_REPLY_ACK | vh.P_CONFIGURE_MEM_SLOTS,
    vh.P_MQ | vh.P_STATUS,
    vh.P_MQ | vh.P_REPLY_ACK | vh.P_CONFIGURE_MEM_SLOTS | vh.P_STATUS,
])
def test_packets_go_both_ways_whatever_was_agreed(vdevice, vfar, protocol):
    with connect(vdevice, protocol=protocol) as client:
        driver = VhostNet(client)
        driver.start()
        both_ways(driver, vfar, vdevice)
        driver.close()


def test_client_interrupts_are_its_own_eventfds(vdriver, vfar, vdevice):
    vdriver.start()
    both_ways(vdriver, vfar, vdevice)
    assert vdriver.interrupted(0) and vdriver.interrupted(1)


def test_ring_that_was_stopped_goes_on_where_it_stood(vdriver, vfar, vdevice):
    vdriver.start()
    for round_ in range(3):
        both_ways(vdriver, vfar, vdevice, b"round %d" % round_)
        for queue in (0, 1):
            base = vdriver.stop_ring(queue)
            assert base == vdriver.rings[queue].seen_idx if queue == 1 else True
            vdriver.start_ring(queue, base)
    both_ways(vdriver, vfar, vdevice)


def test_stopped_ring_is_not_touched(vdriver):
    vdriver.start()
    vdriver.send(frame(BROADCAST, bytes(64)))
    base = vdriver.stop_ring(1)
    before = vdriver.memory.read(vdriver.rings[1].used, 6 + 8 * 64)
    vdriver.post_frame(frame(BROADCAST, bytes(64)))
    time.sleep(0.1)
    assert vdriver.memory.read(vdriver.rings[1].used, 6 + 8 * 64) == before
    vdriver.start_ring(1, base)
    vdriver.wait_used(1, "frame that waited")


def test_guest_may_reset_as_often_as_it_likes(vdriver, vfar, vdevice):
    for _ in range(5):
        vdriver.start()
        both_ways(vdriver, vfar, vdevice)
        vdriver.stop()


def test_client_may_come_again(vdevice, vfar):
    for _ in range(5):
        with connect(vdevice) as client:
            driver = VhostNet(client)
            driver.start()
            both_ways(driver, vfar, vdevice)
            driver.close()


def test_memory_is_added_and_removed_under_running_rings(vdriver, vfar, vdevice, vclient, memory):
    vdriver.start()
    for _ in range(10):
        vclient.dma_map(0x100000000, MIB, memory)
        both_ways(vdriver, vfar, vdevice)
        vclient.dma_unmap(0x100000000, MIB)
        both_ways(vdriver, vfar, vdevice)


@pytest.mark.parametrize("gap_s", [0, 0.02], ids=["at once", "after a while"])
@pytest.mark.parametrize("part", ["buffers", "memory"], ids=["of packets", "of rings"])
def test_region_that_changes_under_running_rings(vdriver, vfar, vdevice, vclient, part, gap_s):
    """As QEMU changes a slot: it removes one and adds another, and the driver knows of neither."""
    vdriver.start()
    both_ways(vdriver, vfar, vdevice)
    region, fd = vclient.regions[getattr(vdriver, part).iova]
    for number in range(20):
        payload = b"in the gap %d " % number + bytes(64)
        vclient.remove_region(region)
        vdriver.post_frame(frame(BROADCAST, payload))
        vfar.send(frame(vdevice.mac, payload))
        time.sleep(gap_s)
        vclient.add_region(region, fd)
        vdriver.wait_used(1, "frame that was sent in the gap")
        wait_for(lambda: (vfar.receive() or b"")[14:14 + len(payload)] == payload, "frame from the gap")
        both_ways(vdriver, vfar, vdevice, b"after gap %d" % number)
        assert not vdriver.needs_reset()


def test_region_that_stays_away_costs_its_device_alone(vdriver, vfar, vdevice, vclient, lab):
    vdriver.start()
    both_ways(vdriver, vfar, vdevice)
    region, _ = vclient.regions[vdriver.buffers.iova]
    vclient.remove_region(region)
    vdriver.post_frame(frame(BROADCAST, bytes(64)))
    wait_for(vdriver.needs_reset, "the device to say that it has failed")
    lab.check()


@pytest.mark.parametrize("polled", [(0, 1), (0,), (1,)], ids=["both", "receive", "transmit"])
def test_ring_without_eventfds_is_polled(vclient, vfar, vdevice, polled):
    driver = VhostNet(vclient, polled=polled)
    driver.start()
    for number in range(10):
        both_ways(driver, vfar, vdevice, b"polled %d" % number)
        time.sleep(0.1)  # as long as others fall asleep in
    driver.close()


def test_polled_ring_without_buffers_gets_its_packets_when_it_has(vclient, vfar, vdevice):
    driver = VhostNet(vclient, polled=(0, 1))
    driver.start(rx_buffers=1)
    both_ways(driver, vfar, vdevice)
    vfar.send(frame(vdevice.mac, b"last" + bytes(64)))
    driver.wait_used(0)
    payload = b"early" + bytes(64)
    vfar.send(frame(vdevice.mac, payload))
    time.sleep(0.2)
    driver.fill(0, 4)
    assert driver.receive(wanted=lambda data: data[14:14 + len(payload)] == payload)
    driver.close()


def test_ring_may_get_its_eventfd_late(vclient, vfar, vdevice):
    driver = VhostNet(vclient, polled=(0, 1))
    driver.start()
    both_ways(driver, vfar, vdevice)
    driver.polled = ()
    for queue in (0, 1):
        vclient.set_vring_fd(vh.SET_VRING_KICK, queue, driver.kicks[queue])
        vclient.set_vring_fd(vh.SET_VRING_CALL, queue, driver.interrupts[queue])
    time.sleep(0.2)
    both_ways(driver, vfar, vdevice)
    assert driver.interrupted(0) and driver.interrupted(1)
    for queue in (0, 1):
        vclient.set_vring_fd(vh.SET_VRING_KICK, queue)
    time.sleep(0.2)
    both_ways(driver, vfar, vdevice)
    driver.close()


def test_same_table_again_disturbs_nobody(vdevice, vfar):
    with connect(vdevice, protocol=vh.P_MQ | vh.P_REPLY_ACK) as client:
        driver = VhostNet(client)
        driver.start()
        for _ in range(20):
            client.send_table()
            both_ways(driver, vfar, vdevice)
        driver.close()


def test_everything_that_is_written_is_logged(vdriver, vfar, vdevice, vclient):
    """A bit per page: a receive buffer's, and the used ring's where it is said to be."""
    log_fd = os.memfd_create("log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)  # it must not shrink
    os.ftruncate(log_fd, 1 << 17)
    log = mmap.mmap(log_fd, 1 << 17)
    vdriver.start()
    both_ways(vdriver, vfar, vdevice)
    vclient.set_log_base(log_fd, 1 << 17)
    vclient.set_features(vdriver.features | vh.F_LOG_ALL)
    used_page = 0x1234
    ring = vdriver.rings[0]
    vclient.set_vring_addr(0, ring.desc, ring.avail, ring.used, vh.VRING_F_LOG, used_page << 12)
    log[:] = bytes(len(log))
    both_ways(vdriver, vfar, vdevice)

    def dirty(page):
        return log[page // 8] >> page % 8 & 1
    assert dirty(used_page), "the used ring"
    first = vdriver.buffers.iova >> 12
    pages = range(first, first + (vdriver.buffers.size >> 12))
    assert any(dirty(page) for page in pages), "a receive buffer"
    assert sum(bin(byte).count("1") for byte in log[:]) < 50, "much more than was written"
    vclient.set_features(vdriver.features)
    log[:] = bytes(len(log))
    both_ways(vdriver, vfar, vdevice)
    assert not any(log[:]), "logged after its end"
    log.close()
    os.close(log_fd)


def test_surplus_client_is_sent_away(vclient, vdevice):
    with Client(vdevice.socket) as other:
        assert other.disconnected()
    serves(vclient)


# --- what no client may ---------------------------------------------------------------------------

FEATURES = vh.number(BASIC_FEATURES)
REFUSED = {
    "features that were not offered": (vh.SET_FEATURES, vh.number(1 << 33)),
    "protocol features that were not offered": (vh.SET_PROTOCOL_FEATURES, vh.number(1 << 8)),
    "features too short": (vh.SET_FEATURES, FEATURES[:7]),
    "features too long": (vh.SET_FEATURES, FEATURES + b"\0"),
    "ring that does not exist": (vh.SET_VRING_NUM, vh.vring_body(2 * PAIRS, 64)),
    "ring number of 32 bits": (vh.SET_VRING_NUM, vh.vring_body(0xffffffff, 64)),
    "ring of no entries": (vh.SET_VRING_NUM, vh.vring_body(0, 0)),
    "ring too large": (vh.SET_VRING_NUM, vh.vring_body(0, 0x10000)),
    "misaligned table": (vh.SET_VRING_ADDR, vh.addr_body(0, 8, 0, 0)),
    "misaligned available ring": (vh.SET_VRING_ADDR, vh.addr_body(0, 0, 0, 1)),
    "misaligned used ring": (vh.SET_VRING_ADDR, vh.addr_body(0, 0, 2, 0)),
    "unknown flags of a ring": (vh.SET_VRING_ADDR, vh.addr_body(0, 0, 0, 0, flags=2)),
    "enable with 2": (vh.SET_VRING_ENABLE, vh.vring_body(0, 2)),
    "kick without a descriptor": (vh.SET_VRING_KICK, vh.number(0)),
    "kick of a ring that does not exist": (vh.SET_VRING_KICK, vh.number(2 * PAIRS | vh.NOFD)),
    "status of 9 bits": (vh.SET_STATUS, vh.number(0x100)),
    "table of nine": (vh.SET_MEM_TABLE, vh.table_body([(0, MIB, 0, 0)] * 9)),
    "table without descriptors": (vh.SET_MEM_TABLE, vh.table_body([(0, MIB, 0, 0)])),
    "table that is cut short": (vh.SET_MEM_TABLE, vh.table_body([], count=1)),
    "table of 2^32 - 1": (vh.SET_MEM_TABLE, vh.table_body([], count=0xffffffff)),
    "removal of what is not there": (vh.REM_MEM_REG, vh.single_body((0, MIB, 0, 0))),
    "IOTLB": (vh.IOTLB_MSG, bytes(32)),
    "byte order": (vh.SET_VRING_ENDIAN, vh.vring_body(0, 1)),
    "inflight region": (vh.SET_INFLIGHT_FD, bytes(24)),
    "kick in band": (vh.VRING_KICK, vh.vring_body(0)),
    "no request": (0, b""),
    "unknown request": (1000, b""),
    "small MTU": (vh.NET_SET_MTU, vh.number(1)),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_and_told(vclient, what):
    request, body = REFUSED[what]
    assert vclient.status_of(request, body) != 0
    serves(vclient)


@pytest.mark.parametrize("what", [what for what in REFUSED if what != "small MTU"])
def test_who_cannot_be_told_is_disconnected(vclient, what):
    request, body = REFUSED[what]
    vclient.send(request, body)
    assert vclient.disconnected()


REGIONS = {
    "empty": (0, 0, 0, 0),
    "larger than its file": (0, MIB + 1, 0, 0),
    "past the end of its file": (0, MIB, 0, 1),
    "wrapping offset": (0, MIB, 0, 2**64 - MIB),
    "negative offset": (0, MIB, 0, 2**63),
    "wrapping guest address": (2**64 - 4096, MIB, 0, 0),
    "wrapping user address": (0, MIB, 2**64 - 4096, 0),
    "wrapping everything": (2**64 - 1,) * 4,
}


@pytest.mark.parametrize("what", REGIONS)
def test_region_that_cannot_be(vclient, memory, what):
    region = REGIONS[what]
    assert vclient.status_of(vh.ADD_MEM_REG, vh.single_body(region), (memory,)) == errno.EINVAL
    assert vclient.status_of(vh.SET_MEM_TABLE, vh.table_body([region]), (memory,)) == errno.EINVAL
    serves(vclient)


def test_regions_that_overlap(vclient, memory):
    one, other = (0, MIB, 0, 0), (MIB - 4096, MIB, 1 << 40, 0)
    assert vclient.status_of(vh.SET_MEM_TABLE, vh.table_body([one, other]), (memory, memory)) != 0
    vclient.add_region(one, memory)
    with pytest.raises(Refused):
        vclient.add_region(other, memory)
    serves(vclient)


def test_file_that_shrinks_costs_its_device_alone(vdriver, vfar, vdevice, lab):
    vdriver.start()
    both_ways(vdriver, vfar, vdevice)
    os.ftruncate(vdriver.buffers.fd, 0)
    try:
        vfar.send(frame(vdevice.mac, bytes(64)))
        time.sleep(0.2)
    except NothingCame:
        pass
    lab.check()


@pytest.mark.parametrize("header", [
    (vh.GET_FEATURES, 0, 0),
    (vh.GET_FEATURES, 2, 0),
    (vh.GET_FEATURES, vh.VERSION | vh.F_REPLY, 0),
    (vh.GET_FEATURES, vh.VERSION, 0xffffffff),
    (vh.GET_FEATURES, vh.VERSION, 4096),
])
def test_impossible_header_ends_the_connection(vclient, header):
    vclient.send_raw(vh.HEADER.pack(*header))
    assert vclient.disconnected()


def test_descriptors_that_nobody_wants_are_closed(vdevice, lab, memory):
    with connect(vdevice) as client:
        before = lab.descriptors()
        for _ in range(50):
            assert client.status_of(vh.SET_FEATURES, FEATURES, (memory,) * 8) != 0
            assert client.status_of(vh.SET_VRING_CALL, vh.number(0), (memory,)) != 0
        assert lab.descriptors() == before


def test_descriptors_that_replace_others_replace_them(vdevice, lab):
    event = os.eventfd(0)
    with connect(vdevice) as client:
        for _ in range(3):
            for request in vh.SET_VRING_KICK, vh.SET_VRING_CALL, vh.SET_VRING_ERR:
                client.set_vring_fd(request, 0, event)
        before = lab.descriptors()
        for _ in range(100):
            for request in vh.SET_VRING_KICK, vh.SET_VRING_CALL, vh.SET_VRING_ERR:
                client.set_vring_fd(request, 0, event)
        wait_for(lambda: lab.descriptors() <= before, "descriptors to be closed")
    os.close(event)


@pytest.mark.parametrize("kind", ["pipe", "socket", "file"])
def test_descriptor_that_could_hold_us_up_ends_the_connection(vclient, kind):
    fds = {"pipe": os.pipe, "socket": lambda: [end.detach() for end in socket.socketpair()],
           "file": lambda: [os.open("/proc/self/maps", os.O_RDONLY)]}[kind]()
    vclient.send(vh.SET_LOG_FD, b"", fds[:1])
    assert vclient.disconnected()
    for fd in fds:
        os.close(fd)


def test_client_that_dies_in_the_middle_of_a_message(vdevice):
    whole = vh.HEADER.pack(vh.SET_FEATURES, vh.VERSION, 8) + FEATURES
    for cut in range(1, len(whole)):
        with connect(vdevice) as client:
            client.send_raw(whole[:cut])
    with connect(vdevice) as client:
        serves(client)


def test_rings_in_impossible_order(vclient, memory):
    """Started before memory, before features, twice, without an address; stopped before started."""
    vclient.send(vh.SET_VRING_KICK, vh.number(0 | vh.NOFD))
    assert vclient.get_vring_base(0) == 0
    assert vclient.get_vring_base(0) == 0
    vclient.set_vring_num(1, 64)
    vclient.set_vring_fd(vh.SET_VRING_KICK, 1)
    assert vclient.status_of(vh.SET_VRING_ADDR, vh.addr_body(1, 0, 0, 0)) != 0
    vclient.add_region((0, MIB, vh.USER, 0), memory)
    assert vclient.status_of(vh.SET_VRING_ADDR, vh.addr_body(1, 0, 0, 0)) != 0
    vclient.set_features(BASIC_FEATURES)
    serves(vclient)


def test_ring_that_is_started_stays_as_it_is(vdriver, vclient, vfar, vdevice):
    vdriver.start()
    assert vclient.status_of(vh.SET_VRING_NUM, vh.vring_body(1, 32)) != 0
    assert vclient.status_of(vh.SET_VRING_BASE, vh.vring_body(1, 7)) != 0
    assert vclient.status_of(vh.SET_VRING_ADDR, vh.addr_body(1, vh.USER, vh.USER, vh.USER)) != 0
    assert vclient.status_of(vh.SET_FEATURES, vh.number(vh.F_PROTOCOL_FEATURES)) != 0
    both_ways(vdriver, vfar, vdevice)


def test_random_messages(vdevice, memory):
    rnd = random.Random(20260103)
    for _ in range(150):
        client = connect(vdevice, protocol=vh.P_MQ | vh.P_REPLY_ACK | vh.P_STATUS)
        try:
            for _ in range(rnd.randrange(20)):
                size = rnd.choice((0, 8, 8, 16, 40, 40, 72))
                words = [rnd.choice((0, 1, 2, 3, 64, 4096, MIB, rnd.getrandbits(32), 0xffffffff))
                         for _ in range(size // 4)]
                client.send(rnd.randrange(42), struct.pack(f"<{len(words)}I", *words),
                            (memory,) * rnd.choice((0, 0, 1, 1, 2, 9)),
                            flags=vh.VERSION | rnd.choice((0, vh.F_NEED_REPLY)))
        except ConnectionError:
            pass
        client.close()
    with connect(vdevice) as client:
        serves(client)
