"""What a partition table gives: volumes, and the structures it was read from."""

from __future__ import annotations

from pybootcfg.source import Source
from pybootcfg.structures import Structure
from pybootcfg.values import NamedTuple


class Partition(NamedTuple):
    """What a table says of one partition, before it has its place in the listing.  See `Volume`."""

    start: int
    size: int
    type: str
    label: str = ""
    guid: str = ""
    active: bool = False
    grub: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + self.size


class Volume(NamedTuple):
    """One partition (or the whole disk) as a source of its own.

    `name` is `p1` for the first one listed, `p0` for a whole-disk file system.  `start` and `size`
    are in bytes on the disk, as the table says; `source` ends where a truncated image ends.  `grub`
    is what GRUB calls it on its disk: `msdos1`, `gpt2`, `msdos1,bsd1`; empty for the whole disk.
    `type` is the MBR type (`0x83`), the GPT type GUID in upper case, or the disklabel's type by name.
    `guid` is the PARTUUID as Linux writes it.
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


class Table:
    """The partition table of one disk.

    `kind` is `gpt`, `mbr`, `hybrid` (a GPT beside real MBR entries), `disklabel` or `vtoc` (of a whole
    disk), or `none` for a disk without one, whose only volume is `p0`.
    """

    def __init__(self, kind: str, sector_size: int, volumes: list[Volume] | None = None) -> None:
        self.kind = kind
        self.sector_size = sector_size
        self.volumes = volumes or []
        self.warnings: list[str] = []
        self.structures: list[Structure] = []
