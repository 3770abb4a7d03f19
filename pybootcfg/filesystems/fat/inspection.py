"""The structures of a FAT volume by name, for `inspect`; docs/inspect.md lists them."""

from __future__ import annotations

from pybootcfg import limits, schema
from pybootcfg.errors import BootcfgError
from pybootcfg.filesystems.fat.directory import Entry, short_name_checksum
from pybootcfg.kind import Kind
from pybootcfg.schema import Decoder
from pybootcfg.structures import Checked, Structure, Structures, fault, numbered
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pybootcfg.filesystems.fat import Fat, FatNode
    from pybootcfg.source import Source

_fat = schema.load("fat")

_NO_SECTOR = (0, 0xFFFF)  # for FSInfo and for the backup boot sector: there is none
_TABLE = 64 * limits.KIB  # bytes of a FAT read at once


class FatStructures(Structures):
    """The structures of one volume."""

    def __init__(self, filesystem: Fat) -> None:
        self.filesystem = filesystem
        self.geometry = filesystem.geometry
        self.layout = filesystem.table.layout

    def listed(self) -> Iterator[Structure]:
        """Yield the boot sectors, FSInfo, the head of each FAT, and the root directory."""
        yield from self._boot()
        for number in range(self.geometry.boot.bpb_num_fats):
            for entry in range(0, _fat.FIRST_CLUSTER, self.layout.unit_entries):
                yield self.table_entry(number, entry)
        yield from self._root()

    def every(self) -> Iterator[Structure]:
        """Yield the boot sectors, FSInfo, the entries in use of each FAT, and all directories."""
        yield from self._boot()
        for number in range(self.geometry.boot.bpb_num_fats):
            yield from self._used(number)
        yield from self._root()
        for path, node in self.filesystem.nodes():
            if node.kind is Kind.DIRECTORY and path != b"/":
                try:
                    yield from self.directory(node)  # type: ignore[arg-type]
                except BootcfgError as error:
                    yield fault(f"directory[{node.key}]", error)

    def below(self, name: str) -> Iterator[Structure]:
        """Yield the entries of the directory that a name begins with; else what is listed."""
        family, cluster, _ = numbered(name)
        if family == "directory" and _fat.FIRST_CLUSTER <= cluster < self.filesystem.table.end:
            return self._of_directory(cluster)
        return self.listed()

    def of_node(self, node: FatNode) -> Iterator[Structure]:
        """Yield the directory entry (the root directory has none) and the entries of a directory."""
        if (offset := node.entry_offset()) is not None:
            yield Structure(self.entry_name(node), _fat.directory_entry, offset)
        if node.kind is Kind.DIRECTORY and node.key != self.filesystem.root.key:
            yield from self.directory(node)

    def find(self, name: str) -> Structure | None:
        """Return the structure called `name`; any entry of a FAT may be asked for."""
        table, _, entry = name.removeprefix("fat[").removesuffix("]").partition("].entries[")
        if name != f"fat[{table}].entries[{entry}]":
            return super().find(name)
        if not (table.isdecimal() and entry.isdecimal() and len(table + entry) < 20):
            return None
        if int(table) >= self.geometry.boot.bpb_num_fats or int(entry) >= self._room:
            return None
        return self.table_entry(int(table), int(entry))

    def _boot(self) -> Iterator[Structure]:
        geometry, boot = self.geometry, self.geometry.boot
        big = geometry.bits == 32
        decoder = _fat.boot_sector_fat32 if big else _fat.boot_sector
        yield Structure("boot_sector", decoder, 0)
        if big and boot.bpb_fs_info not in _NO_SECTOR:
            yield Structure("fs_info", _fat.fs_info, boot.bpb_fs_info * geometry.sector_size)
        if big and boot.bpb_bk_boot_sec not in _NO_SECTOR:
            yield Structure("backup_boot_sector", decoder, boot.bpb_bk_boot_sec * geometry.sector_size)

    @property
    def _room(self) -> int:
        return int(self.geometry.fat_size // self.layout.unit_size * self.layout.unit_entries)

    def table_entry(self, table: int, entry: int) -> Structure:
        """Return an entry of a FAT; two of FAT12 share three bytes and go by the number of the first."""
        unit = entry // self.layout.unit_entries
        start = self.geometry.fat_offset + table * self.geometry.fat_size
        name = f"fat[{table}].entries[{unit * self.layout.unit_entries}]"
        return Structure(name, self.layout.decoder, start + unit * self.layout.unit_size)

    def _used(self, table: int) -> Iterator[Structure]:
        """Yield the entries of a FAT that are not zero, as all free ones are."""
        size = self.layout.unit_size
        count = min(self._room, self.geometry.clusters + _fat.FIRST_CLUSTER)
        total = -(-count // self.layout.unit_entries) * size
        start = self.geometry.fat_offset + table * self.geometry.fat_size
        step = _TABLE // size * size
        for place in range(0, total, step):
            data = self.filesystem.source.read(start + place, min(step, total - place), "FAT")
            for at in range(0, len(data), size):
                if any(data[at : at + size]):
                    yield self.table_entry(table, (place + at) // size * self.layout.unit_entries)

    def _root(self) -> Iterator[Structure]:
        for index, (record, offset) in enumerate(self.filesystem.root_records()):
            yield Structure(f"root[{index}]", _decoder(record), offset)

    def _of_directory(self, cluster: int) -> Iterator[Structure]:
        """Yield the entries of the directory that begins at a cluster."""
        from pybootcfg.filesystems.fat import FatNode

        record = _fat.directory_entry.decode(bytes(_fat.directory_entry.size))
        record = record._replace(
            dir_attr=_fat.ATTR_DIRECTORY, dir_fst_clus_lo=cluster & 0xFFFF, dir_fst_clus_hi=cluster >> 16
        )
        return self.directory(FatNode(self.filesystem, Entry(f"[{cluster}]", (), record, 0), None))

    def directory(self, node: FatNode) -> Iterator[Structure]:
        """Yield the entries of a directory, deleted ones too, up to its end."""
        name, size, number = f"directory[{node.first_cluster}].entry", _fat.directory_entry.size, 0
        for start, block in node.blocks():
            for index, record in enumerate(_fat.directory_entry.array(block, len(block) // size)):
                if record.dir_name[0] == _fat.END_OF_DIRECTORY:
                    return
                yield Structure(f"{name}[{number}]", _decoder(record), start + index * size)
                number += 1

    def entry_name(self, node: FatNode) -> str:
        """Return the name of the directory entry of a file or directory."""
        directory, slot = node.place
        at_root = directory == self.filesystem.root.key
        return f"root[{slot}]" if at_root else f"directory[{directory}].entry[{slot}]"

    def owner(self, offset: int) -> str:
        """Return the name of the entry of a FAT at a byte."""
        table, place = divmod(offset - self.geometry.fat_offset, self.geometry.fat_size)
        if not 0 <= table < self.geometry.boot.bpb_num_fats:
            return ""
        entry = place // self.layout.unit_size * self.layout.unit_entries
        return f"fat[{table}].entries[{entry}]" if entry < self._room else ""


def _decoder(record: Any) -> Decoder:
    decoder: Decoder = _fat.directory_entry
    return _LONG_NAME_ENTRY if record.dir_attr == _fat.ATTR_LONG_NAME else decoder


def _checksum(source: Source, offset: int) -> dict[str, int]:
    """Return what the checksum in a part of a long name should be, by the short name if that is near.

    It may be in another cluster, and that of a file deleted by an old system belongs to none.
    """
    part = _fat.long_name_entry.read(source, offset)
    place = offset + (part.ldir_ord & ~_fat.LAST_LONG_ENTRY) * _fat.directory_entry.size
    if part.ldir_ord == _fat.DELETED or place // _SECTOR != offset // _SECTOR:
        return {}
    entry = _fat.directory_entry.read(source, place)
    gone = entry.dir_name[0] in (_fat.DELETED, _fat.END_OF_DIRECTORY) or entry.dir_attr == _fat.ATTR_LONG_NAME
    return {} if gone else {"ldir_chksum": short_name_checksum(entry.dir_name)}


_SECTOR = 512  # bytes, the least: what lies in one lies in one cluster
_LONG_NAME_ENTRY = Checked(_fat.long_name_entry, _checksum)
