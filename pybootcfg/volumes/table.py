"""Which partition table a disk has, and the volumes that it gives.

What is judged, in this order: a SPARC label; the master boot record, if sector 0 is one; the GPT
that it announces (or that stands there without it); else a disklabel of the whole disk; else the
whole disk is one volume.  An ISO 9660 image with a partition table is offered as a whole as well.
"""

from __future__ import annotations

from pybootcfg.errors import ImageError, LimitExceeded, UsageError
from pybootcfg.source import Source, Window
from pybootcfg.structures import Structure
from pybootcfg.volumes import disklabel, gpt, vtoc
from pybootcfg.volumes import mbr as msdos
from pybootcfg.volumes.base import Partition, Table, Volume

_HEAD_SIZE = 36 << 10  # bytes: the MBR, a GPT of 512-byte sectors, the start of an ISO 9660 volume

_BSD = {f"0x{number:02x}" for number in msdos.layout.BSD_TYPES} | {gpt.layout.FREEBSD_DISKLABEL}
_SOLARIS = {f"0x{number:02x}" for number in msdos.layout.SOLARIS_TYPES}


def read_table(source: Source, *, sector_size: int | None = None, offset: int | None = None) -> Table:
    """Return the partition table of a disk, its volumes in the order of the table.

    `sector_size` is in bytes and found out when None.  With `offset`, the byte at which the only
    volume begins, no table is looked for.  Raises UsageError for an offset outside the disk, ImageError
    and LimitExceeded when there is a GPT but neither of its headers can be followed.
    """
    if sector_size is not None and sector_size not in gpt.SECTOR_SIZES:
        raise UsageError(f"no disk has sectors of {sector_size} bytes", hint="512 and 4096 are usual")
    if offset is None:
        return _Reading(source, sector_size).table()
    if not 0 <= offset < source.size:
        raise UsageError(f"offset {offset} is outside of {source.name}, which has {source.size} bytes")
    whole = _volume("p0", source, Partition(offset, source.size - offset, ""))
    return Table("none", sector_size or 512, [whole])


def boot_order(table: Table) -> list[Volume]:
    """Return the volumes in the order in which they are tried: active ones first.

    That is what pygrub means to do.  A hybrid ISO 9660 image as a whole comes before what lies in it.
    """
    return sorted(table.volumes, key=lambda volume: (volume.name != "p0", not volume.active))


class _Ahead(Window):
    """A disk whose first bytes are in hand, so that reading a table costs few reads of the disk."""

    def __init__(self, base: Source) -> None:
        super().__init__(base, 0, base.size, base.name)
        self.head = base.read(0, min(base.size, _HEAD_SIZE), "LBA 0")

    def _read(self, offset: int, length: int) -> bytes:
        if offset + length <= len(self.head):
            return self.head[offset : offset + length]
        return super()._read(offset, length)


