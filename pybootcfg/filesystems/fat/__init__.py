"""FAT12, FAT16 and FAT32 with long file names, read as the Linux vfat driver reads them.

Where the specification, Linux and GRUB differ, the source of the choice stands with it.
"""

from __future__ import annotations

from functools import cached_property

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError, LimitExceeded, printable
from pybootcfg.filesystems.base import Extent, Filesystem, Node, Options, Run
from pybootcfg.filesystems.fat.boot import read_geometry
from pybootcfg.filesystems.fat.directory import Cursor, Entry, fold, label_text, timestamp
from pybootcfg.filesystems.fat.table import EntryFormat, FileAllocationTable
from pybootcfg.kind import Kind
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from typing import Any

    from pybootcfg.filesystems.fat.inspection import FatStructures

_fat = schema.load("fat")

_BLOCK = 1 << 16  # bytes of a directory read at once
_NO_SECTOR = (0, 0xFFFF)  # for FSInfo and for the backup boot sector: there is none

_ENTRY_FORMATS = {
    12: EntryFormat(_fat.fat12_pair, 3, 2, 0xFFF, _fat.FAT12_BAD_CLUSTER),
    16: EntryFormat(_fat.fat16_entry, 2, 1, 0xFFFF, _fat.FAT16_BAD_CLUSTER),
    32: EntryFormat(_fat.fat32_entry, 4, 1, _fat.FAT32_MASK, _fat.FAT32_BAD_CLUSTER),
}


