"""The volume as a whole: its descriptors, the tree that Linux would mount, label and UUID."""

from __future__ import annotations

import functools

from pybootcfg import limits, schema
from pybootcfg.errors import GuestFileMissing, ImageError, printable
from pybootcfg.filesystems.base import Filesystem, Node, Options
from pybootcfg.filesystems.iso9660.boot import BootCatalog, BootImage
from pybootcfg.filesystems.iso9660.directory import IsoNode, Naming, Record, Tree
from pybootcfg.filesystems.iso9660.label import volume_label
from pybootcfg.filesystems.iso9660.rockridge import Attributes
from pybootcfg.filesystems.iso9660.sectors import cooked
from pybootcfg.schema import Decoder
from pybootcfg.source import Source
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pybootcfg.filesystems.iso9660.inspection import IsoStructures

iso = schema.load("iso9660")
susp = schema.load("susp")
eltorito = schema.load("eltorito")

BLOCK_SIZES = (512, 1024, 2048)  #: of logical blocks, in bytes; ECMA-119 clause 6.2.2, as Linux takes them


class Descriptor(NamedTuple):
    """One volume descriptor: its name as a structure, its schema, its offset, its record."""

    name: str
    decoder: Decoder
    offset: int
    record: Any


class Iso9660(Filesystem):
    """An ISO 9660 volume, in sectors of 2048 bytes or raw ones."""

    family = "iso9660"

    def __init__(self, source: Source, options: Options) -> None:
        super().__init__(cooked(source), options)
        self.members = (source,)
        self.descriptors = list(self._descriptors())
        primary = self._find("primary_volume_descriptor")
        if primary is None:
            raise ImageError(
                "no primary volume descriptor", offset=iso.SYSTEM_AREA_SIZE, source=self.source.name
            )
        self.primary = primary
        self.joliet = self._find("joliet_volume_descriptor")
        self.enhanced = self._find("enhanced_volume_descriptor")
        self._check(self.primary)
        self._notice()
        self._features: list[str] = []
        self._root = self._choose()

    # --- descriptors ---

    def _descriptors(self) -> Iterator[Descriptor]:
        """Yield the volume descriptors up to the terminator."""
        for number in range(limits.ISO9660_DESCRIPTORS.value):
            offset = iso.SYSTEM_AREA_SIZE + number * iso.SECTOR_SIZE
            try:
                head = iso.volume_descriptor.read(self.source, offset)
            except ImageError as error:
                if not number:
                    raise
                self.warn(f"the volume descriptors end without a terminator: {error}")
                return
            if head.volume_descriptor_type == iso.TERMINATOR:
                yield Descriptor("terminator", iso.terminator, offset, head)
                return
            name, decoder = self._decoder(head, offset)
            yield Descriptor(name, decoder, offset, decoder.read(self.source, offset))

    def _decoder(self, head: Any, offset: int) -> tuple[str, Decoder]:
        """Return the name and the schema of the descriptor that begins with `head`."""
        kind = head.volume_descriptor_type
        if kind == iso.PRIMARY:
            return "primary_volume_descriptor", iso.primary_volume_descriptor
        if kind == iso.BOOT_RECORD:
            system = iso.boot_record.read(self.source, offset).boot_system_identifier
            is_el_torito = system == eltorito.BOOT_SYSTEM_IDENTIFIER
            return "boot_record", eltorito.boot_record if is_el_torito else iso.boot_record
        if kind == iso.SUPPLEMENTARY:
            decoder: Decoder = iso.supplementary_volume_descriptor
            if head.volume_descriptor_version == iso.ENHANCED_VERSION:
                return "enhanced_volume_descriptor", decoder
            if joliet_level(decoder.read(self.source, offset)):
                return "joliet_volume_descriptor", decoder
            return "supplementary_volume_descriptor", decoder
        return "volume_descriptor", iso.volume_descriptor

    def _find(self, name: str) -> Descriptor | None:
        return next((found for found in self.descriptors if found.name == name), None)

    def _check(self, descriptor: Descriptor) -> None:
        """Refuse what cannot be read, and warn of numbers whose two byte orders disagree."""
        record = descriptor.record
        fields = ("volume_space_size", "volume_set_size", "volume_sequence_number", "logical_block_size")
        for name in (*fields, "path_table_size"):
            pair = getattr(record, name)
            if pair.little != pair.big:
                self.warn(
                    f"the byte orders of {name} disagree, {pair.little} and {pair.big}, in the"
                    f" {descriptor.name}; the little-endian number is used"
                )
        if record.logical_block_size.little not in BLOCK_SIZES:
            raise ImageError(
                f"a logical block size of {record.logical_block_size.little} bytes",
                offset=descriptor.offset,
                structure=descriptor.name,
                source=self.source.name,
            )

    def _notice(self) -> None:
        """Warn of what the user should know of the disc as a whole."""
        record = self.primary.record
        size = record.volume_space_size.little * record.logical_block_size.little
        if size > self.source.size:
            self.warn(f"the volume has {size} bytes, but the image only {self.source.size}")
        if record.volume_set_size.little > 1:
            self.warn(
                f"this is volume {record.volume_sequence_number.little} of"
                f" {record.volume_set_size.little}; files of the others cannot be read"
            )
        session = self._later_session()
        if session:
            self.warn(
                f"another session begins at sector {session}; as Linux does for what is not a drive,"
                " the descriptors at sector 16 are followed"
            )
        if self.has_udf:
            self.warn("the disc also holds a UDF file system; it is read through ISO 9660")

    def _later_session(self) -> int:
        """Return the sector at which a session follows that sector 16 knows nothing of, else 0.

        Writers to images and overwritable media bring the descriptors at sector 16 up to date, so
        that the last session counts.  On other media only the drive knows where it is.
        """
        record = self.primary.record
        size: int = record.volume_space_size.little * record.logical_block_size.little
        for alignment in (1, 16, 32):  # in sectors, as the writers place sessions
            unit = alignment * iso.SECTOR_SIZE
            start = -(-size // unit) * unit
            offset = start + iso.SYSTEM_AREA_SIZE + 1
            fits = size and offset + iso.SECTOR_SIZE <= self.source.size
            if fits and self.source.read(offset, 5) == iso.STANDARD_IDENTIFIER:
                return int(start // iso.SECTOR_SIZE)
        return 0

    @functools.cached_property
    def has_udf(self) -> bool:
        """Whether UDF descriptors follow those of ISO 9660 (a bridge disc)."""
        offset = self.descriptors[-1].offset + iso.SECTOR_SIZE
        if offset + iso.SECTOR_SIZE > self.source.size:
            return False
        return self.source.read(offset + 1, 5) in iso.UDF_IDENTIFIERS

    # --- trees ---

    def _tree(self, descriptor: Descriptor, naming: Naming, skip: int = 0) -> Tree:
        record = descriptor.record
        return Tree(
            source=self.source,
            block_size=record.logical_block_size.little,
            naming=naming,
            warn=self.warn,
            volume=record.volume_sequence_number.little if record.volume_set_size.little > 1 else None,
            skip=skip,
        )

    def _root_of(self, descriptor: Descriptor, tree: Tree) -> IsoNode:
        """Return the root directory that a descriptor points at, by its path table if need be."""
        record = descriptor.record
        root = record.directory_record_for_root_directory
        try:
            return tree.root(root)
        except ImageError:
            table = record.location_of_type_l_path_table * tree.block_size
            first = iso.path_table_record.read(self.source, table)
            location = first.location_of_extent + first.extended_attribute_record_length
            if location == tree.section(root).location:
                raise
            node = tree.directory(location)
            self.warn(f"the root record of the {descriptor.name} is damaged; the path table is used")
            return node

    def _choose(self) -> IsoNode:
        """Return the root that Linux would mount: Rock Ridge, else Joliet, else the plain names."""
        try:
            root, certain = self._primary_root()
        except ImageError as error:
            if self.joliet is None:
                raise
            self.warn(f"the primary directory tree is damaged, Joliet's is used: {error}")
            return self._joliet_root(self.joliet)
        if self.joliet is None:
            return root
        if certain and _has_entries(root):
            return root
        if certain:  # as Linux does for discs that were made so
            self.warn("the primary root directory is empty; Joliet's is used")
        try:
            return self._joliet_root(self.joliet)
        except ImageError as error:
            self.warn(f"the Joliet directory tree is damaged, the primary one is used: {error}")
            return root

    def _primary_root(self) -> tuple[IsoNode, bool]:
        """Return the primary root, and whether an ER entry says for certain that it is Rock Ridge."""
        plain = self._tree(self.primary, Naming.PLAIN)
        root = self._root_of(self.primary, plain)
        attributes = self._root_attributes(root.record)
        if attributes.skip is None and attributes.mode is None:
            return root, False
        versions = [susp.ROCK_RIDGE_VERSIONS.get(name) for name in attributes.extensions]
        self._features.append(f"rock-ridge-{next(filter(None, versions), 'unknown')}")
        tree = self._tree(self.primary, Naming.ROCK_RIDGE, attributes.skip or 0)
        root = IsoNode(tree, root.record, root.contents.sections, attributes)
        return root, bool(attributes.extensions)

    def _root_attributes(self, record: Record) -> Attributes:
        """Return what the root's own record says; its entries may come behind CD-ROM XA's (SUSP 5.3)."""
        reader = self._tree(self.primary, Naming.ROCK_RIDGE).system_use
        area, at = record.system_use, record.system_use_offset
        if area[susp.XA_LENGTH :].startswith(b"SP"):
            area, at = area[susp.XA_LENGTH :], at + susp.XA_LENGTH
        elif not area.startswith((b"SP", b"RR", b"PX")):
            return Attributes()
        return reader.attributes(area, at)

    def _joliet_root(self, descriptor: Descriptor) -> IsoNode:
        self._check(descriptor)
        root = self._root_of(descriptor, self._tree(descriptor, Naming.JOLIET))
        self._features.append(f"joliet-level-{joliet_level(descriptor.record)}")
        return root

    # --- Filesystem ---

    @property
    def name(self) -> str:
        """Always `iso9660`, as blkid calls it; `features` tell the extensions."""
        return "iso9660"

    @functools.cached_property
    def root(self) -> Node:
        """The root directory of the tree that Linux mounts by default."""
        return self._root

    @property
    def label(self) -> str:
        """The volume identifier as blkid prints it, made whole from Joliet's where there is one."""
        plain = self.primary.record.volume_identifier
        return volume_label(plain, self.joliet.record.volume_identifier if self.joliet else None)

    @property
    def uuid(self) -> str:
        """The time of modification, else of creation, written as blkid does; empty when neither is set."""
        record = self.primary.record
        for stamp in (record.volume_modification_date_and_time, record.volume_creation_date_and_time):
            digits = stamp[:-1]
            if stamp.offset_from_gmt or any(part.strip(b"0") for part in digits):
                return "-".join(part.decode("latin-1") for part in digits)
        return ""

    @property
    def features(self) -> tuple[str, ...]:
        """The extensions that the volume has."""
        found = list(self._features)
        if self.boot_catalogs():
            found.append("el-torito")
        if self.enhanced:
            found.append("enhanced")
        if self.has_udf:
            found.append("udf-bridge")
        return tuple(found)

    def subvolume(self, name: str) -> Node:
        """Return the root of another directory tree: `iso9660` (plain names), `joliet` or `enhanced`."""
        if name == Naming.PLAIN:
            return self._root_of(self.primary, self._tree(self.primary, Naming.PLAIN))
        if name == Naming.JOLIET and self.joliet:
            return self._root_of(self.joliet, self._tree(self.joliet, Naming.JOLIET))
        if name == Naming.ENHANCED and self.enhanced:
            return self._root_of(self.enhanced, self._tree(self.enhanced, Naming.ENHANCED))
        raise GuestFileMissing(printable(name), "the volume has no such directory tree")

    def boot_images(self) -> list[BootImage]:
        """Return the El Torito boot images, in the order of the catalogue."""
        return [image for catalog in self.boot_catalogs() for image in catalog.images()]

    def boot_catalogs(self) -> list[BootCatalog]:
        """Return the El Torito boot catalogues that the descriptors name."""
        return [
            BootCatalog(self.source, found.record.boot_catalog * iso.SECTOR_SIZE, self.warn)
            for found in self.descriptors
            if found.decoder is eltorito.boot_record
        ]

    @functools.cached_property
    def structures(self) -> IsoStructures:
        """The structures that `inspect` can show."""
        from pybootcfg.filesystems.iso9660.inspection import IsoStructures

        return IsoStructures(self)

    @property
    def described(self) -> list[tuple[str, Descriptor, Naming]]:
        """Of each tree: what the names of its structures begin with, its descriptor, its kind of names."""
        trees = (
            ("", self.primary, Naming.PLAIN),
            ("joliet_", self.joliet, Naming.JOLIET),
            ("enhanced_", self.enhanced, Naming.ENHANCED),
        )
        return [(name, found, naming) for name, found, naming in trees if found is not None]

    def trees(self) -> Iterator[IsoNode]:
        """Yield the root of each directory tree; a damaged one is a warning."""
        for name, found, naming in self.described:
            try:
                yield self._root_of(found, self._tree(found, naming)) if name else self.root_of_primary
            except ImageError as error:
                self.warn(f"the directory tree of the {found.name} is damaged: {error}")

    @property
    def root_of_primary(self) -> IsoNode:
        """The root of the primary tree, by Rock Ridge where that is there."""
        if self._root.tree.naming in (Naming.PLAIN, Naming.ROCK_RIDGE):
            return self._root
        return self._primary_root()[0]


def joliet_level(record: Any) -> int:
    """Return the Joliet level (1 to 3) that a supplementary descriptor's escape sequence names, else 0."""
    level: int = iso.JOLIET_LEVELS.get(record.escape_sequences[:3], 0)
    return level


def _has_entries(root: IsoNode) -> bool:
    try:
        return next(root.entries(), None) is not None
    except ImageError:
        return True
