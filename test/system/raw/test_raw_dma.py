# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""DMA maps: ranges, rights and the descriptors that come with them."""

import errno
import os
import socket

import pytest

import vfio_user_client as vu
from vfio_user_client import PROT_READ, PROT_WRITE, dma_map_body, dma_unmap_body

PAGE = 4096
MB = 1 << 20


@pytest.fixture(name="file")
def fixture_file():
    fd = os.memfd_create("guest")
    os.ftruncate(fd, 16 * MB)
    yield fd
    os.close(fd)


def map_error(client, *args, fds=(), **options):
    return client.error(vu.DMA_MAP, dma_map_body(*args, **options), fds)


def unmap_error(client, *args, **options):
    return client.error(vu.DMA_UNMAP, dma_unmap_body(*args, **options))


def test_ranges_of_one_file_are_mapped_and_unmapped(client, file):
    client.dma_map(0, MB, file)
    client.dma_map(MB, MB, file, offset=4 * MB)
    client.dma_map(1 << 40, MB, file, offset=4 * MB, flags=PROT_READ)
    for iova in (0, MB, 1 << 40):
        client.dma_unmap(iova, MB)


def test_range_without_memory_is_taken(client):
    client.dma_map(0xc0000000, MB)
    client.dma_unmap(0xc0000000, MB)


@pytest.mark.parametrize("iova, size", [(0, MB), (MB // 2, MB), (0, 4 * MB), (PAGE, PAGE),
                                        (MB - PAGE, PAGE)])
def test_range_that_overlaps_another_is_refused(client, file, iova, size):
    client.dma_map(0, MB, file)
    assert map_error(client, iova, size, fds=[file]) == errno.EEXIST
    client.dma_unmap(0, MB)
    assert map_error(client, iova, size, fds=[file]) == 0, "the first one has gone"


@pytest.mark.parametrize("iova, size, offset", [
    (0, 0, 0),                                  # nothing
    (2**64 - PAGE, 2 * PAGE, 0),                # wraps
    (2**64 - MB, 2**64 - PAGE, 0),
    (PAGE, 2**64 - PAGE, 0),
    (0x800, PAGE, 0), (0, 0x800, 0), (0, PAGE, 0x10),  # not page-grained
    (0, MB, 2**63), (0, MB, 2**63 - PAGE), (0, MB, 2**64 - PAGE),
])
def test_impossible_range_is_refused(client, file, iova, size, offset):
    assert map_error(client, iova, size, offset, fds=[file]) == errno.EINVAL
    assert map_error(client, iova, size, offset) == errno.EINVAL, "without a file as well"


@pytest.mark.parametrize("size, offset", [(16 * MB + PAGE, 0), (PAGE, 16 * MB), (2 * PAGE,
                                          16 * MB - PAGE), (1 << 40, 0)])
def test_range_beyond_the_end_of_its_file_is_refused(client, file, size, offset):
    assert map_error(client, 0, size, offset, fds=[file]) == errno.EINVAL


@pytest.mark.parametrize("flags", [0, 4, 8, 0xffffffff])
def test_rights_that_make_no_sense_are_refused(client, file, flags):
    assert map_error(client, 0, MB, flags=flags, fds=[file]) == errno.EINVAL


@pytest.mark.parametrize("argsz", [0, 31, 33, 0xffffffff])
def test_map_with_a_wrong_argsz_is_refused(client, file, argsz):
    assert map_error(client, 0, MB, argsz=argsz, fds=[file]) == errno.EINVAL


@pytest.mark.parametrize("count", [2, 16])
def test_map_with_surplus_descriptors_is_refused(client, file, count):
    assert map_error(client, 0, MB, fds=[file] * count) == errno.EINVAL
    assert map_error(client, 0, MB, fds=[file]) == 0


def pipe_end():
    read, write = os.pipe()
    os.close(write)
    return read


def fifo(folder):
    os.mkfifo(folder + "/fifo")
    return os.open(folder + "/fifo", os.O_RDWR)


def regular_file(folder):
    fd = os.open(folder + "/file", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, MB)
    return fd


NO_MEMORY = {
    "folder": lambda _: os.open("/dev/shm", os.O_RDONLY | os.O_DIRECTORY),
    "pipe": lambda _: pipe_end(),
    "eventfd": lambda _: os.eventfd(0),
    "socket": lambda _: socket.socket(socket.AF_UNIX).detach(),
    "/dev/zero": lambda _: os.open("/dev/zero", os.O_RDWR),
    "/dev/null": lambda _: os.open("/dev/null", os.O_RDWR),
    "/proc file": lambda _: os.open("/proc/self/maps", os.O_RDONLY),
    "fifo": fifo,
    "O_PATH": lambda _: os.open("/dev/shm", os.O_PATH),
}


@pytest.mark.parametrize("kind", NO_MEMORY)
def test_descriptor_that_is_no_memory_is_refused(client, tmp_path, kind):
    fd = NO_MEMORY[kind](str(tmp_path))
    code = map_error(client, 0, PAGE, flags=PROT_READ, fds=[fd])
    os.close(fd)
    assert code == errno.EACCES


def test_file_on_a_disk_is_refused(client, tmp_path):
    folder = next((f for f in (str(tmp_path), "/var/tmp", os.getcwd())
                   if os.statvfs(f).f_fsid and not is_tmpfs(f)), None)
    if folder is None:
        pytest.skip("no folder here lies on a disk")
    fd = os.open(folder, os.O_TMPFILE | os.O_RDWR) if folder != str(tmp_path) \
        else regular_file(folder)
    os.ftruncate(fd, MB)
    assert map_error(client, 0, MB, fds=[fd]) == errno.EACCES
    os.close(fd)


def is_tmpfs(folder):
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        table = [(line.split()[4], line.split(" - ")[1].split()[0]) for line in mounts]
    real = os.path.realpath(folder)
    best = max((m for m in table if real == m[0] or real.startswith(m[0].rstrip("/") + "/")),
               key=lambda m: len(m[0]))
    return best[1] in ("tmpfs", "hugetlbfs", "ramfs")


@pytest.mark.parametrize("mode, flags, code", [
    (os.O_RDONLY, PROT_READ, 0),
    (os.O_RDONLY, PROT_WRITE, errno.EACCES),
    (os.O_RDONLY, PROT_READ | PROT_WRITE, errno.EACCES),
    (os.O_WRONLY, PROT_READ, errno.EACCES),
    (os.O_WRONLY, PROT_WRITE, errno.EACCES),
])
def test_descriptor_has_to_have_the_rights_of_the_range(client, file, mode, flags, code):
    limited = os.open(f"/proc/self/fd/{file}", mode)
    assert map_error(client, 0, MB, flags=flags, fds=[limited]) == code
    os.close(limited)


# --- unmap ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("iova, size", [(0, PAGE), (PAGE, MB - PAGE), (MB // 2, PAGE),
                                        (MB - PAGE, 2 * PAGE), (MB - PAGE, PAGE)])