class FatNode(Node):
    """A file or a directory, from its directory entry."""

    def __init__(self, filesystem: Fat, entry: Entry, directory: Hashable) -> None:
        self._filesystem = filesystem
        self._record = entry.record
        self.place = (directory, entry.slot)  #: the directory's key, and the number of the entry in it
        self._name = entry.name

    @property
    def first_cluster(self) -> int:
        """Number of the first cluster; 0 for an empty file."""
        low: int = self._record.dir_fst_clus_lo
        # The upper half held something else (an extended attribute's handle) before FAT32.
        return low | self._record.dir_fst_clus_hi << 16 if self._filesystem.geometry.bits == 32 else low

    @property
    def key(self) -> Hashable:
        """The first cluster of a directory; the place of its directory entry for a file."""
        return self.first_cluster if self.kind is Kind.DIRECTORY else self.place

    @property
    def kind(self) -> Kind:
        """File or directory: there is nothing else."""
        return Kind.DIRECTORY if self._record.dir_attr & _fat.ATTR_DIRECTORY else Kind.FILE

    @property
    def size(self) -> int:
        """Length in bytes; 0 for directories."""
        return 0 if self.kind is Kind.DIRECTORY else int(self._record.dir_file_size)

    @property
    def mtime(self) -> int | None:
        """Last write in seconds since 1970; FAT stores local time without saying which, taken as UTC."""
        return timestamp(self._record.dir_wrt_date, self._record.dir_wrt_time)

    def runs(self) -> Iterator[Run]:
        """Yield the clusters of the file.

        What there is of a file whose chain ends too early comes first, then ImageError.
        """
        geometry = self._filesystem.geometry
        left = self.size
        if not left:
            return
        needed = -(-left // geometry.cluster_size)
        surplus = -needed
        if self.first_cluster:
            for first, count in self._filesystem.table.chain(self.first_cluster, self.key, needed):
                surplus += count
                length = min(left, count * geometry.cluster_size)
                left -= length
                if length:
                    yield Extent(self._filesystem.source, self._filesystem.cluster_offset(first), length)
        name = printable(self._name)
        if left:
            raise ImageError(
                f"{name}: {self.size} bytes long, but its chain of clusters ends {left} bytes earlier",
                structure="directory entry",
                source=self._filesystem.source.name,
            )
        if surplus > 0:
            self._filesystem.warn(f"{name}: the chain is {surplus} clusters longer than the file")

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        """Yield long names, or short names as Linux shows them by default (shortname=mixed)."""
        for entry in self._entries():
            yield entry.name.encode("utf-8", "surrogatepass"), FatNode(self._filesystem, entry, self.key)

    def lookup(self, name: bytes) -> Node | None:
        """Return the entry of that name; else the first whose long or short name differs in case only."""
        try:
            wanted = name.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return None
        folded = fold(wanted)
        similar: Entry | None = None
        for entry in self._entries():
            if entry.name == wanted:
                return FatNode(self._filesystem, entry, self.key)
            if similar is None and (fold(entry.name) == folded or folded in map(fold, entry.aliases)):
                similar = entry
        return FatNode(self._filesystem, similar, self.key) if similar else None

    def target(self) -> bytes:
        """Raise ImageError: FAT has no symbolic links."""
        raise ImageError(
            f"{printable(self._name)} is not a symbolic link", source=self._filesystem.source.name
        )

    def entry_offset(self) -> int | None:
        """Return where the directory entry lies on the volume, in bytes; None for the root directory."""
        directory, slot = self.place
        if not isinstance(directory, int) or slot < 0:
            return None
        filesystem, place = self._filesystem, slot * _fat.directory_entry.size
        if not directory:
            return int(filesystem.geometry.root_offset + place)
        for first, count in filesystem.table.chain(directory, self.key):
            size = count * filesystem.geometry.cluster_size
            if place < size:
                return int(filesystem.cluster_offset(first) + place)
            place -= size
        return None

    def _entries(self) -> Iterator[Entry]:
        cursor = Cursor(self._filesystem.warn)
        for _, block in self.blocks():
            yield from cursor.feed(block)
            if cursor.ended:
                return

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Yield the directory's contents with their offsets on the volume, piece by piece."""
        budget = limits.FAT_DIRECTORY_SIZE.budget(printable(self._name))
        for start, length in self._spans():
            for offset in range(start, start + length, _BLOCK):
                size = min(_BLOCK, start + length - offset)
                yield offset, self._filesystem.source.read(offset, size, "directory")
                budget.spend(size)

    def _spans(self) -> Iterator[tuple[int, int]]:
        geometry = self._filesystem.geometry
        if not self.first_cluster:
            raise ImageError(f"directory {printable(self._name)} has no cluster", structure="directory entry")
        for first, count in self._filesystem.table.chain(self.first_cluster, self.key):
            yield self._filesystem.cluster_offset(first), count * geometry.cluster_size


class RootNode(FatNode):
    """The root directory, which no directory entry describes."""

    def __init__(self, filesystem: Fat) -> None:
        super().__init__(filesystem, Entry("/", (), None, -1), None)

    @property
    def first_cluster(self) -> int:
        """Number of the first cluster; 0 where the root has its own place (FAT12 and FAT16)."""
        geometry = self._filesystem.geometry
        return int(geometry.boot.bpb_root_clus) if geometry.bits == 32 else 0

    @property
    def key(self) -> Hashable:
        """The first cluster."""
        return self.first_cluster

    @property
    def kind(self) -> Kind:
        """A directory."""
        return Kind.DIRECTORY

    @property
    def mtime(self) -> int | None:
        """Nothing says when the root was changed."""
        return None

    def _spans(self) -> Iterator[tuple[int, int]]:
        geometry = self._filesystem.geometry
        if geometry.bits == 32:
            yield from super()._spans()
        else:
            yield geometry.root_offset, geometry.root_size


class Fat(Filesystem):
    """A FAT volume.

    It is recognised by its BIOS parameter block alone, as by Linux; the 55 AA at its end may be missing.
    """

    family = "fat"

    def __init__(self, source: Source, options: Options) -> None:
        super().__init__(source, options)
        self.geometry, self.boot_offset = read_geometry(source)
        self._check()
        geometry = self.geometry
        layout = _ENTRY_FORMATS[geometry.bits]
        room = geometry.fat_size * layout.unit_entries // layout.unit_size
        end = geometry.clusters + _fat.FIRST_CLUSTER
        if room < end:
            self.warn(f"the FAT has {room} entries, too few for {geometry.clusters} clusters")
        self.table = FileAllocationTable(
            source,
            self._fat_offsets(),
            layout,
            min(room, end),
            self.warn,
            media=geometry.boot.bpb_media,
            sector_size=geometry.sector_size,
        )

    @property
    def name(self) -> str:
        """`fat12`, `fat16` or `fat32`."""
        return f"fat{self.geometry.bits}"

    @cached_property
    def root(self) -> Node:
        """The root directory."""
        return RootNode(self)

    @property
    def label(self) -> str:
        """The label in the root directory; blkid and GRUB go by it, and not by the one in the boot sector."""
        try:
            for record, _ in self.root_records():
                volume = record.dir_attr & (_fat.ATTR_VOLUME_ID | _fat.ATTR_DIRECTORY) == _fat.ATTR_VOLUME_ID
                deleted = record.dir_name[0] == _fat.DELETED
                cluster = record.dir_fst_clus_hi or record.dir_fst_clus_lo
                if volume and not deleted and not cluster and record.dir_attr != _fat.ATTR_LONG_NAME:
                    return label_text(record.dir_name)
        except (ImageError, LimitExceeded) as error:
            self.warn(f"the label cannot be read: {error}")
        return ""

    @property
    def uuid(self) -> str:
        """The volume serial number as blkid prints it, such as `1A2B-3C4D`."""
        boot = self.geometry.boot
        if self.geometry.bits != 32 and boot.bs_boot_sig not in _fat.EXTENDED_BOOT_SIGNATURES:
            return ""
        return f"{boot.bs_vol_id >> 16:04X}-{boot.bs_vol_id & 0xFFFF:04X}"

    def cluster_offset(self, cluster: int) -> int:
        """Return where a cluster lies, in bytes."""
        heap_index: int = cluster - _fat.FIRST_CLUSTER
        return self.geometry.heap_offset + heap_index * self.geometry.cluster_size

    @cached_property
    def structures(self) -> FatStructures:
        """The structures that `inspect` can show."""
        from pybootcfg.filesystems.fat.inspection import FatStructures

        return FatStructures(self)

    def root_records(self) -> Iterator[tuple[Any, int]]:
        """Yield the entries of the root directory and where they lie, in bytes, up to its end."""
        size = _fat.directory_entry.size
        for start, block in RootNode(self).blocks():
            for index, record in enumerate(_fat.directory_entry.array(block, len(block) // size)):
                if record.dir_name[0] == _fat.END_OF_DIRECTORY:
                    return
                yield record, start + index * size

    def _fat_offsets(self) -> tuple[int, ...]:
        """Return where the FATs lie, the active one first; it alone when the others do not mirror it."""
        geometry = self.geometry
        count = geometry.boot.bpb_num_fats
        offsets = tuple(geometry.fat_offset + number * geometry.fat_size for number in range(count))
        flags = geometry.boot.bpb_ext_flags if geometry.bits == 32 else 0
        if not flags & _fat.EXT_NOT_MIRRORED:
            return offsets
        active = flags & _fat.EXT_ACTIVE_FAT
        if active < count:
            return (offsets[active],)
        self.warn(f"the active FAT should be number {active}, but there are {count}; the first is used")
        return offsets

    def _check(self) -> None:
        """Warn of what is wrong with the volume but keeps nobody from reading it."""
        geometry, boot = self.geometry, self.geometry.boot
        if self.boot_offset:
            self.warn(f"the boot sector is damaged; its backup at byte {self.boot_offset:#x} is used")
        if boot.bpb_media not in _fat.MEDIA:
            self.warn(f"the boot sector has an invalid media byte, {boot.bpb_media:#x}")
        if geometry.total_size > self.source.size:
            self.warn(f"the volume has {geometry.total_size} bytes, but only {self.source.size} are there")
        if geometry.bits == 32:
            self._check_fat32()

    def _check_fat32(self) -> None:
        geometry, boot = self.geometry, self.geometry.boot
        if boot.bpb_fs_ver:
            self.warn(f"the FAT32 version {boot.bpb_fs_ver >> 8}.{boot.bpb_fs_ver & 0xFF} is not known")
        offset = boot.bpb_fs_info * geometry.sector_size
        if boot.bpb_fs_info in _NO_SECTOR or offset + _fat.fs_info.size > self.source.size:
            return
        info = _fat.fs_info.read(self.source, offset)
        if info.fsi_lead_sig != _fat.FSI_LEAD_SIGNATURE or info.fsi_struc_sig != _fat.FSI_STRUC_SIGNATURE:
            self.warn("the FSInfo sector has no valid signature")
