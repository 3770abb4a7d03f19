"""The structures of an ext file system by name, for `inspect`; docs/inspect.md lists them.

In names of blocks the number is that of the volume's block, in those of directory blocks it counts in the
directory, in those of the journal in the journal.
"""

from __future__ import annotations

from contextlib import suppress

from pybootcfg import limits, schema
from pybootcfg.errors import ImageError, UnsupportedFeature
from pybootcfg.filesystems.ext import sums
from pybootcfg.filesystems.ext.log import Log, open_log
from pybootcfg.filesystems.ext.logged import fast_commits, logged
from pybootcfg.filesystems.ext.owned import owned
from pybootcfg.structures import Stretch, Structure, Structures, length_of, numbered, of_groups
from pybootcfg.values import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pybootcfg.filesystems.ext.filesystem import Ext, ExtNode

layout = schema.load("ext")
jbd2 = schema.load("jbd2")

BITMAPS = (".block_bitmap", ".inode_bitmap")


class ExtStructures(Structures):
    """The structures of one file system."""

    def __init__(self, filesystem: Ext) -> None:
        self.filesystem = filesystem
        self.superblock = filesystem.superblock

    def listed(self) -> Iterator[Structure]:
        """Yield the superblock, the journal's, the inode of the root and the group descriptors."""
        yield from self.superblocks()
        yield self.inode(layout.ROOT_INO)
        for group in range(min(self.superblock.groups, limits.EXT_GROUPS_SHOWN.value)):
            yield self.descriptor(group)

    def every(self) -> Iterator[Structure]:
        """Yield the journal, then group by group its own, and the inodes in use with what is theirs."""
        yield Structure("superblock", sums.superblock(self.superblock), self.superblock.offset)
        yield from self.journal()
        yield from of_groups(self._groups(), self.group, self._in_use, self.of_inode)

    def _groups(self) -> range:
        """Return the groups that begin on the volume, which may be fewer than it claims to have."""
        superblock = self.superblock
        there = self.filesystem.source.size // superblock.block_size - superblock.first_block(0)
        return range(min(superblock.groups, max(0, -(-there // superblock.blocks_per_group))))

    def below(self, name: str) -> Iterator[Structure]:
        """Yield those of the inode, the group or the journal that a name begins with; else those listed."""
        family, number, _ = numbered(name)
        if family == "inode" and 0 < number <= self.superblock.inodes_count:
            return self.of_inode(number)
        if family == "group" and 0 <= number < self.superblock.groups:
            return self.group(number)
        log = self.log() if family.startswith("journal") else None
        if log and family == "journal.block" and log.first <= number < log.last:
            return logged(log, [number])
        if log:
            return self.journal()
        return self.listed()

    def of_node(self, node: ExtNode) -> Iterator[Structure]:
        """Yield the inode and what belongs to it: the block tree, directory blocks, attributes."""
        return self.of_inode(node.number)

    def find(self, name: str) -> Structure | None:
        """Return the structure called `name`."""
        family, number, part = numbered(name)
        if family == "inode" and not part:  # without looking at what it says
            return self.inode(number) if 0 < number <= self.superblock.inodes_count else None
        if family == "superblock" or name == "journal.superblock":
            return next((found for found in self.superblocks() if found.name == name), None)
        return super().find(name)

    def superblocks(self) -> Iterator[Structure]:
        """Yield the superblock and the journal's."""
        yield Structure("superblock", sums.superblock(self.superblock), self.superblock.offset)
        log = self.log()
        if log is not None:
            yield Structure("journal.superblock", jbd2.superblock, log.offset(0))

    def journal(self) -> Iterator[Structure]:
        """Yield the superblock of the journal and the blocks of its log, old ones too."""
        log = self.log()
        if log is not None:
            yield Structure("journal.superblock", jbd2.superblock, log.offset(0))
            yield from logged(log, range(log.first, log.last))
            yield from fast_commits(log)

    def log(self) -> Log | None:
        """Return the journal, None where there is none that can be read."""
        filesystem = self.filesystem
        if filesystem.log is None and self.superblock.has_compat("has_journal"):
            with suppress(ImageError, UnsupportedFeature):  # inspect goes on to what there is
                filesystem.log = open_log(filesystem.inodes)
        return filesystem.log

    def group(self, group: int) -> Iterator[Structure]:
        """Yield the copy of the superblock, the descriptor and the bitmaps of a group."""
        superblock = self.superblock
        if group and superblock.has_copy(group):
            place = superblock.first_block(group) * superblock.block_size
            if place + layout.superblock.size <= self.filesystem.source.size:
                yield Structure(f"group[{group}].superblock", sums.superblock(superblock), place)
        yield self.descriptor(group)
        with suppress(ImageError):  # the descriptor above says what is wrong
            for part in BITMAPS:
                yield self.bitmap(group, part)

    def descriptor(self, group: int) -> Structure:
        """Return the descriptor of a group."""
        groups = self.filesystem.groups
        return Structure(f"group[{group}].descriptor", sums.descriptor(groups, group), groups.offset(group))

    def bitmap(self, group: int, part: str) -> Structure:
        """Return one of the two bitmaps of a group."""
        superblock, record = self.superblock, self.filesystem.groups.descriptor(group).record
        block = getattr(record, f"bg_{part[1:]}_lo")
        if superblock.has_incompat("64bit"):
            block |= getattr(record, f"bg_{part[1:]}_hi") << 32
        if part == ".inode_bitmap":
            bits = superblock.inodes_per_group
        else:
            left = (superblock.blocks_count - superblock.first_block(group)) * superblock.block_size
            bits = min(superblock.record.s_clusters_per_group, -(-left // superblock.cluster_size))
        decoder = Stretch(part[1:], superblock.block_size, bits)
        return Structure(f"group[{group}]{part}", decoder, block * superblock.block_size)

    def _in_use(self, group: int) -> Iterator[int]:
        """Yield the numbers of the inodes that the bitmap of a group says are in use."""
        superblock = self.superblock
        unused = self.filesystem.groups.descriptor(group).record.bg_flags & layout.INODE_UNINIT
        if unused and (superblock.metadata_csum or superblock.has_ro_compat("uninit_bg")):
            return
        place = self.bitmap(group, BITMAPS[1]).offset
        bits = self.filesystem.source.read(place, superblock.block_size, "inode bitmap")
        first = group * superblock.inodes_per_group + 1
        for index in range(superblock.inodes_per_group):
            if bits[index // 8] >> index % 8 & 1 and first + index <= superblock.inodes_count:
                yield first + index

    def inode(self, number: int) -> Structure:
        """Return an inode."""
        decoder = sums.inode(self.filesystem.inodes.blocks, number)
        return Structure(f"inode[{number}]", decoder, self.filesystem.inodes.offset(number))

    def of_inode(self, number: int) -> Iterator[Structure]:
        """Yield an inode and what belongs to it; ImageError where that is damaged."""
        yield self.inode(number)
        yield from owned(self.filesystem.inodes.read(number, in_use=False))

    def room(self, name: str) -> int:
        """Return the bytes of an inode or of a group descriptor, by the superblock."""
        if name.startswith("inode[") and name.endswith("]") and "." not in name:
            return self.superblock.inode_size
        return self.superblock.desc_size if name.endswith("].descriptor") else 0

    def owner(self, offset: int) -> str:
        """Return the name of the superblock, descriptor, bitmap or inode at a byte."""
        superblock, size = self.superblock, self.superblock.block_size
        if superblock.offset <= offset < superblock.offset + layout.superblock.size:
            return "superblock"
        block = offset // size
        groups = self.filesystem.groups
        for group in range(min(superblock.groups, limits.EXT_GROUPS_SHOWN.value)):
            start = groups.offset(group)
            if start <= offset < start + superblock.desc_size:
                return f"group[{group}].descriptor"
            for part in BITMAPS:
                if self.bitmap(group, part).offset == block * size:
                    return f"group[{group}]{part}"
            place = offset - groups.descriptor(group).inode_table * size
            if 0 <= place < superblock.inodes_per_group * superblock.inode_size:
                return f"inode[{group * superblock.inodes_per_group + place // superblock.inode_size + 1}]"
        for group in range(1, min(superblock.groups, limits.EXT_GROUPS_SHOWN.value)):
            start = superblock.first_block(group) * size
            if superblock.has_copy(group) and 0 <= offset - start < layout.superblock.size:
                return f"group[{group}].superblock"
        return self._in_journal(offset)

    def _in_journal(self, offset: int) -> str:
        """Return the name of the structure of the journal at a byte."""
        log = self.log()
        position = log.position(offset) if log else None
        if log is None or position is None:
            return ""
        if position == 0:
            return "journal.superblock"
        in_area = position in log.fast_commit_area
        for found in fast_commits(log) if in_area else logged(log, [position]):
            if found.offset <= offset < found.offset + length_of(found.decoder):
                return found.name
        return ""
