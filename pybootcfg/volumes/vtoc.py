"""Solaris VTOCs: the slices inside an x86 MBR partition, and those of a SPARC disk."""

from __future__ import annotations

import functools
import operator

from pybootcfg import schema
from pybootcfg.errors import ImageError
from pybootcfg.source import Source
from pybootcfg.structures import Checked, Structure
from pybootcfg.values import TYPE_CHECKING
from pybootcfg.volumes.base import Partition, Table

if TYPE_CHECKING:
    from pybootcfg.schema import Decoder

layout = schema.load("vtoc")


def expand(source: Source, slice_: Partition, prefix: str, table: Table) -> list[Partition]:
    """Return the slices of the VTOC in the MBR partition `slice_`; none when there is no VTOC.

    Linux swap has the same MBR type as old Solaris, so that having no VTOC is nothing strange.  Where
    the MBR partition is active, the slice tagged `root` is what boots.
    """
    offset = slice_.start + layout.X86_LABEL_OFFSET
    if offset + layout.x86_label.size > source.size:
        return []
    data = source.read(offset, layout.x86_label.size, "vtoc")
    try:
        label = layout.x86_label.decode(data, at=offset)
    except ImageError:
        return []
    if label.dkl_magic != layout.DKL_MAGIC or not _checksum_holds(data):
        table.warnings.append(f"the checksum of the VTOC at byte {offset:#x} is wrong")
    unit = label.v_sectorsz if label.v_sectorsz in (512, 1024, 2048, 4096) else layout.SECTOR_SIZE
    rooted = any(part.p_tag == layout.V_ROOT and part.p_size for part in label.v_part)
    found = [
        Partition(
            start=slice_.start + part.p_start * unit,
            size=part.p_size * unit,
            type=layout.TAGS.get(part.p_tag, str(part.p_tag)),
            active=slice_.active and (part.p_tag == layout.V_ROOT or not rooted),
            grub=f"{slice_.grub},sunpc{index + 1}",
        )
        for index, part in enumerate(label.v_part)
        if part.p_size and part.p_tag != layout.V_BACKUP
    ]
    if found:
        checked = _checked(layout.x86_label, layout.word.little)
        table.structures.append(Structure(f"{prefix}vtoc", checked, offset))
    return found


def read_disk(head: bytes, table: Table) -> list[Partition] | None:
    """Return the slices of the SPARC label in `head`, the start of a disk; None when there is none."""
    try:
        label = layout.sparc_label.decode(head)
    except ImageError:
        return None
    if not _checksum_holds(head):
        return None  # the magic is two bytes only
    table.structures.append(Structure("vtoc", _checked(layout.sparc_label, layout.word.big), 0))
    cylinder = label.dkl_nhead * label.dkl_nsect * layout.SECTOR_SIZE
    tagged = label.v_sanity == layout.VTOC_SANE
    found = []
    for index, (part, tag) in enumerate(zip(label.dkl_map, label.v_part, strict=True)):
        backup = tag.p_tag == layout.V_BACKUP if tagged else index == 2
        if part.dkl_nblk and not backup:
            found.append(
                Partition(
                    start=part.dkl_cylno * cylinder,
                    size=part.dkl_nblk * layout.SECTOR_SIZE,
                    type=layout.TAGS.get(tag.p_tag, str(tag.p_tag)) if tagged else "",
                    active=tagged and tag.p_tag == layout.V_ROOT,
                    grub=f"sun{index + 1}",
                )
            )
    return found


def _checksum_holds(data: bytes) -> bool:
    return not functools.reduce(operator.xor, layout.word.array(data, layout.WORDS))


def _checked(label: Decoder, word: Decoder) -> Checked:
    """Return the decoder of a label that knows its checksum, the last word."""

    def expected(source: Source, offset: int) -> dict[str, int]:
        words = word.array(source.read(offset, label.size), layout.WORDS - 1)
        return {"dkl_cksum": functools.reduce(operator.xor, words)}

    return Checked(label, expected)
