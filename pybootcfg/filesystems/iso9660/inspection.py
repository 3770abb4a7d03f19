"""The structures of an ISO 9660 volume by name, for `inspect`; docs/inspect.md lists them.

Directories and files go by the logical block that they begin at.
"""

from __future__ import annotations

from contextlib import suppress

from pybootcfg import limits, schema
from pybootcfg.errors import BootcfgError, ImageError, LimitExceeded
from pybootcfg.filesystems.iso9660.directory import IsoNode, Naming, Record, Tree
from pybootcfg.filesystems.iso9660.rockridge import Entry
from pybootcfg.filesystems.iso9660.sectors import RawSectors
from pybootcfg.kind import Kind
from pybootcfg.schema import Decoder
from pybootcfg.structures import Followed, Structure, Structures, fault, numbered
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pybootcfg.filesystems.base import Node
    from pybootcfg.filesystems.iso9660.volume import Iso9660

iso = schema.load("iso9660")
susp = schema.load("susp")

#: the schema of each system use entry, by signature; those of several forms are told apart below
_ENTRIES = {
    name.upper().encode(): name for name in ("sp", "ce", "er", "px", "pn", "sl", "nm", "cl", "pl", "tf", "rr")
}

#: path tables by the descriptor's field, the schema of their records, and what their names end in
_PATH_TABLES = (
    ("location_of_type_l_path_table", iso.path_table_record, "path_table"),
    ("location_of_type_m_path_table", iso.path_table_record_m, "path_table_m"),
    ("location_of_optional_type_l_path_table", iso.path_table_record, "optional_path_table"),
    ("location_of_optional_type_m_path_table", iso.path_table_record_m, "optional_path_table_m"),
)


