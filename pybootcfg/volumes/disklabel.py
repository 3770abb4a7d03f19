"""BSD disklabels: the partitions inside an MBR slice, or on a whole disk.

Offsets count from the start of the disk, except that FreeBSD's newer tools write them relative to
the slice.  Partition `c`, which stands for the whole slice, tells which; where it does not, that
reading wins by which more partitions lie within the slice.
"""

from __future__ import annotations

import functools
import operator

from pybootcfg import schema
from pybootcfg.errors import ImageError
from pybootcfg.schema import Decoder
from pybootcfg.source import Source
from pybootcfg.structures import Checked, Structure
from pybootcfg.values import TYPE_CHECKING, NamedTuple
from pybootcfg.volumes.base import Partition, Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

layout = schema.load("disklabel")
mbr = schema.load("mbr")

_OPENBSD = f"0x{mbr.OPENBSD:02x}"
_NETBSD = f"0x{mbr.NETBSD:02x}"

_HEAD_SIZE = 8192  # bytes of a slice in which its label is looked for


class _Label(NamedTuple):
    record: Any
    entries: tuple[Any, ...]
    entry_decoder: Decoder
    decoder: Decoder
    offset: int  # bytes on the disk
    wide: bool  # OpenBSD's, with the high words of offsets and sizes

    def extent(self, entry: Any) -> tuple[int, int]:
        """Return (offset, size) in sectors of the label."""
        if self.wide:
            return entry.p_offset | entry.p_offseth << 32, entry.p_size | entry.p_sizeh << 32
        return entry.p_offset, entry.p_size

    def checksum(self, source: Source, offset: int) -> dict[str, int]:
        """Return what the checksum of the label at `offset` should be."""
        word = layout.word.big if self.decoder.order == ">" else layout.word.little
        size = self.decoder.size + len(self.entries) * self.entry_decoder.size
        words = word.array(source.read(offset, size), size // word.size)
        return {"d_checksum": functools.reduce(operator.xor, words, self.record.d_checksum)}


def expand(source: Source, slice_: Partition, sector_size: int, prefix: str, table: Table) -> list[Partition]:
    """Return the partitions that a label in `slice_` describes; none when there is no label.

    The whole-slice and unused ones are left out, and so are those that lie outside the slice: NetBSD
    and OpenBSD list other slices' partitions there for convenience.
    """
    label = _find(source, slice_, sector_size, table)
    if label is None:
        return []
    unit = label.record.d_secsize
    if unit not in (512, 1024, 2048, 4096):
        table.warnings.append(
            f"the disklabel at byte {label.offset:#x} has sectors of {unit} bytes; not believed"
        )
        unit = sector_size
    used = [
        (index, entry, *label.extent(entry))
        for index, entry in enumerate(label.entries)
        if _used(label, entry)
    ]
    base = _base(slice_, unit, label, [(offset, size) for _, _, offset, size in used])
    found = []
    for index, entry, offset, size in used:
        start, length = base + offset * unit, size * unit
        if _is_raw(index, start, length, slice_):
            continue
        if start < slice_.start or start >= slice_.end:
            letter = chr(ord("a") + index)
            table.warnings.append(
                f"partition {letter} of the disklabel at {label.offset:#x} is not in its slice"
            )
            continue
        found.append(_partition(index, entry, start, length, slice_))
    if found:
        table.structures.extend(_structures(label, prefix))
    return found


def _find(source: Source, slice_: Partition, sector_size: int, table: Table) -> _Label | None:
    if slice_.start >= source.size:
        return None
    head = source.read(slice_.start, min(_HEAD_SIZE, slice_.size, source.size - slice_.start), "disklabel")
    for offset in dict.fromkeys((layout.LABEL_SECTOR * sector_size, *layout.LABEL_OFFSETS)):
        for order in ("little", "big"):
            label = _decode(head, offset, slice_, order, table)
            if label:
                return label
    return None


def _decode(head: bytes, offset: int, slice_: Partition, order: str, table: Table) -> _Label | None:
    """Return the label at `offset` of the slice, None when there is none in this byte order."""
    plain: Decoder = getattr(layout.disklabel, order)
    openbsd: Decoder = getattr(layout.openbsd_disklabel, order)
    at = slice_.start + offset
    try:
        record = plain.decode(head, offset, at=at - offset)
    except ImageError:
        return None
    wide = slice_.type == _OPENBSD and openbsd.decode(head, offset).d_version > 0
    decoder = openbsd if wide else plain
    entry_decoder: Decoder = getattr(layout.openbsd_partition if wide else layout.partition, order)
    count = record.d_npartitions
    end = offset + decoder.size + count * entry_decoder.size
    if count > layout.MAXPARTITIONS or end > len(head):
        table.warnings.append(f"the disklabel at byte {at:#x} claims {count} partitions and is not believed")
        return None
    words = getattr(layout.word, order).array(head, (end - offset) // 2, offset)
    if functools.reduce(operator.xor, words):
        table.warnings.append(f"the checksum of the disklabel at byte {at:#x} is wrong")
    entries = entry_decoder.array(head, count, offset + decoder.size)
    return _Label(record, entries, entry_decoder, decoder, at, wide)


def _used(label: _Label, entry: Any) -> bool:
    return bool(entry.p_fstype != layout.FS_UNUSED and label.extent(entry)[1])


def _base(slice_: Partition, unit: int, label: _Label, used: list[tuple[int, int]]) -> int:
    """Return the byte from which the label's offsets count: 0 (the disk) or the slice's start."""
    if not slice_.start:
        return 0

    def inside(base: int) -> int:
        return sum(
            slice_.start <= base + offset * unit and base + (offset + size) * unit <= slice_.end
            for offset, size in used
        )

    absolute, relative = inside(0), inside(slice_.start)
    if absolute == relative and len(label.entries) > layout.RAW_PART:
        offset, size = label.extent(label.entries[layout.RAW_PART])
        return slice_.start if size and not offset and size * unit <= slice_.size else 0
    return slice_.start if relative > absolute else 0


def _is_raw(index: int, start: int, length: int, slice_: Partition) -> bool:
    """Whether this is `c`, or NetBSD's `d`, standing for the whole slice or disk."""
    whole = start <= slice_.start and start + length >= slice_.end
    return whole and (index == layout.RAW_PART or (index == layout.RAW_PART + 1 and slice_.type == _NETBSD))


def _partition(index: int, entry: Any, start: int, length: int, slice_: Partition) -> Partition:
    """GRUB has names of their own for OpenBSD's and NetBSD's labels; they do not tell the slice."""
    if slice_.type in (_OPENBSD, _NETBSD):
        grub = f"{'openbsd' if slice_.type == _OPENBSD else 'netbsd'}{index + 1}"
    else:
        grub = f"{slice_.grub},bsd{index + 1}".lstrip(",")
    return Partition(
        start=start,
        size=length,
        type=layout.FILESYSTEM_TYPES.get(entry.p_fstype, str(entry.p_fstype)),
        active=slice_.active,
        grub=grub,
    )


def _structures(label: _Label, prefix: str) -> Iterator[Structure]:
    yield Structure(f"{prefix}disklabel", Checked(label.decoder, label.checksum), label.offset)
    for index in range(len(label.entries)):
        offset = label.offset + label.decoder.size + index * label.entry_decoder.size
        yield Structure(f"{prefix}disklabel.partition[{index}]", label.entry_decoder, offset)
