"""From an offset in a volume, a replayed file system or a file to the offset on the disk."""

from __future__ import annotations

from pybootcfg.filesystems.base import Extent, Node, Run
from pybootcfg.source import Overlay, Sectors, Source, Window
from pybootcfg.tracing import Field


def locate(field: Field, source: Source) -> None:
    """Turn offsets in a source into those on the disk; what lies there otherwise becomes `decoded`."""
    base: Source | None = source
    distance = 0
    while isinstance(base, Window):
        distance, base = distance + base.start, base.base
    if isinstance(base, (Overlay, Sectors)):
        _locate_each(field, source)
    else:
        field.move(distance)


def _locate_each(field: Field, source: Source) -> None:
    first = disk_offset(source, field.offset)
    last = disk_offset(source, field.offset + field.size - 1) if field.size else first
    if first is None or last is None or (field.size and last - first != field.size - 1):
        field.decoded = True
    for child in field.children:
        _locate_each(child, source)
    field.decoded = field.decoded or any(child.decoded for child in field.children)
    field.offset = field.offset if first is None else first


def disk_offset(source: Source, offset: int) -> int | None:
    """Return where a byte of a source lies on its disk; None for what is in memory only."""
    while True:
        if isinstance(source, Window):
            offset += source.start
            source = source.base
        elif isinstance(source, Sectors):
            offset, source = source.place(offset), source.base
        elif isinstance(source, Overlay):
            number, skip = divmod(offset, source.block_size)
            newer = source.blocks.get(number)
            if isinstance(newer, bytes):
                return None
            source, offset = source.base, offset if newer is None else newer + skip
        else:
            return offset


class FileMap:
    """Where the bytes of a file lie on the disk, by the first `count` of its runs."""

    def __init__(self, node: Node, count: int) -> None:
        self.runs: list[tuple[int, Run]] = []  #: with their offsets in the file
        self.complete = True
        position = 0
        for run in node.runs():
            if len(self.runs) == count:
                self.complete = False
                break
            self.runs.append((position, run))
            position += run.length

    def disk_offset(self, offset: int) -> int | None:
        """Return where byte `offset` of the file lies on the disk; None when it lies nowhere as it is."""
        for start, run in self.runs:
            if start <= offset < start + run.length and isinstance(run, Extent):
                return disk_offset(run.source, run.offset + offset - start)
        return None
