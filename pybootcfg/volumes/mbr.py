"""The master boot record and the extended boot records below it.

Whether sector 0 is one at all has to be judged: boot sectors of file systems end in the same
signature.  The order and numbers of partitions are those of Linux: primaries 1-4 by slot, logical
partitions from 5 on along the chain.
"""

from __future__ import annotations

import itertools

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError, LimitExceeded
from pybootcfg.filesystems import FAMILIES, FOREIGN
from pybootcfg.source import Source
from pybootcfg.structures import Structure
from pybootcfg.values import TYPE_CHECKING, NamedTuple
from pybootcfg.volumes.base import Partition, Table

if TYPE_CHECKING:
    from typing import Any

layout = schema.load("mbr")

_SECTOR_SIZES = (512, 4096, 2048)  # in the order of how common they are
_PROBE_SIZE = 0x11000  # bytes of a volume that hold the magic of nearly every file system


class Record(NamedTuple):
    """A master boot record that is one; `entries` are (number, entry) of the slots in use."""

    record: Any
    entries: tuple[tuple[int, Any], ...]

    @property
    def protective(self) -> bool:
        """Whether it says that there is a GPT."""
        return any(entry.os_type == layout.GPT_PROTECTIVE for _, entry in self.entries)

    def covers(self, offset: int) -> bool:
        """Whether a slot that announces no GPT, of whatever type, holds byte `offset` (512-byte sectors)."""
        sector = offset // 512
        return any(
            entry.os_type != layout.GPT_PROTECTIVE
            and entry.starting_lba <= sector < entry.starting_lba + entry.size_in_lba
            for entry in self.record.partition_record
        )

    @property
    def real(self) -> tuple[tuple[int, Any], ...]:
        """The entries beside a protective one."""
        return tuple(item for item in self.entries if item[1].os_type != layout.GPT_PROTECTIVE)


def read_record(source: Source, sector_size: int | None) -> Record | None:
    """Return the master boot record, or None when sector 0 is something else."""
    try:
        record = layout.mbr.read(source, 0)
    except ImageError:  # too short, or no signature
        return None
    slots = record.partition_record
    if any(entry.boot_indicator not in (layout.INACTIVE, layout.ACTIVE) for entry in slots):
        return None
    used = tuple((number, entry) for number, entry in enumerate(slots, 1) if _used(entry))
    if used and (is_boot_sector(source) or _is_boot_code(source, used, sector_size or 512)):
        sizes = (sector_size,) if sector_size else _SECTOR_SIZES
        starts = [entry.starting_lba * size for _, entry in used if entry.starting_lba for size in sizes]
        if not any(_recognised(source, start) or _has_signature(source, start) for start in starts):
            return None
    return Record(record, used)


def _is_boot_code(source: Source, used: tuple[tuple[int, Any], ...], unit: int) -> bool:
    """Whether the entries are more likely the boot code of a file system on the whole disk.

    They are absurd when they overlap or when one begins at sector 0 or beyond the end of the disk.
    Damage can do that as well, hence the file system has to be there.
    """
    places = sorted((entry.starting_lba, entry.starting_lba + entry.size_in_lba) for _, entry in used)
    overlaps = any(start < end for (_, end), (start, _) in itertools.pairwise(places))
    absurd = overlaps or any(not start or start * unit >= source.size for start, _ in places)
    return absurd and not iso_size(source) and _recognised(source, 0)


def iso_size(source: Source) -> int:
    """Return the size in bytes that an ISO 9660 volume on the whole disk claims, 0 without one."""
    try:
        descriptor = layout.primary_volume_descriptor.read(source, layout.VOLUME_DESCRIPTOR_OFFSET)
    except ImageError:
        return 0
    return int(descriptor.volume_space_size * layout.BLOCK_SIZE) or 1


def _used(entry: Any) -> bool:
    return bool(entry.os_type != layout.EMPTY and entry.size_in_lba)


def is_boot_sector(source: Source) -> bool:
    """Whether sector 0 belongs to a FAT, NTFS, exFAT or BitLocker volume on the whole disk.

    GRUB and others keep the parameter block of an older file system when they install into a master
    boot record, hence FAT has to show its allocation table as well.
    """
    boot = layout.boot_sector.read(source, 0)
    if boot.oem_name in layout.OEM_NAMES_WITHOUT_BPB:
        return True
    if (
        boot.bytes_per_sector not in (512, 1024, 2048, 4096)
        or boot.sectors_per_cluster.bit_count() != 1
        or not boot.reserved_sectors
        or boot.number_of_fats not in (1, 2)
        or not (boot.media == 0xF0 or boot.media >= 0xF8)
    ):
        return False
    table = boot.reserved_sectors * boot.bytes_per_sector
    return table + 2 <= source.size and source.read(table, 2) == bytes((boot.media, 0xFF))


