"""The ext2/3/4 reader: the file system and its nodes."""

from __future__ import annotations

from bisect import bisect_left
from functools import cached_property

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError, UnsupportedFeature
from pybootcfg.filesystems.base import Extent, Filesystem, Hole, Inline, Node, Options, Run, uuid_text
from pybootcfg.filesystems.ext.blocks import Blocks
from pybootcfg.filesystems.ext.directory import Directory, FastCommits
from pybootcfg.filesystems.ext.groups import Groups
from pybootcfg.filesystems.ext.inline import inline_data
from pybootcfg.filesystems.ext.inode import Inode, InodeTable
from pybootcfg.filesystems.ext.mapping import mapped
from pybootcfg.filesystems.ext.superblock import find_superblock, read_superblock
from pybootcfg.kind import Kind
from pybootcfg.source import Overlay, Source
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from pybootcfg.filesystems.base import Status
    from pybootcfg.filesystems.ext.glances import Glance, Glances
    from pybootcfg.filesystems.ext.inspection import ExtStructures
    from pybootcfg.filesystems.ext.log import Log

layout = schema.load("ext")

SECTOR = 512  # bytes; the unit of i_blocks


class Ext(Filesystem):
    """An ext2, ext3 or ext4 file system.

    An unclean journal is replayed in memory; `source` is then the volume as it is after that.
    """

    family = "ext"

    def __init__(self, source: Source, options: Options) -> None:
        super().__init__(source, options)
        self.superblock, warnings = find_superblock(source)
        for warning in warnings:
            self.warn(warning)
        self._check_size()
        self.fast_commits = FastCommits()
        self.log: Log | None = None
        self._replayed: list[int] = []  # blocks that the journal holds newer, in order
        self._open(source)
        if self.superblock.has_incompat("needs_recovery"):
            self._recover()

    def _open(self, source: Source) -> None:
        self.source = source
        self.blocks = Blocks(source, self.superblock, self.warn)
        self.groups = Groups(self.blocks)
        self.inodes = InodeTable(self.blocks, self.groups, self.fast_commits.inodes)

    def _recover(self) -> None:
        """Replay the journal, or say why that is left undone."""
        if not self.options.replay_journal:
            self.warn("journal: the file system was not unmounted cleanly, and the log is not replayed")
            return
        from pybootcfg.filesystems.ext.fast_commit import Replay
        from pybootcfg.filesystems.ext.journal import BrokenLog, Recovery
        from pybootcfg.filesystems.ext.log import open_log

        try:
            self.log = log = open_log(self.inodes)
            recovery = Recovery(log, self.blocks)
            replayed = recovery.run()
        except (ImageError, UnsupportedFeature, BrokenLog) as error:
            self.warn(f"journal: the log cannot be replayed: {error}")
            return
        if replayed:
            self._replayed = sorted(replayed)
            overlay = Overlay(self.source, self.superblock.block_size, replayed)
            self.superblock, _ = read_superblock(overlay, self.superblock.offset)
            self._open(overlay)
        if log.superblock.s_start and log.fast_commit_area:
            Replay(log, recovery.end, self.inodes, self.fast_commits).run()

    def _check_size(self) -> None:
        size = self.superblock.blocks_count * self.superblock.block_size
        if size > self.source.size:
            self.warn(f"the file system has {size} bytes, but the volume only {self.source.size}")

    def extent(self, offset: int, length: int) -> Extent:
        """Return where bytes of a file lie: beside the journal, where that holds none of them."""
        source = self.source
        if isinstance(source, Overlay):
            size = source.block_size
            first = bisect_left(self._replayed, offset // size)
            if first == len(self._replayed) or self._replayed[first] * size >= offset + length:
                source = source.base
        return Extent(source, offset, length)

    @property
    def name(self) -> str:
        """`ext2`, `ext3` or `ext4`, as blkid decides."""
        return self.superblock.variant

    @property
    def label(self) -> str:
        """The volume name."""
        name: bytes = self.superblock.record.s_volume_name
        return name.partition(b"\0")[0].decode("utf-8", "surrogateescape")

    @property
    def uuid(self) -> str:
        """The UUID in lower case, empty when it is all zeros."""
        raw: bytes = self.superblock.record.s_uuid
        return uuid_text(raw) if any(raw) else ""

    @property
    def features(self) -> tuple[str, ...]:
        """Feature names in the order and the spelling of `dumpe2fs -h`."""
        return self.superblock.features

    @cached_property
    def glances(self) -> Glances:
        """What many inodes hold."""
        from pybootcfg.filesystems.ext.glances import Glances

        return Glances(self.inodes)

    @cached_property
    def root(self) -> ExtNode:
        """The root directory, inode 2."""
        return ExtNode(self, layout.ROOT_INO)

    @cached_property
    def structures(self) -> ExtStructures:
        """The structures that `inspect` can show."""
        from pybootcfg.filesystems.ext.inspection import ExtStructures

        return ExtStructures(self)

    @property
    def journal_state(self) -> str:
        """What the log says: clean, replayed in memory, or not replayed."""
        if not self.superblock.has_compat("has_journal"):
            return ""
        if self._replayed:
            return f"not clean: {len(self._replayed)} blocks replayed in memory"
        if self.superblock.has_incompat("needs_recovery"):
            return "not clean"
        return "clean"


class ExtNode(Node):
    """A file of any type; its inode is read when it is first asked something."""

    __slots__ = ("_glance", "_inode", "filesystem", "number")

    def __init__(self, filesystem: Ext, number: int) -> None:
        self.filesystem = filesystem
        self.number = number
        self._inode: Inode | None = None
        self._glance: Glance | None = None  # what was read ahead

    @property
    def key(self) -> Hashable:
        """The inode number."""
        return self.number

    @property
    def inode(self) -> Inode:
        """The inode; ImageError when it cannot be read."""
        if self._inode is None:
            if self._glance is None:
                self._inode = self.filesystem.inodes.read(self.number)
            else:
                raw, offset, _ = self._glance
                self._inode = Inode(self.filesystem.blocks, self.number, raw, offset)
        return self._inode

    @property
    def kind(self) -> Kind:
        """The type by the inode, which a directory's entries only repeat."""
        glance = self._glance
        return glance[2][0] if glance and glance[2] else self.inode.kind

    @property
    def size(self) -> int:
        """Length of the contents in bytes."""
        return self.inode.size

    @property
    def mode(self) -> int:
        """Permission bits."""
        return self.inode.record.i_mode & 0o7777  # type: ignore[no-any-return]

    @property
    def mtime(self) -> int:
        """Last change of the contents, in seconds since 1970 UTC."""
        return self.inode.mtime

    def status(self) -> Status:
        """Return kind, size, mode and mtime."""
        glance = self._glance
        return glance[2] if glance and glance[2] else super().status()

    def read_ahead(self, nodes: Sequence[Node]) -> None:
        """Read the inodes of entries of this directory."""
        children = [node for node in nodes if isinstance(node, ExtNode)]
        find = self.filesystem.glances.of([node.number for node in children]).get
        for node in children:
            node._glance = find(node.number)

    def runs(self) -> Iterator[Run]:
        """Yield the contents; UnsupportedFeature when they are encrypted."""
        inode = self.inode
        if inode.has(layout.ENCRYPT_FL):
            raise UnsupportedFeature("encrypt", f"{inode.name} is encrypted and cannot be read")
        if inode.has(layout.INLINE_DATA_FL):
            yield Inline(inline_data(inode))
            return
        size = inode.size
        block_size = self.filesystem.superblock.block_size
        position = 0
        for logical, physical, count in mapped(inode, 0, -(-size // block_size)):
            start = logical * block_size
            if start > position:
                yield Hole(start - position)
            length = min(count * block_size, size - start)
            yield self.filesystem.extent(physical * block_size, length)
            position = start + length
        if position < size:
            yield Hole(size - position)

    @property
    def _directory(self) -> Directory:
        return self.filesystem.fast_commits.directory(self.inode)

    def entries(self) -> Iterator[tuple[bytes, Node]]:
        """Yield names and nodes in the order of the disk."""
        for name, number in self._directory.entries():
            yield name, ExtNode(self.filesystem, number)

    def lookup(self, name: bytes) -> ExtNode | None:
        """Return the entry called `name`, by the hash tree where there is one."""
        number = self._directory.find(name)
        return None if number is None else ExtNode(self.filesystem, number)

    def target(self) -> bytes:
        """Return where a symbolic link points; UnsupportedFeature when that is encrypted."""
        inode = self.inode
        if not self._is_fast_link:
            limits.PATH_LENGTH.check(self.size, inode.name)
            return self.read(limits.PATH_LENGTH)
        if inode.size >= layout.I_BLOCK_SIZE:
            raise inode.damage(f"a symbolic link of {inode.size} bytes in the inode")
        target: bytes = inode.record.i_block[: inode.size]
        return target

    @property
    def _is_fast_link(self) -> bool:
        """Whether the target stands in i_block (ext4_inode_is_fast_symlink of Linux)."""
        inode, record = self.inode, self.inode.record
        if inode.has(layout.INLINE_DATA_FL) or inode.has(layout.ENCRYPT_FL):
            return False
        superblock = self.filesystem.superblock
        if superblock.has_incompat("ea_inode"):
            return bool(0 < inode.size < layout.I_BLOCK_SIZE)
        attributes = 0
        if record.i_file_acl_lo or record.l_i_file_acl_high:
            attributes = superblock.cluster_size // SECTOR
        return bool(record.i_blocks_lo + (record.l_i_blocks_high << 32) == attributes)
