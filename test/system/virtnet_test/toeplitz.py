# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The Toeplitz function, for what a device reports to be held against."""


def toeplitz(key, data):
    """By the book: for each bit that is set, the key's 32 bits from there on."""
    number, size = int.from_bytes(key, "big"), 8 * len(key)
    value = 0
    for at in range(8 * len(data)):
        if data[at // 8] & 0x80 >> at % 8:
            value ^= number >> (size - 32 - at) & 0xFFFFFFFF
    return value