def _recognised(source: Source, start: int) -> bool:
    """Whether something that has a magic begins at byte `start`: a file system, LVM, LUKS, swap."""
    if start >= source.size:
        return False
    data = source.read(start, min(_PROBE_SIZE, source.size - start))
    magics = [magic for family in FAMILIES for magic in family.magics]
    magics += [magic for _, foreign, _ in FOREIGN for magic in foreign]
    return any(data[offset : offset + len(expected)] == expected for offset, expected in magics)


def _has_signature(source: Source, start: int) -> bool:
    """Whether a boot sector or an extended boot record begins at byte `start`."""
    try:
        layout.ebr.read(source, start)
    except ImageError:
        return False
    return True


def prove_sector_size(source: Source, record: Record) -> int:
    """Return the sector size in bytes that the entries count in: 512 unless something proves another.

    A disk can only have larger sectors when all its partitions begin inside the disk then, which
    settles it for nearly every image.
    """
    starts = [entry.starting_lba for _, entry in record.entries if entry.starting_lba]
    ends = [entry.starting_lba + entry.size_in_lba for _, entry in record.entries]
    if not starts or max(ends) * 2048 > source.size:
        return 512
    for size in _SECTOR_SIZES:
        places = [start * size for start in starts]
        if max(ends) * size <= source.size and any(
            _recognised(source, place) or _has_signature(source, place) for place in places
        ):
            return size
    return 512


class _Walk:
    """Reads the entries of one disk into partitions."""

    def __init__(self, source: Source, sector_size: int, table: Table, signature: int) -> None:
        self.source = source
        self.sector_size = sector_size
        self.table = table
        self.signature = signature
        self.number = 5  # of the next logical partition
        self.steps = limits.EBR_CHAIN.budget("extended boot records")
        self.seen: set[int] = set()
        self.records = 0

    def partition(self, number: int, entry: Any, base: int) -> Partition:
        """Turn an entry whose start counts from sector `base` into a partition."""
        return Partition(
            start=(base + entry.starting_lba) * self.sector_size,
            size=entry.size_in_lba * self.sector_size,
            type=f"0x{entry.os_type:02x}",
            guid=f"{self.signature:08x}-{number:02x}" if self.signature else "",
            active=entry.boot_indicator == layout.ACTIVE,
            grub=f"msdos{number}",
        )

    def logical(self, container: Any) -> list[Partition]:
        """Follow the chain of boot records in an extended partition; damage ends it with a warning."""
        found: list[Partition] = []
        first = here = container.starting_lba
        while True:
            if here in self.seen:
                self.table.warnings.append(f"the chain of extended boot records comes back to sector {here}")
                break
            self.seen.add(here)
            if not first <= here < first + container.size_in_lba:
                self.table.warnings.append(
                    f"the extended boot record at sector {here} lies outside its partition"
                )
            try:
                self.steps.spend()
                record = layout.ebr.read(self.source, here * self.sector_size)
            except (ImageError, LimitExceeded) as error:
                self.table.warnings.append(f"logical partitions may be missing: {error}")
                break
            name = f"ebr[{self.records}]"
            self.table.structures.append(Structure(name, layout.ebr, here * self.sector_size))
            self.records += 1
            found += self._data_entries(record, here, container)
            links = [entry for entry in record.partition_record if _is_link(entry)]
            if not links:
                break
            if len(links) > 1:
                self.table.warnings.append(f"{name} has more than one link; the first is followed")
            here = first + links[0].starting_lba
        return found

    def _data_entries(self, record: Any, here: int, container: Any) -> list[Partition]:
        """Return the partitions of one extended boot record, which is one except for oddities.

        OS/2 and DR-DOS put junk into the slots behind the first two; what does not lie within the
        extended partition is not believed there, as in Linux (block/partitions/msdos.c).
        """
        found = []
        for slot, entry in enumerate(record.partition_record):
            if not _used(entry) or entry.os_type in layout.EXTENDED_TYPES:
                continue
            offset = here - container.starting_lba + entry.starting_lba
            if slot >= 2 and offset + entry.size_in_lba > container.size_in_lba:
                continue
            found.append(self.partition(self.number, entry, here))
            self.number += 1
        return found


def _is_link(entry: Any) -> bool:
    return entry.os_type in layout.EXTENDED_TYPES and bool(entry.size_in_lba)


def partitions(source: Source, record: Record, sector_size: int, table: Table) -> list[Partition]:
    """Return the partitions of a disk: primaries by slot, then the logical ones.

    An extended partition is only a container and is left out.  Damage is told in `table.warnings`,
    the records that were read are added to `table.structures`.
    """
    table.structures.append(Structure("mbr", layout.mbr, 0))
    walk = _Walk(source, sector_size, table, record.record.unique_mbr_disk_signature)
    primary, containers = [], []
    for number, entry in record.real:
        if entry.os_type in layout.EXTENDED_TYPES:
            containers.append(entry)
        else:
            primary.append(walk.partition(number, entry, 0))
    return primary + [partition for container in containers for partition in walk.logical(container)]
