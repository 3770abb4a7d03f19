"""Which bytes of a guest's disks a run of pygrub looks at, other than the contents of kernel and ramdisk.

The text of configurations counts: what a boot loader runs is metadata here.  So do blocks of ZFS as they
are after decompression, for the contents of a block are what an attacker makes first.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from faults.boot import Run
from faults.checksums import replaced
from faults.disk import MappedDisk, Witness
from pybootcfg.boot import Request, find_boot
from pybootcfg.errors import BootcfgError
from pybootcfg.filesystems.base import Extent, Options
from pybootcfg.guest import Guest
from pybootcfg.places.addresses import disk_offset

_LABEL = 512  # bytes of a SPARC label, which is looked for in what was read ahead

#: name of a block of ZFS: its places and its size
BlockKey = tuple[Any, ...]


class Span(NamedTuple):
    """Bytes `start` to `stop` of disk `disk` that are read."""

    disk: int
    start: int
    stop: int


class Metadata(NamedTuple):
    """What is read: spans of the disks, apart those of blocks of ZFS; and these blocks decompressed."""

    spans: list[Span]
    block_spans: list[Span]
    blocks: dict[BlockKey, bytes]


class Contents(NamedTuple):
    """What holds the contents of kernel and ramdisk."""

    spans: list[Span]
    blocks: set[BlockKey]


def block_key(pointer: Any) -> BlockKey:
    """Return what names the block that a pointer of ZFS points at."""
    return (*((dva.vdev, dva.offset) for dva in pointer.dvas), pointer.lsize)


def read(disks: Sequence[MappedDisk]) -> Metadata:
    """Boot disks without a fault and return what was read for it."""
    contents = _contents(disks)
    plain, in_blocks = _Reads(len(disks)), _Reads(len(disks))
    blocks: dict[BlockKey, bytes] = {}
    run = Run(disks)
    witness = plain.add
    with _table_ahead_unseen(witness), _blocks_seen(disks, contents, in_blocks, blocks):
        for disk in disks:
            disk.witness = witness
        try:
            with contextlib.suppress(BootcfgError):
                run.boot()
        finally:
            for disk in disks:
                disk.witness = None
            run.close()
    return Metadata(plain.spans(contents.spans), in_blocks.spans(contents.spans), blocks)


class _Reads:
    """Reads of disks as they come."""

    def __init__(self, disks: int) -> None:
        self._found: list[list[tuple[int, int]]] = [[] for _ in range(disks)]

    def add(self, disk: int, offset: int, length: int) -> None:
        """Note a read."""
        self._found[disk].append((offset, offset + length))

    def spans(self, less: list[Span]) -> list[Span]:
        """Return all that was read, less the given spans."""
        return [
            Span(disk, start, stop)
            for disk, pieces in enumerate(self._found)
            for start, stop in _without(_joined(pieces), less, disk)
        ]


def _contents(disks: Sequence[MappedDisk]) -> Contents:
    """Return where the contents of what boots lie."""
    spans: list[Span] = []
    blocks: set[BlockKey] = set()
    try:
        guest = Guest.of_sources(disks, options=Options())
        boot = find_boot(guest, Request())
    except BootcfgError:
        return Contents([], set())
    for file in (boot.kernel, *boot.initrds):
        node: Any = guest.node(file)
        if hasattr(node, "dnode"):
            blocks |= {block_key(span.pointer) for span in node.dnode.spans(node.size) if span.pointer}
            continue
        base = guest.volume(file.volume).disk.source
        for run in node.runs():
            if isinstance(run, Extent):
                at = disk_offset(run.source, run.offset)
                if at is not None:
                    spans += [Span(disk.number, at, at + run.length) for disk in disks if disk is base]
    return Contents(spans, blocks)


@contextlib.contextmanager
def _table_ahead_unseen(witness: Witness) -> Iterator[None]:
    """Count of what is read ahead for partition tables only what is looked at."""
    table: Any = importlib.import_module("pybootcfg.volumes.table")
    ahead: Any = table._Ahead

    class Ahead(ahead):  # type: ignore[misc]
        def __init__(self, base: MappedDisk) -> None:
            base.witness = None
            super().__init__(base)
            base.witness = witness
            witness(base.number, 0, min(_LABEL, base.size))

        def _read(self, offset: int, length: int) -> bytes:
            if offset + length <= len(self.head):
                witness(self.base.number, offset, length)
            data: bytes = super()._read(offset, length)
            return data

    with replaced(table, "_Ahead", Ahead):
        yield


@contextlib.contextmanager
def _blocks_seen(
    disks: Sequence[MappedDisk], contents: Contents, reads: _Reads, blocks: dict[BlockKey, bytes]
) -> Iterator[None]:
    """Note the blocks of ZFS that are read and where they lie, but not contents."""
    block: Any = importlib.import_module("pybootcfg.filesystems.zfs.block")
    plain = block.BlockReader.read

    def read(self: Any, pointer: Any) -> bytes:
        key = block_key(pointer)
        is_contents = key in contents.blocks
        seeing = [disk.witness for disk in disks]
        for disk in disks:
            disk.witness = None if is_contents else reads.add
        try:
            data: bytes = plain(self, pointer)
        finally:
            for disk, witness in zip(disks, seeing, strict=True):
                disk.witness = witness
        if not (is_contents or pointer.hole or pointer.embedded is not None):
            blocks[key] = data
        return data

    with replaced(block.BlockReader, "read", read):
        yield


def _joined(pieces: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield pieces in order, those that touch each other as one."""
    start = stop = -1
    for first, last in sorted(pieces):
        if first > stop:
            if stop > start:
                yield start, stop
            start, stop = first, last
        stop = max(stop, last)
    if stop > start:
        yield start, stop


def _without(pieces: Iterator[tuple[int, int]], taken: list[Span], disk: int) -> Iterator[tuple[int, int]]:
    """Yield the pieces less the spans of that disk."""
    holes = list(_joined([(span.start, span.stop) for span in taken if span.disk == disk]))
    for start, stop in pieces:
        for first, last in holes:
            if first < stop and start < last:
                if start < first:
                    yield start, first
                start = max(start, last)
        if start < stop:
            yield start, stop
