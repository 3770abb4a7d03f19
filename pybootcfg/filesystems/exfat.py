"""exFAT: one FAT, an allocation bitmap, entry sets with long names only."""

from __future__ import annotations

import functools
from itertools import chain

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError, LimitExceeded, UnsupportedFeature, printable
from pybootcfg.filesystems.base import Extent, Filesystem, Hole, Node, Options, Run
from pybootcfg.filesystems.fat.directory import fold, timestamp
from pybootcfg.filesystems.fat.table import EntryFormat, FileAllocationTable
from pybootcfg.kind import Kind
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from typing import Any

    from pybootcfg.filesystems.exfat_inspection import ExfatStructures

_exfat = schema.load("exfat")

_BLOCK = 1 << 16  # bytes of a directory read at once
_SLOT: int = _exfat.directory_entry.size
_FAT_ENTRY = EntryFormat(_exfat.fat_entry, 4, 1, _exfat.ENTRY_MASK, _exfat.BAD_CLUSTER)


class Allocation(NamedTuple):
    """Where a file, a directory or a table lies."""

    first_cluster: int
    length: int | None  #: bytes; None when the chain alone says
    contiguous: bool


class Entry(NamedTuple):
    """A file's entry set."""

    name: str
    file: Any
    stream: Any
    slot: int  #: number of its first directory entry, counted from the start of the directory

    @property
    def allocation(self) -> Allocation:
        """Where the contents lie."""
        contiguous = bool(self.stream.general_secondary_flags & _exfat.NO_FAT_CHAIN)
        return Allocation(self.stream.first_cluster, self.stream.data_length, contiguous)


class ExfatNode(Node):
    """A file or a directory."""

    def __init__(self, filesystem: Exfat, entry: Entry, directory: Hashable) -> None:
        self._filesystem = filesystem
        self._entry = entry
        self._directory = directory

    @property
    def place(self) -> tuple[Hashable, int, int]:
        """The directory's key, the number of the first entry of the set, and how many entries follow it."""
        return self._directory, self._entry.slot, self._entry.file.secondary_count

    @property
    def key(self) -> Hashable:
        """The first cluster of a directory; the place of its entry set for a file."""
        if self.kind is Kind.DIRECTORY:
            return self._entry.allocation.first_cluster
        return self._directory, self._entry.slot

    @property
    def kind(self) -> Kind:
        """File or directory: there is nothing else."""
        return Kind.DIRECTORY if self._entry.file.file_attributes & _exfat.ATTRIBUTE_DIRECTORY else Kind.FILE

    @property
    def size(self) -> int:
        """Length in bytes; 0 for directories."""
        return 0 if self.kind is Kind.DIRECTORY else int(self._entry.stream.data_length)

    @property
    def mtime(self) -> int | None:
        """Last change in seconds since 1970; local time taken as UTC where the offset is not recorded."""
        stamp = self._entry.file.last_modified_timestamp
        seconds: int | None = timestamp(stamp >> 16, stamp & 0xFFFF)
        offset: int = self._entry.file.last_modified_utc_offset
        if seconds is None or not offset & _exfat.UTC_OFFSET_VALID:
            return seconds
        quarters = (offset & 0x7F) - (0x80 if offset & 0x40 else 0)
        return seconds - quarters * int(_exfat.UTC_OFFSET_UNIT)

    def runs(self) -> Iterator[Run]:
        """Yield the clusters of the file; what lies after its valid data reads as zeros."""
        valid = min(self._entry.stream.valid_data_length, self.size)
        for offset, length in self._filesystem.spans(self._entry.allocation, self.key, self._entry.name):
            if valid:
                yield Extent(self._filesystem.source, offset, min(valid, length))
            if length > valid:
                yield Hole(length - valid)
            valid -= min(valid, length)

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        """Yield the names as stored."""
        for entry in self._entries():
            yield entry.name.encode("utf-8", "surrogatepass"), ExfatNode(self._filesystem, entry, self.key)

    def lookup(self, name: bytes) -> Node | None:
        """Return the entry of that name; else the first whose name differs in case only."""
        try:
            wanted = name.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return None
        folded = self._filesystem.fold(wanted)
        similar: Entry | None = None
        for entry in self._entries():
            if entry.name == wanted:
                return ExfatNode(self._filesystem, entry, self.key)
            if similar is None and len(entry.name) == len(wanted):
                similar = entry if self._filesystem.fold(entry.name) == folded else None
        return ExfatNode(self._filesystem, similar, self.key) if similar else None

    def target(self) -> bytes:
        """Raise ImageError: exFAT has no symbolic links."""
        name = printable(self._entry.name)
        raise ImageError(f"{name} is not a symbolic link", source=self._filesystem.source.name)

    def allocation(self) -> Allocation:
        """Where the directory lies."""
        return self._entry.allocation

    def _entries(self) -> Iterator[Entry]:
        slots = self._filesystem.slots(self.allocation(), self.key, self._entry.name)
        return _entry_sets(slots, self._filesystem.warn)


