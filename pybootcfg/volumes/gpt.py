"""The GUID partition table: which of its two headers to believe, and the entries in use.

A header counts as sound when its checksum, its own address and the checksum of its entries are
right.  The order of belief is: the sound primary, the sound backup, and then, since GRUB boots from it
without looking at checksums, the first one that can be followed at all.
"""

from __future__ import annotations

import zlib

from pybootcfg import limits, schema
from pybootcfg.errors import BootcfgError, ImageError, LimitExceeded
from pybootcfg.source import Source
from pybootcfg.structures import Checked, Structure
from pybootcfg.values import TYPE_CHECKING, NamedTuple
from pybootcfg.volumes.base import Partition, Table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from pybootcfg.schema import Decoder

layout = schema.load("gpt")

SECTOR_SIZES = (512, 4096, 2048, 1024)  # in the order of how common they are

_CHECKSUM_FIELD = slice(16, 20)  # header_crc32, which counts as zero


class Header(NamedTuple):
    """A header with its entries; `faults` says why it is not sound, `failure` why it is of no use."""

    record: Any
    sector_size: int
    offset: int
    entries: bytes
    faults: tuple[str, ...]
    failure: BootcfgError | None

    @property
    def sound(self) -> bool:
        """Whether everything that can be verified is right."""
        return not self.faults and self.failure is None

    @property
    def backup(self) -> bool:
        """Whether this is not the one at LBA 1."""
        return bool(self.offset != layout.PRIMARY_LBA * self.sector_size)


def read_primary(source: Source, sizes: Iterable[int]) -> Header | None:
    """Return the header at LBA 1 for the first sector size that has one there, a sound one preferred."""
    found = [header for size in sizes if (header := _read_header(source, layout.PRIMARY_LBA, size))]
    return next((header for header in found if header.sound), found[0] if found else None)


def choose(source: Source, primary: Header | None, sizes: Iterable[int], table: Table) -> Header | None:
    """Return the header to believe, None where there is not even a damaged one.

    Raises ImageError for what is wrong with the first header when none can be followed, or LimitExceeded.
    """
    if primary and primary.sound:
        return primary
    headers = [primary] if primary else []
    headers += _backups(source, primary, sizes)
    usable = [header for header in headers if header.failure is None]
    for header in sorted(usable, key=lambda header: not header.sound):
        reason = "; ".join(_complaints(primary)) if primary else "it is missing"
        which = (
            f"the backup at byte {header.offset:#x} is used" if header.backup else "it is used all the same"
        )
        table.warnings.append(f"the primary GPT header is damaged, {which}: {reason}")
        if header.backup and header.faults:
            table.warnings.append(f"the backup GPT header is damaged: {'; '.join(header.faults)}")
        return header
    if not headers:
        return None
    first = headers[0]
    if first.failure and not first.faults:
        raise first.failure
    reason = "; ".join(_complaints(first))  # what it says need not be meant
    raise ImageError(reason, source=source.name, offset=first.offset, structure="gpt.header")


def _complaints(header: Header) -> list[str]:
    return [*header.faults, *([str(header.failure)] if header.failure else [])]