def test_unmap_that_cuts_a_range_is_refused_and_changes_nothing(client, file, iova, size):
    client.dma_map(0, MB, file)
    assert unmap_error(client, iova, size) == errno.EINVAL
    assert map_error(client, 0, MB, fds=[file]) == errno.EEXIST, "the range is still there"
    client.dma_unmap(0, MB)


@pytest.mark.parametrize("iova, size, flags", [
    (0, 0, 0), (2**64 - PAGE, 2 * PAGE, 0), (PAGE, 2**64 - PAGE, 0), (0, 2**64 - 1, 4),
    (0, MB, 1), (0, MB, 0xffffffff), (0, MB, vu.UNMAP_ALL), (MB, 0, vu.UNMAP_ALL),
])
def test_impossible_unmap_is_refused(client, file, iova, size, flags):
    client.dma_map(0, MB, file)
    assert unmap_error(client, iova, size, flags) == errno.EINVAL
    client.dma_unmap(0, MB)


def test_unmap_of_nothing_leaves_the_rest(client, file):
    client.dma_map(0, MB, file)
    assert unmap_error(client, 4 * MB, MB) in (0, errno.ENOENT, errno.EINVAL)
    assert map_error(client, 0, MB, fds=[file]) == errno.EEXIST
    client.dma_unmap(0, MB)


def test_one_unmap_takes_all_ranges_that_lie_within(client, file):
    for n in range(4):
        client.dma_map(2 * n * MB, MB, file)
    client.dma_unmap(0, 8 * MB)
    for n in range(4):
        client.dma_map(2 * n * MB, MB, file)
    client.dma_unmap(0, 0, vu.UNMAP_ALL)
    client.dma_map(0, 16 * MB, file)


def test_unmap_all_of_nothing(client):
    client.dma_unmap(0, 0, vu.UNMAP_ALL)


def test_page_grained_maps_of_one_file(client, file):
    """What a guest with a virtual IOMMU makes QEMU send."""
    for page in range(1000):
        client.send(vu.DMA_MAP, dma_map_body(page * 2 * PAGE, PAGE, page * PAGE), [file])
        if page % 50 == 49:
            assert [client.receive().error for _ in range(50)] == [0] * 50
    for page in range(0, 1000, 2):
        client.dma_unmap(page * 2 * PAGE, PAGE)
    client.dma_unmap(0, 0, vu.UNMAP_ALL)


def test_maps_go_with_their_client(client, reconnect, file):
    client.dma_map(0, MB, file)
    client.close()
    assert map_error(reconnect(), 0, MB, fds=[file]) == 0


def test_number_of_files_is_bounded_and_said_so(client):
    codes = []
    for n in range(600):
        fd = os.memfd_create("small")
        os.ftruncate(fd, PAGE)
        codes.append(map_error(client, n * PAGE, PAGE, fds=[fd]))
        os.close(fd)
        if codes[-1]:
            break
    assert set(codes[:-1]) == {0}
    assert codes[-1] in (0, errno.ENOSPC)
    client.dma_unmap(0, 0, vu.UNMAP_ALL)