class RootNode(ExfatNode):
    """The root directory, which no entry set describes."""

    def __init__(self, filesystem: Exfat) -> None:
        super().__init__(filesystem, Entry("/", None, None, -1), None)

    @property
    def key(self) -> Hashable:
        """The first cluster."""
        return self.allocation().first_cluster

    @property
    def kind(self) -> Kind:
        """A directory."""
        return Kind.DIRECTORY

    @property
    def mtime(self) -> int | None:
        """Nothing says when the root was changed."""
        return None

    def allocation(self) -> Allocation:
        """Where the directory lies, which the boot sector says."""
        return Allocation(self._filesystem.boot.first_cluster_of_root_directory, None, contiguous=False)


class Exfat(Filesystem):
    """An exFAT volume."""

    family = "exfat"

    def __init__(self, source: Source, options: Options) -> None:
        super().__init__(source, options)
        self.boot = boot = self._read_boot()
        if boot.number_of_fats == 2:
            raise UnsupportedFeature("texfat", "TexFAT, exFAT with two FATs, is not supported")
        self.sector_size = 1 << boot.bytes_per_sector_shift
        self.cluster_size = self.sector_size << boot.sectors_per_cluster_shift
        self.heap_offset = boot.cluster_heap_offset * self.sector_size
        self.end: int = boot.cluster_count + _exfat.FIRST_CLUSTER
        offset = boot.fat_offset * self.sector_size
        self.table = FileAllocationTable(source, (offset,), _FAT_ENTRY, self.end, self.warn)
        if boot.volume_length * self.sector_size > source.size:
            self.warn(f"the volume has {boot.volume_length} sectors, but only {source.size} bytes are there")

    @property
    def name(self) -> str:
        """`exfat`."""
        return "exfat"

    @functools.cached_property
    def root(self) -> Node:
        """The root directory."""
        return RootNode(self)

    @property
    def label(self) -> str:
        """The volume label entry of the root directory."""
        try:
            slot = self.root_slot(_exfat.VOLUME_LABEL)
        except (ImageError, LimitExceeded) as error:
            self.warn(f"the label cannot be read: {error}")
            return ""
        if slot is None:
            return ""
        entry = _exfat.volume_label_entry.decode(slot)
        units = entry.volume_label[: 2 * min(entry.character_count, _exfat.VOLUME_LABEL_UNITS)]
        return str(units.decode("utf-16-le", "surrogatepass"))

    @property
    def uuid(self) -> str:
        """The volume serial number as blkid prints it, such as `1A2B-3C4D`."""
        serial = self.boot.volume_serial_number
        return f"{serial >> 16:04X}-{serial & 0xFFFF:04X}"

    def fold(self, name: str) -> str:
        """Return a name with all letters in upper case by the volume's own table."""
        table = self._upcase_table
        return fold(name) if table is None else name.translate(table)

    def spans(self, allocation: Allocation, owner: Hashable, name: str) -> Iterator[tuple[int, int]]:
        """Yield the offsets and lengths in bytes of an allocation.

        What there is of one whose chain ends too early comes first, then ImageError.
        """
        first, length, contiguous = allocation
        if length == 0:
            return
        needed = None if length is None else -(-length // self.cluster_size)
        if needed is not None and needed > self.boot.cluster_count:
            raise self._damaged(f"{printable(name)}: {length} bytes long, more than the volume")
        if contiguous and needed is not None:
            if not _exfat.FIRST_CLUSTER <= first <= self.end - needed:
                raise self._damaged(f"{printable(name)}: its clusters from {first} on do not all exist")
            yield self._cluster_offset(first), allocation.length or 0
            return
        left = length
        for start, count in self.table.chain(first, owner, needed):
            size = count * self.cluster_size
            if left is not None:
                size = min(left, size)
                left -= size
            if size:
                yield self._cluster_offset(start), size
        if left:
            raise self._damaged(f"{printable(name)}: its chain of clusters ends {left} bytes too early")

    def slots(self, allocation: Allocation, owner: Hashable, name: str) -> Iterator[bytes]:
        """Yield the directory entries of a directory, undecoded, up to its end."""
        for _, slot in self.placed_slots(allocation, owner, name):
            yield slot

    @functools.cached_property
    def structures(self) -> ExfatStructures:
        """The structures that `inspect` can show."""
        from pybootcfg.filesystems.exfat_inspection import ExfatStructures

        return ExfatStructures(self)

    def placed_slots(self, allocation: Allocation, owner: Hashable, name: str) -> Iterator[tuple[int, bytes]]:
        """Yield the directory entries of a directory, undecoded, with their offsets in bytes."""
        budget = limits.EXFAT_DIRECTORY_SIZE.budget(printable(name))
        for start, length in self.spans(allocation, owner, name):
            for offset in range(start, start + length, _BLOCK):
                block = self.source.read(offset, min(_BLOCK, start + length - offset), "directory")
                budget.spend(len(block))
                for place in range(0, len(block) - len(block) % _SLOT, _SLOT):
                    if block[place] == _exfat.END_OF_DIRECTORY:
                        return
                    yield offset + place, block[place : place + _SLOT]

    def root_slot(self, kind: int) -> bytes | None:
        """Return the first entry of a kind in the root directory."""
        root = RootNode(self)
        slots = self.slots(root.allocation(), root.key, "/")
        return next((slot for slot in slots if slot[0] == kind), None)

    @functools.cached_property
    def _upcase_table(self) -> dict[int, int] | None:
        """The units that are not their own upper case; None where the table is damaged or missing."""
        slot = self.root_slot(_exfat.UPCASE_TABLE)
        if slot is None:
            self.warn("there is no up-case table; that of Unicode is used")
            return None
        entry = _exfat.upcase_table_entry.decode(slot)
        data = self.upcase_data(entry)
        if checksum(data, 32) != entry.table_checksum:
            self.warn("the checksum of the up-case table is wrong; that of Unicode is used")
            return None
        return _expand(_exfat.upcase_unit.array(data, len(data) // 2))

    def upcase_data(self, entry: Any) -> bytes:
        """Return the up-case table as it lies on the disk; `entry` is its directory entry."""
        limits.EXFAT_UPCASE_TABLE_SIZE.check(entry.data_length, "up-case table")
        allocation = Allocation(entry.first_cluster, entry.data_length, contiguous=False)
        return b"".join(
            self.source.read(offset, length, "up-case table")
            for offset, length in self.spans(allocation, _exfat.UPCASE_TABLE, "up-case table")
        )

    def _cluster_offset(self, cluster: int) -> int:
        offset: int = self.heap_offset + (cluster - _exfat.FIRST_CLUSTER) * self.cluster_size
        return offset

    def _damaged(self, message: str) -> ImageError:
        return ImageError(message, structure="stream_extension_entry", source=self.source.name)

    def _read_boot(self) -> Any:
        """Return the boot sector, or its backup where the main boot region is damaged."""
        main = _exfat.boot_sector.read(self.source, 0)
        fault = _fault(main) or self._checksum_fault(main, 0)
        if not fault:
            return main
        for shift in _exfat.BYTES_PER_SECTOR_SHIFTS:
            offset = _exfat.BACKUP_BOOT_SECTOR << shift
            if offset + _exfat.boot_sector.size > self.source.size:
                break
            backup = _exfat.boot_sector.read(self.source, offset)
            if (
                _fault(backup)
                or backup.bytes_per_sector_shift != shift
                or self._checksum_fault(backup, offset)
            ):
                continue
            self.warn(f"the main boot region is damaged ({fault}); its backup is used")
            return backup
        if _fault(main):
            raise ImageError(
                f"not an exFAT boot sector: {fault}",
                offset=0,
                structure="boot_sector",
                source=self.source.name,
            )
        self.warn(f"the boot region is damaged: {fault}")
        return main

    def _checksum_fault(self, boot: Any, offset: int) -> str:
        covered = _exfat.CHECKSUM_SECTORS << boot.bytes_per_sector_shift
        if offset + covered + (1 << boot.bytes_per_sector_shift) > self.source.size:
            return "it is truncated"
        stored = _exfat.boot_checksum.read(self.source, offset + covered)
        return "" if boot_checksum(self.source, offset, covered) == stored else "its checksum is wrong"


def boot_checksum(source: Source, offset: int, covered: int) -> int:
    """Return the checksum of the boot region at `offset`: of `covered` bytes but for two fields."""
    region = source.read(offset, covered, "boot region")
    flags, percent = _exfat.VOLUME_FLAGS_OFFSET, _exfat.PERCENT_IN_USE_OFFSET
    return checksum(region[:flags] + region[flags + 2 : percent] + region[percent + 1 :], 32)


def set_checksum(entries: bytes) -> int:
    """Return the checksum of an entry set, which leaves out itself in bytes 2 and 3."""
    return checksum(entries[:2] + entries[4:], 16)


def _fault(boot: Any) -> str:
    """Return what is wrong with a boot sector by section 3.1 of the specification, or nothing."""
    cluster_shift = boot.bytes_per_sector_shift + boot.sectors_per_cluster_shift
    heap_end = boot.cluster_heap_offset + (boot.cluster_count << boot.sectors_per_cluster_shift)
    fat_end = boot.fat_offset + boot.fat_length
    entries = boot.cluster_count + _exfat.FIRST_CLUSTER
    if boot.file_system_name != _exfat.FILE_SYSTEM_NAME or any(boot.must_be_zero):
        return "another file system's"
    if boot.bytes_per_sector_shift not in _exfat.BYTES_PER_SECTOR_SHIFTS:
        return f"sectors of 2^{boot.bytes_per_sector_shift} bytes"
    if cluster_shift > _exfat.CLUSTER_SHIFT_LIMIT:
        return f"clusters of 2^{cluster_shift} bytes"
    if boot.number_of_fats not in (1, 2):
        return f"{boot.number_of_fats} FATs"
    if boot.fat_length << boot.bytes_per_sector_shift < entries * _FAT_ENTRY.unit_size:
        return f"a FAT too small for {boot.cluster_count} clusters"
    if fat_end > boot.cluster_heap_offset or heap_end > boot.volume_length or not boot.cluster_count:
        return "FAT, clusters and volume do not fit into each other"
    if not _exfat.FIRST_CLUSTER <= boot.first_cluster_of_root_directory < entries:
        return f"a root directory in cluster {boot.first_cluster_of_root_directory}"
    return ""


def _entry_sets(slots: Iterator[bytes], warn: Callable[[str], None]) -> Iterator[Entry]:
    """Yield the files of a directory; entry sets that are not whole are left out with a warning."""
    waiting: list[bytes] = []  # a file entry and what belongs to it
    wanted = number = 0
    for index, slot in enumerate(chain(slots, [bytes([_exfat.END_OF_DIRECTORY])])):
        if waiting and slot[0] & _SECONDARY == _SECONDARY:
            waiting.append(slot)
        else:
            if waiting:
                warn(f"the entry set at directory entry {number} is not whole and left out")
            waiting = []
            if slot[0] == _exfat.FILE:
                waiting, number = [slot], index
                wanted = 1 + _exfat.file_entry.decode(slot).secondary_count
        if waiting and len(waiting) == wanted:
            entry = _entry(waiting, number, warn)
            waiting = []
            if entry is not None:
                yield entry


_SECONDARY = _exfat.STREAM_EXTENSION  # the two highest bits: in use, and secondary


def _entry(slots: list[bytes], number: int, warn: Callable[[str], None]) -> Entry | None:
    file = _exfat.file_entry.decode(slots[0])
    stream_slot = slots[1] if len(slots) > 1 else b"\0"
    if stream_slot[0] != _exfat.STREAM_EXTENSION:
        warn(f"the entry set at directory entry {number} has no stream extension and is left out")
        return None
    stream = _exfat.stream_extension_entry.decode(stream_slot)
    units = b"".join(
        _exfat.file_name_entry.decode(slot).file_name for slot in slots[2:] if slot[0] == _exfat.FILE_NAME
    )
    name = units[: 2 * stream.name_length].decode("utf-16-le", "surrogatepass")
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        warn(f"a file with the impossible name {name!a} is left out")
        return None
    if set_checksum(b"".join(slots)) != file.set_checksum:
        warn(f"{printable(name)}: the checksum of its entry set is wrong")
    return Entry(name, file, stream, number)


def checksum(data: bytes, bits: int) -> int:
    """Return the checksum of the specification's figures 1 to 3: rotate right, then add."""
    total, top, mask = 0, bits - 1, (1 << bits) - 1
    for byte in data:
        total = ((total >> 1 | total << top) + byte) & mask
    return total


def _expand(units: tuple[int, ...]) -> dict[int, int]:
    """Return the mapping that a (compressed) up-case table stands for, without what maps to itself."""
    mapping: dict[int, int] = {}
    code = 0
    stream = iter(units)
    for unit in stream:
        if unit == _exfat.UPCASE_IDENTITY:
            code += next(stream, 0)
            continue
        if unit != code:
            mapping[code] = unit
        code += 1
    return mapping