def _backups(source: Source, primary: Header | None, sizes: Iterable[int]) -> list[Header]:
    places = [(source.size // size - 1, size) for size in ((primary.sector_size,) if primary else sizes)]
    if primary:  # a disk that has grown keeps its backup where it was
        places.append((primary.record.alternate_lba, primary.sector_size))
    found = (
        _read_header(source, lba, size) for lba, size in dict.fromkeys(places) if lba > layout.PRIMARY_LBA
    )
    return [header for header in found if header]


def _read_header(source: Source, lba: int, sector_size: int) -> Header | None:
    """Return the header at `lba`, None when there is no signature."""
    offset = lba * sector_size
    if offset + layout.header.size > source.size:
        return None
    data = source.read(offset, min(sector_size, source.size - offset), "gpt.header")
    try:
        record = layout.header.decode(data, at=offset)
    except ImageError:
        return None
    faults = _header_faults(record, data, lba)
    entries, failure = b"", None
    try:
        entries = _read_entries(source, record, sector_size)
    except (ImageError, LimitExceeded) as error:
        failure = error
    else:
        if zlib.crc32(entries) != record.partition_entry_array_crc32:
            faults.append("the checksum of its entries is wrong")
    return Header(record, sector_size, offset, entries, tuple(faults), failure)


def _header_faults(record: Any, data: bytes, lba: int) -> list[str]:
    faults = []
    if not layout.HEADER_SIZE <= record.header_size <= len(data):
        faults.append(f"its size is {record.header_size} bytes")
    else:
        if _header_crc32(data[: record.header_size]) != record.header_crc32:
            faults.append("its checksum is wrong")
    if record.my_lba != lba:
        faults.append(f"it says that it lies at LBA {record.my_lba}, not {lba}")
    return faults


def _header_crc32(data: bytes) -> int:
    return zlib.crc32(data[: _CHECKSUM_FIELD.start] + bytes(4) + data[_CHECKSUM_FIELD.stop :])


def _checked(sector_size: int) -> Decoder:
    """Return the decoder of a header that knows its checksums, as far as the header can be followed."""

    def expected(source: Source, offset: int) -> dict[str, int]:
        header = _read_header(source, offset // sector_size, sector_size)
        if header is None:
            return {}
        sums = {} if header.failure else {"partition_entry_array_crc32": zlib.crc32(header.entries)}
        if layout.HEADER_SIZE <= header.record.header_size <= sector_size:
            sums["header_crc32"] = _header_crc32(source.read(offset, header.record.header_size))
        return sums

    return Checked(layout.header, expected)


def _read_entries(source: Source, record: Any, sector_size: int) -> bytes:
    """Read the array of entries; raises LimitExceeded, or ImageError for one that makes no sense."""
    size, count = record.size_of_partition_entry, record.number_of_partition_entries
    if size < layout.ENTRY_SIZE or size % 8:
        raise ImageError(
            f"the GPT says that its entries have {size} bytes; at least {layout.ENTRY_SIZE} are needed",
            offset=record.my_lba * sector_size,
            structure="gpt.header",
            source=source.name,
        )
    limits.GPT_ENTRY_SIZE.check(size, "gpt.header")
    length = limits.GPT_ENTRY_ARRAY.check(size * count, "gpt.header")
    return source.read(record.partition_entry_lba * sector_size, length, "gpt.entries")


def partitions(source: Source, header: Header, table: Table) -> list[Partition]:
    """Return the partitions by slot; unused slots and entries that cannot be are left out."""
    record, unit = header.record, header.sector_size
    prefix = "gpt.backup" if header.backup else "gpt"
    table.structures.append(Structure(f"{prefix}.header", _checked(unit), header.offset))
    if record.revision != layout.REVISION:
        table.warnings.append(f"the GPT has revision {record.revision:#x}")
    size = record.size_of_partition_entry
    at = record.partition_entry_lba * unit
    entries = layout.partition_entry.array(
        header.entries, record.number_of_partition_entries, at=at, stride=size
    )
    found = []
    for slot, entry in enumerate(entries):
        if entry.partition_type_guid == layout.UNUSED:
            continue
        name = f"{prefix}.entries[{slot}]"
        table.structures.append(Structure(name, layout.partition_entry, at + slot * size))
        if entry.ending_lba < entry.starting_lba:
            table.warnings.append(
                f"{name} is left out: it begins at LBA {entry.starting_lba} and ends at {entry.ending_lba}"
            )
            continue
        found.append(_partition(slot, entry, record, unit))
    primary = layout.PRIMARY_LBA * unit
    other = record.alternate_lba * unit
    if header.backup and source.read(primary, len(layout.SIGNATURE)) == layout.SIGNATURE:
        table.structures.append(Structure("gpt.header", _checked(unit), primary))
    elif not header.backup and other + layout.header.size <= source.size:
        table.structures.append(Structure("gpt.backup.header", _checked(unit), other))
    return found


def _partition(slot: int, entry: Any, record: Any, unit: int) -> Partition:
    warnings = []
    if entry.starting_lba < record.first_usable_lba or entry.ending_lba > record.last_usable_lba:
        warnings.append(
            f"it reaches from LBA {entry.starting_lba} to {entry.ending_lba}, "
            f"but the table leaves {record.first_usable_lba} to {record.last_usable_lba}"
        )
    return Partition(
        start=entry.starting_lba * unit,
        size=(entry.ending_lba - entry.starting_lba + 1) * unit,
        type=_guid_text(entry.partition_type_guid).upper(),
        label=entry.partition_name.decode("utf-16-le", "replace").partition("\0")[0],
        guid=_guid_text(entry.unique_partition_guid),
        active=bool(entry.attributes & layout.LEGACY_BIOS_BOOTABLE),
        grub=f"gpt{slot + 1}",
        warnings=tuple(warnings),
    )


def _guid_text(value: bytes) -> str:
    fields = layout.guid.decode(value)
    return (
        f"{fields.time_low:08x}-{fields.time_mid:04x}-{fields.time_hi_and_version:04x}"
        f"-{fields.clock_seq.hex()}-{fields.node.hex()}"
    )