class IsoStructures(Structures):
    """The structures of one volume."""

    def __init__(self, filesystem: Iso9660) -> None:
        self.filesystem = filesystem
        self.source = filesystem.source

    def listed(self) -> Iterator[Structure]:
        """Yield the descriptors, the boot catalogue, the path tables, the root's own record."""
        yield from self._heads()
        with suppress(ImageError):  # what is wrong is said where the directory is read
            root = self.filesystem.root_of_primary
            yield from self._record(root.tree, root.record, "root.directory_record", "root")

    def every(self) -> Iterator[Structure]:
        """Yield the descriptors, the boot catalogue, the path tables, all directories, raw sectors' heads."""
        if isinstance(self.source, RawSectors):
            for number in range(self.source.base.size // self.source.raw_size):
                yield from self.sector(self.source, number)
        yield from self._heads()
        seen = set()  # trees may share directories, and names files
        for root in self.filesystem.trees():
            for node in _directories(root):
                location = f"directory[{node.contents.sections[0].location}]"
                if location in seen:
                    continue
                seen.add(location)
                try:
                    for structure in self.directory(node):
                        if structure.name not in seen or not structure.name.startswith("extent"):
                            yield structure
                        if structure.name.startswith("extent"):
                            seen.add(structure.name)
                except BootcfgError as error:
                    yield fault(location, error)

    def below(self, name: str) -> Iterator[Structure]:
        """Yield those of the directory, the file or the raw sector that a name begins with."""
        family, number, _ = numbered(name)
        if family == "sector" and isinstance(self.source, RawSectors):
            yield from self.sector(self.source, number)
        elif family == "directory" and number >= 0:
            for root in self.filesystem.trees():
                with suppress(ImageError):
                    node = root.tree.directory(number)
                    yield from self.directory(node)
                    return
        elif family == "extent" and number >= 0:
            yield from self._compressed(number)
        else:
            yield from self.listed()

    def _heads(self) -> Iterator[Structure]:
        for found in self.filesystem.descriptors:
            yield Structure(found.name, found.decoder, found.offset)
        for catalog in self.filesystem.boot_catalogs():
            yield from catalog.structures()
        for prefix, described, _ in self.filesystem.described:
            record = described.record
            for field, decoder, name in _PATH_TABLES:
                if location := getattr(record, field):
                    yield from self._path_table(record, location, decoder, prefix + name)

    def _path_table(self, record: Any, location: int, decoder: Decoder, name: str) -> Iterator[Structure]:
        """Yield the records of a path table, up to a cap."""
        offset = location * record.logical_block_size.little
        end = min(offset + record.path_table_size.little, self.source.size)
        for number in range(limits.ISO9660_PATH_TABLE.value):
            if offset + decoder.size > end:
                return
            length = decoder.read(self.source, offset).length_of_directory_identifier
            if not length:
                return
            shown = Followed(decoder, ("directory_identifier", length), ("padding", length % 2))
            yield Structure(f"{name}[{number}]", shown, offset)
            offset += decoder.size + length + length % 2

    def sector(self, source: RawSectors, number: int) -> Iterator[Structure]:
        """Yield the head of a raw sector; of none where the image has not so many."""
        base, start = source.base, number * source.raw_size
        if not 0 <= start <= base.size - source.raw_size:
            return
        yield Structure(f"sector[{number}].header", iso.sector_header, start, base)
        if iso.sector_header.read(base, start).mode == 2:
            place = start + iso.sector_header.size
            yield Structure(f"sector[{number}].subheader", iso.sector_subheader, place, base)

    def directory(self, node: IsoNode) -> Iterator[Structure]:
        """Yield the records of a directory with their system use entries."""
        section = node.contents.sections[0]
        for number, record in enumerate(node.tree.records(section)):
            name = f"directory[{section.location}].record[{number}]"
            yield from self._record(node.tree, record, name, name)
            if node.tree.naming is Naming.ROCK_RIDGE:
                compression = node.tree.attributes(record).compression
                if compression is not None:
                    with suppress(ImageError):  # the head of the file says what is wrong
                        yield from self._compressed(node.tree.section(record.head).location)

    def _record(self, tree: Tree, record: Record, name: str, prefix: str) -> Iterator[Structure]:
        """Yield a directory record and its system use entries, continuation areas included."""
        length = record.head.length_of_file_identifier
        used: int = iso.directory_record.size + length
        padding = record.system_use_offset - record.offset - used
        rest = record.head.length_of_directory_record - used - max(0, padding)
        rockridge = tree.naming is Naming.ROCK_RIDGE
        shown = Followed(
            iso.directory_record,
            ("file_identifier", length),
            ("padding", padding if used + padding <= record.head.length_of_directory_record else 0),
            ("system_use", 0 if rockridge else rest),
        )
        yield Structure(name, shown, record.offset)
        if not rockridge:
            return
        skip = 0 if record.identifier == iso.SELF else tree.skip
        area, at = record.system_use[skip:], record.system_use_offset + skip
        if area[susp.XA_LENGTH :].startswith(b"SP"):
            area, at = area[susp.XA_LENGTH :], at + susp.XA_LENGTH
        try:
            for number, entry in enumerate(tree.system_use.entries(area, at)):
                yield from _system_use(f"{prefix}.system_use[{number}]", entry)
        except (ImageError, LimitExceeded) as error:
            self.filesystem.warn(f"Rock Ridge: {error}")

    def of_node(self, node: IsoNode) -> Iterator[Structure]:
        """Yield the record of a file or directory, what belongs to it, and a directory's records."""
        name = self._name_of(node.record)
        yield from self._record(node.tree, node.record, name, name)
        if node.kind is Kind.DIRECTORY:
            yield from self.directory(node)
        elif node.attributes.compression is not None:
            yield from self._compressed(node.contents.sections[0].location)

    def _name_of(self, wanted: Record) -> str:
        for root in self.filesystem.trees():
            for directory in _directories(root):
                section = directory.contents.sections[0]
                start = section.location * directory.tree.block_size
                length = -(-section.length // iso.SECTOR_SIZE) * iso.SECTOR_SIZE  # whole sectors are read
                if start <= wanted.offset < start + length:
                    for number, record in enumerate(directory.tree.records(section)):
                        if record.offset == wanted.offset:
                            return f"directory[{section.location}].record[{number}]"
        return "directory_record"

    def _compressed(self, location: int) -> Iterator[Structure]:
        """Yield the head of a file that zisofs compressed, and the pointers to its blocks."""
        offset = location * self.filesystem.primary.record.logical_block_size.little
        magic = self.source.read(offset, len(susp.ZISOFS_MAGIC), "zisofs_header")
        decoders = {
            susp.ZISOFS_MAGIC: (susp.zisofs_header, susp.block_pointer_1),
            susp.ZISOFS2_MAGIC: (susp.zisofs2_header, susp.block_pointer_2),
        }
        if magic not in decoders:
            return
        decoder, pointer = decoders[magic]
        yield Structure(f"extent[{location}].zisofs_header", decoder, offset)
        header = decoder.read(self.source, offset)
        blocks = -(-header.uncompressed_size // (1 << min(header.block_size_log2, 63)))
        start = offset + header.header_size_div_4 * 4
        room = max(0, self.source.size - start) // pointer.size
        count = min(blocks + 1, room, limits.ARRAY_ITEMS.value)
        yield Structure(f"extent[{location}].block_pointers", pointer.repeated(count), start)


def _directories(root: IsoNode) -> Iterator[IsoNode]:
    """Yield a directory and all below it, each once, as far as they can be read."""
    budget = limits.INSPECT_FILES.budget("directories")
    todo, seen = [root], set()
    while todo:
        directory = todo.pop()
        if directory.key in seen:
            continue
        seen.add(directory.key)
        budget.spend()
        yield directory
        with suppress(ImageError, LimitExceeded):
            for _, node in directory.entries():
                with suppress(ImageError):
                    todo += _as_directory(node)


def _as_directory(node: Node) -> list[IsoNode]:
    """Return a directory, there where its records are; nothing for another node."""
    if node.kind is not Kind.DIRECTORY or not isinstance(node, IsoNode):
        return []
    child = node.attributes.child
    return [node if child is None else node.tree.directory(child)]


def _system_use(name: str, entry: Entry) -> Iterator[Structure]:
    decoder: Decoder = getattr(susp, _ENTRIES.get(entry.signature, "entry"))
    if entry.signature == b"PX" and len(entry.data) >= susp.PX_WITH_SERIAL:
        decoder = susp.px_with_serial
    elif entry.signature in (b"ZF", b"Z2"):
        algorithm = entry.data[susp.entry.size : susp.entry.size + len(susp.ZF_1)]
        decoder = {susp.ZF_1: susp.zf_1, susp.ZF_2: susp.zf_2}.get(algorithm, susp.entry)
    if len(entry.data) < decoder.size:
        decoder = susp.entry
    rest = len(entry.data) - decoder.size
    if decoder is susp.tf:
        yield Structure(name, decoder, entry.offset)
        yield from _stamps(name, entry)
        return
    if decoder is susp.er:
        yield Structure(name, Followed(decoder, *_extension(entry, rest)), entry.offset)
        return
    if decoder is not susp.sl:
        yield Structure(name, Followed(decoder, ("content", rest)), entry.offset)
        return
    yield Structure(name, decoder, entry.offset)
    place = number = 0
    while place + susp.component.size <= rest:
        component = susp.component.decode(entry.data, decoder.size + place)
        length = min(component.length, rest - place - susp.component.size)
        shown = Followed(susp.component, ("content", length))
        yield Structure(f"{name}.component[{number}]", shown, entry.offset + decoder.size + place)
        place += susp.component.size + component.length
        number += 1


def _stamps(name: str, entry: Entry) -> Iterator[Structure]:
    """Yield the time stamps that the flags of a TF entry name."""
    flags = susp.tf.decode(entry.data).flags
    decoder = iso.digits_date_and_time if flags & susp.TF_LONG_FORM else iso.recording_date_and_time
    at = susp.tf.size
    for bit, stamp in enumerate(susp.TF_STAMPS):
        if flags >> bit & 1 and at + decoder.size <= len(entry.data):
            yield Structure(f"{name}.{stamp}", decoder, entry.offset + at)
            at += decoder.size


def _extension(entry: Entry, rest: int) -> Iterator[tuple[str, int]]:
    """Yield the names and lengths of the texts of an ER entry, as far as it has room for them."""
    head = susp.er.decode(entry.data)
    for part, length in (("id", head.len_id), ("descriptor", head.len_des), ("source", head.len_src)):
        yield f"extension_{part}", min(length, rest)
        rest -= min(length, rest)
    yield "content", rest
