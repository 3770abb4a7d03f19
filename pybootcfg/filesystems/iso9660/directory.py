"""Directories and files: records become named nodes, the way Linux names them."""

from __future__ import annotations

import functools
import stat

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError, UnsupportedFeature, printable
from pybootcfg.filesystems.base import Node, Run
from pybootcfg.filesystems.iso9660 import zisofs
from pybootcfg.filesystems.iso9660.contents import Contents, Section
from pybootcfg.filesystems.iso9660.rockridge import Attributes, SystemUse, link_target, recording_time
from pybootcfg.kind import Kind, of_mode
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING, NamedTuple, StrEnum

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator
    from typing import Any

iso = schema.load("iso9660")
susp = schema.load("susp")

SECTORS_AT_ONCE = 32  #: sectors of a directory read at once


class Naming(StrEnum):
    """Where the names of a directory tree come from."""

    PLAIN = "iso9660"
    ENHANCED = "enhanced"
    JOLIET = "joliet"
    ROCK_RIDGE = "rock-ridge"


class Record(NamedTuple):
    """One directory record: its offset in the source, its fixed part, its name, its system use area."""

    offset: int
    head: Any
    identifier: bytes
    system_use: bytes
    system_use_offset: int


class Tree:
    """One directory hierarchy of a volume, and what is the same for all its records.

    `volume` is the number of this volume in its set, None where there is but one; `skip` counts the
    bytes before the system use entries of each record.
    """

    def __init__(
        self,
        source: Source,
        block_size: int,
        naming: Naming,
        warn: Callable[[str], None],
        volume: int | None = None,
        skip: int = 0,
    ) -> None:
        self.source = source
        self.block_size = block_size
        self.naming = naming
        self.warn = warn
        self.volume = volume
        self.skip = skip

    @functools.cached_property
    def system_use(self) -> SystemUse:
        """The reader of system use areas."""
        return SystemUse(self.source, self.block_size, self.warn)

    def root(self, record: Any) -> IsoNode:
        """Return the root directory, from the record that a volume descriptor holds."""
        return self.directory(self.section(record).location)

    def directory(self, location: int) -> IsoNode:
        """Return the directory at a logical block, from its own `.` record.

        Raises ImageError when there is none.
        """
        start = location * self.block_size
        record = next(self.records(Section(location, iso.SECTOR_SIZE)), None)
        if record is None or record.identifier != iso.SELF or not record.head.file_flags & iso.DIRECTORY:
            raise ImageError(
                "a directory does not begin with its own record",
                offset=start,
                structure="directory_record",
                source=self.source.name,
            )
        section = self.section(record.head)._replace(location=location)
        return IsoNode(self, record, (section,), self.attributes(record))

    def section(self, head: Any) -> Section:
        """Return where the data of one record lie."""
        location = head.location_of_extent.little + head.extended_attribute_record_length
        return Section(location, head.data_length.little, head.file_unit_size, head.interleave_gap_size)

    def attributes(self, record: Record) -> Attributes:
        """Return what Rock Ridge says of a record; nothing where the tree has none."""
        if self.naming is not Naming.ROCK_RIDGE:
            return Attributes()
        return self.system_use.attributes(
            record.system_use[self.skip :], record.system_use_offset + self.skip
        )

    def records(self, directory: Section) -> Iterator[Record]:
        """Yield the records of a directory, sector by sector.

        Damage in one sector does not hide the others: ImageError is raised when all else is yielded.
        """
        start = directory.location * self.block_size
        limits.DIRECTORY_SIZE.check(directory.length, "directory")
        size = -(-directory.length // iso.SECTOR_SIZE) * iso.SECTOR_SIZE
        readable = min(size, max(0, self.source.size - start))
        damage: ImageError | None = None
        for chunk in range(0, readable, SECTORS_AT_ONCE * iso.SECTOR_SIZE):
            count = min(SECTORS_AT_ONCE * iso.SECTOR_SIZE, readable - chunk)
            data = self.source.read(start + chunk, count, "directory")
            for sector in range(0, count, iso.SECTOR_SIZE):
                try:
                    yield from self._sector(data[sector : sector + iso.SECTOR_SIZE], start + chunk + sector)
                except ImageError as error:
                    damage = damage or error
        if readable < size:
            raise self._damage(f"a directory of {directory.length} bytes ends behind the image", start)
        if damage:
            raise damage

    def _sector(self, data: bytes, at: int) -> Iterator[Record]:
        """Yield the records of one logical sector; none may cross its end (ECMA-119 clause 6.8.1.1)."""
        decode, fixed = iso.directory_record.decode, iso.directory_record.size
        offset = 0
        while offset < len(data) and data[offset]:
            if offset + fixed > len(data):
                raise self._damage("a directory record goes over the end of its sector", at + offset)
            head = decode(data, offset, at=at)
            end = offset + head.length_of_directory_record
            name_end = offset + fixed + head.length_of_file_identifier
            if end > len(data) or name_end > end or not head.length_of_file_identifier:
                raise self._damage(
                    f"a directory record of {head.length_of_directory_record} bytes with a name of"
                    f" {head.length_of_file_identifier} bytes, and {len(data) - offset} bytes left",
                    at + offset,
                )
            use = name_end + (name_end - offset) % 2  # a padding byte keeps it at even offsets
            self._compare(head, at + offset)
            system_use = data[use : max(use, end)]
            yield Record(at + offset, head, data[offset + fixed : name_end], system_use, at + use)
            offset = end

    def _compare(self, head: Any, offset: int) -> None:
        location, length = head.location_of_extent, head.data_length
        if location.little != location.big or length.little != length.big:
            self.warn(
                f"the byte orders of a directory record at byte {offset:#x} disagree;"
                " the little-endian numbers are used"
            )

    def _damage(self, message: str, offset: int) -> ImageError:
        return ImageError(message, offset=offset, structure="directory_record", source=self.source.name)

    def name(self, record: Record, attributes: Attributes) -> bytes:
        """Return the name of a record as Linux shows it with its default mount options."""
        if attributes.name:
            return attributes.name
        identifier = record.identifier
        if self.naming is Naming.JOLIET:
            name = identifier.decode("utf-16-be", "replace").encode()
            name = name.removesuffix(b";1")
            return name[:1] + name[1:].rstrip(b".")
        if self.naming is Naming.ENHANCED:
            return identifier.removesuffix(b";1")
        return _translated(identifier)


class IsoNode(Node):
    """A file or directory: the first of its records, all its sections, its Rock Ridge attributes."""

    def __init__(
        self, tree: Tree, record: Record, sections: tuple[Section, ...], attributes: Attributes
    ) -> None:
        self.tree = tree
        self.record = record
        self.contents = Contents(tree.source, tree.block_size, sections)
        self.attributes = attributes

    @functools.cached_property
    def _moved_here(self) -> IsoNode | None:
        """The directory that this record stands for, when it was moved (CL)."""
        child = self.attributes.child
        return None if child is None else self.tree.directory(child)

    @property
    def key(self) -> Hashable:
        """Where the contents lie; for files without any, the serial number, else the record's place."""
        section = self.contents.sections[0]
        if self.kind is Kind.DIRECTORY:
            child = self.attributes.child
            return "directory", section.location if child is None else child
        serial = self.attributes.serial
        if self.contents.size:
            return "file", section.location, serial
        return ("serial", serial) if serial else ("record", self.record.offset)

    @functools.cached_property
    def kind(self) -> Kind:
        """The record's flag tells directories, Rock Ridge the rest."""
        if self.record.head.file_flags & iso.DIRECTORY or self.attributes.child is not None:
            return Kind.DIRECTORY
        mode = self.attributes.mode
        if mode is None:
            if self.attributes.damage:
                raise self.attributes.damage
            return Kind.FILE
        kind = of_mode(mode) or Kind.FILE
        if kind is Kind.DIRECTORY:
            self.tree.warn(
                f"Rock Ridge calls the file with the record at byte {self.record.offset:#x} a directory,"
                " which its record does not"
            )
            return Kind.FILE
        return kind

    @property
    def size(self) -> int:
        """Bytes, uncompressed; of a directory, as it is recorded."""
        if self.kind is Kind.SYMLINK:
            return len(self.target())
        if self.kind is Kind.DIRECTORY:
            return (self._moved_here or self).contents.size
        if self.kind is not Kind.FILE:
            return 0
        compression = self.attributes.compression
        return compression.size if compression else self.contents.size

    @property
    def mode(self) -> int | None:
        """Permission bits of Rock Ridge."""
        mode = (self._moved_here or self).attributes.mode
        return None if mode is None else stat.S_IMODE(mode)

    @property
    def mtime(self) -> int | None:
        """The time stamp of Rock Ridge, else that of the record."""
        node = self._moved_here or self
        if node.attributes.mtime is not None:
            return node.attributes.mtime
        return recording_time(node.record.head.recording_date_and_time)

    @property
    def device(self) -> tuple[int, int] | None:
        """Major and minor number of a device node."""
        return self.attributes.device

    def runs(self) -> Iterator[Run]:
        """Yield the contents, decompressed."""
        self._readable()
        compression = self.attributes.compression
        if compression:
            return zisofs.runs(self.contents, compression)
        if self.attributes.damage and self._looks_compressed():
            raise self.attributes.damage
        return self.contents.extents()

    def _looks_compressed(self) -> bool:
        magic = self.contents.read(0, min(len(susp.ZISOFS_MAGIC), self.contents.size))
        return magic in (susp.ZISOFS_MAGIC, susp.ZISOFS2_MAGIC)

    def _readable(self) -> None:
        """Raise UnsupportedFeature when the contents are elsewhere, or stored in an unknown way."""
        number = self.record.head.volume_sequence_number.little
        if self.tree.volume is not None and number != self.tree.volume:
            raise UnsupportedFeature(
                "multi-volume", f"the file is on volume {number} of its set, and this is {self.tree.volume}"
            )
        if self.attributes.refusal:
            raise self.attributes.refusal

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        """Yield names and nodes; ImageError at the end when the directory is damaged somewhere."""
        return self._files(b"")

    def lookup(self, name: bytes) -> Node | None:
        """Scan for `name`; without regard to case where there is no Rock Ridge and no exact match.

        Linux does so for Joliet, GRUB for plain names too.
        """
        exact = self.tree.naming is Naming.ROCK_RIDGE
        folded = _fold(name)
        similar: Node | None = None
        try:
            for found, node in self._files(name if exact else b""):
                if found == name:
                    return node
                if not exact and similar is None and _fold(found) == folded:
                    similar = node
        except ImageError:
            if similar is None:
                raise
        return similar

    def target(self) -> bytes:
        """Return the target that SL entries spell."""
        if not self.attributes.link or self.attributes.damage:
            raise self.attributes.damage or ImageError(
                "a symbolic link without SL entries", offset=self.record.offset, structure="SL"
            )
        return link_target(self.attributes.link)

    def _files(self, wanted: bytes) -> Iterator[tuple[bytes, IsoNode]]:
        """Yield the files of this directory, with `wanted` only those that may have that name."""
        self._readable()
        node = self._moved_here or self
        for first, sections in node._joined():
            if wanted and _named_otherwise(first, wanted):
                continue
            attributes = self.tree.attributes(first)
            if attributes.moved:  # shown where its CL entry is
                continue
            name = self.tree.name(first, attributes)
            if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
                self.tree.warn(
                    f"a file with the impossible name {printable(name)!r}"
                    f" at byte {first.offset:#x} is left out"
                )
                continue
            yield name, IsoNode(self.tree, first, sections, attributes)

    def _joined(self) -> Iterator[tuple[Record, tuple[Section, ...]]]:
        """Yield the first record of each file and all its sections."""
        first: Record | None = None
        sections: list[Section] = []
        for record in self.tree.records(self.contents.sections[0]):
            if record.identifier in (iso.SELF, iso.PARENT) or record.head.file_flags & iso.ASSOCIATED:
                continue
            if first and record.identifier != first.identifier:
                self.tree.warn(f"the last section of the file at byte {first.offset:#x} is missing")
                yield first, tuple(sections)
                first = None
            if first is None:
                first, sections = record, []
            sections.append(self.tree.section(record.head))
            limits.ISO9660_SECTIONS.check(len(sections), printable(record.identifier))
            if not record.head.file_flags & iso.MULTI_EXTENT:
                yield first, tuple(sections)
                first = None
        if first:
            self.tree.warn(f"the last section of the file at byte {first.offset:#x} is missing")
            yield first, tuple(sections)


def _translated(identifier: bytes) -> bytes:
    """Return a plain name as isofs_name_translate of Linux (mount option map=normal) does."""
    name = identifier.split(b"\0")[0].lower()
    name = name[:-3] if name.endswith(b".;1") else name.removesuffix(b";1")
    return name.replace(b";", b".").replace(b"/", b".")


def _named_otherwise(record: Record, name: bytes) -> bool:
    """Whether a glance shows that neither Rock Ridge nor the record itself calls a file `name`."""
    use = record.system_use
    # a name in several entries, or behind a continuation, takes more than a glance
    if name in use or b"CE" in use or use.count(b"NM") != 1:
        return False
    return _translated(record.identifier) != name


def _fold(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape").casefold()
