"""The ext2/3/4 reader: the file system and its nodes."""

from __future__ import annotations

from bisect import bisect_left
from contextlib import suppress
from functools import cached_property

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError, UnsupportedFeature
from pybootcfg.filesystems.base import (
    Extent,
    Filesystem,
    Hole,
    Inline,
    Node,
    Options,
    Run,
    Stretch,
    Structure,
    uuid_text,
)
from pybootcfg.filesystems.ext.blocks import Blocks
from pybootcfg.filesystems.ext.directory import Directory
from pybootcfg.filesystems.ext.fast_commit import FastCommits
from pybootcfg.filesystems.ext.fast_commit import Replay as FastCommitReplay
from pybootcfg.filesystems.ext.groups import Groups
from pybootcfg.filesystems.ext.inline import inline_data
from pybootcfg.filesystems.ext.inode import Inode, InodeTable
from pybootcfg.filesystems.ext.journal import BrokenLog, Recovery
from pybootcfg.filesystems.ext.log import Log, open_log
from pybootcfg.filesystems.ext.mapping import mapped
from pybootcfg.filesystems.ext.superblock import find_superblock, read_superblock
from pybootcfg.kind import Kind
from pybootcfg.limits import EXT_GROUPS_SHOWN, PATH_LENGTH
from pybootcfg.source import Overlay, Source
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

layout = schema.load("ext")
jbd2 = schema.load("jbd2")

