"""FAT images for the tests: opened, listed, and edited by what the specification says."""

from __future__ import annotations

import functools
import hashlib
import json
import lzma
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pybootcfg.filesystems import open_filesystem
from pybootcfg.filesystems.base import Extent, Filesystem, Hole, Node, Options
from pybootcfg.kind import Kind
from pybootcfg.source import MemorySource

CORPUS = Path(__file__).parent / "corpus" / "fat"


@functools.cache
def carried(name: str) -> bytes:
    """Return an image of tests/corpus/fat."""
    return lzma.decompress((CORPUS / f"{name}.img.xz").read_bytes())


def manifest(name: str) -> dict[str, Any]:
    """Return what was put into an image of tests/corpus/fat."""
    facts: dict[str, Any] = json.loads((CORPUS / f"{name}.json").read_text())
    return facts


def open_bytes(image: bytes | bytearray) -> Filesystem:
    """Open the file system that an image in memory holds."""
    filesystem = open_filesystem(MemorySource(bytes(image), "image"), Options())
    assert filesystem is not None, "not recognised"
    return filesystem


def contents(node: Node) -> bytes:
    """Read a file through its runs."""
    pieces = []
    for run in node.runs():
        if isinstance(run, Extent):
            pieces.append(run.source.read(run.offset, run.length))
        else:
            assert isinstance(run, Hole)
            pieces.append(bytes(run.length))
    return b"".join(pieces)


def listing(node: Node, above: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Yield the files below a directory: path, and size and sha256."""
    for name, child in node.entries():
        path = f"{above}/{name.decode('utf-8', 'surrogatepass')}"
        if child.kind is Kind.DIRECTORY:
            yield from listing(child, path)
        else:
            data = contents(child)
            assert len(data) == child.size
            yield path, [child.size, hashlib.sha256(data).hexdigest()]


class Disk:
    """A FAT image that can be edited; it knows the boot sector and nothing of our reader."""

    def __init__(self, image: bytes) -> None:
        self.image = bytearray(image)
        (self.sector, self.per_cluster, reserved, self.fats, root_entries) = struct.unpack_from(
            "<HBHBH", image, 11
        )
        (size16,) = struct.unpack_from("<H", image, 22)
        (size32,) = struct.unpack_from("<I", image, 36)
        self.bits = 32 if not size16 else 16
        self.cluster_size = self.sector * self.per_cluster
        self.fat_size = (size16 or size32) * self.sector
        self.fat = reserved * self.sector
        self.root = self.fat + self.fats * self.fat_size
        self.heap = self.root + root_entries * 32

    def cluster(self, number: int) -> int:
        """Return where a cluster lies."""
        return self.heap + (number - 2) * self.cluster_size

    def get(self, cluster: int) -> int:
        """Return the entry of FAT 1, for FAT16 and FAT32."""
        code = "<I" if self.bits == 32 else "<H"
        value: int = struct.unpack_from(code, self.image, self.fat + cluster * self.bits // 8)[0]
        return value

    def set(self, cluster: int, value: int, *copies: int) -> None:
        """Set the entry in all FATs, or in those named (from 0)."""
        code = "<I" if self.bits == 32 else "<H"
        for copy in copies or range(self.fats):
            place = self.fat + copy * self.fat_size + cluster * self.bits // 8
            struct.pack_into(code, self.image, place, value)

    def chain(self, cluster: int) -> list[int]:
        """Return the clusters of a chain."""
        clusters = []
        while 2 <= cluster < 0xFFF0 or (self.bits == 32 and 2 <= cluster < 0x0FFFFFF0):
            clusters.append(cluster)
            cluster = self.get(cluster)
        return clusters

    def slot(self, short: bytes) -> int:
        """Return where the directory entry with that short name lies."""
        place = self.image.find(short, self.root)
        while place >= 0 and ((place - self.heap) % 32 or self.image[place + 11] == 0x0F):
            place = self.image.find(short, place + 1)
        assert place >= 0, short
        return place

    def first(self, short: bytes) -> int:
        """Return the first cluster of the file with that short name."""
        place = self.slot(short)
        high, low = struct.unpack_from("<H4xH", self.image, place + 20)
        return int(high << 16 | low) if self.bits == 32 else int(low)

    def poke(self, place: int, code: str, value: int) -> None:
        """Write a number."""
        struct.pack_into(code, self.image, place, value)


def entry(name: bytes, attributes: int = 0x20, *, lower: int = 0, first: int = 0, size: int = 0) -> bytes:
    """Return a short directory entry of 2024-02-29 12:34:56."""
    date, time = 44 << 9 | 2 << 5 | 29, 12 << 11 | 34 << 5 | 56 // 2
    head = struct.pack("<11sBBBHHH", name, attributes, lower, 0, time, date, date)
    return head + struct.pack("<HHHHI", first >> 16, time, date, first & 0xFFFF, size)


def long_entries(name: str, short: bytes, *, checksum: int | None = None) -> list[bytes]:
    """Return the entries of a long name in the order of the disk."""
    if checksum is None:
        checksum = 0
        for byte in short:
            checksum = ((checksum >> 1 | checksum << 7) + byte) & 0xFF
    units = name.encode("utf-16-le", "surrogatepass")
    if len(units) % 26:
        units = (units + b"\0\0").ljust(-(-(len(units) + 2) // 26) * 26, b"\xff")
    pieces = [units[place : place + 26] for place in range(0, len(units), 26)]
    slots = []
    for number, piece in enumerate(pieces, 1):
        order = number | (0x40 if number == len(pieces) else 0)
        slots.append(
            struct.pack("<B10sBBB12sH4s", order, piece[:10], 0x0F, 0, checksum, piece[10:22], 0, piece[22:])
        )
    return slots[::-1]
