"""The structures of an exFAT volume by name, for `inspect`; docs/inspect.md lists them."""

from __future__ import annotations

from pybootcfg import limits, schema
from pybootcfg.errors import BootcfgError
from pybootcfg.kind import Kind
from pybootcfg.schema import Decoder
from pybootcfg.structures import Checked, Stretch, Structure, Structures, fault, length_of, numbered
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pybootcfg.filesystems.exfat import Exfat, ExfatNode
    from pybootcfg.source import Source

_exfat = schema.load("exfat")

_TABLE = 64 * limits.KIB  # bytes of the FAT read at once
_ENTRY: int = _exfat.fat_entry.size

#: what the entries of a directory are, by entry_type
_DECODERS: dict[int, str] = {
    _exfat.ALLOCATION_BITMAP: "allocation_bitmap_entry",
    _exfat.UPCASE_TABLE: "upcase_table_entry",
    _exfat.VOLUME_LABEL: "volume_label_entry",
    _exfat.FILE: "file_entry",
    _exfat.STREAM_EXTENSION: "stream_extension_entry",
    _exfat.FILE_NAME: "file_name_entry",
}


class ExfatStructures(Structures):
    """The structures of one volume."""

    def __init__(self, filesystem: Exfat) -> None:
        self.filesystem = filesystem
        self.fat_offset: int = filesystem.boot.fat_offset * filesystem.sector_size

    def listed(self) -> Iterator[Structure]:
        """Yield the boot sectors, their checksums, the head of the FAT, and the root directory."""
        yield from self._boot()
        for number in range(_exfat.FIRST_CLUSTER):
            yield self.table_entry(number)
        yield from self.directory(self.filesystem.root, "root")  # type: ignore[arg-type]

    def every(self) -> Iterator[Structure]:
        """Yield the boot sectors, the entries in use of the FAT, the tables, and all directories."""
        yield from self._boot()
        total = self.filesystem.end * _ENTRY
        for place in range(0, total, _TABLE):
            size = min(_TABLE, total - place)
            data = self.filesystem.source.read(self.fat_offset + place, size, "FAT")
            for number, entry in enumerate(_exfat.fat_entry.array(data, size // _ENTRY), place // _ENTRY):
                if entry:
                    yield self.table_entry(number)
        yield from self.tables()
        for path, node in self.filesystem.nodes():
            if node.kind is Kind.DIRECTORY:
                name = "root" if path == b"/" else f"directory[{node.key}].entry"
                try:
                    yield from self.directory(node, name)  # type: ignore[arg-type]
                except BootcfgError as error:
                    yield fault(name, error)

    def below(self, name: str) -> Iterator[Structure]:
        """Yield the entries of the directory that a name begins with, or what is listed and the tables."""
        family, cluster, _ = numbered(name)
        if family == "directory":
            for _, node in self.filesystem.nodes():
                if node.kind is Kind.DIRECTORY and node.key == cluster:
                    yield from self.directory(node, f"directory[{cluster}].entry")  # type: ignore[arg-type]
                    return
            return
        yield from self.listed()
        yield from self.tables()

    def find(self, name: str) -> Structure | None:
        """Return the structure called `name`; any entry of the FAT may be asked for."""
        family, number, part = numbered(name)
        if family == "fat.entries" and not part:
            return self.table_entry(number) if 0 <= number < self.filesystem.end else None
        return super().find(name)

    def of_node(self, node: ExfatNode) -> Iterator[Structure]:
        """Yield the entry set of a file or directory, and a directory's entries."""
        filesystem = self.filesystem
        if node.key == filesystem.root.key:
            return
        directory, slot, count = node.place
        parent = "root" if directory == filesystem.root.key else f"directory[{directory}].entry"
        wanted = {f"{parent}[{number}]" for number in range(slot, slot + count + 1)}
        yield from (found for found in self.below(parent) if found.name in wanted)
        if node.kind is Kind.DIRECTORY:
            yield from self.directory(node, f"directory[{node.key}].entry")

    def _boot(self) -> Iterator[Structure]:
        size = self.filesystem.sector_size
        covered = _exfat.CHECKSUM_SECTORS * size
        for name, sector in (("", 0), ("backup_", _exfat.BACKUP_BOOT_SECTOR)):
            offset = sector * size
            yield Structure(f"{name}boot_sector", _exfat.boot_sector, offset)
            words = _exfat.boot_checksum.repeated(size // _exfat.boot_checksum.size)
            yield Structure(f"{name}boot_checksum", Checked(words, self._boot_checksum), offset + covered)

    def table_entry(self, number: int) -> Structure:
        """Return an entry of the FAT."""
        return Structure(f"fat.entries[{number}]", _exfat.fat_entry, self.fat_offset + number * _ENTRY)

    def tables(self) -> Iterator[Structure]:
        """Yield the allocation bitmap and the up-case table, in as many pieces as they lie in."""
        bits = self.filesystem.boot.cluster_count
        for kind, name in (
            (_exfat.ALLOCATION_BITMAP, "allocation_bitmap"),
            (_exfat.UPCASE_TABLE, "upcase_table"),
        ):
            bitmap = kind == _exfat.ALLOCATION_BITMAP
            try:
                pieces = self._pieces(kind, name)
            except BootcfgError as error:
                self.filesystem.warn(f"{name}: {error}")
                continue
            for number, (offset, length) in enumerate(pieces):
                whole = name if len(pieces) == 1 else f"{name}[{number}]"
                decoder: Decoder
                if bitmap:
                    decoder = Stretch(name, length, max(0, min(bits, 8 * length)))
                    bits -= 8 * length
                else:
                    decoder = _exfat.upcase_unit.repeated(length // _exfat.upcase_unit.size)
                yield Structure(whole, decoder, offset)

    def _pieces(self, kind: int, name: str) -> list[tuple[int, int]]:
        """Return where the pieces of a table lie and their lengths, in bytes; nothing without a table."""
        from pybootcfg.filesystems.exfat import Allocation

        slot = self.filesystem.root_slot(kind)
        if slot is None:
            return []
        entry = getattr(_exfat, f"{name}_entry").decode(slot)
        allocation = Allocation(entry.first_cluster, entry.data_length, contiguous=False)
        step = limits.TRACED_FIELD.value
        return [
            (start + place, min(length - place, step))
            for start, length in self.filesystem.spans(allocation, kind, name)
            for place in range(0, length, step)
        ]

    def directory(self, node: ExfatNode, name: str) -> Iterator[Structure]:
        """Yield the entries of a directory, unused ones too, up to its end."""
        slots = self.filesystem.placed_slots(node.allocation(), node.key, name)
        for index, (offset, slot) in enumerate(slots):
            kind = _exfat.directory_entry.decode(slot).entry_type
            decoder = getattr(_exfat, _DECODERS.get(kind, "directory_entry"))
            if kind == _exfat.FILE:
                decoder = Checked(decoder, self._set_checksum)
            elif kind == _exfat.UPCASE_TABLE:
                decoder = Checked(decoder, self._table_checksum)
            yield Structure(f"{name}[{index}]", decoder, offset)

    def _boot_checksum(self, source: Source, offset: int) -> dict[str, int]:
        """Return the checksum of the boot region in front of `offset`, once for every word of a sector."""
        from pybootcfg.filesystems.exfat import boot_checksum

        size = self.filesystem.sector_size
        covered = _exfat.CHECKSUM_SECTORS * size
        found = boot_checksum(source, offset - covered, covered)
        return {f"[{word}]": found for word in range(size // _exfat.boot_checksum.size)}

    def _set_checksum(self, source: Source, offset: int) -> dict[str, int]:
        """Return the checksum of an entry set, if it lies in one cluster."""
        from pybootcfg.filesystems.exfat import set_checksum

        count = 1 + _exfat.file_entry.read(source, offset).secondary_count
        size, cluster = count * _exfat.file_entry.size, self.filesystem.cluster_size
        if (offset - self.filesystem.heap_offset) % cluster + size > cluster:
            return {}
        return {"set_checksum": set_checksum(source.read(offset, size))}

    def _table_checksum(self, source: Source, offset: int) -> dict[str, int]:
        """Return the checksum of the up-case table that a directory entry tells of."""
        from pybootcfg.filesystems.exfat import checksum

        entry = _exfat.upcase_table_entry.read(source, offset)
        return {"table_checksum": checksum(self.filesystem.upcase_data(entry), 32)}

    def owner(self, offset: int) -> str:
        """Return the name of the entry of the FAT, or of the table, at a byte."""
        number = (offset - self.fat_offset) // _ENTRY
        if 0 <= number < self.filesystem.end:
            return f"fat.entries[{number}]"
        for table in self.tables():
            if table.offset <= offset < table.offset + length_of(table.decoder):
                return table.name
        return ""