SECTOR = 512  # bytes; the unit of i_blocks
_BITMAPS = (".block_bitmap", ".inode_bitmap")


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
            FastCommitReplay(log, recovery.end, self.inodes, self.fast_commits).run()

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
    def root(self) -> ExtNode:
        """The root directory, inode 2."""
        return ExtNode(self, layout.ROOT_INO)

    def structures(self) -> Iterator[Structure]:
        """Yield the superblock, the journal's, the inode of the root and the group descriptors."""
        yield from self._superblocks()
        yield self._inode_structure(layout.ROOT_INO)
        for group in range(min(self.superblock.groups, EXT_GROUPS_SHOWN.value)):
            yield self._descriptor_structure(group)

    def every_structure(self) -> Iterator[Structure]:
        """Yield the superblocks, then group by group the descriptor, the bitmaps and the inodes in use."""
        yield from self._superblocks()
        inodes = limits.INSPECT_INODES.budget(self.source.name)
        for group in range(self.superblock.groups):
            yield self._descriptor_structure(group)
            try:
                bitmaps = [self._bitmap(group, part) for part in _BITMAPS]
                bits = self.source.read(bitmaps[1].offset, self.superblock.block_size, "inode bitmap")
                unused = self.groups.descriptor(group).record.bg_flags & layout.INODE_UNINIT
            except ImageError as error:
                self.warn(f"the inodes of group {group} are left out: {error}")
                continue
            yield from bitmaps
            if unused and (self.superblock.metadata_csum or self.superblock.has_ro_compat("uninit_bg")):
                continue
            first = group * self.superblock.inodes_per_group
            for index in range(self.superblock.inodes_per_group):
                if bits[index // 8] >> index % 8 & 1:
                    inodes.spend()
                    yield self._inode_structure(first + index + 1)

    def structure(self, name: str) -> Structure | None:
        """Return the structure called `name`, such as `inode[12]`, which `structures` may leave out."""
        family, _, rest = name.partition("[")
        index, _, part = rest.partition("]")
        if index.isdecimal() and len(index) <= len(str(1 << 64)):
            number = int(index)
            if (family, part) == ("inode", "") and 0 < number <= self.superblock.inodes_count:
                return self._inode_structure(number)
            if (family, part) == ("group", ".descriptor") and number < self.superblock.groups:
                return self._descriptor_structure(number)
            if family == "group" and part in _BITMAPS and number < self.superblock.groups:
                return self._bitmap(number, part)
        return next((structure for structure in self._superblocks() if structure.name == name), None)

    def _bitmap(self, group: int, part: str) -> Structure:
        superblock, record = self.superblock, self.groups.descriptor(group).record
        block = getattr(record, f"bg_{part[1:]}_lo")
        if superblock.has_incompat("64bit"):
            block |= getattr(record, f"bg_{part[1:]}_hi") << 32
        if part == ".inode_bitmap":
            bits = superblock.inodes_per_group
        else:
            bits = min(
                superblock.record.s_clusters_per_group,
                -(-(superblock.blocks_count - superblock.first_block(group)) * superblock.block_size)
                // superblock.cluster_size,
            )
        decoder = Stretch(part[1:], superblock.block_size, bits)
        return Structure(f"group[{group}]{part}", decoder, block * superblock.block_size)

    def node_structures(self, node: Node) -> Iterator[Structure]:
        """Yield the inode and, where its block map is an extent tree, the root of that."""
        if not isinstance(node, ExtNode):
            return
        inode = self._inode_structure(node.number)
        yield inode
        if not node.inode.has(layout.EXTENTS_FL):
            return
        header = inode.offset + layout.I_BLOCK_OFFSET
        yield Structure("extent_header", layout.extent_header, header)
        record = layout.extent_header.decode(node.inode.record.i_block)
        name, decoder = ("extent", layout.extent) if not record.eh_depth else ("index", layout.extent_index)
        room = (layout.I_BLOCK_SIZE - layout.extent_header.size) // decoder.size
        for number in range(min(record.eh_entries, room)):
            place = header + layout.extent_header.size + number * decoder.size
            yield Structure(f"{name}[{number}]", decoder, place)

    def room(self, name: str) -> int:
        """Return the bytes of an inode or of a group descriptor, by the superblock."""
        if name.startswith("inode["):
            return self.superblock.inode_size
        return self.superblock.desc_size if name.endswith(".descriptor") else 0

    def owner(self, offset: int) -> str:
        """Return the name of the superblock, descriptor, bitmap or inode at a byte."""
        superblock, size = self.superblock, self.superblock.block_size
        if superblock.offset <= offset < superblock.offset + layout.superblock.size:
            return "superblock"
        block = offset // size
        for group in range(min(superblock.groups, EXT_GROUPS_SHOWN.value)):
            start = self.groups.offset(group)
            if start <= offset < start + superblock.desc_size:
                return f"group[{group}].descriptor"
            for part in _BITMAPS:
                if self._bitmap(group, part).offset == block * size:
                    return f"group[{group}]{part}"
            place = offset - self.groups.descriptor(group).inode_table * size
            if 0 <= place < superblock.inodes_per_group * superblock.inode_size:
                return f"inode[{group * superblock.inodes_per_group + place // superblock.inode_size + 1}]"
        return ""

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

    def _superblocks(self) -> Iterator[Structure]:
        yield Structure("superblock", layout.superblock, self.superblock.offset)
        if self.log is None and self.superblock.has_compat("has_journal"):
            with suppress(ImageError, UnsupportedFeature):  # inspect goes on to what there is
                self.log = open_log(self.inodes)
        if self.log is not None:
            yield Structure("journal.superblock", jbd2.superblock, self.log.offset(0))

    def _inode_structure(self, number: int) -> Structure:
        small = self.superblock.inode_size < layout.inode_large.size
        decoder = layout.inode if small else layout.inode_large
        return Structure(f"inode[{number}]", decoder, self.inodes.offset(number))

    def _descriptor_structure(self, group: int) -> Structure:
        return Structure(f"group[{group}].descriptor", self.groups.decoder, self.groups.offset(group))


class ExtNode(Node):
    """A file of any type; its inode is read when it is first asked something."""

    def __init__(self, filesystem: Ext, number: int) -> None:
        self.filesystem = filesystem
        self.number = number

    @property
    def key(self) -> Hashable:
        """The inode number."""
        return self.number

    @cached_property
    def inode(self) -> Inode:
        """The inode; ImageError when it cannot be read."""
        return self.filesystem.inodes.read(self.number)

    @property
    def kind(self) -> Kind:
        """The type by the inode, which a directory's entries only repeat."""
        return self.inode.kind

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
            PATH_LENGTH.check(self.size, inode.name)
            return self.read(PATH_LENGTH)
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
