"""Puts files into an empty exFAT volume made by mkfs.exfat, from the specification alone.

It is for the tests: fsck.exfat, GRUB and sleuthkit judge what it writes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

DIRECTORY = 0x10
NO_FAT_CHAIN = 0x02
STAMP = (2024 - 1980) << 25 | 2 << 21 | 29 << 16 | 12 << 11 | 34 << 5 | 56 // 2  # 2024-02-29 12:34:56


class Volume:
    """An exFAT volume under construction, whole in memory."""

    def __init__(self, image: bytes) -> None:
        self.image = bytearray(image)
        fat, _, heap, self.clusters, root = struct.unpack_from("<5I", image, 80)
        sector, cluster = image[108], image[109]
        self.cluster_size = 1 << sector + cluster
        self.fat, self.heap = fat << sector, heap << sector
        self.root = root
        self.bitmap, self.upcase = 0, {}
        for place in range(self.offset(root), self.offset(root) + self.cluster_size, 32):
            kind, start, length = image[place], *struct.unpack_from("<IQ", image, place + 20)
            if kind == 0x81:
                self.bitmap = self.offset(start)
            elif kind == 0x82:
                self.upcase = self._table(self.image[self.offset(start) : self.offset(start) + length])
        self.free = next(n for n in range(2, self.clusters) if not self._used(n))

    def offset(self, cluster: int) -> int:
        """Return where a cluster lies."""
        return self.heap + (cluster - 2) * self.cluster_size

    def fill(self, tree: Mapping[str, Any]) -> None:
        """Write a tree of names into the root; a value is a dict for a directory, else (contents, option...).

        Options: "chain" for a fragmented file with a FAT chain, ("valid", n) for the valid data length.
        """
        start = self.offset(self.root)
        while self.image[start]:
            start += 32  # after what mkfs.exfat left
        self._write(start, self._sets(tree))

    def _sets(self, tree: Mapping[str, Any]) -> bytes:
        return b"".join(self._entry_set(name, value) for name, value in tree.items())

    def _write(self, start: int, data: bytes) -> None:
        self.image[start : start + len(data)] = data

    def _entry_set(self, name: str, value: Any) -> bytes:
        attributes, flags, valid = 0x20, 1 | NO_FAT_CHAIN, None
        if isinstance(value, dict):
            sets = self._sets(value)
            data = sets.ljust(-(-len(sets) // self.cluster_size) * self.cluster_size, b"\0")
            first = self._allocate(len(data) // self.cluster_size)
            self._write(self.offset(first), data)
            attributes = DIRECTORY
        else:
            data, *options = value
            count = -(-len(data) // self.cluster_size)
            valid = next((option[1] for option in options if option != "chain"), None)
            if "chain" in options:
                flags &= ~NO_FAT_CHAIN
                first = self._fragmented(data, count)
            else:
                first = self._allocate(count) if count else 0
                if count:
                    self._write(self.offset(first), data)
        flags = flags if first else 0
        units = name.encode("utf-16-le")
        length = len(units) // 2
        pieces = [units[place : place + 30].ljust(30, b"\0") for place in range(0, len(units), 30)]
        stream = struct.pack(
            *("<BBxBHHQIIQ", 0xC0, flags, length, self._hash(name), 0),
            *(len(data) if valid is None else valid, 0, first, len(data)),
        )
        names = b"".join(b"\xc1\0" + piece for piece in pieces)
        file = struct.pack(
            *("<BBHHHIIIBBBBB7x", 0x85, 1 + len(pieces), 0, attributes, 0),
            *(STAMP, STAMP, STAMP, 0, 0, 0x84, 0x84, 0x84),  # an hour east of Greenwich
        )
        whole = bytearray(file + stream + names)
        checksum = 0
        for place, byte in enumerate(whole):
            if place not in (2, 3):
                checksum = ((checksum >> 1 | checksum << 15) + byte) & 0xFFFF
        struct.pack_into("<H", whole, 2, checksum)
        return bytes(whole)

    def _hash(self, name: str) -> int:
        total = 0
        units = struct.iter_unpack("<H", name.encode("utf-16-le"))
        for byte in b"".join(struct.pack("<H", self.upcase.get(unit, unit)) for (unit,) in units):
            total = ((total >> 1 | total << 15) + byte) & 0xFFFF
        return total

    def _fragmented(self, data: bytes, count: int) -> int:
        clusters = []
        for number in range(count):
            clusters.append(self._allocate(1))
            self.free += number % 3  # leave gaps
        for number, cluster in enumerate(clusters):
            piece = data[number * self.cluster_size :][: self.cluster_size]
            self._write(self.offset(cluster), piece)
            following = clusters[number + 1] if number + 1 < count else 0xFFFFFFFF
            struct.pack_into("<I", self.image, self.fat + 4 * cluster, following)
        return clusters[0]

    def _allocate(self, count: int) -> int:
        first = self.free
        self.free += count
        for cluster in range(first, self.free):
            self.image[self.bitmap + (cluster - 2) // 8] |= 1 << (cluster - 2) % 8
        return first

    def _used(self, cluster: int) -> bool:
        return bool(self.image[self.bitmap + (cluster - 2) // 8] >> (cluster - 2) % 8 & 1)

    @staticmethod
    def _table(data: bytes) -> dict[int, int]:
        table, code = {}, 0
        units = [unit for (unit,) in struct.iter_unpack("<H", data)]
        while units:
            unit = units.pop(0)
            if unit == 0xFFFF:
                code += units.pop(0) if units else 1
            else:
                table[code] = unit
                code += 1
        return table
