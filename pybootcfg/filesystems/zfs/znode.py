"""Files and directories of one dataset.

Specifications: formats/zfs_zpl.py, formats/zfs_sa.py.
"""

from __future__ import annotations

import functools

from pybootcfg import limits, schema
from pybootcfg.errors import GuestFileMissing, ImageError, UnsupportedFeature
from pybootcfg.filesystems.base import Hole, Inline, Node, Run
from pybootcfg.filesystems.zfs.blkptr import bits, ordered
from pybootcfg.filesystems.zfs.dmu import Dnode, ObjectSet
from pybootcfg.filesystems.zfs.zap import Zap
from pybootcfg.kind import Kind, of_mode
from pybootcfg.values import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from typing import Any

layout = schema.load("zfs_zpl")
sa_layout = schema.load("zfs_sa")
dmu_layout = schema.load("zfs_dmu")


class Attributes(NamedTuple):
    """What a znode says; `target` is None unless it is in the znode and not in the file's data."""

    mode: int
    size: int
    mtime: int
    parent: int
    target: bytes | None


class Registry:
    """System attributes by number, and the layouts that put them in an order."""

    def __init__(self, objects: ObjectSet, number: int) -> None:
        master = Zap(objects.object(number))
        registry = Zap(objects.object(master.number(sa_layout.SA_REGISTRY)))
        layouts = Zap(objects.object(master.number(sa_layout.SA_LAYOUTS)))
        budget = limits.ZFS_ATTRIBUTES.budget("system attributes")
        self.lengths: dict[int, int] = {}  # bytes; 0 for variable length
        self.names: dict[int, bytes] = {}
        for entry in registry.entries():
            budget.spend()
            attribute = bits(entry.number, sa_layout.ATTR_NUM)
            self.lengths[attribute] = bits(entry.number, sa_layout.ATTR_LENGTH)
            self.names[attribute] = entry.name
        self.layouts: dict[int, tuple[int, ...]] = {}
        for entry in layouts.entries():
            budget.spend()
            if entry.name.isdigit() and entry.width == 2:
                count = limits.ZFS_ATTRIBUTES.check(len(entry.data) // 2, "layout")
                self.layouts[int(entry.name)] = sa_layout.layout_attribute.array(entry.data, count)

    def attributes(self, data: bytes, dnode: Dnode, *, big: bool) -> dict[bytes, bytes]:
        """Return the attributes in a bonus buffer or spill block, by name."""
        return {name: data[at : at + length] for name, at, length in self.places(data, dnode, big=big)}

    def places(self, data: bytes, dnode: Dnode, *, big: bool) -> Iterator[tuple[bytes, int, int]]:
        """Yield the name of each attribute in a bonus buffer or spill block, its offset there, its length."""
        header: Any = ordered(sa_layout.sa_hdr_phys, big=big).decode(data)
        if header.sa_magic != sa_layout.SA_MAGIC:
            raise dnode.damaged("its system attributes have a wrong magic number")
        order = self.layouts.get(bits(header.sa_layout_info, sa_layout.SA_HDR_LAYOUT_NUM))
        if order is None:
            raise dnode.damaged("its system attributes have a layout that is not registered")
        at = bits(header.sa_layout_info, sa_layout.SA_HDR_SIZE) * 8
        variable = sa_layout.sa_hdr_phys.size
        for attribute in order:
            length = self.lengths.get(attribute)
            if length is None:
                raise dnode.damaged(f"its system attribute {attribute} is not registered")
            if not length:
                length = ordered(sa_layout.sa_length, big=big).decode(data, variable)
                variable += 2
            if at + length > len(data):
                raise dnode.damaged("its system attributes are longer than their buffer")
            yield self.names[attribute], at, length
            at += -(-length // 8) * 8


class FileSystem:
    """The POSIX layer of one dataset or snapshot."""

    def __init__(self, objects: ObjectSet, key: int) -> None:
        """`key` is the dataset's object number, which tells its files from those of other datasets."""
        self.objects = objects
        self.key = key
        self.master = Zap(objects.object(layout.MASTER_NODE_OBJ))
        version = self.master.number(layout.ZPL_VERSION_STR, layout.ZPL_VERSION_INITIAL)
        if not layout.ZPL_VERSION_INITIAL <= version <= layout.ZPL_VERSION_SA:
            raise UnsupportedFeature(f"ZFS file system version {version}", structure_name(objects))
        case = self.master.number(layout.ZFS_PROP_CASE, layout.ZFS_CASE_SENSITIVE)
        self.fold = case == layout.ZFS_CASE_INSENSITIVE

    @property
    def root(self) -> Znode:
        """The root directory."""
        return self.node(self.master.number(layout.ZFS_ROOT_OBJ))

    def node(self, number: int) -> Znode:
        """Return the file or directory whose object is `number`; it is read when first asked."""
        return Znode(self, number)

    @functools.cached_property
    def registry(self) -> Registry | None:
        """The registry of system attributes, None before version 5."""
        number = self.master.number(layout.ZFS_SA_ATTRS)
        return Registry(self.objects, number) if number else None


def structure_name(objects: ObjectSet) -> str:
    """Return what to call the dataset in a message."""
    return f"{objects.name} has a file system version that cannot be read"


class Znode(Node):
    """One file, directory, symbolic link or special file."""

    def __init__(self, filesystem: FileSystem, number: int) -> None:
        self.filesystem = filesystem
        self.number = number

    @functools.cached_property
    def dnode(self) -> Dnode:
        """The object behind it."""
        return self.filesystem.objects.object(self.number)

    @functools.cached_property
    def attributes(self) -> Attributes:
        """What the znode says; raises ImageError when it is damaged."""
        dnode = self.dnode
        if dnode.bonus_type == dmu_layout.DMU_OT_ZNODE:
            return self._old_attributes(dnode)
        if dnode.bonus_type != dmu_layout.DMU_OT_SA or self.filesystem.registry is None:
            raise dnode.damaged(f"it is no file, its bonus buffer is of type {dnode.bonus_type}")
        return self._system_attributes(dnode, self.filesystem.registry)

    def _old_attributes(self, dnode: Dnode) -> Attributes:
        decoder = ordered(layout.znode_phys, big=dnode.big)
        raw: Any = decoder.decode(dnode.bonus)
        rest = dnode.bonus[decoder.size :]
        target = rest[: raw.zp_size] if raw.zp_size <= len(rest) else None
        return Attributes(raw.zp_mode, raw.zp_size, raw.zp_mtime[0], raw.zp_parent, target)

    def _system_attributes(self, dnode: Dnode, registry: Registry) -> Attributes:
        found = registry.attributes(dnode.bonus, dnode, big=dnode.big)
        number = ordered(sa_layout.attribute_u64, big=dnode.big).decode
        mode, size = found.get(sa_layout.ZPL_MODE), found.get(sa_layout.ZPL_SIZE)
        if mode is None or size is None:
            raise dnode.damaged("its system attributes lack mode or size")
        mtime = number(found.get(sa_layout.ZPL_MTIME) or bytes(8))
        parent = number(found.get(sa_layout.ZPL_PARENT) or bytes(8))
        target = found.get(sa_layout.ZPL_SYMLINK)
        link = number(mode) & layout.S_IFMT == layout.S_IFLNK
        if target is None and link and dnode.spill is not None and not dnode.spill.hole:
            spill = dnode.blocks.cached(dnode.spill)
            target = registry.attributes(spill, dnode, big=dnode.spill.big).get(sa_layout.ZPL_SYMLINK)
        return Attributes(number(mode), number(size), mtime, parent, target)

    # --- what every node gives ---------------------------------------------------------------------

    @property
    def key(self) -> Hashable:
        """The dataset and the object number."""
        return (self.filesystem.key, self.number)

    @property
    def kind(self) -> Kind:
        """What this is."""
        kind = of_mode(self.attributes.mode)
        if kind is None:
            raise self.dnode.damaged(f"it has a mode of no file type: {self.attributes.mode:#o}")
        return kind

    @property
    def size(self) -> int:
        """Length of the contents in bytes."""
        return self.attributes.size

    @property
    def mode(self) -> int:
        """Permission bits."""
        return self.attributes.mode & 0o7777

    @property
    def mtime(self) -> int:
        """Last change of the contents, in seconds since 1970 UTC."""
        seconds = self.attributes.mtime
        return seconds - (1 << 64) if seconds >> 63 else seconds

    def runs(self) -> Iterator[Run]:
        """Yield the contents block by block, decompressed and checked."""
        dnode = self.dnode
        for span in dnode.spans(self.size):
            if span.pointer is None:
                yield Hole(span.length)
            else:
                yield Inline(dnode.data(span.pointer, span.length))

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        """Yield names and nodes in the order of the disk."""
        for entry in self._directory.entries():
            yield entry.name, self._entry(entry.number)

    def lookup(self, name: bytes) -> Node | None:
        """Return the entry called `name`, by its hash."""
        found = self._directory.find(name)
        return None if found is None else self._entry(found.number)

    @functools.cached_property
    def _directory(self) -> Zap:
        if self.kind is not Kind.DIRECTORY:
            raise GuestFileMissing(self.dnode.name, "not a directory")
        return Zap(self.dnode, fold=self.filesystem.fold)

    def _entry(self, value: int) -> Znode:
        return self.filesystem.node(bits(value, layout.ZFS_DIRENT_OBJ))

    def target(self) -> bytes:
        """Return where a symbolic link points."""
        limits.PATH_LENGTH.check(self.size, "symbolic link")
        target = self.attributes.target
        if target is None:
            target = self.dnode.read(0, self.size)
        if len(target) < self.size:
            raise ImageError("a symbolic link is shorter than its size", structure=self.dnode.name)
        return target[: self.size]