class _Reading:
    """One disk while its table is found out."""

    def __init__(self, source: Source, sector_size: int | None) -> None:
        self.disk = source
        self.source = _Ahead(source)
        self.sector_size = sector_size
        self.sizes = (sector_size,) if sector_size else gpt.SECTOR_SIZES
        self.result = Table("none", sector_size or 512)
        self.partitions: list[Partition] = []

    def table(self) -> Table:
        """Find the table and list its volumes."""
        result, head = self.result, self.source.head
        record = None
        sparc = vtoc.read_disk(head, result)
        if sparc is not None:
            self._use("vtoc", sparc, vtoc.layout.SECTOR_SIZE)
        else:
            record = msdos.read_record(self.source, self.sector_size)
            if not self._read_gpt(record):
                if record and record.entries:
                    self._read_mbr(record)
                if not self.partitions:
                    self._read_disklabel()
        if not self.partitions:
            result.kind = "none"
        self._warn_of_overlaps()
        if not self.partitions or self._is_live_iso(record):
            result.volumes.append(_volume("p0", self.disk, Partition(0, self.disk.size, "")))
        for number, partition in enumerate(self.partitions, 1):
            result.volumes.append(_volume(f"p{number}", self.disk, partition))
        return result

    def _use(self, kind: str, partitions: list[Partition], sector_size: int) -> None:
        """Take over the partitions of the table that was found, labels inside them opened."""
        self.result.kind = kind
        self.result.sector_size = sector_size
        for partition in partitions:
            inner = self._inner(partition, sector_size)
            for found in inner or [partition]:
                self._add(found)

    def _add(self, partition: Partition) -> None:
        if partition.start < self.disk.size:
            self.partitions.append(partition)
        else:
            self.result.warnings.append(
                f"{partition.grub} is left out: it begins at byte {partition.start:#x}, "
                f"beyond the end of the image at {self.disk.size:#x}"
            )

    def _inner(self, partition: Partition, sector_size: int) -> list[Partition]:
        """Return the partitions of a disklabel or VTOC inside `partition`."""
        prefix = f"p{len(self.partitions) + 1}."
        if partition.type in _BSD:
            return disklabel.expand(self.source, partition, sector_size, prefix, self.result)
        if partition.type in _SOLARIS:
            return vtoc.expand(self.source, partition, prefix, self.result)
        return []

    def _read_gpt(self, record: msdos.Record | None) -> bool:
        """Use the GPT, if the disk has one that counts."""
        primary = gpt.read_primary(self.source, self.sizes)
        if record and record.protective:
            header = self._announced_gpt(record, primary)
        else:
            header = self._unannounced_gpt(record, primary)
        if header is None:
            return False
        partitions = gpt.partitions(self.source, header, self.result)
        if record:
            self.result.structures.insert(0, Structure("mbr", msdos.layout.mbr, 0))
        if record and record.real:
            partitions = self._merge(partitions, record, header.sector_size)
        self._use("hybrid" if record and record.real else "gpt", partitions, header.sector_size)
        return True

    def _announced_gpt(self, record: msdos.Record, primary: gpt.Header | None) -> gpt.Header | None:
        """Return the GPT of a protective MBR; when it is lost, the MBR's further entries may do."""
        try:
            header = gpt.choose(self.source, primary, self.sizes, self.result)
        except (ImageError, LimitExceeded) as error:
            if not record.real and not msdos.iso_size(self.source):
                raise
            self.result.warnings.append(f"the GPT cannot be used: {error}")
            return None
        if header is None and not record.real and not msdos.iso_size(self.source):
            raise ImageError(
                "the MBR says that there is a GPT, but neither of its headers is there",
                offset=self.sizes[0],
                structure="gpt.header",
                source=self.disk.name,
                hint="try --sector-size, or --offset for the start of a volume",
            )
        if header is None:
            self.result.warnings.append(
                "the MBR says that there is a GPT, but neither of its headers is there"
            )
        return header

    def _unannounced_gpt(self, record: msdos.Record | None, primary: gpt.Header | None) -> gpt.Header | None:
        """Return a GPT without a protective MBR, unless something else has taken its place."""
        if primary is None or not primary.sound:
            return None
        if record and record.entries:
            self.result.warnings.append("there is a GPT, but the MBR does not protect it: the MBR counts")
            return None
        if msdos.is_boot_sector(self.source):
            return None
        self.result.warnings.append("the GPT has no protective MBR")
        return primary

    def _merge(self, partitions: list[Partition], record: msdos.Record, unit: int) -> list[Partition]:
        """Let the MBR of a hybrid disk say which partitions are active; the GPT says all else."""
        places = {(partition.start, partition.size) for partition in partitions}
        active = set()
        for number, entry in record.real:
            place = (entry.starting_lba * unit, entry.size_in_lba * unit)
            if place not in places:
                self.result.warnings.append(f"entry {number} of the hybrid MBR is not in the GPT")
            if entry.boot_indicator == msdos.layout.ACTIVE:
                active.add(place)
        return [
            partition._replace(active=partition.active or (partition.start, partition.size) in active)
            for partition in partitions
        ]

    def _read_mbr(self, record: msdos.Record) -> None:
        unit = self.sector_size or msdos.prove_sector_size(self.source, record)
        partitions = []
        for partition in msdos.partitions(self.source, record, unit, self.result):
            if partition.start or msdos.iso_size(self.source):
                partitions.append(partition)
            elif partition.type in _BSD:  # a whole disk of FreeBSD's; the size is made up
                partitions.append(partition._replace(size=self.disk.size))
            else:
                self.result.warnings.append(f"{partition.grub} is left out: it begins at sector 0")
        self._use("mbr", partitions, unit)

    def _read_disklabel(self) -> None:
        whole = Partition(0, self.disk.size, "")
        found = disklabel.expand(self.source, whole, self.result.sector_size, "", self.result)
        if found:
            self._use("disklabel", found, self.result.sector_size)

    def _is_live_iso(self, record: msdos.Record | None) -> bool:
        """Whether there is an ISO 9660 volume that the partitions do not contradict.

        The descriptor of an image that once was on the disk may survive in front of the first
        partition.  A live image is itself one of the partitions, or no partition begins inside it.
        """
        size = msdos.iso_size(self.source)
        descriptor = msdos.layout.VOLUME_DESCRIPTOR_OFFSET
        itself = any(partition.start <= descriptor < partition.end for partition in self.partitions)
        inside = any(descriptor < partition.start < size for partition in self.partitions)
        return bool(size) and (itself or not inside or (record is not None and record.covers(descriptor)))

    def _warn_of_overlaps(self) -> None:
        if msdos.iso_size(self.source):  # there the partitions lie in the image, which may be one itself
            return
        furthest: Partition | None = None
        for partition in sorted(self.partitions):
            if furthest and partition.start < furthest.end:
                self.result.warnings.append(f"{furthest.grub} and {partition.grub} overlap")
            if furthest is None or partition.end > furthest.end:
                furthest = partition


def _volume(name: str, disk: Source, partition: Partition) -> Volume:
    warnings = list(partition.warnings)
    missing = partition.end - disk.size
    if missing > 0:
        warnings.append(f"its last {missing} bytes are beyond the end of the image")
    source = Window(disk, partition.start, partition.size, f"{name} of {disk.name}")
    return Volume(name, source, **partition._replace(warnings=tuple(warnings))._asdict())
