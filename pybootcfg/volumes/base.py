"""What a partition table gives: volumes, and the structures it was read from."""

from __future__ import annotations

from dataclasses import dataclass, field

from pybootcfg.filesystems.base import Structure
from pybootcfg.source import Source


@dataclass(frozen=True)
class Volume:
    """One partition (or the whole disk) as a source of its own.

    `name` is `p1` for the first one listed, `p0` for a whole-disk file system.  `start` and `size`
    are in bytes on the disk.  `grub` is what GRUB calls it on its disk: `msdos1`, `gpt2`,
    `msdos1,bsd1`; empty for the whole disk.  `type` is the MBR type (`0x83`), the GPT type GUID in
    upper case, or the disklabel's type by name.
    """

    name: str
    source: Source
    start: int
    size: int
    type: str = ""
    label: str = ""
    guid: str = ""
    active: bool = False
    grub: str = ""
    warnings: tuple[str, ...] = ()


@dataclass
class Table:
    """The partition table of one disk.

    `kind` is `gpt`, `mbr`, `hybrid`, `disklabel` or `vtoc`, or `none` for a disk without one, whose only
    volume is `p0`.
    """

    kind: str
    sector_size: int
    volumes: list[Volume] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    structures: list[Structure] = field(default_factory=list)
