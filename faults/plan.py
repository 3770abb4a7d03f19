"""The faults of one image in one pass, by number, and the runs with them."""

from __future__ import annotations

import bisect
import contextlib
import importlib
import os
import random
import traceback
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
UNIT = 512  #: bytes that one process takes on at a time
LINE = 32  #: bytes that are asked for at once whether anything looks at them


def describe(error: BaseException) -> str:
    """Return an exception and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = ", ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in frames[-3:])
    return f"{type(error).__name__}: {error} ({where})"[:400]


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
        self.seals = seals.Seals([]) if checks == "ignored" else seals.find(disks)
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
        self._pristine: tuple[object, ...] | None = None
        self.unforeseen: list[str] = []  #: failures with garbage, told by `looked_at` in passing
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
        piece = self._piece(number)
        index, which = divmod(number - piece.first, len(VALUES))
        byte = piece.data[index]
        values = [value(byte) for value in VALUES]
        if values[which] == byte or values[which] in values[:which]:
            return None
        return Fault(piece.place, piece.offset + index, values[which])

    def _piece(self, number: int) -> _Piece:
        index = bisect.bisect_right(self._pieces, number, key=lambda piece: piece.first) - 1
        return self._pieces[index]

    def units(self) -> list[range]:
        """Return all faults in stretches of UNIT bytes, for `looked_at`."""
        step = UNIT * len(VALUES)
        return [
            range(start, min(start + step, piece.first + len(piece.data) * len(VALUES)))
            for piece in self._pieces
            for start in range(piece.first, piece.first + len(piece.data) * len(VALUES), step)
        ]

    def looked_at(self, unit: range) -> Iterator[range]:
        """Yield the parts of a unit, down to LINE bytes, that pygrub looks at, or whose garbage fails."""
        if not self._is_seen(unit):
            return
        length = len(unit) // len(VALUES)
        if length <= LINE:
            yield unit
            return
        step = max(LINE, length // 8) * len(VALUES)
        for start in range(unit.start, unit.stop, step):
            yield from self.looked_at(range(start, min(start + step, unit.stop)))

    def _is_seen(self, part: range) -> bool:
        """Whether a run is another one with garbage in the place of bytes.

        Another one: it reads or copies something else, or its answer, a warning or an error differ.
        """
        piece = self._piece(part.start)
        offset = piece.offset + (part.start - piece.first) // len(VALUES)
        length = len(part) // len(VALUES)
        pristine = piece.data[offset - piece.offset :][:length]
        if self._pristine is None:
            self._pristine = self._trace()
        fills = [bytes([0xFF]) * length, bytes(byte ^ 0x81 for byte in pristine)]
        fills.append(random.Random(part.start).randbytes(length))  # noqa: S311
        for fill in fills:
            with self.changed(piece.place, offset, fill):
                try:
                    if self._trace() != self._pristine:
                        return True
                except Exception as error:  # noqa: BLE001  many faults at once, but a failure as well
                    what = f"{length} bytes at {piece.place}:{offset:#x} like {fill[:16].hex()}"
                    self.unforeseen.append(f"garbage, {what}: {describe(error)}")
                    return True
        return False

    def _trace(self) -> tuple[object, ...]:
        for disk in self.disks:
            disk.log = []
        try:
            return self.run.observed(), [disk.log for disk in self.disks]
        finally:
            for disk in self.disks:
                disk.log = None

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Have checksums be treated as this pass does."""
        with checksums.ignored() if self.checks == "ignored" else contextlib.nullcontext():
            yield

    def outcome(self, fault: Fault) -> str:
        """Boot with one fault; return what came of it in words, raise what must not come of it."""
        with self.changed(fault.place, fault.offset, bytes([fault.value])):
            return self.run.outcome(self.expected)

    @contextlib.contextmanager
    def changed(self, place: str, offset: int, data: bytes) -> Iterator[None]:
        """Have other bytes stand at a place, and the checksums that cover them be right."""
        if place.startswith("b"):
            with self._block_changed(self._keys[int(place[1:])], offset, data):
                yield
            return
        disk = self.disks[int(place[1:]) - 1]
        disk.patches = [(offset, data)]
        try:
            self.seals.mend(disk, offset, len(data))
            yield
        finally:
            disk.patches = []

    @contextlib.contextmanager
    def _block_changed(self, key: metadata.BlockKey, offset: int, new: bytes) -> Iterator[None]:
        block: Any = importlib.import_module("pybootcfg.filesystems.zfs.block")
        plain = block.BlockReader.read

        def read(self: Any, pointer: Any) -> bytes:
            data: bytes = plain(self, pointer)
            if pointer.dvas and metadata.block_key(pointer) == key:
                data = data[:offset] + new + data[offset + len(new) :]
            return data

        with checksums.replaced(block.BlockReader, "read", read):
            yield
