"""The faults of one image in one pass, by number, and the runs with them."""

from __future__ import annotations

import contextlib
import importlib
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from faults import checksums, metadata, seals
from faults.boot import Run, Said
from faults.disk import MappedDisk

#: what a byte becomes
VALUES = (
    lambda _: 0x00,
    lambda _: 0x7F,
    lambda _: 0x80,
    lambda _: 0xFF,
    lambda byte: (byte + 1) & 0xFF,
    lambda byte: (byte - 1) & 0xFF,
)
PASSES = ("recomputed", "ignored")


class Fault(NamedTuple):
    """Byte `offset` of `place` (`d1`: the first disk, `b7`: a block of ZFS as decompressed) is `value`."""

    place: str
    offset: int
    value: int

    def __str__(self) -> str:
        return f"{self.place}:{self.offset:#x}:{self.value:#04x}"

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Return the fault that is written `d1:0x438:0x80`."""
        place, offset, value = text.split(":")
        return cls(place, int(offset, 0), int(value, 0))


class _Piece(NamedTuple):
    """Bytes that stand side by side, with the number of the first fault in them."""

    first: int
    place: str
    offset: int
    data: bytes


class Plan:
    """What can be done to the disks of one image; `expected` is what they give as they are."""

    def __init__(self, disks: Sequence[MappedDisk], checks: str) -> None:
        self.disks = disks
        self.checks = checks
        self.seals = seals.Seals(disks, []) if checks == "ignored" else seals.find(disks)
        found = metadata.read(disks)
        self._keys = list(found.blocks)
        self._pieces: list[_Piece] = []
        self.bytes = 0
        spans = found.spans + (found.block_spans if checks == "ignored" else [])
        for span in spans:
            data = disks[span.disk].map[span.start : span.stop]
            self._add(f"d{span.disk + 1}", span.start, data)
        if checks == "recomputed":
            for number, data in enumerate(found.blocks.values()):
                self._add(f"b{number}", 0, data)
        self.run = Run(disks)
        self.expected: Said | str = ""
        with self.active():
            self.expected = self.run.expected()

    def _add(self, place: str, offset: int, data: bytes) -> None:
        self._pieces.append(_Piece(self.total, place, offset, data))
        self.bytes += len(data)

    @property
    def total(self) -> int:
        """How many faults there are, those included that change nothing."""
        return self.bytes * len(VALUES)

    def close(self) -> None:
        """Close the files that copies go to."""
        self.run.close()

    def chosen(self, count: int | None, seed: int, name: str) -> Sequence[int]:
        """Return the numbers of `count` faults that `seed` chooses, of all with None."""
        if count is None or count >= self.total:
            return range(self.total)
        return sorted(random.Random(f"{seed} {name} {self.checks}").sample(range(self.total), count))  # noqa: S311

    def fault(self, number: int) -> Fault | None:
        """Return a fault by its number; None when it is none, or the same as one before it."""
        low, high = 0, len(self._pieces)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._pieces[middle].first <= number else (low, middle)
        piece = self._pieces[low]
        index, which = divmod(number - piece.first, len(VALUES))
        byte = piece.data[index]
        values = [value(byte) for value in VALUES]
        if values[which] == byte or values[which] in values[:which]:
            return None
        return Fault(piece.place, piece.offset + index, values[which])

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Have checksums be treated as this pass does."""
        with checksums.ignored() if self.checks == "ignored" else contextlib.nullcontext():
            yield

    def outcome(self, fault: Fault) -> str:
        """Boot with one fault; return what came of it in words, raise what must not come of it."""
        if fault.place.startswith("b"):
            with self._block_changed(self._keys[int(fault.place[1:])], fault):
                return self.run.outcome(self.expected)
        disk = self.disks[int(fault.place[1:]) - 1]
        disk.patches = [(fault.offset, bytes([fault.value]))]
        try:
            self.seals.mend(disk, fault.offset)
            return self.run.outcome(self.expected)
        finally:
            for each in self.disks:
                each.patches = []

    @contextlib.contextmanager
    def _block_changed(self, key: metadata.BlockKey, fault: Fault) -> Iterator[None]:
        block: Any = importlib.import_module("pybootcfg.filesystems.zfs.block")
        plain = block.BlockReader.read

        def read(self: Any, pointer: Any) -> bytes:
            data: bytes = plain(self, pointer)
            if pointer.dvas and metadata.block_key(pointer) == key:
                data = data[: fault.offset] + bytes([fault.value]) + data[fault.offset + 1 :]
            return data

        with checksums.replaced(block.BlockReader, "read", read):
            yield
